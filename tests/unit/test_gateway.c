/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_gateway.c — requests beside each other, passages, model lists, keys, reloads: in process. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/gateway/tenants.h"
#include "platform/clock.h"
#include "platform/rc.h"
#include "tests/support/gateway_test.h"

#define KEY "Authorization: Bearer sk-one\r\n"

static int after_each(void **state)
{
    (void)state;
    gateway_test_settle();
    assert_int_equal(gateway.in_flight, 0);
    assert_int_equal(server_busy(&boot.api), 0);
    assert_false(gateway_test_is_called());
    gateway.current->health[0] = (struct provider_health){0};
    return 0;
}

static int ask(const char *fields, const char *question)
{
    int fd = gateway_test_dial();
    gateway_test_say(fd, gateway_test_chat(fields, gateway_test_body(question, "")));
    gateway_test_settle();
    return fd;
}

static int say(const char *request)
{
    int fd = gateway_test_dial();
    gateway_test_say(fd, request);
    gateway_test_settle();
    return fd;
}

static void store(const char *fields, const char *question, const char *answer)
{
    int fd = ask(fields, question), up = gateway_test_call();
    gateway_test_answer(up, gateway_test_object(answer));
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_leave(fd);
    close(up);
}

static void expect_hit(const char *fields, const char *question, const char *answer)
{
    int fd = ask(fields, question);
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: exact\r\n");
    gateway_test_expect(answer);
    gateway_test_leave(fd);
}

/* ---- the shared scratch */

/* While the body of the one is under way, another's head lies where the first one's credential was read. */
static void test_a_late_body_keeps_its_credential(void **state)
{
    static const char victim[] = "Authorization: Bearer sk-victim\r\n", other[] = "Authorization: Bearer sk-nobody\r\n";
    char request[2000];
    (void)state;
    store(victim, "my secret", "for the victim");
    expect_hit(victim, "my secret", "for the victim");
    expect_hit(victim, "my secret", "for the victim"); /* by the short cut */
    snprintf(request, sizeof request, "%s", gateway_test_chat(other, gateway_test_body("my secret", "")));
    char *body = strstr(request, "\r\n\r\n") + 4;
    char rest[1000];
    snprintf(rest, sizeof rest, "%s", body);
    *body = 0;
    int fd = say(request);
    expect_hit(victim, "my secret", "for the victim");
    gateway_test_say(fd, rest);
    int up = gateway_test_call();
    assert_non_null(strstr(gateway_test_asked, "sk-nobody"));
    gateway_test_answer(up, gateway_test_object("for nobody"));
    gateway_test_hear(fd, "for nobody");
    gateway_test_expect_not("victim");
    expect_hit(victim, "my secret", "for the victim");
    gateway_test_leave(fd);
    close(up);
}

/* ---- keys */

static void add_key(void *arg)
{
    assert_int_equal(tenant_add(SPAN("kiosk"), arg), RC_OK);
}

static void revoke_key(void *arg)
{
    *(int *)arg = tenant_revoke(SPAN("kiosk"));
}

static void test_a_virtual_key_stays_here(void **state)
{
    char key[TENANT_KEY_SIZE + 1], fields[200];
    int revoked = RC_EXISTS;
    (void)state;
    gateway_test_fiber(add_key, key);
    snprintf(fields, sizeof fields, KEY "x-api-key: %s\r\n", key);
    int fd = ask(fields, "both keys"), up = gateway_test_call();
    assert_null(strstr(gateway_test_asked, "lk-"));
    assert_non_null(strstr(gateway_test_asked, "sk-one"));
    gateway_test_answer(up, gateway_test_object("fine"));
    gateway_test_hear(fd, "fine");
    gateway_test_leave(fd);
    close(up);
    gateway_test_fiber(revoke_key, &revoked);
    assert_int_equal(revoked, RC_OK);
    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", key);
    fd = ask(fields, "revoked");
    gateway_test_hear(fd, "Incorrect API key provided");
    gateway_test_expect("HTTP/1.1 401 ");
    gateway_test_leave(fd);
}

static void test_a_place_holder_beside_a_key(void **state)
{
    (void)state;
    int fd = ask("Authorization: Bearer DUMMY_KEY\r\nx-api-key: sk-real\r\n", "place holder"), up = gateway_test_call();
    assert_non_null(strstr(gateway_test_asked, "sk-real"));
    gateway_test_answer(up, gateway_test_object("fine"));
    gateway_test_hear(fd, "fine");
    gateway_test_leave(fd);
    close(up);
}

/* A refused credential's own answers rest until the provider takes it again. */
static void test_a_refused_credential_has_no_hits(void **state)
{
    static const char key[] = "Authorization: Bearer sk-refused\r\n";
    (void)state;
    store(key, "once fine", "kept");
    expect_hit(key, "once fine", "kept");
    int fd = ask(key, "then refused"), up = gateway_test_call();
    gateway_test_answer(up,
                        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    gateway_test_hear(fd, "{}");
    gateway_test_expect("HTTP/1.1 401 ");
    gateway_test_leave(fd);
    fd = ask(key, "once fine");
    gateway_test_asked_again(up);
    gateway_test_answer(up, gateway_test_object("anew"));
    gateway_test_hear(fd, "anew");
    gateway_test_leave(fd);
    expect_hit(key, "once fine", "anew");
    close(up);
}

static void test_an_origin_that_is_none(void **state)
{
    static char fields[800];
    (void)state;
    memset(fields, 'o', sizeof fields);
    memcpy(fields, "Origin: http://", 15);
    memcpy(fields + 600, "\r\n", 3);
    int fd = ask(fields, "x");
    gateway_test_hear(fd, "forbidden");
    gateway_test_expect("HTTP/1.1 403 ");
    gateway_test_leave(fd);
}

/* ---- passages */

static void test_a_passage(void **state)
{
    (void)state;
    int fd = say("GET /v1/files?limit=2 HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n"), up = gateway_test_call();
    assert_non_null(strstr(gateway_test_asked, "GET /v1/files?limit=2 HTTP/1.1\r\n"));
    assert_int_equal(gateway.in_flight, 1);
    gateway_test_answer(
        up, "HTTP/1.1 200 OK\r\nContent-Type: text/x-own\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    gateway_test_hear(fd, "hello\r\n");
    gateway_test_answer(up, "0\r\n\r\n");
    gateway_test_hear(fd, "0\r\n\r\n");
    gateway_test_say(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gateway_test_hear(fd, "Larder is here");
    gateway_test_leave(fd);
    close(up);
}

static void test_passages_of_head_and_304(void **state)
{
    (void)state;
    int fd = say("HEAD /v1/files HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n"), up = gateway_test_call();
    gateway_test_answer(up, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    gateway_test_hear(fd, "\r\n\r\n");
    gateway_test_say(fd, "GET /v1/files HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
    gateway_test_asked_again(up);
    gateway_test_answer(up, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
    gateway_test_hear(fd, "\r\n\r\n");
    gateway_test_expect("HTTP/1.1 304 ");
    gateway_test_expect("ETag: \"a\"\r\n");
    gateway_test_expect_not("Content-Length");
    gateway_test_leave(fd);
    close(up);
}

static void test_a_passage_cut(void **state)
{
    (void)state;
    int fd = say("GET /v1/files HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n"), up = gateway_test_call();
    gateway_test_answer(
        up, "HTTP/1.1 200 OK\r\nContent-Type: text/x-own\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    gateway_test_settle();
    gateway_test_cut(up);
    gateway_test_hear(fd, "");
    assert_int_equal(gateway_test_end, WAS_RESET);
    gateway_test_expect_not("0\r\n\r\n");
    gateway_test_leave(fd);
}

static void test_a_passage_without_an_answer(void **state)
{
    (void)state;
    int fd = say("GET /v1/files HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n"), up = gateway_test_call();
    gateway_test_cut(up);
    gateway_test_hear(fd, "cannot be reached");
    gateway_test_expect("HTTP/1.1 503 ");
    gateway_test_expect("x-should-retry: false\r\n");
    assert_int_not_equal(gateway.current->health[0].failing_since_us, 0);
    assert_int_equal(gateway.current->health[0].connect_failures, 0); /* it was there: the breaker stays out of it */
    gateway_test_leave(fd);
}

/* What the client does wrong says nothing about the provider. */
static void test_bad_uploads_do_not_open_the_breaker(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        int fd =
            say("POST /v1/files HTTP/1.1\r\nHost: localhost\r\n" KEY "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        int up = -1;
        while (gateway_test_is_called()) up = gateway_test_accept();
        gateway_test_say(fd, "this is no chunk\r\n");
        gateway_test_hear(fd, "not well formed");
        gateway_test_expect("HTTP/1.1 400 ");
        gateway_test_leave(fd);
        close(up);
    }
    assert_int_equal(gateway.current->health[0].connect_failures, 0);
    int fd = say("POST /v1/files HTTP/1.1\r\nHost: localhost\r\n" KEY "Content-Length: 100\r\n\r\nabc");
    assert_true(gateway_test_is_called());
    int up = gateway_test_accept();
    gateway_test_leave(fd);
    gateway_test_settle();
    assert_int_equal(gateway.current->health[0].connect_failures, 0);
    close(up);
}

static void test_an_early_answer_to_an_upload(void **state)
{
    static char piece[16001];
    (void)state;
    memset(piece, 'u', sizeof piece - 1);
    int fd = say("POST /v1/files HTTP/1.1\r\nHost: localhost\r\n" KEY "Content-Length: 16000000\r\n\r\n");
    assert_true(gateway_test_is_called());
    int up = gateway_test_accept();
    gateway_test_say(fd, piece);
    gateway_test_settle();
    gateway_test_answer(
        up,
        "HTTP/1.1 413 Too Large\r\nContent-Type: text/plain\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big");
    gateway_test_drink(up);
    gateway_test_cut(up);
    for (unsigned i = 0; i < 4; i++) gateway_test_say(fd, piece);
    gateway_test_hear(fd, "too big");
    gateway_test_expect("HTTP/1.1 413 ");
    gateway_test_expect("Connection: close\r\n");
    gateway_test_leave(fd);
}

static void test_a_refused_probe_does_not_put_off_the_next(void **state)
{
    (void)state;
    struct provider_health *health = &gateway.current->health[0];
    uint64_t next = clock_monotonic_us() + 3600 * CLOCK_SECOND;
    *health = (struct provider_health){.connect_failures = 5, .next_probe_us = next, .failing_since_us = 1};
    int fd = say("GET /v1/files HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
    gateway_test_hear(fd, "cannot be reached");
    assert_int_equal(health->next_probe_us, next);
    assert_int_equal(health->connect_failures, 5);
    gateway_test_leave(fd);
}

/* ---- model lists */

#define LIST "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n"

static void test_what_is_no_list_is_not_kept(void **state)
{
    (void)state;
    int fd = say(LIST), up = gateway_test_call();
    gateway_test_answer(up, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>");
    gateway_test_hear(fd, "\"larder\"");
    gateway_test_say(fd, LIST);
    gateway_test_asked_again(up);
    gateway_test_answer(up, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 58\r\n\r\n"
                            "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-x\",\"object\":\"model\"}]}");
    gateway_test_hear(fd, "gpt-x");
    gateway_test_say(fd, LIST);
    gateway_test_hear(fd, "gpt-x");
    gateway_test_expect("Cache-Status: larder; hit\r\n");
    assert_false(gateway_test_is_called());
    gateway_test_leave(fd);
    close(up);
}

/* ---- reloads */

static void test_a_reload_stays_within_boot(void **state)
{
    static char more[2000];
    (void)state;
    snprintf(more, sizeof more, "%s", gateway_test_yaml);
    char *limits = strstr(more, "requests: 16"), *parse = strstr(more, "parse_max: 64KiB");
    memcpy(limits, "requests: 32", 12);
    memcpy(parse, "parse_max: 96KiB", 16);
    assert_int_equal(gateway_test_reload(more), RC_OK);
    assert_int_equal(gateway.current->config->limits.requests, 16);
    assert_int_equal(gateway.current->config->limits.parse_max, 64 << 10);
    assert_int_equal(gateway_test_reload("providers: nonsense\n"), RC_INVALID);
    store(KEY, "after a bad reload", "still here");
    assert_int_equal(gateway_test_reload(gateway_test_yaml), RC_OK);
    expect_hit(KEY, "after a bad reload", "still here");
}

static int start(void **state)
{
    (void)state;
    gateway_test_boot(gateway_test_yaml);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    gateway_test_stop();
    return 0;
}

#define T(name) cmocka_unit_test_teardown(name, after_each)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_a_late_body_keeps_its_credential), T(test_a_virtual_key_stays_here),
        T(test_a_place_holder_beside_a_key),      T(test_a_refused_credential_has_no_hits),
        T(test_an_origin_that_is_none),           T(test_a_passage),
        T(test_passages_of_head_and_304),         T(test_a_passage_cut),
        T(test_a_passage_without_an_answer),      T(test_bad_uploads_do_not_open_the_breaker),
        T(test_an_early_answer_to_an_upload),     T(test_a_refused_probe_does_not_put_off_the_next),
        T(test_what_is_no_list_is_not_kept),      T(test_a_reload_stays_within_boot),
    };
    return cmocka_run_group_tests_name("gateway", tests, start, stop);
}
