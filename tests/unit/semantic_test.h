/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/semantic_test.h — what the tests of the semantic step share: a lookup that finds what the test says, an
 * embedder that is only a name, routes of every kind, and askers. */
#ifndef TESTS_SEMANTIC_TEST_H
#define TESTS_SEMANTIC_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/gateway/flight.h"
#include "app/gateway/learn.h"
#include "app/gateway/semantic.h"
#include "app/gateway/tenants.h"
#include "platform/clock.h"
#include "platform/rc.h"
#include "tests/support/gateway_test.h"

enum { TEST_DIM = 8 };

/* What the next lookups find, and what they were asked. */
static struct {
    unsigned calls;
    int rc;
    bool waits; /* for a few turns of the loop, as a job of the pool would */
    uint64_t id;
    float score;
    uint32_t vetoes;
    unsigned next_calls;
    struct {
        uint64_t id;
        float score;
        uint32_t vetoes;
    } next[SEMANTIC_NEXT_MAX]; /* what is found after the best; id 0: nothing more */
    char text[ENTRY_QUERY_MAX + 1];
    struct semantic_question asked;
} lookup;

static int8_t test_vector[TEST_DIM];

int __wrap_semantic_lookup(const struct semantic_question *question, struct arena *arena, struct semantic_found *found);
int __wrap_semantic_lookup_next(const struct semantic_question *question, struct arena *arena,
                                struct semantic_found *found);
const struct embedder *__wrap_embed_current(void);

int __wrap_semantic_lookup(const struct semantic_question *question, struct arena *arena, struct semantic_found *found)
{
    (void)arena;
    lookup.calls++;
    lookup.asked = *question;
    snprintf(lookup.text, sizeof lookup.text, "%.*s", SPAN_ARG(question->text));
    if (lookup.waits) (void)fiber_sleep_until(clock_monotonic_us() + 5000);
    if (lookup.rc != RC_OK) return lookup.rc;
    *found = (struct semantic_found){.id = lookup.id, .score = lookup.score, .vetoes = lookup.vetoes};
    found->vector = (struct entry_vector){
        .space = question->space, .space_tag = 1, .dim = TEST_DIM, .vector = test_vector, .scale = 1};
    return RC_OK;
}

int __wrap_semantic_lookup_next(const struct semantic_question *question, struct arena *arena,
                                struct semantic_found *found)
{
    (void)question;
    (void)arena;
    lookup.next_calls++;
    if (found->passed_count == SEMANTIC_NEXT_MAX) return RC_NOT_FOUND;
    unsigned i = found->passed_count++;
    found->passed[i] = found->id;
    found->id = lookup.next[i].id;
    found->score = lookup.next[i].score;
    found->vetoes = lookup.next[i].vetoes;
    return found->id ? RC_OK : RC_NOT_FOUND;
}

const struct embedder *__wrap_embed_current(void)
{
    static const struct embedder embedder = {.kind = EMBED_MINILM, .dim = TEST_DIM, .tag = "test/1", .tag_hash = 77};
    return &embedder;
}

/* `up` takes clients' keys, `box` only those the box issued. */
#define SEMANTIC_TEST_START                                                                  \
    "limits: {requests: 16, flights: 16, connections: 64, parse_max: 64KiB, memory: 8MiB}\n" \
    "storage: {entries_max: 1000, bytes_max: 64MiB, hot: 1MiB, sync_every: 200ms}\n"         \
    "budgets: {finish_for_store: 0s}\n"
#define SEMANTIC_TEST_PROVIDERS                                                                                     \
    "providers:\n"                                                                                                  \
    "  - {name: up, dialect: openai, base_url: 'http://127.0.0.1:%u/v1', passthrough: true, retry: {attempts: 1}, " \
    "breaker: {probe: 10ms},\n"                                                                                     \
    "     timeouts: {connect: 2s, first_byte: 4s, idle: 4s, total: 8s}}\n"                                          \
    "  - {name: box, dialect: openai, base_url: 'http://127.0.0.1:%u/v1', key: sk-box, retry: {attempts: 1},\n"     \
    "     breaker: {probe: 10ms}}\n"
#define SEMANTIC_TEST_ROUTE(model, provider, cache)                                                                  \
    "  - {match: {dialect: openai, model: '" model "'}, providers: [" provider "], packs: [starter], cache: {" cache \
    "}}\n"

static const char semantic_test_yaml[] = SEMANTIC_TEST_START
    "semantic: {shadow: {rate: 0}}\n" SEMANTIC_TEST_PROVIDERS
    "routes:\n" SEMANTIC_TEST_ROUTE("off*", "up", "semantic: off")
        SEMANTIC_TEST_ROUTE("preset*", "up", "semantic: preset")
            SEMANTIC_TEST_ROUTE("strict*", "up", "semantic: preset, threshold: strict, guards: strict")
                SEMANTIC_TEST_ROUTE("open*", "up", "semantic: preset, history: true, json_schema: true")
                    SEMANTIC_TEST_ROUTE("away*", "up", "semantic: preset, offline_threshold: 0.85, ttl: 1h")
                        SEMANTIC_TEST_ROUTE("brief*", "up", "semantic: preset, ttl: 0s, stale_if_error: 1h")
                            SEMANTIC_TEST_ROUTE("fresh*", "up", "semantic: preset, sampled: fresh")
                                SEMANTIC_TEST_ROUTE("shared*", "box", "semantic: preset, share: box")
                                    SEMANTIC_TEST_ROUTE("common*", "up", "semantic: preset, share: box")
                                        SEMANTIC_TEST_ROUTE("*", "up", "semantic: learn");

#define KEY "Authorization: Bearer sk-one\r\n"
#define OTHER_KEY "Authorization: Bearer sk-two\r\n"

struct virtual_key {
    const char *name;
    char fields[100]; /* the header line that sends it */
};

static __attribute__((unused)) void virtual_key_run(void *arg)
{
    struct virtual_key *v = arg;
    char key[TENANT_KEY_SIZE + 1];
    assert_int_equal(tenant_add(span_text(v->name), key), RC_OK);
    snprintf(v->fields, sizeof v->fields, "Authorization: Bearer %s\r\n", key);
}

static __attribute__((unused)) struct virtual_key virtual_key(const char *name)
{
    struct virtual_key v = {.name = name};
    gateway_test_fiber(virtual_key_run, &v);
    return v;
}

/* Sends a chat request with any body. */
static __attribute__((unused)) int send_body(const char *fields, const char *body)
{
    int fd = gateway_test_dial();
    gateway_test_say(fd, gateway_test_chat(fields, body));
    return fd;
}

static __attribute__((unused)) int ask(const char *fields, const char *model, const char *question, const char *more)
{
    static char body[16384];
    snprintf(body, sizeof body, "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}", model,
             question, more);
    return send_body(fields, body);
}

static __attribute__((unused)) uint64_t field_number(const char *name)
{
    char line[60];
    snprintf(line, sizeof line, "\r\n%s:", name);
    const char *at = strstr(gateway_test_heard, line);
    if (!at) fail_msg("no %s in %s", name, gateway_test_heard);
    return strtoull(at + strlen(line), NULL, 10);
}

/* What upstream answers to the request under way; the client hears it. Returns the new entry's id. */
static __attribute__((unused)) uint64_t answer_from_upstream(int fd, const char *answer)
{
    int up = gateway_test_call();
    gateway_test_answer(up, gateway_test_object(answer));
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: none\r\n");
    gateway_test_expect(answer);
    close(up);
    gateway_test_leave(fd);
    gateway_test_settle();
    return field_number("x-larder-entry");
}

/* Stored without a candidate beside it. */
static __attribute__((unused)) uint64_t store(const char *fields, const char *model, const char *question,
                                              const char *answer)
{
    lookup.id = 0;
    lookup.vetoes = 0;
    return answer_from_upstream(ask(fields, model, question, ""), answer);
}

static __attribute__((unused)) void find_next(uint64_t id, float score, uint32_t vetoes)
{
    lookup.id = id;
    lookup.score = score;
    lookup.vetoes = vetoes;
}

static __attribute__((unused)) void find_after(unsigned place, uint64_t id, float score, uint32_t vetoes)
{
    lookup.next[place].id = id;
    lookup.next[place].score = score;
    lookup.next[place].vetoes = vetoes;
}

static __attribute__((unused)) void expect_hit(int fd, const char *answer, const char *until)
{
    gateway_test_hear(fd, until);
    gateway_test_expect("HTTP/1.1 200 OK\r\n");
    gateway_test_expect("x-larder-hit: semantic\r\n");
    gateway_test_expect(answer);
    gateway_test_leave(fd);
}

static __attribute__((unused)) int before_each(void **state)
{
    (void)state;
    memset(&lookup, 0, sizeof lookup);
    return 0;
}

static __attribute__((unused)) int after_each(void **state)
{
    (void)state;
    gateway_test_settle();
    assert_int_equal(flights_now(), 0);
    assert_int_equal(gateway.in_flight, 0);
    assert_int_equal(server_busy(&boot.api), 0);
    assert_false(gateway_test_is_called());
    return 0;
}

static __attribute__((unused)) int start(void **state)
{
    (void)state;
    gateway_test_boot(semantic_test_yaml);
    return 0;
}

static __attribute__((unused)) int stop(void **state)
{
    (void)state;
    gateway_test_stop();
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, before_each, after_each)

#endif
