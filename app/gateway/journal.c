/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/journal.c — see journal.h. */
#include "app/gateway/journal.h"

#include "platform/clock.h"
#include "platform/metric.h"
#include "platform/plan.h"

static struct journal_row *rows;
static uint64_t written;

#define COUNTER(metric_name, metric_labels, metric_help)                                                \
    {                                                                                                   \
        .name = (metric_name), .labels = (metric_labels), .help = (metric_help), .kind = METRIC_COUNTER \
    }

static struct metric requests_total = COUNTER("larder_requests_total", NULL, "Requests answered");
static struct metric hits_total[HIT_KINDS] = {
    [HIT_EXACT] = COUNTER("larder_hits_total", "kind=\"exact\"", "Requests answered from the box, by kind"),
    [HIT_SEMANTIC] = COUNTER("larder_hits_total", "kind=\"semantic\"", NULL),
    [HIT_COALESCED] = COUNTER("larder_hits_total", "kind=\"coalesced\"", NULL),
    [HIT_STALE] = COUNTER("larder_hits_total", "kind=\"stale\"", NULL),
    [HIT_PACK] = COUNTER("larder_hits_total", "kind=\"pack\"", NULL),
};

enum { MISS_SERIES = 12 };

/* Every text miss_text can give, so that a reason that never happened shows as zero. */
static struct metric misses_total[MISS_SERIES];
static char miss_labels[MISS_SERIES][48];
static const char *miss_texts[MISS_SERIES];
static unsigned miss_series;

static struct metric statuses_total[] = {
    COUNTER("larder_replies_total", "class=\"2xx\"", "Replies by class of status"),
    COUNTER("larder_replies_total", "class=\"3xx\"", NULL),
    COUNTER("larder_replies_total", "class=\"4xx\"", NULL),
    COUNTER("larder_replies_total", "class=\"5xx\"", NULL),
};

static struct metric connect_failures =
    COUNTER("larder_upstream_failures_total", NULL, "Upstream calls that failed before a reply");
static struct metric not_stored =
    COUNTER("larder_not_stored_total", NULL, "Complete upstream replies that may not be kept");

static struct metric_histogram overhead_histogram, upstream_histogram;
static struct metric overhead_seconds = {.name = "larder_stage_seconds",
                                         .labels = "stage=\"box\"",
                                         .help = "Time to the reply's head, by stage",
                                         .kind = METRIC_HISTOGRAM,
                                         .histogram = &overhead_histogram};
static struct metric upstream_seconds = {.name = "larder_stage_seconds",
                                         .labels = "stage=\"upstream\"",
                                         .kind = METRIC_HISTOGRAM,
                                         .histogram = &upstream_histogram};

static void register_miss(enum miss_reason reason, enum request_part part)
{
    struct metric *m = &misses_total[miss_series];
    struct text label = text_on(miss_labels[miss_series], sizeof miss_labels[0]);
    miss_texts[miss_series] = miss_text(reason, part);
    text_format(&label, "reason=\"%s\"", miss_texts[miss_series]);
    m->name = "larder_misses_total";
    m->labels = miss_labels[miss_series];
    m->help = "Misses by reason";
    m->kind = METRIC_COUNTER;
    metric_register(m);
    miss_series++;
}

static void register_all(void)
{
    metric_register(&requests_total);
    for (unsigned i = HIT_NONE + 1; i < HIT_KINDS; i++) metric_register(&hits_total[i]);
    register_miss(MISS_NEVER_SEEN, PART_ROUTE);
    register_miss(MISS_EXPIRED, PART_ROUTE);
    register_miss(MISS_EVICTED, PART_ROUTE);
    for (unsigned part = 0; part < PARTS; part++) register_miss(MISS_DIFFERS, (enum request_part)part);
    register_miss(MISS_BYPASS, PART_ROUTE);
    register_miss(MISS_NOT_STORABLE, PART_ROUTE);
    for (unsigned i = 0; i < 4; i++) metric_register(&statuses_total[i]);
    metric_register(&connect_failures);
    metric_register(&not_stored);
    metric_register(&overhead_seconds);
    metric_register(&upstream_seconds);
}

int journal_reserve(void)
{
    void *region;
    int rc = plan_take("gateway journal", JOURNAL_SIZE, sizeof(struct journal_row), PLAN_TOUCHED, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    rows = region;
    register_all();
    return RC_OK;
}

static void count(const struct journal_row *row)
{
    unsigned class = row->status / 100;
    metric_add(&requests_total, 1);
    if (row->hit != HIT_NONE) metric_add(&hits_total[row->hit], 1);
    if (class >= 2 && class <= 5) metric_add(&statuses_total[class - 2], 1);
    for (unsigned i = 0; row->miss && i < miss_series; i++)
        if (miss_texts[i] == row->miss) metric_add(&misses_total[i], 1);
    metric_observe_us(&overhead_seconds, row->overhead_us);
    if (row->upstream_ms >= 0) metric_observe_us(&upstream_seconds, (uint64_t)row->upstream_ms * 1000);
}

void journal_row_add(const struct journal_row *row)
{
    rows[written % JOURNAL_SIZE] = *row;
    written++;
    count(row);
}

static void name_model(struct journal_row *row, struct span model)
{
    size_t size = model.size < sizeof row->model - 1 ? model.size : sizeof row->model - 1;
    if (size) memcpy(row->model, model.data, size);
    row->model[size] = 0;
}

void journal_reply(const struct request *r, unsigned status, enum hit_kind hit, const char *miss, int64_t upstream_ms,
                   uint64_t overhead_us)
{
    struct journal_row row = {.wall_us = clock_wall_us(),
                              .overhead_us = (uint32_t)overhead_us,
                              .upstream_ms = (int32_t)upstream_ms,
                              .entry = r->hit_entry,
                              .tenant = journal_tenant(r->tenant.id),
                              .similarity = r->similarity,
                              .status = (uint16_t)status,
                              .hit = (uint8_t)hit,
                              .miss = miss};
    memcpy(row.id, r->id, sizeof row.id);
    name_model(&row, r->question.model);
    journal_row_add(&row);
}

void journal_hit(const char *id, const struct tenant *tenant, struct span model, uint64_t entry, uint64_t overhead_us)
{
    struct journal_row *row = &rows[written++ % JOURNAL_SIZE];
    memcpy(row->id, id, sizeof row->id);
    name_model(row, model);
    row->wall_us = clock_wall_us();
    row->entry = entry;
    row->tenant = journal_tenant(tenant->id);
    row->overhead_us = (uint32_t)overhead_us;
    row->upstream_ms = -1;
    row->similarity = 0;
    row->status = 200;
    row->hit = HIT_EXACT;
    row->miss = NULL;
    count(row);
}

const struct journal_row *journal_at(unsigned back)
{
    if (back >= written || back >= JOURNAL_SIZE) return NULL;
    return &rows[(written - 1 - back) % JOURNAL_SIZE];
}

const struct journal_row *journal_find(struct span id)
{
    const struct journal_row *row;
    for (unsigned back = 0; (row = journal_at(back)); back++)
        if (span_equal(id, span_text(row->id))) return row;
    return NULL;
}

uint64_t journal_tenant(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    uint64_t first;
    memcpy(&first, tenant, sizeof first);
    return first;
}

/* The rows stay: others are found by how far back they are. */
void journal_erase(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    uint64_t first = journal_tenant(tenant);
    for (unsigned i = 0; i < JOURNAL_SIZE; i++)
        if (rows[i].tenant == first) rows[i] = (struct journal_row){.upstream_ms = -1};
}

void journal_connect_failure(void)
{
    metric_add(&connect_failures, 1);
}

void journal_not_stored(const char *reason)
{
    (void)reason;
    metric_add(&not_stored, 1);
}
