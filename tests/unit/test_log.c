/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_log.c — form of a line, what cannot be injected, rates, and a stderr that does not drain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/log.h"
#include "platform/rc.h"

static int saved_stderr = -1;
static int pipe_ends[2];
static char got[1 << 20];

/* stderr becomes a pipe that nobody reads until asked. */
static int setup(void **state)
{
    (void)state;
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK), 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(pipe_ends[1], STDERR_FILENO);
    clock_fake(CLOCK_SECOND, UINT64_C(1795255200123456));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    clock_fake_off();
    log_configure(LOG_INFO, LOG_TEXT);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

static size_t drain(void)
{
    size_t size = 0;
    ssize_t n;
    while (size < sizeof got - 1 && (n = read(pipe_ends[0], got + size, sizeof got - 1 - size)) > 0) size += (size_t)n;
    got[size] = '\0';
    return size;
}

static void next_second(void)
{
    clock_fake_advance(2 * CLOCK_SECOND);
}

static void test_text_form(void **state)
{
    (void)state;
    log_info("net", "listening on %s port=%d", "[::]", 8080);
    log_error("storage", "%s", "");
    log_debug("net", "not at this level");
    drain();
    assert_string_equal(got, "2026-11-21T10:00:00.123Z info  net: listening on [::] port=8080\n"
                             "2026-11-21T10:00:00.123Z error storage: \n");
}

static void test_json_form(void **state)
{
    (void)state;
    log_configure(LOG_DEBUG, LOG_JSON);
    log_debug("net", "a \"b\" %s", "\n\x1b[31m");
    drain();
    assert_string_equal(got, "{\"time\":\"2026-11-21T10:00:00.123Z\",\"level\":\"debug\",\"area\":\"net\","
                             "\"message\":\"a \\\"b\\\" \\n\\u001b[31m\"}\n");
}

static void test_arguments_cannot_start_a_line(void **state)
{
    (void)state;
    log_warn("net", "host=%s", "a\n2026-11-21T10:00:00.123Z error fake\x1b[2J\x7f\r");
    drain();
    assert_string_equal(got, "2026-11-21T10:00:00.123Z warn  net: "
                             "host=a\\n2026-11-21T10:00:00.123Z error fake\\x1b[2J\\x7f\\x0d\n");
}

static void test_long_lines_are_cut(void **state)
{
    (void)state;
    static char text[2000];
    static const enum log_format formats[] = {LOG_TEXT, LOG_JSON};
    for (unsigned f = 0; f < 2; f++) {
        log_configure(LOG_INFO, formats[f]);
        memset(text, 'x', sizeof text - 1);
        log_info("net", "%s", text);
        size_t size = drain();
        assert_in_range(size, 400, LOG_LINE_MAX - 1);
        assert_non_null(strstr(got, "\xE2\x80\xA6"));
        assert_int_equal(got[size - 1], '\n');
        memset(text, '\n', sizeof text - 1); /* each takes two bytes when escaped */
        log_info("net", "%s", text);
        size = drain();
        assert_in_range(size, 300, LOG_LINE_MAX - 1);
        assert_ptr_equal(strchr(got, '\n'), got + size - 1);
        if (formats[f] == LOG_JSON) assert_string_equal(got + size - 3, "\"}\n");
    }
}

static void test_a_kind_of_line_has_a_rate(void **state)
{
    (void)state;
    unsigned lines = 0;
    for (unsigned i = 0; i < 1000; i++) {
        log_info("net", "again %u", i);
        drain();
        lines += got[0] != '\0';
    }
    assert_int_equal(lines, 200);
    log_info("net", "something else");
    assert_true(drain() > 0);
    next_second();
    log_info("net", "again %u", 1000u); /* another call with its own format may share the text, not the place */
    drain();
    for (unsigned i = 0; i < 2; i++) log_info("net", "again %u", i);
    drain();
    assert_int_equal(log_dropped(), 0);
}

static void repeat(unsigned times)
{
    for (unsigned i = 0; i < times; i++) log_info("net", "repeated");
}

static void test_suppressed_lines_are_counted(void **state)
{
    (void)state;
    repeat(250);
    drain();
    next_second();
    repeat(1);
    drain();
    assert_non_null(strstr(got, "net: repeated suppressed=50\n"));
}

static void test_tail(void **state)
{
    (void)state;
    char buffer[1024];
    struct text out = text_on(buffer, sizeof buffer);
    log_info("net", "one");
    log_info("net", "two");
    log_info("net", "three");
    log_tail(&out, 2);
    assert_string_equal(buffer, "2026-11-21T10:00:00.123Z info  net: two\n2026-11-21T10:00:00.123Z info  net: three\n");
    drain();
}

static void test_flusher_writes_all(void **state)
{
    (void)state;
    assert_int_equal(log_start(), RC_OK);
    for (unsigned i = 0; i < 100; i++) log_info("net", "line %u", i);
    log_stop();
    drain();
    const char *at = got;
    for (unsigned i = 0; i < 100; i++) {
        char expected[64];
        int size = snprintf(expected, sizeof expected, "2026-11-21T10:00:00.123Z info  net: line %u\n", i);
        assert_memory_equal(at, expected, (size_t)size);
        at += size;
    }
    assert_int_equal(*at, '\0');
    assert_int_equal(log_dropped(), 0);
}

/* The pipe is full: the caller goes on at full speed, the oldest unread lines are lost and counted, stopping ends. */
static void test_a_full_stderr_blocks_nobody(void **state)
{
    (void)state;
    assert_int_equal(log_start(), RC_OK);
    char filler[400];
    memset(filler, 'f', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    for (unsigned i = 0; i < 3000; i++) {
        log_info("net", "%s", filler);
        if (i % 100 == 99) next_second();
    }
    assert_true(log_dropped() > 1000);
    log_stop();
    size_t size = drain();
    assert_true(size > 0);
    assert_true(size <= 65536);
}

static void *log_thread(void *arg)
{
    for (unsigned i = 0; i < 150; i++) log_info("thread", "%u from %d", i, *(int *)arg);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    assert_int_equal(log_start(), RC_OK);
    pthread_t threads[3];
    int numbers[3] = {0, 1, 2};
    for (unsigned i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, log_thread, &numbers[i]), 0);
    for (unsigned i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    log_stop();
    drain();
    unsigned lines = 0;
    for (const char *at = got; (at = strchr(at, '\n')) != NULL; at++) lines++;
    assert_int_equal(lines, 200); /* the rate of this kind of line */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arguments_cannot_start_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_lines_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_kind_of_line_has_a_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_suppressed_lines_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flusher_writes_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_stderr_blocks_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
