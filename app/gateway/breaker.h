/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/breaker.h — a provider's health, and whether it may be asked now.
 *
 * Closed:    everyone may ask. Five connects in a row that failed, or the share `breaker.ratio` of at least `breaker.calls`
 *            calls within `breaker.window` that failed (no reply, cut before its head, 5xx; never 4xx, 429 among them: that
 *            is one client's matter), opens it.
 * Open:      nobody waits for it. After failed connects app/gateway/probe.h connects in the background; after failed calls,
 *            or where no probe runs, one request per `breaker.probe` goes out and decides.
 * Half-open: that time has come, and the next try decides.
 *
 * Owner:   one a provider, in its configuration; a reload hands it on.
 * Threads: lane only.
 */
#ifndef GATEWAY_BREAKER_H
#define GATEWAY_BREAKER_H

#include "app/config.h"
#include "net/upstream.h"

enum {
    BREAKER_CONNECTS = 5, /* failed in a row */
    BREAKER_SLICES = 6,   /* of the window: calls are forgotten a sixth of it at a time */
    BREAKER_RELOOK = 10,
};

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

struct breaker_slice {
    unsigned calls, failed;
};

struct provider_health {
    unsigned connect_failures; /* in a row */
    bool tripped;              /* opened by the share of calls that failed */
    bool probing;              /* a probe of the background is out */
    bool asked;                /* since boot */
    uint64_t failing_since_us; /* wall; 0: fine */
    uint64_t next_probe_us;    /* monotonic: while open, one try may go out after this */
    uint64_t relook_us;        /* monotonic: an answer of another provider does not stand in after this */
    struct breaker_slice slices[BREAKER_SLICES];
    uint64_t slice; /* number of the newest */
    char last_error[UPSTREAM_MESSAGE_MAX];
};

/* False while the breaker is open: no request waits for a dead provider; one probe goes out now and then, which this
 * counts as taken. */
bool health_allows(struct provider_health *health, const struct config_provider *provider);
/* Whether health_allows would say so, without taking the probe. */
bool health_would_allow(const struct provider_health *health);
/* Whether the answer of a later link may stand in for one of this provider. Of one that fails without being open nobody
 * may have looked since: once in BREAKER_RELOOK probe intervals this says no, so that the asker finds out. */
bool health_is_away(struct provider_health *health, const struct config_provider *provider);
/* A reply's head has come, whatever its status. */
void health_reached(struct provider_health *health, const struct upstream_call *call,
                    const struct config_provider *provider);
/* `rc`: why the call failed before its reply; call->message says it in words. */
void health_failed(struct provider_health *health, const struct config_provider *provider,
                   const struct upstream_call *call, int rc);
/* The provider answered what is no answer of it (a portal's page): as a failed call, for the reason given. */
void health_misled(struct provider_health *health, const struct config_provider *provider, const char *why);

/* ---- probes of the background */

/* From now on failed connects are probed in the background, and requests do not probe them. */
void breaker_background(bool runs);
/* Whether a connect should be tried now; takes it: health_probed ends it. */
bool health_probe_due(struct provider_health *health, const struct config_provider *provider);
void health_probed(struct provider_health *health, const struct config_provider *provider,
                   const struct upstream_call *call, int rc);

/* ---- seen from outside */

enum breaker_state health_state(const struct provider_health *health);
const char *breaker_state_name(enum breaker_state state);
/* How often a provider came back since boot: whoever waits for one compares. */
uint64_t breaker_recoveries(void);

struct generation;
/* One line a provider: "provider NAME  closed, …". */
void health_print(const struct generation *generation, struct text *out);
/* Wall time since every provider that has been asked is failing; 0: one answers, or none was asked. */
uint64_t health_offline_since(const struct generation *generation);
void breaker_register_metrics(void);
/* Another configuration is in force: the series take its names. */
void breaker_name_metrics(const struct config *config);

#endif
