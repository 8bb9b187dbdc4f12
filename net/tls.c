/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls.c — TLS sessions: handshakes on the compute pool, records on the lane. See net/tls.h. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "mbedtls/error.h"
#include "mbedtls/platform.h"
#include "net/tls_private.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/heap.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/plan.h"
#include "platform/pool.h"
#include "platform/rc.h"

enum { OFFLOAD_RETRY_US = 2000 }; /* the pool's queue is full: look again so soon */

static struct pool client_pool, server_pool;

static struct metric_histogram handshake_times;
static struct metric handshakes_full = {
    .name = "larder_upstream_tls_handshakes_total",
    .labels = "kind=\"full\"",
    .help = "TLS handshakes with upstreams that succeeded.",
};
static struct metric handshakes_resumed = {
    .name = "larder_upstream_tls_handshakes_total",
    .labels = "kind=\"resumed\"",
    .help = "TLS handshakes with upstreams that succeeded.",
};
static struct metric handshakes_failed = {
    .name = "larder_upstream_tls_handshakes_failed_total",
    .help = "TLS handshakes with upstreams that failed.",
};
static struct metric handshake_seconds = {
    .name = "larder_upstream_tls_handshake_seconds",
    .help = "Time of TLS handshakes with upstreams.",
    .kind = METRIC_HISTOGRAM,
    .histogram = &handshake_times,
};
static struct metric accepted_full = {
    .name = "larder_server_tls_handshakes_total",
    .labels = "kind=\"full\"",
    .help = "TLS handshakes with clients that succeeded.",
};
static struct metric accepted_resumed = {
    .name = "larder_server_tls_handshakes_total",
    .labels = "kind=\"resumed\"",
    .help = "TLS handshakes with clients that succeeded.",
};
static struct metric sessions_refused = {
    .name = "larder_tls_sessions_refused_total",
    .help = "TLS connections refused because every session is in use.",
};

size_t tls_heap_size(const struct tls_limits *limits)
{
    size_t sessions = (size_t)limits->sessions_client * TLS_CLIENT_BYTES +
                      (size_t)limits->sessions_server * TLS_SERVER_BYTES;
    return CRYPTO_REGION_SIZE + TLS_FIXED_BYTES + sessions + sessions / TLS_HEAP_SLACK;
}

static int pool_reserve(struct pool *pool, const char *name, unsigned count, const char *lower)
{
    size_t each = pool_stride(sizeof(struct tls_session));
    void *region = NULL;
    if (count == 0) return RC_OK;
    int rc = plan_take(name, count, each, PLAN_LAZY, 0, lower, &region);
    if (rc == RC_OK) pool_init(pool, region, sizeof(struct tls_session), count);
    return rc;
}

int tls_reserve(const struct tls_limits *limits)
{
    int rc = pool_reserve(&client_pool, "tls client sessions", limits->sessions_client, "limits.flights");
    if (rc == RC_OK)
        rc = pool_reserve(&server_pool, "tls server sessions", limits->sessions_server, "limits.tls_connections");
    if (rc == RC_OK && heap_usage(HEAP_MBEDTLS).capacity == 0)
        rc = heap_reserve(HEAP_MBEDTLS, tls_heap_size(limits), "limits.tls_connections");
    if (rc == RC_OK) rc = tls_resume_reserve(limits->resumptions);
    if (rc == RC_OK) rc = tls_trust_reserve();
    struct metric *metrics[] = {&handshakes_full, &handshakes_resumed, &handshakes_failed, &handshake_seconds,
                                &accepted_full,   &accepted_resumed,   &sessions_refused};
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) metric_register(metrics[i]);
    return rc;
}

/* ---- bytes between the library and the socket */

static int bio_send(void *context, const unsigned char *data, size_t size)
{
    struct tls_session *t = context;
    ssize_t sent = send(t->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return (int)sent;
    bool again = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return again ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int bio_recv(void *context, unsigned char *buffer, size_t capacity)
{
    struct tls_session *t = context;
    ssize_t got = recv(t->fd, buffer, capacity, MSG_DONTWAIT);
    if (got >= 0) return (int)got;
    bool again = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return again ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
}

/* RC_AGAIN with t->wants set, or what the library's error means. */
static int result_of(struct tls_session *t, int error)
{
    switch (error) {
    case MBEDTLS_ERR_SSL_WANT_READ: t->wants = LOOP_READ; return RC_AGAIN;
    case MBEDTLS_ERR_SSL_WANT_WRITE: t->wants = LOOP_WRITE; return RC_AGAIN;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY: return RC_CLOSED;
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_SSL_INTERNAL_ERROR: return RC_IO;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_X509_ALLOC_FAILED: return RC_FULL;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED: return RC_UNTRUSTED;
    default: return RC_INVALID;
    }
}

int tls_recv(struct tls_session *t, void *buffer, size_t capacity, size_t *done)
{
    for (;;) {
        int n = mbedtls_ssl_read(&t->ssl, buffer, capacity);
        if (n > 0) {
            *done = (size_t)n;
            return RC_OK;
        }
        if (n == 0) return RC_IO; /* the connection ended without close_notify: cut, not closed */
        if (n != MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) return result_of(t, n);
        tls_resume_remember(t);
    }
}

int tls_send(struct tls_session *t, const void *data, size_t size, size_t *done)
{
    if (t->sealed > 0) {
        CHECK(size >= t->sealed);
        size = t->sealed;
    }
    int n = mbedtls_ssl_write(&t->ssl, data, size);
    if (n >= 0) {
        t->sealed = 0;
        *done = (size_t)n;
        return RC_OK;
    }
    int rc = result_of(t, n);
    if (rc == RC_AGAIN && t->sealed == 0) {
        int most = mbedtls_ssl_get_max_out_record_payload(&t->ssl);
        t->sealed = most > 0 && size > (size_t)most ? (size_t)most : size;
    }
    return rc;
}

unsigned tls_wants(const struct tls_session *t, unsigned plain_events)
{
    return t->wants ? t->wants : plain_events;
}

bool tls_has_buffered(const struct tls_session *t)
{
    return mbedtls_ssl_get_bytes_avail(&t->ssl) > 0 || mbedtls_ssl_check_pending(&t->ssl) != 0;
}

static void session_free(struct tls_session *t)
{
    mbedtls_ssl_free(&t->ssl);
    if (t->trust) tls_trust_release(t->trust);
    if (t->server) tls_server_release(t->server);
    pool_put(t->server ? &server_pool : &client_pool, t);
}

void tls_close(struct tls_session *t, bool notify)
{
    if (notify && t->sealed == 0) (void)mbedtls_ssl_close_notify(&t->ssl);
    session_free(t);
}

/* ---- handshake */

static struct tls_session *session_take(struct pool *pool, int fd)
{
    struct tls_session *t = pool_take(pool);
    if (!t) {
        metric_add(&sessions_refused, 1);
        return NULL;
    }
    *t = (struct tls_session){.fd = fd};
    mbedtls_ssl_init(&t->ssl);
    return t;
}

static int session_set_up(struct tls_session *t)
{
    int error = mbedtls_ssl_setup(&t->ssl, t->server ? &t->server->config : &t->trust->config);
    if (error != 0) return error;
    mbedtls_ssl_set_bio(&t->ssl, t, bio_send, bio_recv, NULL);
    if (t->server) return 0;
    mbedtls_ssl_set_verify(&t->ssl, tls_verify, t);
    error = mbedtls_ssl_set_hostname(&t->ssl, t->is_ip ? NULL : t->host);
    if (error == 0) t->offered = tls_resume_offer(t);
    if (!t->offered && t->trust->store) (void)tls_store_refresh(t->trust->store);
    return error;
}

/* The verdict stands: the peer's parsed chain is several KiB a session that nobody will look at again, and would go into
 * every remembered TLS 1.2 session too. The library has no call for this; its version is pinned. */
static void peer_chain_drop(struct tls_session *t)
{
    mbedtls_ssl_session *session = t->ssl.MBEDTLS_PRIVATE(session);
    if (!session || !session->MBEDTLS_PRIVATE(peer_cert)) return;
    mbedtls_x509_crt_free(session->MBEDTLS_PRIVATE(peer_cert));
    mbedtls_free(session->MBEDTLS_PRIVATE(peer_cert));
    session->MBEDTLS_PRIVATE(peer_cert) = NULL;
}

/* One batch of handshake steps, on a worker: as far as the bytes that are here carry. */
static void handshake_run(void *arg)
{
    struct tls_session *t = arg;
    t->result = t->set_up ? 0 : session_set_up(t);
    if (t->result != 0) return;
    t->set_up = true;
    t->result = mbedtls_ssl_handshake(&t->ssl);
    if (t->server && tls_server_resumed_take()) t->resumed = true;
    if (t->result == 0 && t->trust && !t->verified) t->resumed = true;
    if (t->result == 0 && t->trust) peer_chain_drop(t);
}

static int offload_until(void (*run)(void *arg), void *arg, uint64_t deadline_us)
{
    for (;;) {
        int rc = offload(run, arg);
        if (rc != RC_FULL) return rc;
        uint64_t now = clock_monotonic_us();
        if (now >= deadline_us) return RC_TIMEOUT;
        rc = fiber_sleep_until(now + OFFLOAD_RETRY_US);
        if (rc != RC_OK) return rc;
    }
}

static int handshake(struct stream *s, struct tls_session *t, uint64_t deadline_us)
{
    for (;;) {
        int rc = offload_until(handshake_run, t, deadline_us);
        if (rc != RC_OK) return rc;
        if (t->result == 0) return RC_OK;
        rc = result_of(t, t->result);
        if (rc != RC_AGAIN) return rc;
        rc = stream_wait(s, t->wants, deadline_us);
        if (rc != RC_OK) return rc;
    }
}

static void explain(const struct tls_session *t, int rc, char message[TLS_MESSAGE_MAX])
{
    char detail[80] = "";
    if (t->faults != 0) {
        tls_verify_explain(t, message);
        return;
    }
    switch (rc) {
    case RC_TIMEOUT: snprintf(message, TLS_MESSAGE_MAX, "TLS handshake: no answer in time"); return;
    case RC_CANCELLED: snprintf(message, TLS_MESSAGE_MAX, "TLS handshake: cancelled"); return;
    case RC_FULL: snprintf(message, TLS_MESSAGE_MAX, "TLS handshake: out of session memory"); return;
    case RC_IO:
    case RC_CLOSED: snprintf(message, TLS_MESSAGE_MAX, "TLS handshake: the server closed the connection"); return;
    default: break;
    }
    mbedtls_strerror(t->result, detail, sizeof detail);
    snprintf(message, TLS_MESSAGE_MAX, "TLS handshake: %s (-0x%04x)", detail, (unsigned)-t->result);
}

static bool is_ip_literal(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* The name as it is checked: lower case is the library's business, the root's dot and the brackets of an address are not. */
static int host_set(struct tls_session *t, struct span host)
{
    if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']')
        host = span_of(host.data + 1, host.size - 2);
    if (host.size > 1 && host.data[host.size - 1] == '.') host.size--;
    if (host.size == 0 || host.size >= sizeof t->host || memchr(host.data, 0, host.size)) return RC_INVALID;
    memcpy(t->host, host.data, host.size);
    t->host[host.size] = 0;
    t->is_ip = is_ip_literal(t->host);
    return RC_OK;
}

int tls_connect(struct stream *s, struct tls_trust *trust, struct span host, uint64_t deadline_us,
                char message[TLS_MESSAGE_MAX])
{
    uint64_t started_us = clock_monotonic_us();
    message[0] = 0;
    struct tls_session *t = session_take(&client_pool, s->source.source.fd);
    if (!t) {
        snprintf(message, TLS_MESSAGE_MAX, "TLS: all %u sessions are in use", client_pool.count);
        return RC_FULL;
    }
    tls_trust_hold(trust);
    t->trust = trust;
    int rc = host_set(t, host);
    if (rc == RC_OK) rc = handshake(s, t, deadline_us);
    if (rc != RC_OK) {
        explain(t, rc, message);
        if (t->faults != 0) rc = RC_UNTRUSTED;
        if (t->offered) tls_resume_forget(t);
        metric_add(&handshakes_failed, 1);
        session_free(t);
        return rc;
    }
    if (mbedtls_ssl_get_version_number(&t->ssl) == MBEDTLS_SSL_VERSION_TLS1_2) tls_resume_remember(t);
    metric_add(t->resumed ? &handshakes_resumed : &handshakes_full, 1);
    metric_observe_us(&handshake_seconds, clock_monotonic_us() - started_us);
    t->wants = 0;
    s->tls = t;
    return RC_OK;
}

int tls_accept(struct stream *s, struct tls_server *server, uint64_t deadline_us)
{
    struct tls_session *t = session_take(&server_pool, s->source.source.fd);
    if (!t) return RC_FULL;
    server->users++;
    t->server = server;
    int rc = handshake(s, t, deadline_us);
    if (rc != RC_OK) {
        session_free(t);
        return rc;
    }
    metric_add(t->resumed ? &accepted_resumed : &accepted_full, 1);
    t->wants = 0;
    s->tls = t;
    return RC_OK;
}
