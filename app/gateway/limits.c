/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/limits.c — see limits.h. */
#include "app/gateway/limits.h"

#include <stdio.h>

#include "app/gateway/limits_meter.h"
#include "app/ledger/kept.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/metric.h"

enum { FILE_VERSION = 1, CONCURRENT_RETRY_S = 1 };

static struct kept kept = {
    .name = "limits", .version = FILE_VERSION, .row_size = sizeof(struct limit_meter), .row_count = LIMITS_SCOPES};
static uint16_t running[LIMITS_SCOPES]; /* calls upstream now */

struct mark {
    uint64_t tenant, until_us; /* wall */
};
static struct mark marks[LIMITS_MARKS];
static uint64_t marked_until_us;
static unsigned next_mark;

enum { REFUSED_AT_ONCE = LIMIT_KINDS, REFUSALS };
static struct metric refused[REFUSALS] = {
    [LIMIT_REQUESTS] = {.name = "larder_limited_total",
                        .labels = "limit=\"requests\"",
                        .help = "Calls upstream that a tenant's limit refused, by limit",
                        .kind = METRIC_COUNTER},
    [LIMIT_TOKENS] = {.name = "larder_limited_total", .labels = "limit=\"tokens\"", .kind = METRIC_COUNTER},
    [LIMIT_MONEY] = {.name = "larder_limited_total", .labels = "limit=\"usd\"", .kind = METRIC_COUNTER},
    [REFUSED_AT_ONCE] = {.name = "larder_limited_total", .labels = "limit=\"concurrent\"", .kind = METRIC_COUNTER},
};

int limits_reserve(void)
{
    for (unsigned i = 0; i < REFUSALS; i++) metric_register(&refused[i]);
    return kept_reserve(&kept, "tenant limits");
}

int limits_open(const char *data_folder, char *message, size_t message_size)
{
    memset(running, 0, sizeof running);
    memset(marks, 0, sizeof marks);
    marked_until_us = 0;
    return kept_open(&kept, data_folder, message, message_size);
}

void limits_close(void)
{
    kept_close(&kept);
}

/* ---- scopes */

struct scope {
    const struct config_tenant *rule;
    const struct config_quota *quota;
    struct span model; /* of an entry of `models`; empty: all of them */
};

static bool limits_anything(const struct config_quota *q)
{
    bool any = q->concurrent > 0;
    for (unsigned w = 0; w < QUOTA_WINDOWS; w++) any = any || q->requests[w] || q->tokens[w] || q->usd[w] > 0;
    return any;
}

static void add_scope(struct scope *scopes, unsigned *count, const struct config_tenant *rule,
                      const struct config_quota *quota, struct span model)
{
    if (limits_anything(quota)) scopes[(*count)++] = (struct scope){rule, quota, model};
}

/* `model` empty: unread, so that no entry of `models` can be told. */
static unsigned scopes_of(const struct request *r, struct span model, struct scope scopes[LIMIT_SCOPES_MAX])
{
    unsigned count = 0;
    for (unsigned i = 0; i < 2; i++) {
        const struct config_tenant *rule = r->rules[i];
        if (!rule) continue;
        add_scope(scopes, &count, rule, &rule->quota, (struct span){0});
        for (unsigned k = 0; k < rule->model_count; k++)
            if (span_glob(rule->models[k].model, model)) {
                add_scope(scopes, &count, rule, &rule->models[k].quota, rule->models[k].model);
                break;
            }
    }
    return count;
}

static uint64_t key_of(const struct scope *scope)
{
    struct hash_state h;
    hash_start(&h, &gateway.space_key);
    hash_add(&h, "limits", 6);
    hash_add(&h, scope->rule->name.data, scope->rule->name.size + 1); /* with its NUL, as all texts of it */
    hash_add(&h, scope->model.data ? scope->model.data : "", scope->model.size);
    uint64_t key = hash_finish(&h).low;
    return key ? key : 1;
}

/* Its counters; those of the one that was not asked for longest make room for a new one. */
static unsigned meter_of(const struct scope *scope, uint64_t now_us)
{
    struct limit_meter *meters = kept.rows;
    uint64_t key = key_of(scope);
    unsigned oldest = 0;
    for (unsigned i = 0; i < LIMITS_SCOPES; i++) {
        if (meters[i].key == key) {
            meters[i].used_us = now_us;
            return i;
        }
        bool older = meters[i].used_us < meters[oldest].used_us;
        if (!running[i] && (running[oldest] || older)) oldest = i;
    }
    meters[oldest] = (struct limit_meter){.key = key, .used_us = now_us};
    running[oldest] = 0;
    return oldest;
}

static struct limit_meter *meter_at(unsigned index)
{
    return (struct limit_meter *)kept.rows + index;
}

/* ---- whose */

void limits_find_rules(struct request *r, struct span name)
{
    r->rules[0] = r->rules[1] = NULL;
    if (!r->config) return;
    for (unsigned i = 0; i < r->config->tenant_count; i++)
        if (span_equal(r->config->tenants[i].name, name)) r->rules[0] = &r->config->tenants[i];
    for (unsigned i = 0; r->rules[0] && r->rules[0]->group.size && i < r->config->tenant_count; i++)
        if (span_equal(r->config->tenants[i].name, r->rules[0]->group)) r->rules[1] = &r->config->tenants[i];
}

static bool lists(const struct config_tenant *rule, unsigned provider)
{
    for (unsigned i = 0; i < rule->provider_count; i++)
        if (rule->providers[i] == provider) return true;
    return rule->provider_count == 0;
}

bool limits_allow_provider(const struct request *r, unsigned provider)
{
    return (!r->rules[0] || lists(r->rules[0], provider)) && (!r->rules[1] || lists(r->rules[1], provider));
}

bool limits_allow_any(const struct request *r)
{
    for (unsigned i = 0; i < r->route->provider_count; i++)
        if (limits_allow_provider(r, r->route->providers[i])) return true;
    return r->route->provider_count == 0;
}

/* ---- marks */

static void mark(const struct request *r, uint64_t until_us)
{
    uint64_t tenant;
    memcpy(&tenant, r->tenant.id, sizeof tenant);
    struct mark *place = NULL;
    for (unsigned i = 0; i < LIMITS_MARKS && !place; i++)
        if (marks[i].tenant == tenant) place = &marks[i];
    if (!place) place = &marks[next_mark++ % LIMITS_MARKS];
    *place = (struct mark){tenant, until_us};
    if (until_us > marked_until_us) marked_until_us = until_us;
}

bool limits_are_marked(uint64_t tenant)
{
    uint64_t now = marked_until_us ? clock_wall_us() : 0;
    if (now >= marked_until_us) return false;
    for (unsigned i = 0; i < LIMITS_MARKS; i++)
        if (marks[i].tenant == tenant && now < marks[i].until_us) return true;
    return false;
}

/* ---- guessing */

static int64_t wanted_output(const struct request *r)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens", "max_output_tokens"};
    const struct json_value *root;
    int64_t wanted = 0;
    if (r->endpoint == ENDPOINT_EMBEDDINGS) return 0;
    if (!r->body.size || json_parse(&gateway.scratch, r->body, &root, NULL) != RC_OK) return LIMITS_OUTPUT_GUESS;
    for (unsigned i = 0; i < sizeof names / sizeof names[0] && wanted <= 0; i++)
        if (json_i64(json_get(root, names[i]), &wanted) != RC_OK) wanted = 0;
    if (wanted <= 0) return LIMITS_OUTPUT_GUESS;
    return wanted < LIMITS_OUTPUT_MOST ? wanted : LIMITS_OUTPUT_MOST;
}

static void guess(struct request *r)
{
    struct usage usage = {.input_uncached = (int64_t)(r->body.size / LIMITS_BYTES_A_TOKEN) + 1,
                          .output = wanted_output(r)};
    uint64_t now_s = clock_wall_us() / CLOCK_SECOND, input = usage_input(&usage);
    const struct price_row *row = prices_find(&r->generation->prices, r->question.model, now_s, input);
    r->ticket.tokens = input + (uint64_t)usage.output;
    r->ticket.cost = row ? price_of_usage(row, &usage) : 0;
}

/* ---- taking */

static const char *const meter_names[LIMIT_KINDS] = {"requests", "tokens", "usd"};
static const char *const window_names[QUOTA_WINDOWS] = {"minute", "day", "month"};

static void explain(const struct scope *scope, const struct limit_lack *lack, struct limit_refusal *refusal)
{
    bool money = lack->kind == LIMIT_MONEY && lack->window != PER_MINUTE;
    struct text out = text_on(refusal->message, sizeof refusal->message);
    refusal->code = money ? "insufficient_quota" : "rate_limit_exceeded";
    refusal->retry_after_s = (int64_t)((lack->wait_us + CLOCK_SECOND - 1) / CLOCK_SECOND);
    text_format(&out, "%.*s has reached ", SPAN_ARG(scope->rule->name));
    if (lack->at_once)
        text_format(&out, "its %u calls at once (limits.concurrent", scope->quota->concurrent);
    else
        text_format(&out, "its limit of %.10g %s per %s (limits.%s_per_%s", lack->most, meter_names[lack->kind],
                    window_names[lack->window], meter_names[lack->kind], window_names[lack->window]);
    if (scope->model.size) text_format(&out, " of %.*s", SPAN_ARG(scope->model));
    text_put_text(&out, "). What the box has stored is still served.");
}

static bool lacks_in(const struct scope *scope, unsigned index, const struct limit_amounts *amounts, uint64_t now_us,
                     struct limit_lack *lack)
{
    struct limit_meter *meter = meter_at(index);
    limit_meter_advance(meter, scope->quota, now_us);
    if (limit_meter_lacks(meter, scope->quota, amounts, now_us, lack)) return true;
    if (!scope->quota->concurrent || running[index] < scope->quota->concurrent) return false;
    *lack = (struct limit_lack){.at_once = true, .wait_us = CONCURRENT_RETRY_S * CLOCK_SECOND};
    return true;
}

static struct limit_amounts amounts_of(const struct limit_ticket *ticket)
{
    struct limit_amounts amounts = {.of = {[LIMIT_REQUESTS] = LIMIT_UNIT}};
    amounts.of[LIMIT_TOKENS] = (int64_t)ticket->tokens * LIMIT_UNIT;
    amounts.of[LIMIT_MONEY] = (int64_t)ticket->cost;
    return amounts;
}

/* All that is lacking is looked at, so that Retry-After is long enough. */
static int check_all(const struct request *r, const struct scope *scopes, unsigned count, uint64_t now_us,
                     const struct limit_amounts *amounts, struct limit_refusal *refusal)
{
    struct limit_lack lack, worst = {0};
    unsigned at = count;
    for (unsigned i = 0; i < count; i++)
        if (lacks_in(&scopes[i], r->ticket.scopes[i], amounts, now_us, &lack) &&
            (at == count || lack.wait_us > worst.wait_us)) {
            worst = lack;
            at = i;
        }
    if (at == count) return RC_OK;
    explain(&scopes[at], &worst, refusal);
    metric_add(&refused[worst.at_once ? REFUSED_AT_ONCE : (unsigned)worst.kind], 1);
    if (!worst.at_once) mark(r, now_us + worst.wait_us);
    return RC_FULL;
}

static int take(struct request *r, const struct scope *scopes, unsigned count, struct limit_refusal *refusal)
{
    uint64_t now_us = clock_wall_us();
    struct limit_amounts amounts = amounts_of(&r->ticket);
    for (unsigned i = 0; i < count; i++) r->ticket.scopes[i] = (uint16_t)meter_of(&scopes[i], now_us);
    int rc = check_all(r, scopes, count, now_us, &amounts, refusal);
    if (rc != RC_OK) return rc;
    for (unsigned i = 0; i < count; i++) {
        struct limit_meter *meter = meter_at(r->ticket.scopes[i]);
        limit_meter_charge(meter, &amounts);
        running[r->ticket.scopes[i]]++;
    }
    r->ticket.count = (uint8_t)count;
    r->ticket.held = true;
    kept_change(&kept, LIMITS_SAVE_US);
    return RC_OK;
}

int limits_take(struct request *r, struct limit_refusal *refusal)
{
    struct scope scopes[LIMIT_SCOPES_MAX];
    CHECK(!r->ticket.held);
    r->ticket = (struct limit_ticket){0};
    unsigned count = r->rules[0] ? scopes_of(r, r->question.model, scopes) : 0;
    if (count == 0) return RC_OK;
    guess(r);
    return take(r, scopes, count, refusal);
}

static bool counts_tokens(const struct config_quota *q)
{
    bool any = false;
    for (unsigned w = 0; w < QUOTA_WINDOWS; w++) any = any || q->tokens[w] || q->usd[w] > 0;
    return any;
}

static bool needs_reading(const struct config_tenant *rule)
{
    return rule && (rule->model_count > 0 || counts_tokens(&rule->quota));
}

/* Providers count nothing for these. */
static bool is_free(const struct request *r)
{
    struct span path = r->x ? r->x->head.path : (struct span){0};
    return span_ends_with(path, SPAN("/count_tokens")) || span_ends_with(path, SPAN("/moderations"));
}

int limits_take_unread(struct request *r, struct limit_refusal *refusal)
{
    struct scope scopes[LIMIT_SCOPES_MAX];
    r->ticket = (struct limit_ticket){0};
    if (!is_free(r) && (needs_reading(r->rules[0]) || needs_reading(r->rules[1]))) return RC_TOO_LARGE;
    unsigned count = r->rules[0] ? scopes_of(r, (struct span){0}, scopes) : 0;
    return count ? take(r, scopes, count, refusal) : RC_OK;
}

static uint64_t tokens_of(const struct usage *usage)
{
    return usage_input(usage) + (usage->output > 0 ? (uint64_t)usage->output : 0);
}

static void settle(struct request *r, bool counts, uint64_t tokens, uint64_t cost)
{
    struct limit_amounts back = {0};
    back.of[LIMIT_REQUESTS] = counts ? 0 : -LIMIT_UNIT;
    back.of[LIMIT_TOKENS] = ((int64_t)tokens - (int64_t)r->ticket.tokens) * LIMIT_UNIT;
    back.of[LIMIT_MONEY] = (int64_t)cost - (int64_t)r->ticket.cost;
    r->ticket.held = false;
    for (unsigned i = 0; i < r->ticket.count; i++) {
        CHECK(running[r->ticket.scopes[i]] > 0);
        running[r->ticket.scopes[i]]--;
        limit_meter_charge(meter_at(r->ticket.scopes[i]), &back);
    }
    kept_change(&kept, LIMITS_SAVE_US);
}

void limits_settle(struct request *r, const struct usage *usage, uint64_t cost)
{
    if (r->ticket.held) settle(r, true, usage ? tokens_of(usage) : r->ticket.tokens, usage ? cost : r->ticket.cost);
}

void limits_settle_guess(struct request *r, const struct usage *usage, uint64_t cost)
{
    if (!r->ticket.held) return;
    uint64_t tokens = tokens_of(usage);
    settle(r, true, tokens > r->ticket.tokens ? tokens : r->ticket.tokens,
           cost > r->ticket.cost ? cost : r->ticket.cost);
}

void limits_give_back(struct request *r)
{
    if (r->ticket.held) settle(r, false, 0, 0);
}

bool limits_are_spent(const struct request *r)
{
    static const struct limit_amounts least = {.of = {[LIMIT_REQUESTS] = LIMIT_UNIT}};
    struct scope scopes[LIMIT_SCOPES_MAX];
    struct limit_lack lack;
    uint64_t now_us = r->rules[0] ? clock_wall_us() : 0, tenant;
    memcpy(&tenant, r->tenant.id, sizeof tenant);
    if (r->rules[0] && limits_are_marked(tenant)) return true;
    unsigned count = r->rules[0] ? scopes_of(r, r->question.model, scopes) : 0;
    for (unsigned i = 0; i < count; i++) {
        struct limit_meter *meter = meter_at(meter_of(&scopes[i], now_us));
        limit_meter_advance(meter, scopes[i].quota, now_us);
        if (!limit_meter_lacks(meter, scopes[i].quota, &least, now_us, &lack)) continue;
        mark(r, now_us + lack.wait_us);
        return true;
    }
    return false;
}

/* ---- header lines */

static bool is_about_the_box(struct span line)
{
    static const struct span prefixes[] = {
        SPAN_ROW("x-ratelimit-"),    SPAN_ROW("anthropic-ratelimit-"),       SPAN_ROW("openai-organization:"),
        SPAN_ROW("openai-project:"), SPAN_ROW("anthropic-organization-id:"), SPAN_ROW("retry-after-ms:")};
    for (unsigned i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (line.size >= prefixes[i].size && span_equal_nocase(span_of(line.data, prefixes[i].size), prefixes[i]))
            return true;
    return false;
}

/* Of the scopes with such a limit the one with the least left. */
static bool tightest(const struct request *r, enum limit_kind kind, struct limit_standing *standing)
{
    struct scope scopes[LIMIT_SCOPES_MAX];
    uint64_t now_us = clock_wall_us();
    unsigned count = scopes_of(r, r->question.model, scopes);
    bool any = false;
    for (unsigned i = 0; i < count; i++) {
        struct limit_standing one;
        struct limit_meter *meter = meter_at(meter_of(&scopes[i], now_us));
        limit_meter_advance(meter, scopes[i].quota, now_us);
        if (!limit_meter_standing(meter, scopes[i].quota, kind, &one)) continue;
        if (!any || one.left < standing->left) *standing = one;
        any = true;
    }
    return any;
}

static void put_openai(struct text *out, const char *what, const struct limit_standing *s)
{
    uint64_t ms = (s->reset_us + 999) / 1000;
    text_format(out, "x-ratelimit-limit-%s: %llu\r\nx-ratelimit-remaining-%s: %llu\r\nx-ratelimit-reset-%s: ", what,
                (unsigned long long)s->most, what, (unsigned long long)s->left, what);
    if (ms >= 60000) text_format(out, "%llum", (unsigned long long)(ms / 60000));
    if (ms >= 60000 || ms % 1000 == 0)
        text_format(out, "%llus\r\n", (unsigned long long)(ms % 60000 / 1000));
    else if (ms >= 1000)
        text_format(out, "%llu.%03llus\r\n", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000));
    else
        text_format(out, "%llums\r\n", (unsigned long long)ms);
}

static void put_anthropic(struct text *out, const char *what, const struct limit_standing *s)
{
    char date[LIMIT_DATE_SIZE + 1];
    limit_date(clock_wall_us() + s->reset_us, date);
    text_format(out,
                "anthropic-ratelimit-%s-limit: %llu\r\nanthropic-ratelimit-%s-remaining: %llu\r\n"
                "anthropic-ratelimit-%s-reset: %s\r\n",
                what, (unsigned long long)s->most, what, (unsigned long long)s->left, what, date);
}

static void put_standing(const struct request *r, struct text *out)
{
    static const char *const names[] = {"requests", "tokens"};
    struct limit_standing standing;
    for (unsigned kind = LIMIT_REQUESTS; kind <= LIMIT_TOKENS; kind++) {
        if (!r->rules[0] || !tightest(r, (enum limit_kind)kind, &standing)) continue;
        if (r->dialect == DIALECT_ANTHROPIC)
            put_anthropic(out, names[kind], &standing);
        else
            put_openai(out, names[kind], &standing);
    }
}

int limits_lines(const struct request *r, struct span lines, struct arena *arena, struct span *out)
{
    *out = lines;
    if (r->tenant.kind != TENANT_VIRTUAL) return RC_OK;
    size_t room = lines.size + LIMITS_LINES_MAX;
    char *bytes = arena_take(arena, room, 1);
    if (!bytes) return RC_FULL;
    struct text text = text_on(bytes, room);
    while (lines.size) {
        struct span line;
        lines = span_cut(lines, '\n', &line);
        if (is_about_the_box(line)) continue;
        text_put_span(&text, line);
        text_put_char(&text, '\n');
    }
    put_standing(r, &text);
    *out = text_span(&text);
    return text.truncated ? RC_FULL : RC_OK;
}

/* ---- for the administrator */

static void print_quota(const struct scope *scope, struct text *out)
{
    uint64_t now_us = clock_wall_us();
    unsigned index = meter_of(scope, now_us);
    struct limit_meter *meter = meter_at(index);
    limit_meter_advance(meter, scope->quota, now_us);
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++)
        for (unsigned w = 0; w < QUOTA_WINDOWS; w++) {
            double most = limit_most(scope->quota, (enum limit_kind)kind, (enum quota_window)w);
            if (most <= 0) continue;
            double used = limit_used(meter, (enum limit_kind)kind, (enum quota_window)w);
            text_format(out, "limit      %.*s%s%.*s: %.6g of %.10g %s per %s used\n", SPAN_ARG(scope->rule->name),
                        scope->model.size ? " " : "", SPAN_ARG(scope->model), used, most, meter_names[kind],
                        window_names[w]);
        }
    if (scope->quota->concurrent)
        text_format(out, "limit      %.*s%s%.*s: %u of %u calls at once\n", SPAN_ARG(scope->rule->name),
                    scope->model.size ? " " : "", SPAN_ARG(scope->model), running[index], scope->quota->concurrent);
}

void limits_print(const struct config *config, struct span name, struct text *out)
{
    static struct request asker; /* too large for the stack */
    asker = (struct request){.config = config};
    limits_find_rules(&asker, name);
    for (unsigned i = 0; i < 2 && asker.rules[i]; i++) {
        const struct config_tenant *rule = asker.rules[i];
        struct scope own = {rule, &rule->quota, {0}};
        if (limits_anything(&rule->quota)) print_quota(&own, out);
        for (unsigned k = 0; k < rule->model_count; k++) {
            struct scope one = {rule, &rule->models[k].quota, rule->models[k].model};
            if (limits_anything(one.quota)) print_quota(&one, out);
        }
    }
}
