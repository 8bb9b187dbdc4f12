/* SPDX-License-Identifier: Apache-2.0 */
/* app/ledger/spend.c — see spend.h. */
#include "app/ledger/spend.h"

#include "app/ledger/kept.h"
#include "platform/clock.h"
#include "platform/metric.h"

enum { KEY_OF_OTHERS = 1, KEY_OF_NOBODY = 2, DAY_S = 86400, FILE_VERSION = 1 };
#define USD 1e6 /* micro-USD */

static struct kept kept = {
    .name = "spend", .version = FILE_VERSION, .row_size = sizeof(struct spend_row), .row_count = SPEND_ROWS};

static uint64_t cost_by_box, cost_by_client, saved[HIT_KINDS];

static double read_money(const struct metric *metric)
{
    return (double)*(const uint64_t *)metric->context / USD;
}

#define MONEY(metric_name, metric_labels, metric_help, counter)                                               \
    {                                                                                                         \
        .name = (metric_name), .labels = (metric_labels), .help = (metric_help), .kind = METRIC_COUNTER_CALL, \
        .read = read_money, .context = &(counter)                                                             \
    }

static struct metric money[] = {
    MONEY("larder_cost_usd_total", "paid=\"box\"", "What calls upstream cost by the price table, by who pays",
          cost_by_box),
    MONEY("larder_cost_usd_total", "paid=\"client\"", NULL, cost_by_client),
    MONEY("larder_saved_usd_total", "kind=\"exact\"", "What the calls behind stored answers had cost, each time served",
          saved[HIT_EXACT]),
    MONEY("larder_saved_usd_total", "kind=\"semantic\"", NULL, saved[HIT_SEMANTIC]),
    MONEY("larder_saved_usd_total", "kind=\"coalesced\"", NULL, saved[HIT_COALESCED]),
    MONEY("larder_saved_usd_total", "kind=\"stale\"", NULL, saved[HIT_STALE]),
};
static struct metric unpriced = {.name = "larder_unpriced_calls_total",
                                 .help = "Calls upstream whose model has no price in the table",
                                 .kind = METRIC_COUNTER};

#define TOKENS(type_label, help_text)                                                            \
    {                                                                                            \
        .name = "larder_tokens_total", .labels = "type=\"" type_label "\"", .help = (help_text), \
        .kind = METRIC_COUNTER                                                                   \
    }

/* Input is the sum of the first four; reasoning is part of output. */
enum { TOKEN_TYPES = 6 };
static struct metric tokens_total[TOKEN_TYPES] = {
    TOKENS("input_uncached", "Tokens of calls upstream as providers count them, in one convention for all"),
    TOKENS("cache_read", NULL),
    TOKENS("cache_write_5m", NULL),
    TOKENS("cache_write_1h", NULL),
    TOKENS("output", NULL),
    TOKENS("reasoning", NULL),
};

int spend_reserve(void)
{
    for (unsigned i = 0; i < TOKEN_TYPES; i++) metric_register(&tokens_total[i]);
    for (unsigned i = 0; i < sizeof money / sizeof money[0]; i++) metric_register(&money[i]);
    metric_register(&unpriced);
    return kept_reserve(&kept, "ledger spend");
}

int spend_open(const char *data_folder, char *message, size_t message_size)
{
    return kept_open(&kept, data_folder, message, message_size);
}

void spend_close(void)
{
    kept_close(&kept);
}

uint64_t spend_key(const struct tenant *tenant)
{
    uint64_t first;
    memcpy(&first, tenant->id, sizeof first);
    if (tenant->kind == TENANT_LOCAL) return KEY_OF_NOBODY;
    return tenant->kind == TENANT_VIRTUAL ? first : KEY_OF_OTHERS;
}

/* The place of a key, or where it would be put; NULL when all are taken. */
static struct spend_row *place_of(uint64_t key)
{
    struct spend_row *rows = kept.rows;
    for (unsigned i = 0; rows && i < SPEND_ROWS; i++) {
        struct spend_row *row = &rows[(key + i) % SPEND_ROWS];
        if (row->tenant == key || row->tenant == 0) return row;
    }
    return NULL;
}

const struct spend_row *spend_find(uint64_t key)
{
    const struct spend_row *row = place_of(key);
    return row && row->tenant == key ? row : NULL;
}

static struct spend_row *use(uint64_t key)
{
    uint32_t now_s = (uint32_t)(clock_wall_us() / CLOCK_SECOND);
    struct spend_row *row = place_of(key);
    if (!row) return NULL;
    row->tenant = key;
    row->used_s = now_s;
    if (row->today != now_s / DAY_S) {
        row->today = now_s / DAY_S;
        row->today_cost = 0;
    }
    kept_change(&kept, SPEND_SAVE_US);
    return row;
}

static uint64_t counted(int64_t tokens)
{
    return tokens > 0 ? (uint64_t)tokens : 0;
}

static void count_tokens(const struct usage *u)
{
    const int64_t counts[TOKEN_TYPES] = {u->input_uncached, u->cache_read, u->cache_write_5m,
                                         u->cache_write_1h, u->output,     u->reasoning};
    for (unsigned i = 0; i < TOKEN_TYPES; i++) metric_add(&tokens_total[i], counted(counts[i]));
}

void spend_add_call(uint64_t key, const struct spend_call *call)
{
    struct spend_row *row = use(key);
    *(call->by_box ? &cost_by_box : &cost_by_client) += call->cost;
    if (!call->priced) metric_add(&unpriced, 1);
    count_tokens(&call->usage);
    if (!row) return;
    row->calls++;
    row->unpriced += !call->priced;
    row->tokens_in += usage_input(&call->usage);
    row->tokens_out += counted(call->usage.output);
    row->cost += call->cost;
    row->today_cost += call->cost;
}

void spend_add_hit(uint64_t key, enum hit_kind kind, uint64_t cost)
{
    struct spend_row *row = use(key);
    saved[kind] += cost;
    if (!row) return;
    row->hits++;
    row->saved += cost;
}

/* Those behind it move up, so that no search ends early. */
void spend_forget(uint64_t key)
{
    struct spend_row *row = place_of(key), *rows = kept.rows;
    if (!row || row->tenant != key) return;
    unsigned at = (unsigned)(row - rows);
    *row = (struct spend_row){0};
    for (unsigned i = 1; i < SPEND_ROWS; i++) {
        struct spend_row *next = &rows[(at + i) % SPEND_ROWS], moved = *next;
        if (moved.tenant == 0) break;
        *next = (struct spend_row){0};
        *place_of(moved.tenant) = moved;
    }
    kept_change(&kept, SPEND_SAVE_US);
}
