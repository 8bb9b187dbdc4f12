/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/flight_test.h — what the tests of flights and answers share: a provider's words, an asker, a quiet end. */
#ifndef TESTS_FLIGHT_TEST_H
#define TESTS_FLIGHT_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/gateway/flight.h"
#include "platform/rc.h"
#include "tests/support/gateway_test.h"

#define STREAM_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define DELTA(text)                                                                                                \
    "data: "                                                                                                       \
    "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0," \
    "\"delta\":{\"role\":\"assistant\",\"content\":\"" text "\"},\"finish_reason\":null}]}\n\n"
#define STOP                                                                                                       \
    "data: "                                                                                                       \
    "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0," \
    "\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE                                                                                                 \
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[]," \
    "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}\n\n"
#define DONE "data: [DONE]\n\n"
#define STREAM ",\"stream\":true"
#define KEY "Authorization: Bearer sk-one\r\n"

static __attribute__((unused))
const char *const retried = /* the provider is tried once, the call is not finished for the store */
    "limits: {requests: 16, flights: 16, connections: 64, parse_max: 64KiB, memory: 8MiB}\n"
    "storage: {entries_max: 1000, bytes_max: 64MiB, hot: 1MiB, sync_every: 200ms}\n"
    "budgets: {finish_for_store: 0s}\n"
    "providers:\n"
    "  - {name: up, dialect: openai, base_url: 'http://127.0.0.1:%u/v1', passthrough: true, retry: {attempts: 1}}\n"
    "routes:\n"
    "  - {match: {dialect: openai, model: '*'}, providers: [up], packs: [starter], cache: {ttl: 1h}}\n";

static __attribute__((unused)) int ask_with(const char *fields, const char *question, const char *more)
{
    int fd = gateway_test_dial();
    gateway_test_say(fd, gateway_test_chat(fields, gateway_test_body(question, more)));
    gateway_test_settle();
    return fd;
}

static __attribute__((unused)) int ask(const char *question, const char *more)
{
    return ask_with(KEY, question, more);
}

/* One chunk of the provider's body. */
static __attribute__((unused)) void say_chunk(int up, const char *text)
{
    char head[20];
    snprintf(head, sizeof head, "%zx\r\n", strlen(text));
    gateway_test_answer(up, head);
    gateway_test_answer(up, text);
    gateway_test_answer(up, "\r\n");
    gateway_test_settle();
}

static __attribute__((unused)) void expect_quiet(void **state)
{
    (void)state;
    gateway_test_settle();
    assert_int_equal(flights_now(), 0);
    assert_int_equal(gateway.in_flight, 0);
    assert_int_equal(server_busy(&boot.api), 0);
    assert_false(gateway_test_is_called());
}

static __attribute__((unused)) int after_each(void **state)
{
    expect_quiet(state);
    return 0;
}

static __attribute__((unused)) int start(void **state)
{
    (void)state;
    gateway_test_boot(gateway_test_yaml);
    return 0;
}

static __attribute__((unused)) int stop(void **state)
{
    (void)state;
    gateway_test_stop();
    return 0;
}

#define T(name) cmocka_unit_test_teardown(name, after_each)

#endif
