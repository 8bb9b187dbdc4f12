/* SPDX-License-Identifier: Apache-2.0 */
/* net/server_metric.c — the counters of a server.
 *
 * The servers of the program have fixed names, so that one series after another can be registered for all of them; a
 * server of another name (tests) counts in a set that is not rendered.
 */
#include "net/server_private.h"

enum { NAMED = 2 };

static const char *const server_names[NAMED] = {"api", "admin"};
static struct server_metrics named[NAMED], nameless;

#define SERIES_OF(server, index, kind_, name_, more, help_)                                                  \
    {                                                                                                        \
        .name = "larder_server_" name_, .labels = "server=\"" server "\"" more, .help = help_, .kind = kind_ \
    }
#define SERIES(index, kind_, name_, more, help_) \
    [index] = {SERIES_OF("api", index, kind_, name_, more, help_), SERIES_OF("admin", index, kind_, name_, more, help_)}
#define GAUGE(index, name_, help_) SERIES(index, METRIC_GAUGE, name_, "", help_)
#define COUNTER(index, name_, more, help_) SERIES(index, METRIC_COUNTER, name_ "_total", more, help_)

#define REFUSED "connections closed at accept"
#define EVICTED "connections closed to make room"
#define HEADS "requests refused before a handler saw them"

static const struct metric series[SERVER_COUNTS][NAMED] = {
    GAUGE(COUNT_CONNECTIONS, "connections", "open connections"),
    GAUGE(COUNT_CONNECTIONS_HIGH, "connections_high", "most connections open at once"),
    GAUGE(COUNT_EXCHANGES, "exchanges", "requests being worked on"),
    GAUGE(COUNT_EXCHANGES_HIGH, "exchanges_high", "most requests worked on at once"),
    GAUGE(COUNT_ARENA_HIGH, "arena_high_bytes", "most a single request took of its arena"),
    COUNTER(COUNT_ACCEPTED, "accepted", "", "connections accepted"),
    COUNTER(COUNT_REQUESTS, "requests", "", "requests handed to a handler"),
    COUNTER(COUNT_CLIENT_GONE, "client_gone", "", "clients that went away before their answer was complete"),
    COUNTER(COUNT_REFUSED_ADDRESS, "refused", ",reason=\"address\"", REFUSED),
    COUNTER(COUNT_REFUSED_FULL, "refused", ",reason=\"full\"", REFUSED),
    COUNTER(COUNT_REFUSED_TLS, "refused", ",reason=\"tls\"", REFUSED),
    COUNTER(COUNT_REFUSED_SYSTEM, "refused", ",reason=\"system\"", REFUSED),
    COUNTER(COUNT_EVICTED_IDLE, "evicted", ",what=\"idle\"", EVICTED),
    COUNTER(COUNT_EVICTED_HEAD, "evicted", ",what=\"head\"", EVICTED),
    COUNTER(COUNT_HEAD_400, "refusals", ",status=\"400\"", HEADS),
    COUNTER(COUNT_HEAD_408, "refusals", ",status=\"408\"", HEADS),
    COUNTER(COUNT_HEAD_413, "refusals", ",status=\"413\"", HEADS),
    COUNTER(COUNT_HEAD_414, "refusals", ",status=\"414\"", HEADS),
    COUNTER(COUNT_HEAD_431, "refusals", ",status=\"431\"", HEADS),
    COUNTER(COUNT_HEAD_501, "refusals", ",status=\"501\"", HEADS),
    COUNTER(COUNT_HEAD_503, "refusals", ",status=\"503\"", HEADS),
    COUNTER(COUNT_HEAD_505, "refusals", ",status=\"505\"", HEADS),
};

static void register_all(void)
{
    for (unsigned i = 0; i < SERVER_COUNTS; i++) {
        for (unsigned n = 0; n < NAMED; n++) {
            struct metric *m = &named[n].counts[i];
            m->name = series[i][n].name;
            m->labels = series[i][n].labels;
            m->help = series[i][n].help;
            m->kind = series[i][n].kind;
            metric_register(m);
        }
    }
}

struct server_metrics *server_metrics_of(const char *name)
{
    for (unsigned n = 0; n < NAMED; n++) {
        if (strcmp(name, server_names[n]) != 0) continue;
        if (!named[0].counts[0].name) register_all();
        return &named[n];
    }
    return &nameless;
}

void server_count_refusal(struct server_state *s, unsigned status)
{
    static const unsigned statuses[] = {400, 408, 413, 414, 431, 501, 503, 505};
    for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i] == status) server_count(s, COUNT_HEAD_400 + i);
}

void server_gauge(struct server_state *s, enum server_count now, enum server_count high, uint64_t value)
{
    metric_set(&s->metrics->counts[now], value);
    if (value > metric_get(&s->metrics->counts[high])) metric_set(&s->metrics->counts[high], value);
}
