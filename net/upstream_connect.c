/* SPDX-License-Identifier: Apache-2.0 */
/* net/upstream_connect.c — from a name to a stream: addresses raced with a head start each, CONNECT proxy, TLS. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "net/upstream_private.h"
#include "platform/clock.h"
#include "platform/metric.h"
#include "platform/rc.h"

enum {
    HEAD_START_US = 250 * 1000, /* before the next address is tried beside (RFC 8305 section 5) */
    ADDRESS_TEXT = INET6_ADDRSTRLEN + 10,
};

static struct metric_histogram connect_times;
static struct metric connects = {.name = "larder_upstream_connects_total", .help = "Connections made to upstreams."};
static struct metric connects_failed = {
    .name = "larder_upstream_connects_failed_total",
    .help = "Connections to upstreams that could not be made, whatever the reason.",
};
static struct metric connect_seconds = {
    .name = "larder_upstream_connect_seconds",
    .help = "Time of making a connection: name, TCP, proxy, TLS.",
    .kind = METRIC_HISTOGRAM,
    .histogram = &connect_times,
};

struct race;

struct attempt {
    struct loop_source source; /* first; fd -1: not under way */
    struct race *race;
};

/* On the stack of the fiber that connects. */
struct race {
    struct fiber *fiber;
    const struct dns_address *addresses;
    unsigned count, started, failed;
    int winner; /* index, -1: none yet */
    int error;  /* errno of the last failure */
    struct attempt attempts[UPSTREAM_ADDRESSES_MAX];
};

void upstream_connect_register(void)
{
    metric_register(&connects);
    metric_register(&connects_failed);
    metric_register(&connect_seconds);
}

void upstream_say(struct upstream_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->message, sizeof call->message, format, arguments);
    va_end(arguments);
}

static const char *words(int error)
{
    switch (error) {
    case ECONNREFUSED: return "connection refused";
    case ETIMEDOUT: return "no answer";
    case EHOSTUNREACH: return "no route to that host";
    case ENETUNREACH: return "no route to that network";
    case ECONNRESET: return "connection reset";
    case EMFILE:
    case ENFILE: return "too many open files";
    default: return strerror(error);
    }
}

/* ---- the race */

static void attempt_fail(struct attempt *attempt, int error)
{
    struct race *race = attempt->race;
    if (attempt->source.fd >= 0) {
        loop_remove(&attempt->source);
        close(attempt->source.fd);
        attempt->source.fd = -1;
    }
    race->failed++;
    race->error = error;
}

static void attempt_ready(struct loop_source *source, unsigned events)
{
    struct attempt *attempt = (struct attempt *)(void *)source;
    struct race *race = attempt->race;
    int error = 0;
    socklen_t size = sizeof error;
    (void)events;
    if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) {
        attempt_fail(attempt, error);
    } else {
        loop_remove(source);
        if (race->winner < 0) race->winner = (int)(attempt - race->attempts);
    }
    fiber_wake(race->fiber, RC_OK);
}

static void attempt_start(struct race *race)
{
    struct attempt *attempt = &race->attempts[race->started];
    const struct dns_address *address = &race->addresses[race->started++];
    const struct sockaddr *to = (const struct sockaddr *)&address->address;
    int on = 1;
    *attempt = (struct attempt){.race = race};
    attempt->source.ready = attempt_ready;
    attempt->source.fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->source.fd < 0) {
        attempt_fail(attempt, errno);
        return;
    }
    (void)setsockopt(attempt->source.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(attempt->source.fd, to, address->size) != 0 && errno != EINPROGRESS) {
        attempt_fail(attempt, errno);
        return;
    }
    if (loop_add(&attempt->source, LOOP_WRITE) != RC_OK) attempt_fail(attempt, errno);
}

static int race_run(struct race *race, uint64_t deadline_us)
{
    while (race->winner < 0) {
        if (race->failed == race->started && race->started < race->count) attempt_start(race);
        if (race->failed == race->started && race->started < race->count) continue;
        if (race->failed == race->count) return RC_UNREACHABLE;
        uint64_t until = deadline_us;
        uint64_t head_start = clock_monotonic_us() + HEAD_START_US;
        if (race->started < race->count && head_start < until) until = head_start;
        int rc = fiber_park(until);
        if (rc == RC_TIMEOUT && until != deadline_us)
            attempt_start(race);
        else if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static void race_close_losers(struct race *race)
{
    for (unsigned i = 0; i < race->started; i++) {
        struct attempt *attempt = &race->attempts[i];
        if ((int)i == race->winner || attempt->source.fd < 0) continue;
        loop_remove(&attempt->source);
        close(attempt->source.fd);
    }
}

static void address_write(const struct dns_address *address, char out[ADDRESS_TEXT])
{
    char text[INET6_ADDRSTRLEN] = "";
    if (address->address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&address->address;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        snprintf(out, ADDRESS_TEXT, "%s:%u", text, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&address->address;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        snprintf(out, ADDRESS_TEXT, "[%s]:%u", text, ntohs(v6->sin6_port));
    }
}

static void port_set(struct dns_address *address, unsigned port)
{
    if (address->address.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&address->address)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)(void *)&address->address)->sin6_port = htons((uint16_t)port);
}

/* The one that answered last time goes first, if it is still among them. */
static void prefer(const struct dns_address *preferred, struct dns_address *addresses, unsigned count)
{
    for (unsigned i = 1; i < count && preferred->size > 0; i++) {
        struct dns_address found = addresses[i];
        if (found.size != preferred->size || memcmp(&found.address, &preferred->address, found.size) != 0) continue;
        memmove(&addresses[1], &addresses[0], i * sizeof addresses[0]);
        addresses[0] = found;
        return;
    }
}

static int connect_tcp(struct upstream_call *call, struct upstream_connection *c, struct span host, unsigned port,
                       uint64_t deadline_us)
{
    /* The read buffer is not in use yet, and a fiber's stack is small. */
    struct dns_address *addresses = (struct dns_address *)(void *)c->buffer;
    char address[ADDRESS_TEXT];
    bool stale = false;
    struct race race = {.fiber = fiber_self(), .addresses = addresses, .winner = -1};
    int rc = dns_resolve(host, deadline_us, addresses, &race.count, &stale);
    if (rc != RC_OK) {
        const char *why = rc == RC_NOT_FOUND ? "no such name"
                          : rc == RC_TIMEOUT ? "no answer in time"
                                             : "no name server answers";
        upstream_say(call, "look up %.*s: %s", SPAN_ARG(host), why);
        return rc == RC_CANCELLED ? rc : RC_UNREACHABLE;
    }
    for (unsigned i = 0; i < race.count; i++) port_set(&addresses[i], port);
    prefer(&call->upstream->preferred, addresses, race.count);
    rc = race_run(&race, deadline_us);
    race_close_losers(&race);
    unsigned shown = race.winner >= 0 ? (unsigned)race.winner : race.started > 0 ? race.started - 1 : 0;
    address_write(&addresses[shown], address);
    if (rc != RC_OK) {
        upstream_say(call, "connect to %.*s (%s): %s%s", SPAN_ARG(host), address,
                     rc == RC_UNREACHABLE ? words(race.error)
                     : rc == RC_TIMEOUT   ? "no answer in time"
                                          : "cancelled",
                     stale ? "; the address is an old one, no name server answers" : "");
        return rc == RC_TIMEOUT ? RC_UNREACHABLE : rc;
    }
    call->upstream->preferred = addresses[race.winner];
    stream_init(&c->stream, race.attempts[race.winner].source.fd);
    return RC_OK;
}

/* ---- proxy: RFC 9110 section 9.3.6 */

static int proxy_reply(struct upstream_call *call, struct upstream_connection *c, uint64_t deadline_us)
{
    size_t held = 0, seen = 0;
    for (;;) {
        size_t done = 0;
        int rc = stream_recv_wait(&c->stream, c->buffer + held, UPSTREAM_HEAD_MAX - held, &done, deadline_us);
        if (rc != RC_OK) return rc == RC_IO ? RC_CLOSED : rc;
        held += done;
        rc = http_parse_response(span_of(c->buffer, held), seen, UPSTREAM_HEAD_MAX, SPAN("CONNECT"), &call->head);
        seen = held;
        if (rc == RC_AGAIN && held < UPSTREAM_HEAD_MAX) continue;
        if (rc != RC_OK) return RC_INVALID;
        if (call->head.status >= 200) return call->head.size == held || call->head.status >= 300 ? RC_OK : RC_INVALID;
        held -= call->head.size;
        memmove(c->buffer, c->buffer + call->head.size, held);
        if (held > 0) return RC_INVALID;
        seen = 0;
    }
}

static int connect_proxy(struct upstream_call *call, struct upstream_connection *c, uint64_t deadline_us)
{
    const struct upstream_options *o = &call->upstream->options;
    struct text request = text_on(c->buffer, UPSTREAM_BUFFER);
    bool bare6 = memchr(o->host.data, ':', o->host.size) && o->host.data[0] != '[';
    for (unsigned line = 0; line < 2; line++)
        text_format(&request, "%s%s%.*s%s:%u%s\r\n", line == 0 ? "CONNECT " : "Host: ", bare6 ? "[" : "",
                    SPAN_ARG(o->host), bare6 ? "]" : "", o->port, line == 0 ? " HTTP/1.1" : "");
    if (o->proxy_authorization.size > 0)
        text_format(&request, "Proxy-Authorization: %.*s\r\n", SPAN_ARG(o->proxy_authorization));
    text_put_text(&request, "\r\n");
    int rc = stream_send_all(&c->stream, request.data, request.size, deadline_us);
    if (rc == RC_OK) rc = proxy_reply(call, c, deadline_us);
    if (rc == RC_OK && call->head.status < 300) return RC_OK;
    if (rc == RC_OK)
        upstream_say(call, "proxy %.*s:%u refuses to connect to %.*s: status %u%s", SPAN_ARG(o->proxy_host),
                     o->proxy_port, SPAN_ARG(o->host), call->head.status,
                     call->head.status == 407 ? " (its credentials are missing or wrong)" : "");
    else
        upstream_say(call, "proxy %.*s:%u: %s", SPAN_ARG(o->proxy_host), o->proxy_port,
                     rc == RC_TIMEOUT     ? "no answer in time"
                     : rc == RC_INVALID   ? "its answer is not HTTP"
                     : rc == RC_CANCELLED ? "cancelled"
                                          : "it closed the connection");
    return rc == RC_CANCELLED ? rc : RC_UNREACHABLE;
}

static int connect_tls(struct upstream_call *call, struct upstream_connection *c, uint64_t deadline_us)
{
    const struct upstream_options *o = &call->upstream->options;
    char message[TLS_MESSAGE_MAX];
    int rc = tls_connect(&c->stream, o->trust, o->host, deadline_us, message);
    if (rc != RC_OK) upstream_say(call, "connect to %.60s:%u: %s", call->upstream->host, o->port, message);
    return rc;
}

static int connect_steps(struct upstream_call *call, struct upstream_connection *c, uint64_t deadline_us)
{
    const struct upstream_options *o = &call->upstream->options;
    bool proxy = o->proxy_host.size > 0;
    int rc = connect_tcp(call, c, proxy ? o->proxy_host : o->host, proxy ? o->proxy_port : o->port, deadline_us);
    if (rc == RC_OK && proxy) rc = connect_proxy(call, c, deadline_us);
    if (rc == RC_OK && o->tls) rc = connect_tls(call, c, deadline_us);
    return rc;
}

int upstream_connect(struct upstream_call *call, struct upstream_connection *c, uint64_t deadline_us)
{
    uint64_t started = clock_monotonic_us();
    uint64_t until = started + call->upstream->options.connect_us;
    int rc = connect_steps(call, c, until < deadline_us ? until : deadline_us);
    if (rc != RC_OK) {
        metric_add(&connects_failed, 1);
        stream_close(&c->stream, false);
        return rc;
    }
    metric_add(&connects, 1);
    call->connected_us = clock_monotonic_us();
    metric_observe_us(&connect_seconds, call->connected_us - started);
    return RC_OK;
}
