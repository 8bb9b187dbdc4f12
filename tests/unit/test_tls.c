/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_tls.c — handshakes of both versions and every way in which a certificate is refused.
 *
 * The certificates are valid from 2024 to 2049 (tests/data/tls/make.sh).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tls_private.h"
#include "platform/file.h"
#include "platform/heap.h"
#include "platform/rc.h"
#include "tests/support/net_test.h"

#define EC_PIN "sha256/+2ISn2CVA7BLXC8x7R/8qknZKPaftP6AGXdYB4qJoQg="

/* Seconds since 1970. */
#define YEAR_2023 UINT64_C(1672531200)
#define YEAR_2026 UINT64_C(1767225600)
#define YEAR_2050 UINT64_C(2524608000)

static struct tls_server *server_of(const char *certificate, const char *key)
{
    struct tls_server *server = NULL;
    char message[TLS_MESSAGE_MAX];
    int rc = tls_server_load(certificate, key, &server, message);
    if (rc != RC_OK) fail_msg("%s", message);
    return server;
}

static struct tls_server *server_ec(void)
{
    return server_of(NET_TEST_DATA "ec.pem", NET_TEST_DATA "ec.key");
}

static struct tls_server *server_rsa(void)
{
    return server_of(NET_TEST_DATA "rsa.pem", NET_TEST_DATA "rsa.key");
}

static struct tls_trust *trust_of(const char *source, const char *pin)
{
    struct tls_trust *trust = NULL;
    char message[TLS_MESSAGE_MAX];
    int rc = tls_trust_load(span_text(source), span_text(pin), &trust, message);
    if (rc != RC_OK) fail_msg("%s", message);
    return trust;
}

static struct tls_trust *trust_root(void)
{
    return trust_of("file:" NET_TEST_DATA "root.pem", "");
}

/* ---- one connection against a TLS peer */

struct visit {
    struct net_tls_peer peer;
    struct tls_trust *trust;
    const char *host;
    uint64_t deadline_us;
    void (*talk)(struct stream *s);
    int rc;
    char message[TLS_MESSAGE_MAX];
};

static void visit_run(void *arg)
{
    struct visit *v = arg;
    struct stream s;
    stream_init(&s, net_test_connect(v->peer.port));
    v->rc = tls_connect(&s, v->trust, span_text(v->host), v->deadline_us ? v->deadline_us : net_test_in_ms(8000),
                        v->message);
    if (v->rc == RC_OK) {
        assert_non_null(s.tls);
        if (v->talk) v->talk(&s);
    } else {
        assert_null(s.tls);
    }
    stream_close(&s, false);
}

static void answer(struct stream *s, unsigned index)
{
    (void)index;
    if (net_tls_peer_request(s)) (void)stream_send_all(s, "fine", 4, net_test_in_ms(5000));
}

static void ask(struct stream *s)
{
    char buffer[16];
    size_t done = 0;
    assert_int_equal(stream_send_all(s, "q\r\n\r\n", 5, net_test_in_ms(5000)), RC_OK);
    assert_int_equal(stream_recv_wait(s, buffer, sizeof buffer, &done, net_test_in_ms(5000)), RC_OK);
    assert_int_equal(done, 4);
    assert_memory_equal(buffer, "fine", 4);
    assert_int_equal(stream_recv_wait(s, buffer, sizeof buffer, &done, net_test_in_ms(5000)), RC_CLOSED);
}

/* Runs one visit and gives server and trust back; the handshake's result. */
static int visit(struct tls_server *server, struct tls_trust *trust, const char *host, char message[TLS_MESSAGE_MAX])
{
    struct visit v = {.trust = trust, .host = host, .talk = ask};
    net_tls_peer_start(&v.peer, server, answer);
    net_test_run(visit_run, &v);
    net_tls_peer_stop(&v.peer);
    memcpy(message, v.message, TLS_MESSAGE_MAX);
    tls_server_release(server);
    tls_trust_release(trust);
    return v.rc;
}

static void expect(struct tls_server *server, struct tls_trust *trust, const char *host, const char *refusal)
{
    char message[TLS_MESSAGE_MAX];
    int rc = visit(server, trust, host, message);
    if (!refusal) {
        if (rc != RC_OK) fail_msg("%s: %s", host, message);
        return;
    }
    assert_int_equal(rc, RC_UNTRUSTED);
    if (!strstr(message, refusal)) fail_msg("\"%s\" does not say \"%s\"", message, refusal);
}

static struct tls_server *only(struct tls_server *server, mbedtls_ssl_protocol_version version)
{
    mbedtls_ssl_conf_min_tls_version(&server->config, version);
    mbedtls_ssl_conf_max_tls_version(&server->config, version);
    return server;
}

static void test_both_versions_and_key_types(void **state)
{
    (void)state;
    expect(only(server_ec(), MBEDTLS_SSL_VERSION_TLS1_2), trust_root(), "larder.test", NULL);
    expect(only(server_ec(), MBEDTLS_SSL_VERSION_TLS1_3), trust_root(), "larder.test", NULL);
    const char *rsa_root = "file:" NET_TEST_DATA "rsa-root.pem";
    expect(only(server_rsa(), MBEDTLS_SSL_VERSION_TLS1_2), trust_of(rsa_root, ""), "larder.test", NULL);
    expect(only(server_rsa(), MBEDTLS_SSL_VERSION_TLS1_3), trust_of(rsa_root, ""), "larder.test", NULL);
}

static void test_names(void **state)
{
    (void)state;
    expect(server_ec(), trust_root(), "localhost", NULL);
    expect(server_ec(), trust_root(), "LARDER.test.", NULL);
    expect(server_ec(), trust_root(), "a.wild.test", NULL);
    expect(server_ec(), trust_root(), "a.b.wild.test", "another name");
    expect(server_ec(), trust_root(), "api.openai.com", "another name");
}

static void test_addresses(void **state)
{
    (void)state;
    expect(server_ec(), trust_root(), "127.0.0.1", NULL);
    expect(server_ec(), trust_root(), "[::1]", NULL);
    expect(server_ec(), trust_root(), "::1", NULL);
    expect(server_ec(), trust_root(), "127.0.0.2", "another name");
    expect(server_ec(), trust_root(), "::2", "another name");
}

static void test_unknown_authority(void **state)
{
    (void)state;
    expect(server_ec(), trust_of("file:" NET_TEST_DATA "other.pem", ""), "larder.test", "unknown issuer");
    expect(server_rsa(), trust_root(), "larder.test", "unknown issuer");
}

static void test_expired(void **state)
{
    (void)state;
    struct tls_server *old = server_of(NET_TEST_DATA "expired.pem", NET_TEST_DATA "ec.key");
    expect(old, trust_root(), "larder.test", "expired");
    clock_fake(clock_monotonic_us(), YEAR_2050 * CLOCK_SECOND);
    expect(server_ec(), trust_root(), "larder.test", "expired");
    clock_fake_off();
}

static void test_not_valid_yet(void **state)
{
    (void)state;
    clock_fake(clock_monotonic_us(), YEAR_2023 * CLOCK_SECOND);
    assert_int_equal(clock_trust(), CLOCK_PLAUSIBLE);
    expect(server_ec(), trust_root(), "larder.test", "not valid yet");
    clock_fake_off();
}

static void test_unset_clock_tolerates_only_what_is_to_come(void **state)
{
    (void)state;
    clock_fake(clock_monotonic_us(), 0);
    clock_floor_set(YEAR_2023 * CLOCK_SECOND);
    assert_int_equal(clock_trust(), CLOCK_UNSET);
    expect(server_ec(), trust_root(), "larder.test", NULL);
    expect(server_ec(), trust_root(), "other.test", "another name");
    expect(server_ec(), trust_of("file:" NET_TEST_DATA "other.pem", ""), "larder.test", "unknown issuer");
    clock_floor_set(YEAR_2026 * CLOCK_SECOND); /* the build's date: what has expired before it has expired */
    assert_int_equal(clock_trust(), CLOCK_UNSET);
    struct tls_server *old = server_of(NET_TEST_DATA "expired.pem", NET_TEST_DATA "ec.key");
    expect(old, trust_root(), "larder.test", "expired");
    clock_fake_off();
}

static void test_pins(void **state)
{
    (void)state;
    const char *root = "file:" NET_TEST_DATA "root.pem";
    expect(server_ec(), trust_of(root, EC_PIN), "larder.test", NULL);
    expect(server_ec(), trust_of(root, EC_PIN), "other.test", "another name");
    expect(server_rsa(), trust_of("file:" NET_TEST_DATA "rsa-root.pem", EC_PIN), "larder.test", "not the pinned one");
    /* alone, it decides alone: neither name nor issuer nor date count */
    expect(server_ec(), trust_of("", EC_PIN), "other.test", NULL);
    expect(server_ec(), trust_of("", EC_PIN), "127.0.0.9", NULL);
    expect(server_rsa(), trust_of("", EC_PIN), "larder.test", "not the pinned one");
}

static void test_own_certificate_in_the_file(void **state)
{
    (void)state;
    const char *self = NET_TEST_DATA "self.pem", *key = NET_TEST_DATA "self.key";
    expect(server_of(self, key), trust_of("file:" NET_TEST_DATA "self.pem", ""), "larder.test", NULL);
    expect(server_of(self, key), trust_of("file:" NET_TEST_DATA "self.pem", ""), "other.test", "another name");
    expect(server_of(self, key), trust_root(), "larder.test", "unknown issuer");
}

static void test_bundle_with_damage(void **state)
{
    (void)state;
    unsigned long before = net_test_metric("larder_upstream_tls_ca_skipped_total", NULL);
    struct tls_trust *trust = trust_of("file:" NET_TEST_DATA "bundle.pem", "");
    assert_int_equal(net_test_metric("larder_upstream_tls_ca_skipped_total", NULL) - before, 3);
    tls_trust_hold(trust);
    expect(server_ec(), trust, "larder.test", NULL);
    expect(server_rsa(), trust, "larder.test", NULL);
}

static void test_file_that_changes(void **state)
{
    char path[] = "/tmp/larder-test-ca-XXXXXX", source[64], pem[4096];
    size_t size = 0;
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_read(NET_TEST_DATA "other.pem", pem, sizeof pem, &size), RC_OK);
    assert_int_equal(file_replace(path, pem, size, 0600), RC_OK);
    snprintf(source, sizeof source, "file:%s", path);
    struct tls_trust *trust = trust_of(source, "");
    tls_trust_hold(trust);
    tls_trust_hold(trust);
    expect(server_ec(), trust, "larder.test", "unknown issuer");
    assert_int_equal(file_read(NET_TEST_DATA "root.pem", pem, sizeof pem, &size), RC_OK);
    assert_int_equal(file_replace(path, pem, size, 0600), RC_OK);
    expect(server_ec(), trust, "larder.test", NULL);
    unlink(path);
    expect(server_ec(), trust, "localhost", "no CA certificates");
}

static void test_sources_that_are_wrong(void **state)
{
    struct tls_trust *trust = NULL;
    struct tls_server *server = NULL;
    char message[TLS_MESSAGE_MAX];
    (void)state;
    assert_int_equal(tls_trust_load(SPAN("file:/nowhere/ca.pem"), SPAN(""), &trust, message), RC_NOT_FOUND);
    assert_string_equal(message, "/nowhere/ca.pem: cannot be read");
    assert_int_equal(tls_trust_load(SPAN("file:" NET_TEST_DATA "ec.key"), SPAN(""), &trust, message), RC_INVALID);
    assert_int_equal(tls_trust_load(SPAN("bundled?"), SPAN(""), &trust, message), RC_INVALID);
    assert_int_equal(tls_trust_load(SPAN("system"), SPAN("sha256/AAAA"), &trust, message), RC_INVALID);
    assert_int_equal(tls_trust_load(SPAN("system"), SPAN("md5/AAAA"), &trust, message), RC_INVALID);
    assert_null(trust);
    assert_int_equal(tls_server_load("/nowhere.pem", NET_TEST_DATA "ec.key", &server, message), RC_NOT_FOUND);
    assert_int_equal(tls_server_load(NET_TEST_DATA "ec.pem", NET_TEST_DATA "rsa.key", &server, message), RC_INVALID);
    assert_non_null(strstr(message, "not the PEM key of that certificate"));
    assert_null(server);
}

/* ---- resumption */

static unsigned long handshakes(const char *side, const char *kind)
{
    char name[64], labels[32];
    snprintf(name, sizeof name, "larder_%s_tls_handshakes_total", side);
    snprintf(labels, sizeof labels, "kind=\"%s\"", kind);
    return net_test_metric(name, labels);
}

static void resume(struct tls_server *server)
{
    struct tls_trust *trust = trust_root(), *other = trust_root();
    struct visit v = {.trust = trust, .host = "larder.test", .talk = ask};
    unsigned long full = handshakes("upstream", "full"), resumed = handshakes("upstream", "resumed");
    unsigned long accepted = handshakes("server", "resumed");
    net_tls_peer_start(&v.peer, server, answer);
    for (unsigned i = 0; i < 4; i++) {
        net_test_run(visit_run, &v);
        assert_int_equal(v.rc, RC_OK);
        assert_int_equal(handshakes("upstream", "full"), full + 1);
        assert_int_equal(handshakes("upstream", "resumed"), resumed + i);
    }
    v.host = "localhost"; /* another name: nothing to resume */
    net_test_run(visit_run, &v);
    assert_int_equal(handshakes("upstream", "full"), full + 2);
    v.host = "larder.test";
    v.trust = other; /* what another trust has verified proves nothing here */
    net_test_run(visit_run, &v);
    assert_int_equal(v.rc, RC_OK);
    assert_int_equal(handshakes("upstream", "full"), full + 3);
    assert_int_equal(handshakes("server", "resumed"), accepted + 3);
    net_tls_peer_stop(&v.peer);
    tls_server_release(server);
    tls_trust_release(trust);
    tls_trust_release(other);
}

static void test_resumes_1_2(void **state)
{
    (void)state;
    resume(only(server_ec(), MBEDTLS_SSL_VERSION_TLS1_2));
}

static void test_resumes_1_3(void **state)
{
    (void)state;
    resume(only(server_ec(), MBEDTLS_SSL_VERSION_TLS1_3));
}

static void test_forgotten_ticket_is_a_full_handshake(void **state)
{
    (void)state;
    struct tls_trust *trust = trust_root();
    struct visit v = {.trust = trust, .host = "larder.test", .talk = ask};
    for (unsigned i = 0; i < 2; i++) { /* a new server knows nothing of the old one's tickets */
        unsigned long full = handshakes("upstream", "full");
        struct tls_server *server = server_ec();
        net_tls_peer_start(&v.peer, server, answer);
        net_test_run(visit_run, &v);
        assert_int_equal(v.rc, RC_OK);
        assert_int_equal(handshakes("upstream", "full"), full + 1);
        net_tls_peer_stop(&v.peer);
        tls_server_release(server);
    }
    tls_trust_release(trust);
}

/* ---- bytes */

enum { BULK = 700000 };
static unsigned char bulk[BULK];

static void bulk_echo(struct stream *s, unsigned index)
{
    static unsigned char received[BULK];
    size_t size = 0, done = 0;
    (void)index;
    while (size < BULK && stream_recv_wait(s, received + size, BULK - size, &done, net_test_in_ms(5000)) == RC_OK)
        size += done;
    (void)stream_send_all(s, received, size, net_test_in_ms(5000));
}

static void bulk_talk(struct stream *s)
{
    static unsigned char back[BULK];
    size_t size = 0, done = 0;
    for (size_t i = 0; i < BULK; i++) bulk[i] = (unsigned char)(i * 13 >> 4);
    struct span first = span_of((char *)bulk, 100001), second = span_of((char *)bulk + 100001, BULK - 100001);
    assert_int_equal(stream_send_pair_all(s, first, second, net_test_in_ms(5000)), RC_OK);
    while (stream_recv_wait(s, back + size, BULK - size > 5000 ? 5000 : BULK - size + (size == BULK), &done,
                            net_test_in_ms(5000)) == RC_OK)
        size += done;
    assert_int_equal(size, BULK);
    assert_memory_equal(back, bulk, BULK);
}

static void test_bulk_both_ways(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct tls_server *server = only(server_ec(), i ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
        struct visit v = {.trust = trust_root(), .host = "larder.test", .talk = bulk_talk};
        net_tls_peer_start(&v.peer, server, bulk_echo);
        net_test_run(visit_run, &v);
        if (v.rc != RC_OK) fail_msg("%s", v.message);
        net_tls_peer_stop(&v.peer);
        tls_server_release(server);
        tls_trust_release(v.trust);
    }
}

static void cut_serve(struct stream *s, unsigned index)
{
    (void)index;
    (void)net_tls_peer_request(s);
    (void)stream_send_all(s, "half", 4, net_test_in_ms(5000));
    shutdown(s->source.source.fd, SHUT_RDWR); /* without close_notify */
}

static void cut_talk(struct stream *s)
{
    char buffer[16];
    size_t done = 0;
    assert_int_equal(stream_send_all(s, "q\r\n\r\n", 5, net_test_in_ms(5000)), RC_OK);
    assert_int_equal(stream_recv_wait(s, buffer, sizeof buffer, &done, net_test_in_ms(5000)), RC_OK);
    assert_int_equal(stream_recv_wait(s, buffer, sizeof buffer, &done, net_test_in_ms(5000)), RC_IO);
}

static void test_cut_is_not_an_end(void **state)
{
    (void)state;
    struct tls_server *server = server_ec();
    struct visit v = {.trust = trust_root(), .host = "larder.test", .talk = cut_talk};
    net_tls_peer_start(&v.peer, server, cut_serve);
    net_test_run(visit_run, &v);
    assert_int_equal(v.rc, RC_OK);
    net_tls_peer_stop(&v.peer);
    tls_server_release(server);
    tls_trust_release(v.trust);
}

/* ---- peers that are no TLS servers */

static void silent(struct net_peer *peer, int fd, unsigned index)
{
    char buffer[512];
    (void)peer;
    (void)index;
    while (recv(fd, buffer, sizeof buffer, 0) > 0) continue;
}

static void speaks_http(struct net_peer *peer, int fd, unsigned index)
{
    char buffer[512];
    (void)peer;
    (void)index;
    (void)recv(fd, buffer, sizeof buffer, 0);
    (void)net_peer_say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
}

static void hangs_up(struct net_peer *peer, int fd, unsigned index)
{
    char buffer[2048];
    (void)peer;
    (void)index;
    (void)recv(fd, buffer, sizeof buffer, 0);
}

static int visit_plain(void (*serve)(struct net_peer *peer, int fd, unsigned index), unsigned ms,
                       char message[TLS_MESSAGE_MAX])
{
    struct net_peer peer;
    struct visit v = {.trust = trust_root(), .host = "larder.test", .deadline_us = net_test_in_ms(ms)};
    net_peer_start(&peer, serve);
    v.peer.port = peer.port;
    net_test_run(visit_run, &v);
    net_peer_stop(&peer);
    tls_trust_release(v.trust);
    memcpy(message, v.message, TLS_MESSAGE_MAX);
    return v.rc;
}

static void test_peers_that_speak_no_tls(void **state)
{
    char message[TLS_MESSAGE_MAX];
    (void)state;
    size_t used = heap_usage(HEAP_MBEDTLS).used;
    assert_int_equal(visit_plain(silent, 60, message), RC_TIMEOUT);
    assert_string_equal(message, "TLS handshake: no answer in time");
    assert_int_equal(visit_plain(speaks_http, 5000, message), RC_INVALID);
    assert_non_null(strstr(message, "TLS handshake: "));
    int rc = visit_plain(hangs_up, 5000, message);
    assert_true(rc == RC_IO || rc == RC_CLOSED);
    assert_string_equal(message, "TLS handshake: the server closed the connection");
    assert_int_equal(heap_usage(HEAP_MBEDTLS).used, used); /* nothing is left behind */
}

struct cancelled {
    struct visit v;
    struct fiber *fiber;
    bool done;
};

static void cancelled_run(void *arg)
{
    struct cancelled *c = arg;
    c->fiber = fiber_self();
    visit_run(&c->v);
    c->done = true;
}

static void cancel_body(void *arg)
{
    struct cancelled *c = arg;
    net_test_beside(cancelled_run, c);
    fiber_sleep_until(net_test_in_ms(30));
    assert_false(c->done);
    fiber_cancel(c->fiber);
    for (unsigned i = 0; i < 100 && !c->done; i++) fiber_sleep_until(net_test_in_ms(5));
}

static void test_cancelled_while_waiting(void **state)
{
    struct net_peer peer;
    struct cancelled c = {.v = {.trust = trust_root(), .host = "larder.test"}};
    (void)state;
    net_peer_start(&peer, silent);
    c.v.peer.port = peer.port;
    net_test_run(cancel_body, &c);
    net_peer_stop(&peer);
    assert_true(c.done);
    assert_int_equal(c.v.rc, RC_CANCELLED);
    tls_trust_release(c.v.trust);
}

static void hold(struct stream *s, unsigned index)
{
    (void)index;
    (void)net_tls_peer_request(s);
}

static void crowd_body(void *arg)
{
    struct visit *v = arg;
    struct stream streams[NET_TEST_CALLS + 1];
    for (unsigned i = 0; i <= NET_TEST_CALLS; i++) {
        stream_init(&streams[i], net_test_connect(v->peer.port));
        v->rc = tls_connect(&streams[i], v->trust, SPAN("larder.test"), net_test_in_ms(5000), v->message);
        assert_int_equal(v->rc, i < NET_TEST_CALLS ? RC_OK : RC_FULL);
    }
    for (unsigned i = 0; i <= NET_TEST_CALLS; i++) stream_close(&streams[i], false);
}

static void test_more_sessions_than_there_are(void **state)
{
    (void)state;
    struct tls_server *server = server_ec();
    struct visit v = {.trust = trust_root()};
    net_tls_peer_start(&v.peer, server, hold);
    net_test_run(crowd_body, &v);
    assert_string_equal(v.message, "TLS: all 8 sessions are in use");
    net_tls_peer_stop(&v.peer);
    tls_server_release(server);
    tls_trust_release(v.trust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_versions_and_key_types),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_unknown_authority),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_not_valid_yet),
        cmocka_unit_test(test_unset_clock_tolerates_only_what_is_to_come),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_own_certificate_in_the_file),
        cmocka_unit_test(test_bundle_with_damage),
        cmocka_unit_test(test_file_that_changes),
        cmocka_unit_test(test_sources_that_are_wrong),
        cmocka_unit_test(test_resumes_1_2),
        cmocka_unit_test(test_resumes_1_3),
        cmocka_unit_test(test_forgotten_ticket_is_a_full_handshake),
        cmocka_unit_test(test_bulk_both_ways),
        cmocka_unit_test(test_cut_is_not_an_end),
        cmocka_unit_test(test_peers_that_speak_no_tls),
        cmocka_unit_test(test_cancelled_while_waiting),
        cmocka_unit_test(test_more_sessions_than_there_are),
    };
    return cmocka_run_group_tests_name("tls", tests, net_test_start, NULL);
}
