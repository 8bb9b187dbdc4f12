/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/refresh.c — see refresh.h. */
#include "app/gateway/refresh.h"

#include "app/gateway/again.h"
#include "app/gateway/answer.h"
#include "cache/cache.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/plan.h"

#define HOUR_US (UINT64_C(3600) * CLOCK_SECOND)
#define PAUSE_US (UINT64_C(1) * CLOCK_SECOND)

struct slot {
    bool used, asking;
    unsigned tries;
    uint64_t noted_us, next_us; /* monotonic */
    struct digest digest;
    struct tenant tenant;
    size_t size;
    char bytes[REFRESH_SIZE];
};

static struct slot *slots;
static uint64_t hour_us; /* when the budget's hour began */
static unsigned hour_spent;

static struct metric done[] = {
    {.name = "larder_refreshes_total",
     .labels = "result=\"stored\"",
     .help = "Answers served past their time that were asked anew",
     .kind = METRIC_COUNTER},
    {.name = "larder_refreshes_total", .labels = "result=\"failed\"", .kind = METRIC_COUNTER},
};
enum result { STORED, FAILED };

int refresh_reserve(void)
{
    void *region;
    int rc = plan_take("gateway refresh questions", REFRESH_SLOTS, sizeof(struct slot), PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    slots = region;
    metric_register(&done[STORED]);
    metric_register(&done[FAILED]);
    return RC_OK;
}

unsigned refresh_waiting(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < REFRESH_SLOTS; i++) count += slots[i].used;
    return count;
}

/* The one that is being asked is not stored any more, and goes when its call has ended. */
void refresh_erase(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    for (unsigned i = 0; i < REFRESH_SLOTS; i++) {
        struct slot *slot = &slots[i];
        if (!slot->used || memcmp(slot->tenant.id, tenant, sizeof slot->tenant.id) != 0) continue;
        memset(slot->bytes, 0, sizeof slot->bytes);
        slot->size = 0;
        if (!slot->asking) *slot = (struct slot){0};
    }
}

/* ---- noting */

static struct slot *find(const struct digest *digest)
{
    for (unsigned i = 0; i < REFRESH_SLOTS; i++)
        if (slots[i].used && memcmp(&slots[i].digest, digest, sizeof *digest) == 0) return &slots[i];
    return NULL;
}

/* A free one, else the oldest: what was wanted lately is wanted next. */
static struct slot *room(void)
{
    struct slot *oldest = NULL;
    for (unsigned i = 0; i < REFRESH_SLOTS; i++) {
        if (!slots[i].used) return &slots[i];
        if (!slots[i].asking && (!oldest || slots[i].noted_us < oldest->noted_us)) oldest = &slots[i];
    }
    return oldest;
}

void refresh_note(const struct request *r, struct arena *arena)
{
    struct span bytes;
    if (r->config->refresh_per_hour == 0 || r->tenant.kind == TENANT_PASSTHROUGH) return;
    struct slot *slot = find(&r->question.digest);
    if (slot) {
        slot->noted_us = clock_monotonic_us();
        return;
    }
    size_t mark = arena_mark(arena);
    if (again_write(r, arena, &bytes) == RC_OK && bytes.size <= REFRESH_SIZE && (slot = room())) {
        slot->used = true;
        slot->tries = 0;
        slot->next_us = 0;
        slot->noted_us = clock_monotonic_us();
        slot->digest = r->question.digest;
        slot->tenant = r->tenant;
        slot->size = bytes.size;
        memcpy(slot->bytes, bytes.data, bytes.size);
    }
    arena_rewind(arena, mark);
}

/* ---- asking */

static bool has_budget(void)
{
    uint64_t now = clock_monotonic_us();
    if (hour_us == 0 || now - hour_us >= HOUR_US) {
        hour_us = now;
        hour_spent = 0;
    }
    return hour_spent < gateway.current->config->refresh_per_hour;
}

static struct slot *due(void)
{
    struct slot *first = NULL;
    uint64_t now = clock_monotonic_us();
    for (unsigned i = 0; i < REFRESH_SLOTS; i++) {
        struct slot *slot = &slots[i];
        if (!slot->used || slot->asking || now < slot->next_us) continue;
        if (!first || slot->noted_us < first->noted_us) first = slot;
    }
    return first;
}

bool refresh_is_due(void)
{
    return slots && due() && has_budget();
}

/* A client that came meanwhile may have brought the fresh answer. */
static bool is_fresh(const struct request *r)
{
    struct cache_found found;
    bool evicted;
    return cache_find(&r->question.digest, &found, &evicted) == RC_OK &&
           answer_age(found.created_us, clock_wall_us()) <= answer_ttl(r, found.ttl_s);
}

static void ask(struct slot *slot, struct request *r)
{
    struct flight_answer answer;
    slot->asking = true;
    hour_spent++;
    again_ask(r, &answer);
    slot->asking = false;
    slot->tries++;
    metric_add(&done[answer.storable ? STORED : FAILED], 1);
    if (answer.storable || slot->tries >= REFRESH_TRIES) slot->used = false;
}

void refresh_step(struct arena *arena)
{
    struct request *r = NULL;
    struct slot *slot = due();
    if (!slot) return;
    slot->next_us = clock_monotonic_us() + PAUSE_US;
    struct span bytes = arena_copy(arena, span_of(slot->bytes, slot->size));
    int rc = bytes.data ? again_read(bytes, &slot->tenant, arena, &r) : RC_FULL;
    if (rc == RC_FULL) return;
    if (rc != RC_OK || is_fresh(r))
        slot->used = false;
    else if (again_is_online(r))
        ask(slot, r);
}
