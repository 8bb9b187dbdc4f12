/* SPDX-License-Identifier: Apache-2.0 */
/* net/upstream_pool.c — upstreams, their idle connections, and the queue for the `concurrent` bound.
 *
 * An idle connection stays in the loop with its interest in reading: taking and giving back costs no system call, and one
 * that becomes readable while idle was closed by the peer.
 */
#include <stdio.h>

#include "net/upstream_private.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/metric.h"
#include "platform/plan.h"
#include "platform/pool.h"
#include "platform/rc.h"

/* A fiber in the queue; on its stack. */
struct upstream_waiter {
    struct fiber *fiber;
    struct upstream_waiter *next;
    bool granted;
};

static struct pool upstreams, connections, buffers;
static struct upstream_connection *oldest, *newest; /* idle ones of all upstreams */
static unsigned idle_total;

static double idle_read(const struct metric *metric)
{
    (void)metric;
    return idle_total;
}

static struct metric idle_gauge = {
    .name = "larder_upstream_idle_connections",
    .help = "Connections to upstreams that wait for their next call.",
    .kind = METRIC_GAUGE_CALL,
    .read = idle_read,
};
static struct metric idle_lost = {
    .name = "larder_upstream_idle_lost_total",
    .help = "Idle connections that the upstream closed.",
};

static int pool_take_region(struct pool *pool, const char *name, unsigned count, size_t size, const char *lower)
{
    void *region = NULL;
    int rc = plan_take(name, count, pool_stride(size), PLAN_LAZY, 0, lower, &region);
    if (rc == RC_OK) pool_init(pool, region, size, count);
    return rc;
}

int upstream_pool_reserve(unsigned upstreams_max, unsigned calls_max)
{
    int rc = pool_take_region(&upstreams, "upstreams", upstreams_max, sizeof(struct upstream), NULL);
    if (rc == RC_OK)
        rc = pool_take_region(&connections, "upstream connections", calls_max, sizeof(struct upstream_connection),
                              "limits.flights");
    if (rc == RC_OK) rc = pool_take_region(&buffers, "upstream buffers", calls_max, UPSTREAM_BUFFER, "limits.flights");
    metric_register(&idle_gauge);
    metric_register(&idle_lost);
    return rc;
}

/* ---- idle connections */

static void list_remove(struct upstream_connection *c)
{
    if (c->older)
        c->older->newer = c->newer;
    else
        oldest = c->newer;
    if (c->newer)
        c->newer->older = c->older;
    else
        newest = c->older;
    idle_total--;
}

static void list_add(struct upstream_connection *c)
{
    c->older = newest;
    c->newer = NULL;
    if (newest)
        newest->newer = c;
    else
        oldest = c;
    newest = c;
    idle_total++;
}

static void idle_close(struct upstream_connection *c)
{
    struct upstream *u = c->upstream;
    unsigned at = 0;
    while (u->idle[at] != c) at++;
    memmove(&u->idle[at], &u->idle[at + 1], (u->idle_count - at - 1) * sizeof u->idle[0]);
    u->idle_count--;
    list_remove(c);
    c->stream.source.source.ready = c->ready;
    stream_close(&c->stream, false);
    pool_put(&connections, c);
}

/* Readable while idle: the end, or bytes nobody asked for. Only TLS has something to say meanwhile (new tickets). */
static void idle_ready(struct loop_source *source, unsigned events)
{
    struct upstream_connection *c = (struct upstream_connection *)(void *)source;
    char unasked[64];
    size_t done = 0;
    bool talks = c->stream.tls && !(events & LOOP_HANGUP) &&
                 stream_recv(&c->stream, unasked, sizeof unasked, &done) == RC_AGAIN;
    if (talks) return;
    metric_add(&idle_lost, 1);
    idle_close(c);
}

static void idle_expire(struct loop_timer *timer)
{
    struct upstream *u = (struct upstream *)(void *)((char *)timer - offsetof(struct upstream, timer));
    uint64_t now = loop_now_us();
    while (u->idle_count > 0 && u->idle[0]->idle_since_us + u->options.idle_keep_us <= now) idle_close(u->idle[0]);
    if (u->idle_count > 0) (void)loop_timer_set(timer, u->idle[0]->idle_since_us + u->options.idle_keep_us);
}

static bool idle_put(struct upstream_connection *c)
{
    struct upstream *u = c->upstream;
    struct loop_source *source = &c->stream.source.source;
    if (u->released || u->options.idle_keep_us == 0) return false;
    if (!c->stream.watched || source->events == 0 || stream_has_buffered(&c->stream)) return false;
    if (loop_change(source, LOOP_READ) != RC_OK) return false;
    if (u->idle_count == UPSTREAM_IDLE_MAX) idle_close(u->idle[0]);
    c->ready = source->ready;
    source->ready = idle_ready;
    c->idle_since_us = loop_now_us();
    u->idle[u->idle_count++] = c;
    list_add(c);
    if (u->timer.place == 0) (void)loop_timer_set(&u->timer, c->idle_since_us + u->options.idle_keep_us);
    return true;
}

struct upstream_connection *upstream_idle_take(struct upstream *u)
{
    if (u->idle_count == 0) return NULL;
    struct upstream_connection *c = u->idle[u->idle_count - 1];
    c->buffer = pool_take(&buffers);
    if (!c->buffer) return NULL;
    u->idle_count--;
    list_remove(c);
    c->stream.source.source.ready = c->ready;
    return c;
}

int upstream_connection_new(struct upstream_call *call, struct upstream_connection **connection)
{
    if (connections.used == connections.count && oldest) idle_close(oldest);
    struct upstream_connection *c = pool_take(&connections);
    if (!c) return RC_FULL;
    *c = (struct upstream_connection){.upstream = call->upstream};
    stream_init(&c->stream, -1);
    c->buffer = pool_take(&buffers);
    if (!c->buffer) {
        pool_put(&connections, c);
        return RC_FULL;
    }
    *connection = c;
    return RC_OK;
}

void upstream_connection_end(struct upstream_connection *c, bool reusable)
{
    pool_put(&buffers, c->buffer);
    c->buffer = NULL;
    if (reusable && idle_put(c)) return;
    stream_close(&c->stream, false);
    pool_put(&connections, c);
}

/* ---- the bound of calls at a time */

static void queue_drop(struct upstream *u, struct upstream_waiter *waiter)
{
    struct upstream_waiter *before = NULL;
    for (struct upstream_waiter *w = u->first; w; before = w, w = w->next) {
        if (w != waiter) continue;
        if (before)
            before->next = w->next;
        else
            u->first = w->next;
        if (u->last == w) u->last = before;
        u->queued--;
        return;
    }
}

int upstream_slot_take(struct upstream *u, uint64_t deadline_us)
{
    if (u->options.concurrent == 0 || u->active < u->options.concurrent) {
        u->active++;
        return RC_OK;
    }
    if (u->options.queue && u->queued >= u->options.queue) return RC_FULL;
    uint64_t most = u->options.queue_us ? clock_monotonic_us() + u->options.queue_us : deadline_us;
    if (most < deadline_us) deadline_us = most;
    struct upstream_waiter waiter = {.fiber = fiber_self()};
    if (u->last)
        u->last->next = &waiter;
    else
        u->first = &waiter;
    u->last = &waiter;
    u->queued++;
    int rc = RC_OK;
    while (!waiter.granted && rc == RC_OK) rc = fiber_park(deadline_us);
    if (waiter.granted && !fiber_cancelled()) return RC_OK;
    if (waiter.granted)
        upstream_slot_give(u);
    else
        queue_drop(u, &waiter);
    return rc == RC_TIMEOUT ? RC_FULL : RC_CANCELLED;
}

/* The place goes to the first in the queue, or is free. */
void upstream_slot_give(struct upstream *u)
{
    struct upstream_waiter *waiter = u->first;
    if (!waiter) {
        u->active--;
        return;
    }
    u->first = waiter->next;
    if (!u->first) u->last = NULL;
    u->queued--;
    waiter->granted = true;
    fiber_wake(waiter->fiber, RC_OK);
}

/* ---- upstreams */

static int text_keep(char *to, size_t capacity, struct span *text)
{
    if (text->size >= capacity) return RC_TOO_LARGE;
    if (text->size > 0) memcpy(to, text->data, text->size);
    to[text->size] = 0;
    text->data = to;
    return RC_OK;
}

int upstream_open(const struct upstream_options *options, struct upstream **upstream)
{
    struct upstream *u = pool_take(&upstreams);
    if (!u) return RC_FULL;
    *u = (struct upstream){.options = *options, .users = 1, .timer.fire = idle_expire};
    int rc = text_keep(u->name, sizeof u->name, &u->options.name);
    if (rc == RC_OK) rc = text_keep(u->host, sizeof u->host, &u->options.host);
    if (rc == RC_OK) rc = text_keep(u->proxy_host, sizeof u->proxy_host, &u->options.proxy_host);
    if (rc == RC_OK)
        rc = text_keep(u->proxy_authorization, sizeof u->proxy_authorization, &u->options.proxy_authorization);
    if (rc == RC_OK && (u->options.host.size == 0 || (options->tls && !options->trust))) rc = RC_INVALID;
    if (rc == RC_OK)
        *upstream = u;
    else
        pool_put(&upstreams, u);
    return rc;
}

void upstream_user_drop(struct upstream *u)
{
    CHECK(u->users > 0);
    if (--u->users > 0) return;
    crypto_wipe(u->proxy_authorization, sizeof u->proxy_authorization);
    pool_put(&upstreams, u);
}

void upstream_release(struct upstream *u)
{
    CHECK(!u->released);
    u->released = true;
    loop_timer_cancel(&u->timer);
    while (u->idle_count > 0) idle_close(u->idle[0]);
    upstream_user_drop(u);
}

struct upstream_load upstream_load(const struct upstream *u)
{
    return (struct upstream_load){.active = u->active, .idle = u->idle_count, .queued = u->queued};
}
