/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_answer.c — answers from the store: every form of a reply, templates, ages, purges. In process.
 *
 * Link: -Wl,--wrap=cache_read,--wrap=cache_put
 */
#include "app/gateway/answer.h"
#include "cache/hot.h"
#include "platform/clock.h"
#include "tests/unit/flight_test.h"

#define WITH_USAGE ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"

int __real_cache_read(uint64_t id, const struct digest *digest, struct arena *arena, struct cache_answer *answer);
int __wrap_cache_read(uint64_t id, const struct digest *digest, struct arena *arena, struct cache_answer *answer);

int __real_cache_put(const struct digest *digest, const struct entry_meta *meta, struct span query, struct span body,
                     const struct entry_vector *vector, uint64_t *id);
int __wrap_cache_put(const struct digest *digest, const struct entry_meta *meta, struct span query, struct span body,
                     const struct entry_vector *vector, uint64_t *id);

static bool removed_while_read;
static int read_fails, put_fails; /* with this result */

int __wrap_cache_put(const struct digest *digest, const struct entry_meta *meta, struct span query, struct span body,
                     const struct entry_vector *vector, uint64_t *id)
{
    return put_fails ? put_fails : __real_cache_put(digest, meta, query, body, vector, id);
}

/* Fails as asked; or somebody removes the entry while it is being read from disk. */
int __wrap_cache_read(uint64_t id, const struct digest *digest, struct arena *arena, struct cache_answer *answer)
{
    int rc = read_fails ? read_fails : __real_cache_read(id, digest, arena, answer);
    if (removed_while_read) {
        assert_int_equal(cache_remove(id), RC_OK);
        gateway.epoch++;
    }
    return rc;
}

static void store(const char *question, const char *answer)
{
    int fd = ask(question, ""), up = gateway_test_call();
    gateway_test_answer(up, gateway_test_object(answer));
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_leave(fd);
    close(up);
}

static void expect_hit(const char *fields, const char *question, const char *more, const char *until)
{
    int fd = ask_with(fields, question, more);
    gateway_test_hear(fd, until);
    gateway_test_expect("HTTP/1.1 200 OK\r\n");
    gateway_test_expect("x-larder-hit: exact\r\n");
    gateway_test_leave(fd);
}

/* The value of a field, blanks before it taken off. */
static const char *field(const char *name)
{
    static char value[100];
    char line[60];
    snprintf(line, sizeof line, "\r\n%s:", name);
    const char *at = strstr(gateway_test_heard, line);
    if (!at) fail_msg("no %s in %s", name, gateway_test_heard);
    at += strlen(line);
    at += strspn(at, " ");
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

/* Cold, from the template, by the short cut: the same bytes but for date, ages and ids. */
static void test_three_ways(void **state)
{
    static char bodies[3][4096];
    char ids[3][100];
    (void)state;
    store("three ways", "one answer");
    hot_clear();
    for (unsigned i = 0; i < 3; i++) {
        expect_hit(KEY, "three ways", "", "\"total_tokens\":2}}");
        snprintf(bodies[i], sizeof bodies[i], "%s", strstr(gateway_test_heard, "\r\n\r\n") + 4);
        snprintf(ids[i], sizeof ids[i], "%s", field("x-request-id"));
        assert_int_equal(strlen(ids[i]), REQUEST_ID_SIZE);
        assert_memory_equal(ids[i], "req_", 4);
        assert_string_equal(field("Content-Type"), "application/json");
        assert_int_equal(strlen(field("Date")), 29);
        assert_in_range(strtoul(field("Age"), NULL, 10), 0, 5);
        const char *status = field("Cache-Status");
        assert_memory_equal(status, "larder; hit; ttl=3", 18); /* of an hour */
        assert_memory_equal(field("Server-Timing"), "larder;dur=", 11);
        assert_true(strtoul(field("x-larder-entry"), NULL, 10) > 0);
        assert_true(strtoul(field("Content-Length"), NULL, 10) == strlen(bodies[i]));
    }
    assert_string_equal(bodies[0], bodies[1]);
    assert_string_equal(bodies[0], bodies[2]);
    assert_string_not_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[1], ids[2]);
}

static void test_every_form(void **state)
{
    (void)state;
    store("forms", "form answer");
    for (unsigned warm = 0; warm < 3; warm++) {
        expect_hit(KEY, "forms", STREAM, "data: [DONE]\n\n");
        gateway_test_expect("form answer");
        gateway_test_expect("Content-Type: text/event-stream; charset=utf-8\r\n");
        gateway_test_expect_not("total_tokens");
        expect_hit(KEY, "forms", WITH_USAGE, "data: [DONE]\n\n");
        gateway_test_expect("\"choices\":[]");
        gateway_test_expect("total_tokens");
        expect_hit(KEY, "forms", "", "\"total_tokens\":2}}");
    }
}

enum { PIPED = 40, READERS = 3 };

/* Slow clients that pipeline hits of one entry: each head is its own, whoever is answered while it waits. */
static void test_pipelined_hits(void **state)
{
    static char requests[20000];
    static char ids[PIPED * READERS][REQUEST_ID_SIZE + 1];
    unsigned count = 0;
    int fd[READERS];
    size_t size = 0;
    (void)state;
    store("piped", "piped answer");
    for (unsigned i = 0; i < PIPED; i++)
        size += (size_t)snprintf(requests + size, sizeof requests - size, "%s",
                                 gateway_test_chat(KEY, gateway_test_body("piped", i % 3 == 2 ? STREAM : "")));
    for (unsigned i = 0; i < READERS; i++) {
        fd[i] = gateway_test_dial_slow();
        gateway_test_say(fd[i], requests);
        gateway_test_say(fd[i], "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        gateway_test_settle();
    }
    for (unsigned i = 0; i < READERS; i++) {
        gateway_test_hear(fd[i], "Larder is here");
        unsigned hits = 0;
        for (const char *at = gateway_test_heard; (at = strstr(at, "\r\nx-request-id:")); hits++) {
            at += strlen("\r\nx-request-id:");
            if (hits < PIPED) snprintf(ids[count++], sizeof ids[0], "%.36s", at + strspn(at, " "));
        }
        assert_int_equal(hits, PIPED + 1);
        gateway_test_leave(fd[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        assert_memory_equal(ids[i], "req_", 4);
        assert_int_equal(strlen(ids[i]), REQUEST_ID_SIZE);
        for (unsigned k = 0; k < i; k++) assert_string_not_equal(ids[k], ids[i]);
    }
}

#define FRONT                                                                                               \
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0," \
    "\"message\":"                                                                                          \
    "{\"role\":\"assistant\",\"content\":\""
#define BACK "\"},\"finish_reason\":\"stop\"}]}"

static void commit(void *arg)
{
    (void)arg;
    assert_int_equal(cache_sync(CLOCK_NEVER), RC_OK);
}

/* Stored and in Hot. However slow the disk is, the queue has room for the next. */
static void store_large(const char *question, char letter)
{
    static char large[40001];
    char head[200];
    memset(large, letter, sizeof large - 1);
    int fd = ask(question, ""), up = gateway_test_call();
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             sizeof FRONT + sizeof large + sizeof BACK - 3);
    gateway_test_answer(up, head);
    gateway_test_answer(up, FRONT);
    gateway_test_answer(up, large);
    gateway_test_answer(up, BACK);
    gateway_test_hear(fd, BACK);
    gateway_test_leave(fd);
    close(up);
    gateway_test_fiber(commit, NULL);
    expect_hit(KEY, question, "", BACK);
}

/* A large answer to clients that read late: dropped from Hot, and its place wanted by others, while it is under way. */
static void test_a_slow_reader_keeps_its_bytes(void **state)
{
    int slow[READERS];
    (void)state;
    store_large("slow reader", 'L');
    for (unsigned i = 0; i < READERS; i++) {
        slow[i] = gateway_test_dial_slow();
        gateway_test_say(slow[i], gateway_test_chat(KEY, gateway_test_body("slow reader", "")));
        gateway_test_settle();
    }
    assert_int_equal(server_busy(&boot.api), READERS);
    hot_clear();
    for (unsigned i = 0; i < 24; i++) {
        char question[30];
        snprintf(question, sizeof question, "takes its place %u", i);
        store_large(question, 'x');
    }
    for (unsigned i = 0; i < READERS; i++) {
        gateway_test_hear(slow[i], BACK);
        const char *body = strstr(gateway_test_heard, "\r\n\r\n") + 4;
        assert_memory_equal(body, FRONT, sizeof FRONT - 1);
        assert_int_equal(strspn(body + sizeof FRONT - 1, "L"), 40000);
        gateway_test_leave(slow[i]);
    }
}

static void expect_miss(const char *question, const char *reason, const char *answer)
{
    char line[60];
    snprintf(line, sizeof line, "x-larder-miss: %s\r\n", reason);
    int fd = ask(question, ""), up = gateway_test_call();
    gateway_test_answer(up, gateway_test_object(answer));
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect(line);
    gateway_test_expect(answer);
    gateway_test_leave(fd);
    close(up);
}

/* The disk is behind and the queue full: the client has its answer, and the next one hears that it was not kept. */
static void test_no_room_to_keep_it(void **state)
{
    (void)state;
    put_fails = RC_FULL;
    expect_miss("no room", "differs:query", "first");
    expect_miss("no room", "not_storable", "second");
    put_fails = RC_OK;
    expect_miss("no room", "not_storable", "third");
    expect_hit(KEY, "no room", "", "third");
}

/* Nothing was evicted when a stored answer could not be read now: it is served when the provider fails, and later. */
static void test_too_busy_to_read_it(void **state)
{
    (void)state;
    store("busy", "kept");
    hot_clear();
    read_fails = RC_FULL;
    int fd = ask("busy", ""), up = gateway_test_call();
    read_fails = RC_OK;
    gateway_test_reset(up);
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("HTTP/1.1 200 OK\r\n");
    gateway_test_expect("kept");
    gateway_test_leave(fd);
    hot_clear();
    read_fails = RC_FULL;
    fd = ask("busy", ""), up = gateway_test_call();
    read_fails = RC_OK;
    gateway_test_answer(up, gateway_test_object("asked again"));
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-miss: bypass\r\n");
    gateway_test_leave(fd);
    close(up);
    expect_hit(KEY, "busy", "", "asked again");
}

static void test_what_the_client_allows(void **state)
{
    (void)state;
    store("allowed", "first");
    expect_hit(KEY "Cache-Control: max-age=60\r\n", "allowed", "", "\"total_tokens\":2}}");
    expect_hit(KEY "Cache-Control: only-if-cached\r\n", "allowed", "", "\"total_tokens\":2}}");
    int fd = ask_with(KEY "Cache-Control: no-cache\r\n", "allowed", ""), up = gateway_test_call();
    gateway_test_answer(up, gateway_test_object("second"));
    gateway_test_hear(fd, "second");
    gateway_test_expect("x-larder-miss: bypass\r\n");
    gateway_test_leave(fd);
    close(up);
    expect_hit(KEY, "allowed", "", "second"); /* asked anew, kept anew */
    fd = ask_with(KEY "Cache-Control: no-store\r\n", "allowed", ""), up = gateway_test_call();
    gateway_test_answer(up, gateway_test_object("third"));
    gateway_test_hear(fd, "third");
    gateway_test_expect("Cache-Status: larder; fwd=bypass\r\n");
    gateway_test_leave(fd);
    close(up);
    expect_hit(KEY, "allowed", "", "second");
    fd = ask_with(KEY "Cache-Control: only-if-cached\r\n", "never asked", "");
    gateway_test_hear(fd, "not_cached");
    gateway_test_expect("HTTP/1.1 504 ");
    gateway_test_leave(fd);
}

static void test_tenants_do_not_share(void **state)
{
    (void)state;
    store("mine", "private");
    expect_hit(KEY, "mine", "", "private");
    int fd = ask_with("Authorization: Bearer sk-two\r\n", "mine", ""), up = gateway_test_call();
    gateway_test_answer(up, gateway_test_object("another"));
    gateway_test_hear(fd, "another");
    gateway_test_expect_not("private");
    gateway_test_leave(fd);
    close(up);
}

static void purge(void *arg)
{
    unsigned removed;
    (void)arg;
    assert_int_equal(cache_purge(NULL, &removed), RC_OK);
    gateway.epoch++;
    assert_true(removed > 0);
}

static void test_purged_is_gone(void **state)
{
    (void)state;
    store("purged", "old");
    expect_hit(KEY, "purged", "", "old");
    expect_hit(KEY, "purged", "", "old");
    gateway_test_fiber(purge, NULL);
    store("purged", "new");
    expect_hit(KEY, "purged", "", "new");
}

/* Who asked before may have it; it must not come back through Hot and the short cut. */
static void test_removed_while_it_is_read(void **state)
{
    (void)state;
    store("read", "removed");
    hot_clear();
    removed_while_read = true;
    expect_hit(KEY, "read", "", "removed");
    removed_while_read = false;
    store("read", "anew"); /* the provider is called */
    expect_hit(KEY, "read", "", "anew");
}

/* Past its time an answer is asked for anew; with the provider away it is served, and says so. */
static void test_stale(void **state)
{
    (void)state;
    store("stale", "still good");
    expect_hit(KEY, "stale", "", "still good");
    uint64_t wall = clock_wall_us();
    clock_confirm(wall + 3700 * CLOCK_SECOND);
    for (unsigned form = 0; form < 2; form++) {
        int fd = ask("stale", form ? STREAM : ""), up = gateway_test_call();
        int follower = ask("stale", form ? "" : STREAM);
        gateway_test_settle();
        gateway_test_reset(up);
        gateway_test_hear(fd, form ? "[DONE]\n\n" : "\"total_tokens\":2}}");
        gateway_test_expect("x-larder-hit: stale\r\n");
        gateway_test_expect("; detail=stale\r\n");
        gateway_test_expect("still good");
        gateway_test_hear(follower, form ? "\"total_tokens\":2}}" : "[DONE]\n\n");
        gateway_test_expect("x-larder-hit: stale\r\n");
        gateway_test_expect("still good");
        gateway_test_leave(fd);
        gateway_test_leave(follower);
    }
    int fd = ask_with(KEY "Cache-Control: max-stale\r\n", "stale", "");
    gateway_test_hear(fd, "still good");
    gateway_test_expect("x-larder-hit: stale\r\n");
    gateway_test_leave(fd);
    fd = ask_with(KEY "Cache-Control: stale-if-error=10\r\n", "stale", "");
    int up = gateway_test_call();
    gateway_test_reset(up);
    gateway_test_hear(fd, "stale_if_error");
    gateway_test_expect("HTTP/1.1 503 ");
    gateway_test_leave(fd);
    clock_confirm(wall);
}

/* The stored answer leaves while the provider is being waited for. */
static void test_stale_and_purged_meanwhile(void **state)
{
    (void)state;
    store("leaves", "left");
    uint64_t wall = clock_wall_us();
    clock_confirm(wall + 3700 * CLOCK_SECOND);
    int fd = ask("leaves", ""), up = gateway_test_call();
    gateway_test_fiber(purge, NULL);
    gateway_test_reset(up);
    gateway_test_hear(fd, "\"error\"");
    gateway_test_expect("HTTP/1.1 503 ");
    gateway_test_expect_not("left");
    gateway_test_leave(fd);
    clock_confirm(wall);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_three_ways),
        T(test_every_form),
        T(test_pipelined_hits),
        T(test_a_slow_reader_keeps_its_bytes),
        T(test_no_room_to_keep_it),
        T(test_too_busy_to_read_it),
        T(test_what_the_client_allows),
        T(test_tenants_do_not_share),
        T(test_purged_is_gone),
        T(test_removed_while_it_is_read),
        T(test_stale),
        T(test_stale_and_purged_meanwhile),
    };
    return cmocka_run_group_tests_name("answer", tests, start, stop);
}
