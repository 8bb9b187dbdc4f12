/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/breaker.c — see breaker.h. */
#include "app/gateway/breaker.h"

#include <math.h>

#include "app/gateway/gateway.h"
#include "app/gateway/journal.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metric.h"

static bool background;
static uint64_t recoveries;

void breaker_background(bool runs)
{
    background = runs;
}

uint64_t breaker_recoveries(void)
{
    return recoveries;
}

/* ---- the window */

static void forget(struct provider_health *h)
{
    memset(h->slices, 0, sizeof h->slices);
}

static void count_call(struct provider_health *h, const struct config_provider *p, bool failed)
{
    uint64_t length = p->breaker_window_us / BREAKER_SLICES + 1, now = clock_monotonic_us() / length;
    if (now >= h->slice + BREAKER_SLICES || now < h->slice) forget(h);
    for (uint64_t i = h->slice + 1; i <= now && i < h->slice + BREAKER_SLICES; i++)
        h->slices[i % BREAKER_SLICES] = (struct breaker_slice){0};
    h->slice = now;
    h->slices[now % BREAKER_SLICES].calls++;
    h->slices[now % BREAKER_SLICES].failed += failed;
}

static bool share_is_reached(const struct provider_health *h, const struct config_provider *p)
{
    unsigned calls = 0, failed = 0;
    for (unsigned i = 0; i < BREAKER_SLICES; i++) {
        calls += h->slices[i].calls;
        failed += h->slices[i].failed;
    }
    return p->breaker_calls > 0 && calls >= p->breaker_calls && failed > 0 && failed >= p->breaker_ratio * calls;
}

/* ---- what calls brought */

static bool is_open(const struct provider_health *h)
{
    return h->tripped || h->connect_failures >= BREAKER_CONNECTS;
}

bool health_would_allow(const struct provider_health *h)
{
    if (!is_open(h)) return true;
    bool left_to_background = background && h->connect_failures >= BREAKER_CONNECTS;
    return !h->probing && !left_to_background && clock_monotonic_us() >= h->next_probe_us;
}

bool health_allows(struct provider_health *h, const struct config_provider *p)
{
    if (!health_would_allow(h)) return false;
    if (is_open(h)) h->next_probe_us = clock_monotonic_us() + p->breaker_probe_us;
    return true;
}

bool health_is_away(struct provider_health *h, const struct config_provider *p)
{
    uint64_t now = clock_monotonic_us();
    if (!h->failing_since_us) return false;
    if (h->connect_failures > 0) return true;
    if (h->tripped) return !health_would_allow(h);
    if (now < h->relook_us) return true;
    h->relook_us = now + BREAKER_RELOOK * p->breaker_probe_us;
    return false;
}

static void begin_failing(struct provider_health *h, const struct config_provider *p, const char *why)
{
    struct text kept = text_on(h->last_error, sizeof h->last_error);
    text_put_text(&kept, why);
    h->next_probe_us = clock_monotonic_us() + p->breaker_probe_us;
    h->relook_us = clock_monotonic_us() + BREAKER_RELOOK * p->breaker_probe_us;
    if (h->failing_since_us) return;
    h->failing_since_us = clock_wall_us();
    log_warn("gateway", "provider %.*s cannot be reached: %s", SPAN_ARG(p->name), why);
}

static void end_failing(struct provider_health *h, const struct config_provider *p)
{
    if (h->failing_since_us) {
        log_info("gateway", "provider %.*s answers again", SPAN_ARG(p->name));
        recoveries++;
    }
    h->failing_since_us = 0;
}

static void trip(struct provider_health *h, const struct config_provider *p, const char *why)
{
    if (!h->tripped) log_warn("gateway", "provider %.*s fails too often: not asked for a while", SPAN_ARG(p->name));
    h->tripped = true;
    begin_failing(h, p, why);
}

static void learn_time(const struct upstream_call *call)
{
    uint64_t wall;
    struct span date = http_field(&call->head, "date");
    if (call->verified && date.data && http_date_parse(date, &wall) == RC_OK) clock_confirm(wall);
}

static void failing_reply(struct provider_health *h, const struct config_provider *p, unsigned status)
{
    char why[48];
    struct text out = text_on(why, sizeof why);
    text_format(&out, "it answers with status %u", status);
    count_call(h, p, true);
    if (h->tripped || share_is_reached(h, p))
        trip(h, p, why);
    else
        end_failing(h, p); /* it is there, and not yet bad enough */
}

void health_reached(struct provider_health *h, const struct upstream_call *call, const struct config_provider *p)
{
    h->asked = true;
    h->connect_failures = 0;
    if (call->head.status >= 500) {
        failing_reply(h, p, call->head.status);
        return;
    }
    if (h->tripped) forget(h);
    h->tripped = false;
    count_call(h, p, false);
    end_failing(h, p);
    learn_time(call);
}

static bool never_connected(const struct upstream_call *call, int rc)
{
    bool waited_for_it = rc == RC_TIMEOUT && call->connected_us == 0 && !call->reused;
    return rc == RC_UNREACHABLE || rc == RC_UNTRUSTED || waited_for_it;
}

void health_failed(struct provider_health *h, const struct config_provider *p, const struct upstream_call *call, int rc)
{
    h->asked = true;
    h->connect_failures = never_connected(call, rc) ? h->connect_failures + 1 : 0;
    journal_connect_failure();
    count_call(h, p, true);
    if (share_is_reached(h, p))
        trip(h, p, call->message);
    else
        begin_failing(h, p, call->message);
}

void health_misled(struct provider_health *h, const struct config_provider *p, const char *why)
{
    struct upstream_call call = {0};
    struct text message = text_on(call.message, sizeof call.message);
    text_format(&message, "%.*s: %s", SPAN_ARG(p->name), why);
    health_failed(h, p, &call, RC_INVALID);
}

/* ---- probes of the background */

bool health_probe_due(struct provider_health *h, const struct config_provider *p)
{
    if (h->connect_failures == 0 || h->probing || clock_monotonic_us() < h->next_probe_us) return false;
    h->probing = true;
    h->next_probe_us = clock_monotonic_us() + p->breaker_probe_us;
    return true;
}

/* A connection says that the line is back; what was wrong with calls only a call can show. */
void health_probed(struct provider_health *h, const struct config_provider *p, const struct upstream_call *call, int rc)
{
    h->probing = false;
    if (rc == RC_OK) {
        h->connect_failures = 0;
        h->next_probe_us = clock_monotonic_us(); /* a request may try at once */
        if (!h->tripped) end_failing(h, p);
    } else if (rc != RC_CANCELLED && rc != RC_FULL) {
        h->connect_failures++;
        begin_failing(h, p, call->message);
        h->next_probe_us = clock_monotonic_us() + p->breaker_probe_us;
    }
}

/* ---- seen from outside */

enum breaker_state health_state(const struct provider_health *h)
{
    if (!is_open(h)) return BREAKER_CLOSED;
    return h->probing || clock_monotonic_us() >= h->next_probe_us ? BREAKER_HALF_OPEN : BREAKER_OPEN;
}

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {"closed", "half-open", "open"};
    return names[state];
}

void health_print(const struct generation *g, struct text *out)
{
    char since[30];
    for (unsigned i = 0; i < g->config->provider_count; i++) {
        const struct provider_health *h = &g->health[i];
        text_format(out, "provider %-16.*s ", SPAN_ARG(g->config->providers[i].name));
        if (!h->failing_since_us) {
            text_put_text(out, "fine, as far as known\n");
            continue;
        }
        http_date(h->failing_since_us, since);
        text_format(out, "cannot be reached since %s (%s), breaker %s\n", since, h->last_error,
                    breaker_state_name(health_state(h)));
    }
}

uint64_t health_offline_since(const struct generation *g)
{
    uint64_t since = 0;
    for (unsigned i = 0; i < g->config->provider_count; i++) {
        const struct provider_health *h = &g->health[i];
        if (!h->asked) continue;
        if (!h->failing_since_us) return 0;
        if (h->failing_since_us > since) since = h->failing_since_us;
    }
    return since;
}

static const uint8_t places[CONFIG_PROVIDERS_MAX] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static struct metric states[CONFIG_PROVIDERS_MAX];
enum { LABEL_MAX = 96 };
static char state_labels[CONFIG_PROVIDERS_MAX][LABEL_MAX];

static double read_state(const struct metric *metric)
{
    unsigned place = *(const uint8_t *)metric->context;
    const struct generation *g = gateway.current;
    return g && place < g->config->provider_count ? (double)health_state(&g->health[place]) : (double)NAN;
}

static double read_offline(const struct metric *metric)
{
    (void)metric;
    uint64_t since = gateway.current ? health_offline_since(gateway.current) : 0, now = clock_wall_us();
    return since && now > since ? (double)(now - since) / (double)CLOCK_SECOND : 0;
}

static struct metric offline_seconds = {.name = "larder_offline_seconds",
                                        .help = "Since when no provider can be reached; 0: one can, as far as known",
                                        .kind = METRIC_GAUGE_CALL,
                                        .read = read_offline};

void breaker_register_metrics(void)
{
    metric_register(&offline_seconds);
    for (unsigned i = 0; i < CONFIG_PROVIDERS_MAX; i++) {
        states[i] = (struct metric){.name = "larder_provider_state",
                                    .labels = state_labels[i],
                                    .help = "Breaker of a provider: 0 closed, 1 half-open, 2 open",
                                    .kind = METRIC_GAUGE_CALL,
                                    .read = read_state,
                                    .context = &places[i]};
        metric_register(&states[i]);
    }
}

void breaker_name_metrics(const struct config *config)
{
    for (unsigned i = 0; i < config->provider_count; i++) {
        struct text out = text_on(state_labels[i], LABEL_MAX);
        text_put_text(&out, "provider=");
        struct span name = config->providers[i].name;
        text_put_json(&out, span_of(name.data, name.size < LABEL_MAX / 2 ? name.size : LABEL_MAX / 2));
        if (out.truncated) state_labels[i][0] = 0;
    }
}
