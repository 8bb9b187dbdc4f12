/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_command.c — the one table of commands, run as the control socket runs them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/gateway/journal.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "tests/support/gateway_test.h"

enum { ARENA = 4 << 20 };

static struct arena arena;
static char said[64 << 10];
static struct text out;

struct call {
    struct span words[COMMAND_WORDS_MAX];
    unsigned count;
    int rc;
};

static void run_call(void *arg)
{
    struct call *c = arg;
    c->rc = command_run(c->words, c->count, &arena, &out);
}

/* Words are parted by single blanks. */
static int run(const char *line)
{
    struct call c = {.rc = RC_EXISTS};
    struct span rest = span_text(line);
    while (rest.size) rest = span_cut(rest, ' ', &c.words[c.count++]);
    arena_reset(&arena, 0);
    out = text_on(said, sizeof said);
    gateway_test_fiber(run_call, &c);
    return c.rc;
}

static void expect_said(const char *part)
{
    if (!strstr(said, part)) fail_msg("no \"%s\" in: %s", part, said);
}

static void ask(const char *question, const char *answer, char id[REQUEST_ID_SIZE + 1])
{
    int fd = gateway_test_dial();
    gateway_test_say(fd, gateway_test_chat("Authorization: Bearer sk-1\r\n", gateway_test_body(question, "")));
    int up = answer ? gateway_test_call() : -1;
    if (answer) gateway_test_answer(up, gateway_test_object(answer));
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    const char *at = strstr(gateway_test_heard, "req_");
    snprintf(id, REQUEST_ID_SIZE + 1, "%.36s", at ? at : "");
    gateway_test_leave(fd);
    if (up >= 0) close(up);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < command_count(); i++) {
        const struct command *c = command_at(i);
        assert_true(c->least <= c->most && c->most <= COMMAND_WORDS_MAX);
        assert_true(c->name[0] && c->help[0] && c->run);
        assert_true((c->arguments[0] != 0) == (c->most > 0));
        for (size_t k = 0; k < i; k++) assert_string_not_equal(command_at(k)->name, c->name);
    }
    assert_int_equal(run("help"), RC_OK);
    for (size_t i = 0; i < command_count(); i++) expect_said(command_at(i)->help);
}

static void test_what_is_no_command(void **state)
{
    (void)state;
    assert_int_equal(run(""), RC_INVALID);
    assert_int_equal(run("frobnicate"), RC_INVALID);
    expect_said("unknown command frobnicate");
    assert_int_equal(run("cache"), RC_INVALID);
    assert_int_equal(run("cache show"), RC_INVALID);
    expect_said("usage: cache show ID");
    assert_int_equal(run("cache show 1 2"), RC_INVALID);
    assert_int_equal(run("status now"), RC_INVALID);
    assert_int_equal(run("cache show 1x"), RC_INVALID);
    assert_int_equal(run("cache list 1000"), RC_INVALID);
}

static void test_cache_commands(void **state)
{
    char id[REQUEST_ID_SIZE + 1], line[80];
    (void)state;
    assert_int_equal(run("cache list"), RC_OK);
    expect_said("nothing is stored");
    ask("what is listed", "an answer", id);
    assert_int_equal(run("cache list 5"), RC_OK);
    expect_said("\"what is listed\"");
    unsigned long entry = 0;
    assert_int_equal(sscanf(said, "%lu", &entry), 1);
    snprintf(line, sizeof line, "cache show %lu", entry);
    assert_int_equal(run(line), RC_OK);
    expect_said("asked: what is listed\n");
    expect_said("an answer");
    expect_said("recorded as an object");
    assert_int_equal(run("cache stats"), RC_OK);
    expect_said("entries        1 of 1000");
    uint64_t epoch = gateway.epoch;
    snprintf(line, sizeof line, "cache purge %lu", entry);
    assert_int_equal(run(line), RC_OK);
    expect_said("removed 1\n");
    assert_true(gateway.epoch > epoch); /* no short cut leads there any more */
    assert_int_equal(run(line), RC_NOT_FOUND);
    ask("what is listed", "another", id);
    assert_int_equal(run("cache purge all"), RC_OK);
    expect_said("removed 1\n");
    assert_int_equal(run("cache show 999999"), RC_NOT_FOUND);
}

static void test_tenant_commands(void **state)
{
    (void)state;
    assert_int_equal(run("tenant list"), RC_OK);
    expect_said("no virtual keys yet");
    assert_int_equal(run("tenant add kiosk"), RC_OK);
    expect_said("lk-");
    expect_said("shown once");
    assert_int_equal(run("tenant add kiosk"), RC_EXISTS);
    assert_int_equal(run("tenant add k$"), RC_INVALID);
    assert_int_equal(run("tenant rotate kiosk"), RC_OK);
    expect_said("lk-");
    assert_int_equal(run("tenant revoke kiosk"), RC_OK);
    assert_int_equal(run("tenant list"), RC_OK);
    expect_said("kiosk                    revoked  spent 0.000000 USD, saved 0.000000 USD, last use never\n");
    assert_int_equal(run("tenant show kiosk"), RC_OK);
    expect_said("kiosk, revoked, made ");
    assert_int_equal(run("tenant rotate kiosk --grace 1h --expires 2d"), RC_OK);
    expect_said("until the grace time is over");
    assert_int_equal(run("tenant show kiosk"), RC_OK);
    expect_said("kiosk, active, made ");
    expect_said(", expires ");
    assert_int_equal(run("tenant add other --expires soon"), RC_INVALID);
    expect_said("--expires takes a time like");
    assert_int_equal(run("tenant add other --expires"), RC_INVALID);
    assert_int_equal(run("tenant add other --grace 1h"), RC_INVALID);
    expect_said("unknown option --grace");
    assert_int_equal(run("tenant add other --expires 500ms"), RC_INVALID);
    assert_int_equal(run("tenant show other"), RC_NOT_FOUND);
    assert_int_equal(run("tenant erase kiosk"), RC_OK);
    expect_said("erased: ");
    assert_int_equal(run("tenant list"), RC_OK);
    expect_said("no virtual keys yet");
    assert_int_equal(run("tenant erase kiosk"), RC_NOT_FOUND);
    assert_int_equal(run("tenant revoke nobody"), RC_NOT_FOUND);
}

static void test_requests(void **state)
{
    char id[REQUEST_ID_SIZE + 1], line[80];
    (void)state;
    ask("why is this", "because", id);
    snprintf(line, sizeof line, "why %s", id);
    assert_int_equal(run(line), RC_OK);
    expect_said(id);
    expect_said("hit=none miss=");
    ask("why is this", NULL, id);
    snprintf(line, sizeof line, "why %s", id);
    assert_int_equal(run(line), RC_OK);
    expect_said("It was answered from the box.");
    assert_int_equal(run("why req_unknown"), RC_NOT_FOUND);
    assert_int_equal(run("requests 2"), RC_OK);
    expect_said("hit=exact");
    expect_said("hit=none");
    assert_int_equal(run("requests x"), RC_INVALID);
}

static void test_the_box(void **state)
{
    (void)state;
    assert_int_equal(run("status"), RC_OK);
    expect_said("provider up               fine, as far as known");
    assert_int_equal(run("plan"), RC_OK);
    expect_said("total, bytes");
    assert_int_equal(run("metrics"), RC_OK);
    expect_said("larder_requests_total");
    assert_int_equal(run("config show"), RC_OK);
    expect_said("providers:");
    assert_int_equal(run("log"), RC_OK);
    assert_int_equal(run("config reload"), RC_OK);
    expect_said("reloaded");
}

static int start(void **state)
{
    void *region;
    (void)state;
    assert_int_equal(plan_take("test arena", 1, ARENA, PLAN_LAZY, 0, NULL, &region), RC_OK);
    arena_init(&arena, region, ARENA, NULL);
    gateway_test_boot(gateway_test_yaml);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    gateway_test_stop();
    return 0;
}

static void test_the_semantic_tier(void **state)
{
    (void)state;
    assert_int_equal(run("semantic show"), RC_OK);
    expect_said("embedder  none (none is configured: only the same questions are answered)\n");
    expect_said("rejected  0 pairs\n");
    expect_said("route openai:*: learn, at most 5.0 % of hits wrong\n");
    expect_said("no labels yet");
    expect_said("not looked up:");
    assert_int_equal(run("cache reject"), RC_INVALID);
    expect_said("usage: cache reject REQUEST|ID");
    assert_int_equal(run("cache reject 987654321"), RC_NOT_FOUND);
    expect_said("there is no such entry");
    assert_int_equal(run("cache reject req_0123"), RC_NOT_FOUND);
    expect_said("req_0123 is none of the last 2048 semantic hits");
    char id[REQUEST_ID_SIZE + 1], line[80];
    ask("rejected by hand", "an answer", id);
    unsigned long entry = strtoul(strstr(gateway_test_heard, "x-larder-entry: ") + 16, NULL, 10);
    snprintf(line, sizeof line, "cache reject %lu", entry);
    assert_int_equal(run(line), RC_OK);
    expect_said("this entry answers only the same request from now on");
    assert_int_equal(run("semantic show"), RC_OK);
    expect_said("rejected  1 pairs\n");
    ask("rejected by hand", NULL, id); /* which it does */
    assert_non_null(strstr(gateway_test_heard, "x-larder-hit: exact"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_what_is_no_command),
        cmocka_unit_test(test_cache_commands),
        cmocka_unit_test(test_tenant_commands),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_the_box),
        cmocka_unit_test(test_the_semantic_tier),
    };
    return cmocka_run_group_tests_name("command", tests, start, stop);
}
