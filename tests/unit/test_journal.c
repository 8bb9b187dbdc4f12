/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_journal.c — the ring of newest requests and the counters that go with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/gateway/journal.h"
#include "platform/metric.h"

static double metric(const char *series)
{
    static char text[128 << 10];
    char line[100];
    struct text out = text_on(text, sizeof text);
    (void)metric_render(&out, 0);
    snprintf(line, sizeof line, "\n%s", series); /* not its help */
    const char *found = strstr(text, line);
    if (!found) fail_msg("no %s in %s", series, text);
    return strtod(found + strlen(line), NULL);
}

static void add(unsigned number, unsigned status, enum hit_kind hit, const char *miss)
{
    struct journal_row row = {.status = (uint16_t)status, .hit = (uint8_t)hit, .miss = miss, .upstream_ms = -1};
    snprintf(row.id, sizeof row.id, "req_%032u", number);
    journal_row_add(&row);
}

static void test_ring(void **state)
{
    char id[REQUEST_ID_SIZE + 1];
    (void)state;
    assert_null(journal_at(0));
    assert_null(journal_find(SPAN("req_none")));
    for (unsigned i = 0; i < JOURNAL_SIZE + 10; i++) add(i, 200, HIT_NONE, NULL);
    snprintf(id, sizeof id, "req_%032u", JOURNAL_SIZE + 9);
    assert_string_equal(journal_at(0)->id, id);
    snprintf(id, sizeof id, "req_%032u", 10);
    assert_string_equal(journal_at(JOURNAL_SIZE - 1)->id, id);
    assert_ptr_equal(journal_find(span_text(id)), journal_at(JOURNAL_SIZE - 1));
    snprintf(id, sizeof id, "req_%032u", 9);
    assert_null(journal_find(span_text(id)));
    assert_null(journal_at(JOURNAL_SIZE));
    assert_int_equal((int)metric("larder_requests_total "), JOURNAL_SIZE + 10);
}

static void test_counters(void **state)
{
    (void)state;
    double replies = metric("larder_replies_total{class=\"5xx\"} ");
    add(1, 503, HIT_NONE, miss_text(MISS_EXPIRED, PART_ROUTE));
    add(2, 200, HIT_STALE, NULL);
    add(3, 499, HIT_NONE, NULL);
    assert_true(metric("larder_replies_total{class=\"5xx\"} ") == replies + 1);
    assert_true(metric("larder_hits_total{kind=\"stale\"} ") == 1);
    assert_true(metric("larder_hits_total{kind=\"pack\"} ") == 0);
    assert_true(metric("larder_misses_total{reason=\"expired\"} ") == 1);
    assert_true(metric("larder_misses_total{reason=\"differs:system\"} ") == 0); /* shows before it happens */
}

static void test_a_hit(void **state)
{
    static const char id[REQUEST_ID_SIZE + 1] = "req_0123456789abcdef0123456789abcdef";
    const struct journal_row *row;
    (void)state;
    double before = metric("larder_hits_total{kind=\"exact\"} ");
    journal_hit(id, &(struct tenant){0}, SPAN("a model name that is longer than its place in the row"), 77, 12);
    row = journal_find(SPAN("req_0123456789abcdef0123456789abcdef"));
    assert_non_null(row);
    assert_int_equal(row->entry, 77);
    assert_int_equal(row->overhead_us, 12);
    assert_int_equal(row->status, 200);
    assert_int_equal(row->upstream_ms, -1);
    assert_int_equal(strlen(row->model), sizeof row->model - 1);
    assert_true(metric("larder_hits_total{kind=\"exact\"} ") == before + 1);
}

static int start(void **state)
{
    (void)state;
    return journal_reserve();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_ring), cmocka_unit_test(test_counters),
                                              cmocka_unit_test(test_a_hit)};
    return cmocka_run_group_tests_name("journal", tests, start, NULL);
}
