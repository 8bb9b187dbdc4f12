/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/probe.c — see probe.h. */
#include "app/gateway/probe.h"

#include "app/gateway/gateway.h"
#include "platform/clock.h"

enum { LOOK_US = 50000, SHORT_US = 2000000, PATIENT_EVERY = 4 };

static struct fiber_pool *background;
static struct loop_timer timer;
static struct fiber *running[PROBES_MAX];
static unsigned running_count, count;

struct probe {
    struct generation *generation;
    unsigned index;
};

/* Where packets vanish a try from before the line came back hears nothing for seconds: most give up soon, some wait as
 * long as a call would, for a line that is that slow. */
static uint64_t patience_us(const struct config_provider *p)
{
    bool patient = ++count % PATIENT_EVERY == 0;
    return patient || p->connect_us < SHORT_US ? p->connect_us : SHORT_US;
}

static void probe_fiber(void *arg)
{
    struct probe probe = *(const struct probe *)arg; /* the caller goes on when this first waits */
    struct generation *g = probe.generation;
    const struct config_provider *p = &g->config->providers[probe.index];
    struct upstream_call call = {0};
    unsigned place = 0;
    while (running[place]) place++;
    running[place] = fiber_self();
    running_count++;
    generation_hold(g);
    int rc = upstream_probe(g->upstreams[probe.index], &call, clock_monotonic_us() + patience_us(p));
    health_probed(&g->health[probe.index], p, &call, rc);
    generation_release(g);
    running[place] = NULL;
    running_count--;
}

static void look(struct loop_timer *fired)
{
    struct generation *g = gateway.current;
    for (unsigned i = 0; i < g->config->provider_count && running_count < PROBES_MAX; i++) {
        struct probe probe = {g, i};
        if (!health_probe_due(&g->health[i], &g->config->providers[i])) continue;
        if (fiber_start(background, probe_fiber, &probe) != RC_OK) g->health[i].probing = false;
    }
    (void)loop_timer_set(fired, clock_monotonic_us() + LOOK_US);
}

void probe_start(struct fiber_pool *pool)
{
    background = pool;
    breaker_background(true);
    timer.fire = look;
    (void)loop_timer_set(&timer, clock_monotonic_us() + LOOK_US);
}

void probe_stop(void)
{
    loop_timer_cancel(&timer);
    for (unsigned i = 0; i < PROBES_MAX; i++)
        if (running[i]) fiber_cancel(running[i]);
    breaker_background(false);
}

unsigned probe_running(void)
{
    return running_count;
}
