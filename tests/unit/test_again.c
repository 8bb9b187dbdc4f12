/* SPDX-License-Identifier: Apache-2.0 */
/* A question as bytes: what is in them, and that it is the same question when it comes out again. */
#include "tests/support/gateway_test.h"

#include <stdio.h>
#include <string.h>

#include "app/gateway/again.h"
#include "app/gateway/refresh.h"
#include "app/gateway/serve.h"
#include "platform/clock.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"

static const char yaml[] = "limits: {requests: 16, flights: 16, connections: 64, parse_max: 64KiB, memory: 8MiB}\n"
                           "providers:\n"
                           "  - {name: up, dialect: openai, base_url: 'http://127.0.0.1:%u/v1', retry: {attempts: 1},\n"
                           "     timeouts: {connect: 2s, first_byte: 4s, idle: 4s, total: 8s}}\n"
                           "routes:\n"
                           "  - {match: {dialect: openai, model: 'm'}, providers: [up], cache: {ttl: 1h}}\n";

#define BODY "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define HEAD                                                                                             \
    "POST /v1/chat/completions?beta=true HTTP/1.1\r\nHost: box:1\r\nAuthorization: Bearer lk-secret\r\n" \
    "x-api-key: sk-secret\r\nCookie: secret\r\nX-Forwarded-For: 1.2.3.4\r\nUser-Agent: me\r\nPrefer: "   \
    "respond-async\r\n"                                                                                  \
    "OpenAI-Beta: one\r\nx-larder-namespace: b\r\nContent-Type: application/json\r\n\r\n"
#define KEPT                                                                                             \
    "POST /v1/chat/completions?beta=true HTTP/1.1\r\nHost: larder\r\ncontent-type: application/json\r\n" \
    "openai-beta: one\r\nx-larder-namespace: b\r\nContent-Length: 57\r\n\r\n" BODY

static struct arena arena;
static struct exchange exchange;
static struct request asked;
static const struct tenant nobody = {.kind = TENANT_LOCAL};

/* As serve.c would have it. */
static struct request *ask(const char *head, const char *body)
{
    static char bytes[8192];
    int size = snprintf(bytes, sizeof bytes, "%s", head);
    memset(&exchange, 0, sizeof exchange);
    memset(&asked, 0, sizeof asked);
    arena_reset(&arena, 0);
    assert_int_equal(http_parse_request(span_of(bytes, (size_t)size), 0, sizeof bytes, &exchange.head), RC_OK);
    exchange.arena = &arena;
    asked.x = &exchange;
    asked.body = exchange.body = span_text(body);
    asked.generation = gateway.current;
    asked.config = gateway.current->config;
    asked.anonymous_allowed = true;
    serve_classify(&asked);
    return &asked;
}

static struct span bytes_of(const struct request *r)
{
    struct span bytes = {0};
    assert_int_equal(again_write(r, &arena, &bytes), RC_OK);
    return bytes;
}

static void test_what_is_kept(void **state)
{
    (void)state;
    struct span bytes = bytes_of(ask(HEAD, BODY));
    if (!span_equal(bytes, SPAN(KEPT))) fail_msg("%.*s", SPAN_ARG(bytes));
}

static void test_it_is_the_same_question(void **state)
{
    struct request *again = NULL;
    struct span error = {0};
    (void)state;
    struct request *r = ask(HEAD, BODY);
    assert_int_equal(serve_read_question(r, &error), RC_OK);
    assert_int_equal(again_read(guarded(bytes_of(r)), &nobody, &arena, &again), RC_OK);
    assert_memory_equal(&again->question.digest, &r->question.digest, sizeof r->question.digest);
    assert_ptr_equal(again->route, r->route);
    assert_int_equal(again->endpoint, ENDPOINT_CHAT);
    assert_int_equal(again->id[0], 'r');
    assert_null(again->x->connection);
    assert_true(again_is_online(again));
    gateway.current->health[0].failing_since_us = 1;
    assert_false(again_is_online(again));
    gateway.current->health[0].failing_since_us = 0;
}

static void test_bytes_that_are_none(void **state)
{
    struct request *again = NULL;
    (void)state;
    struct span bytes = bytes_of(ask(HEAD, BODY));
    size_t mark = arena_mark(&arena);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(again_read(guarded(span_of(bytes.data, size)), &nobody, &arena, &again), RC_INVALID);
        arena_rewind(&arena, mark);
    }
    assert_int_equal(again_read(SPAN(KEPT " "), &nobody, &arena, &again), RC_INVALID); /* longer than it says */
    assert_null(again);
    struct span other = SPAN("POST /v1/files HTTP/1.1\r\nHost: larder\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(again_read(guarded(other), &nobody, &arena, &again), RC_INVALID); /* no chat */
}

static void test_who_may_not(void **state)
{
    static const struct tenant stranger = {.kind = TENANT_VIRTUAL, .id = {1}}, passed = {.kind = TENANT_PASSTHROUGH};
    struct request *again = NULL;
    (void)state;
    struct span bytes = bytes_of(ask(HEAD, BODY));
    assert_int_equal(again_read(bytes, &stranger, &arena, &again), RC_NOT_FOUND); /* no such key, or revoked */
    assert_int_equal(again_read(bytes, &passed, &arena, &again), RC_NOT_FOUND);   /* its credential is not kept */
    bytes = bytes_of(ask(HEAD, "{\"model\":\"other\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"));
    assert_int_equal(again_read(bytes, &nobody, &arena, &again), RC_NOT_FOUND); /* no route */
    assert_null(again);
}

static void test_heads_that_are_too_long(void **state)
{
    static char head[8192], value[5000];
    struct span bytes;
    (void)state;
    memset(value, 'v', sizeof value - 1);
    snprintf(head, sizeof head, "POST /v1/chat/completions HTTP/1.1\r\nHost: b\r\nOpenAI-Beta: %s\r\n\r\n", value);
    assert_int_equal(again_write(ask(head, BODY), &arena, &bytes), RC_TOO_LARGE);
    struct request *r = ask(HEAD, BODY);
    while (arena_take(&arena, 512, 1)) continue;
    assert_int_equal(again_write(r, &arena, &bytes), RC_FULL);
}

/* ---- refresh: what it notes */

static void note(const char *question, struct tenant tenant)
{
    char body[16384];
    struct span error = {0};
    snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", question);
    struct request *r = ask(HEAD, body);
    assert_int_equal(serve_read_question(r, &error), RC_OK);
    r->tenant = tenant;
    refresh_note(r, &arena);
}

static void step(void *arg)
{
    static struct arena own;
    static _Alignas(4096) char room[1 << 20];
    (void)arg;
    if (!own.base) arena_init(&own, room, sizeof room, NULL);
    arena_reset(&own, sizeof room);
    refresh_step(&own);
}

static void test_refresh(void **state)
{
    static char large[REFRESH_SIZE + 1], number[16];
    (void)state;
    memset(large, 'l', sizeof large - 1);
    note("one", (struct tenant){.kind = TENANT_PASSTHROUGH}); /* nobody's money but the client's */
    note(large, nobody);
    assert_int_equal(refresh_waiting(), 0);
    assert_false(refresh_is_due());
    note("one", nobody);
    note("one", nobody);
    assert_int_equal(refresh_waiting(), 1);
    gateway.current->health[0].failing_since_us = 1;
    assert_true(refresh_is_due());
    gateway_test_fiber(step, NULL); /* not online: put off, nothing asked */
    assert_int_equal(refresh_waiting(), 1);
    assert_false(refresh_is_due());
    assert_false(gateway_test_is_called());
    gateway.current->health[0].failing_since_us = 0;
    for (unsigned i = 0; i < REFRESH_SLOTS + 5; i++) {
        snprintf(number, sizeof number, "n %u", i);
        note(number, nobody);
    }
    assert_int_equal(refresh_waiting(), REFRESH_SLOTS); /* the oldest made room */
}

static int start(void **state)
{
    void *region;
    (void)state;
    assert_int_equal(plan_take("test arena", 1, 65536 * 4, PLAN_LAZY, 0, NULL, &region), RC_OK);
    arena_init(&arena, region, 65536 * 4, NULL);
    gateway_test_boot(yaml);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    gateway_test_stop();
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_it_is_the_same_question),
        cmocka_unit_test(test_bytes_that_are_none),
        cmocka_unit_test(test_who_may_not),
        cmocka_unit_test(test_heads_that_are_too_long),
        cmocka_unit_test(test_refresh),
    };
    return cmocka_run_group_tests_name("again", tests, start, stop);
}
