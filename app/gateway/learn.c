/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/learn.c — see learn.h. */
#include "app/gateway/learn.h"

#include <stdio.h>

#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/plan.h"

enum { FILE_VERSION = 1, BACKGROUND_STACK_SIZE = 64 << 10 };

struct file_head {
    char magic[8];
    uint32_t version, unit_size, count, crc; /* crc: of the units */
};

/* What is made anew at boot. */
struct state {
    float threshold;
    unsigned since; /* candidates since it was decided */
    bool decided;
};

struct fiber_pool learn_background;
static struct learn_unit *units;
static struct state states[LEARN_UNITS_MAX];
static unsigned char *file_bytes; /* of the file, while it is read or written */
static char path[FILE_PATH_MAX];
static struct loop_timer timer;
static bool dirty, saving;
static uint64_t due_us; /* monotonic: when `timer` fires */
static unsigned labels_unsaved;
static struct metric labels_total[LABEL_SOURCES][2];

/* ---- figures */

static void sums(uint64_t *asked, uint64_t *hits, uint64_t *checked, uint64_t *wrong)
{
    *asked = *hits = *checked = *wrong = 0;
    for (unsigned i = 0; i < LEARN_UNITS_MAX; i++) {
        if (!units[i].key) continue;
        *asked += units[i].asked;
        *hits += units[i].hits;
        *checked += units[i].checked;
        *wrong += units[i].wrong;
    }
}

enum bound { BOUND_ESTIMATE, BOUND_LOW, BOUND_HIGH, BOUNDS };

static double false_hits(enum bound bound, bool per_request)
{
    uint64_t asked, hits, checked, wrong;
    double low, high;
    sums(&asked, &hits, &checked, &wrong);
    wilson_interval(wrong, checked, &low, &high);
    double estimate = checked ? (double)wrong / (double)checked : 0;
    double rate = bound == BOUND_ESTIMATE ? estimate : bound == BOUND_LOW ? low : high;
    if (!per_request) return rate;
    return asked ? rate * (double)hits / (double)asked : 0;
}

static const unsigned char bounds[BOUNDS] = {BOUND_ESTIMATE, BOUND_LOW, BOUND_HIGH};

static double read_per_hit(const struct metric *metric)
{
    return false_hits((enum bound) * (const unsigned char *)metric->context, false);
}

static double read_per_request(const struct metric *metric)
{
    return false_hits((enum bound) * (const unsigned char *)metric->context, true);
}

static double read_units(const struct metric *metric)
{
    unsigned count = 0;
    (void)metric;
    for (unsigned i = 0; i < LEARN_UNITS_MAX; i++) count += units[i].key != 0;
    return count;
}

#define RATE(per_text, bound_text, function, which)                                                           \
    {                                                                                                         \
        .name = "larder_semantic_false_hit_ratio", .labels = "per=\"" per_text "\",bound=\"" bound_text "\"", \
        .help = "Wrong semantic hits as shadow checks found them, with their Wilson interval (95 %)",         \
        .kind = METRIC_GAUGE_CALL, .read = (function), .context = &bounds[which]                              \
    }

static struct metric rates[] = {
    RATE("hit", "estimate", read_per_hit, BOUND_ESTIMATE),
    RATE("hit", "low", read_per_hit, BOUND_LOW),
    RATE("hit", "high", read_per_hit, BOUND_HIGH),
    RATE("request", "estimate", read_per_request, BOUND_ESTIMATE),
    RATE("request", "low", read_per_request, BOUND_LOW),
    RATE("request", "high", read_per_request, BOUND_HIGH),
    {.name = "larder_semantic_units",
     .help = "Units of labels: tenants by route and embedder",
     .kind = METRIC_GAUGE_CALL,
     .read = read_units},
};

static void register_all(void)
{
    static const char *const labels[LABEL_SOURCES][2] = {
        {"source=\"miss\",verdict=\"wrong\"", "source=\"miss\",verdict=\"right\""},
        {"source=\"shadow\",verdict=\"wrong\"", "source=\"shadow\",verdict=\"right\""},
        {"source=\"feedback\",verdict=\"wrong\"", "source=\"feedback\",verdict=\"right\""}};
    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++) metric_register(&rates[i]);
    for (unsigned i = 0; i < LABEL_SOURCES * 2; i++) {
        struct metric *m = &labels_total[i / 2][i % 2];
        m->name = "larder_semantic_labels_total";
        m->labels = labels[i / 2][i % 2];
        m->help = "Candidates whose answer was compared with a fresh one, or judged by a client";
        m->kind = METRIC_COUNTER;
        metric_register(m);
    }
}

static void tick(struct loop_timer *which);

int learn_reserve(void)
{
    void *region;
    int rc = plan_take("semantic labels", LEARN_UNITS_MAX, sizeof(struct learn_unit), PLAN_LAZY, 0, NULL, &region);
    units = region;
    size_t size = sizeof(struct file_head) + LEARN_UNITS_MAX * sizeof(struct learn_unit);
    if (rc == RC_OK) rc = plan_take("semantic labels file", 1, size, PLAN_LAZY, 0, NULL, &region);
    file_bytes = region;
    if (rc == RC_OK)
        rc = fiber_pool_reserve(&learn_background, "semantic", LEARN_BACKGROUND_MAX, BACKGROUND_STACK_SIZE, NULL);
    timer.fire = tick;
    register_all();
    return rc;
}

/* ---- units */

static uint64_t key_of(const struct request *r, const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    struct hash_state h;
    uint64_t tag = embed_current()->tag_hash;
    unsigned char dialect = r->route->any_dialect ? DIALECTS : (unsigned char)r->route->dialect;
    hash_start(&h, &gateway.space_key);
    hash_add(&h, "unit", 4);
    hash_add(&h, tenant, ENTRY_TENANT_SIZE);
    hash_add(&h, &tag, sizeof tag);
    hash_add(&h, &dialect, 1);
    hash_add(&h, r->route->model.data, r->route->model.size);
    uint64_t key = hash_finish(&h).low;
    return key ? key : 1;
}

struct learn_unit *learn_find(uint64_t key)
{
    for (unsigned i = 0; key && i < LEARN_UNITS_MAX; i++)
        if (units[i].key == key) return &units[i];
    return NULL;
}

const struct learn_unit *learn_at(unsigned index)
{
    return index < LEARN_UNITS_MAX ? &units[index] : NULL;
}

static struct state *state_of(const struct learn_unit *unit)
{
    return &states[unit - units];
}

/* Counters alone are worth a write now and then, a label soon. */
static void change(uint64_t within_us)
{
    uint64_t due = clock_monotonic_us() + within_us;
    if (!dirty || due < due_us) {
        due_us = due;
        (void)loop_timer_set(&timer, due);
    }
    dirty = true;
}

static struct learn_unit *oldest(void)
{
    struct learn_unit *found = &units[0];
    for (unsigned i = 0; i < LEARN_UNITS_MAX && found->key; i++)
        if (!units[i].key || units[i].used_s < found->used_s) found = &units[i];
    return found;
}

static void name_unit(struct learn_unit *unit, const struct request *r)
{
    struct text route = text_on(unit->route, sizeof unit->route), tag = text_on(unit->tag, sizeof unit->tag);
    if (!r->route->any_dialect) text_format(&route, "%s:", dialect_name(r->route->dialect));
    text_put(&route, r->route->model.data,
             r->route->model.size < LEARN_ROUTE_MAX / 2 ? r->route->model.size : LEARN_ROUTE_MAX / 2);
    text_put_text(&tag, embed_current()->tag);
}

struct learn_unit *learn_unit_of(const struct request *r, bool shared)
{
    uint8_t tenant[ENTRY_TENANT_SIZE] = {0};
    if (!shared) memcpy(tenant, r->tenant.id, sizeof tenant);
    uint64_t key = key_of(r, tenant);
    struct learn_unit *unit = learn_find(key);
    if (!unit) {
        unit = oldest();
        *unit = (struct learn_unit){.key = key};
        *state_of(unit) = (struct state){.threshold = THRESHOLD_NEVER};
        memcpy(unit->tenant, tenant, sizeof tenant);
        name_unit(unit, r);
    }
    unit->used_s = clock_wall_us() / CLOCK_SECOND;
    return unit;
}

/* ---- deciding */

void learn_decide(const struct learn_unit *unit, double delta, bool partial, struct threshold_decision *decision)
{
    threshold_decide(&unit->labels, delta, partial, decision);
}

float learn_threshold(struct learn_unit *unit, double delta)
{
    if (!unit) return THRESHOLD_NEVER;
    struct state *state = state_of(unit);
    if (!state->decided || state->since >= LEARN_DECIDE_EVERY) {
        struct threshold_decision decision;
        learn_decide(unit, delta, false, &decision);
        *state = (struct state){.threshold = decision.threshold, .decided = true};
    }
    return state->threshold;
}

static bool would_serve(const struct learn_unit *unit, float score, double delta)
{
    struct threshold_decision decision;
    learn_decide(unit, delta, true, &decision);
    return score >= decision.threshold;
}

void learn_asked(struct learn_unit *unit, const struct semantic_found *found, double delta)
{
    unit->asked++;
    change(LEARN_COUNTERS_US);
    if (!found->id || found->vetoes || found->score < THRESHOLD_FLOOR) return;
    threshold_seen(&unit->labels, found->score);
    state_of(unit)->since++;
    unit->would += would_serve(unit, found->score, delta);
}

void learn_hit(struct learn_unit *unit)
{
    unit->hits++;
}

static void count_label(struct learn_unit *unit, bool right, enum learn_source source)
{
    metric_add(&labels_total[source][right], 1);
    if (source == LABEL_SHADOW) {
        unit->checked++;
        unit->wrong += !right;
    } else if (source == LABEL_FEEDBACK) {
        unit->reported_right += right;
        unit->reported_wrong += !right;
    }
}

void learn_label(uint64_t key, float score, bool right, enum learn_source source)
{
    struct learn_unit *unit = learn_find(key);
    if (!unit) return;
    if (source == LABEL_FEEDBACK)
        threshold_correct(&unit->labels, score, right);
    else
        threshold_label(&unit->labels, score, right);
    count_label(unit, right, source);
    state_of(unit)->decided = false;
    change(++labels_unsaved >= LEARN_SAVE_LABELS ? 0 : LEARN_SAVE_US);
}

/* ---- the file */

static size_t file_write(void)
{
    struct file_head head = {.magic = "larderlb", .version = FILE_VERSION, .unit_size = sizeof(struct learn_unit)};
    struct learn_unit *to = (struct learn_unit *)(void *)(file_bytes + sizeof head);
    for (unsigned i = 0; i < LEARN_UNITS_MAX; i++)
        if (units[i].key) to[head.count++] = units[i];
    head.crc = crc32c(0, to, head.count * sizeof *to);
    memcpy(file_bytes, &head, sizeof head);
    return sizeof head + head.count * sizeof *to;
}

struct job {
    size_t size;
    int rc;
};

static void job_run(void *arg)
{
    struct job *job = arg;
    job->rc = file_replace(path, file_bytes, job->size, 0600);
}

int learn_save(void)
{
    if (saving || !path[0]) return RC_AGAIN;
    if (!dirty) return RC_OK;
    saving = true;
    dirty = false;
    labels_unsaved = 0;
    struct job job = {.size = file_write()};
    int rc = offload(job_run, &job);
    if (rc == RC_OK) rc = job.rc;
    saving = false;
    if (rc != RC_OK) change(LEARN_SAVE_US);
    return rc;
}

static void save_fiber(void *arg)
{
    (void)arg;
    int rc = learn_save();
    if (rc != RC_OK && rc != RC_AGAIN) log_warn("gateway", "cannot keep the labels in %s: %s", path, rc_name(rc));
}

static void tick(struct loop_timer *which)
{
    if (fiber_start(&learn_background, save_fiber, NULL) != RC_OK)
        (void)loop_timer_set(which, clock_monotonic_us() + CLOCK_SECOND);
}

void learn_close(void)
{
    loop_timer_cancel(&timer);
    if ((!dirty && !saving) || !path[0]) return; /* what was being saved may not have been */
    struct job job = {.size = file_write()};
    job_run(&job);
    dirty = false;
    if (job.rc != RC_OK) log_warn("gateway", "cannot keep the labels in %s: %s", path, rc_name(job.rc));
}

static int file_take(size_t size)
{
    struct file_head head;
    const struct learn_unit *from = (const struct learn_unit *)(const void *)(file_bytes + sizeof head);
    if (size < sizeof head) return RC_CORRUPT;
    memcpy(&head, file_bytes, sizeof head);
    if (memcmp(head.magic, "larderlb", sizeof head.magic) != 0) return RC_CORRUPT;
    if (head.version > FILE_VERSION) return RC_VERSION;
    if (head.unit_size != sizeof *from || head.count > LEARN_UNITS_MAX ||
        size != sizeof head + head.count * sizeof *from || head.crc != crc32c(0, from, head.count * sizeof *from))
        return RC_CORRUPT;
    memcpy(units, from, head.count * sizeof *from);
    for (unsigned i = 0; i < head.count; i++) {
        units[i].route[LEARN_ROUTE_MAX - 1] = 0;
        units[i].tag[MODEL_TAG_SIZE - 1] = 0;
    }
    return RC_OK;
}

int learn_open(const char *data_folder, char *message, size_t message_size)
{
    char aside[FILE_PATH_MAX];
    size_t size = 0;
    memset(units, 0, LEARN_UNITS_MAX * sizeof *units);
    memset(states, 0, sizeof states);
    dirty = false;
    labels_unsaved = 0;
    if (file_join(path, data_folder, "labels") != RC_OK || file_join(aside, data_folder, "labels.damaged") != RC_OK)
        return RC_TOO_LARGE;
    int rc = file_read(path, file_bytes, sizeof(struct file_head) + LEARN_UNITS_MAX * sizeof *units, &size);
    if (rc == RC_NOT_FOUND) return RC_OK;
    if (rc == RC_OK) rc = file_take(size);
    if (rc != RC_CORRUPT && rc != RC_TOO_LARGE) {
        if (rc != RC_OK) snprintf(message, message_size, "cannot read %s: %s", path, rc_name(rc));
        return rc;
    }
    log_warn("gateway", "%s is damaged: moved to %s, thresholds are learnt anew", path, aside);
    (void)rename(path, aside);
    return RC_OK;
}

int learn_erase(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    for (unsigned i = 0; i < LEARN_UNITS_MAX; i++)
        if (units[i].key && memcmp(units[i].tenant, tenant, ENTRY_TENANT_SIZE) == 0) {
            units[i] = (struct learn_unit){0};
            change(LEARN_SAVE_US);
        }
    int rc;
    while ((rc = learn_save()) == RC_AGAIN)
        if (fiber_sleep_until(clock_monotonic_us() + CLOCK_SECOND / 500) != RC_OK) return RC_CANCELLED;
    return rc;
}
