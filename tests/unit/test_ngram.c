/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_ngram.c — hashed n-grams: the definition said a second time, fixed numbers, bounds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache/ngram.h"
#include "platform/hash.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"

enum { DIM = EMBED_NGRAM_DIM, WORDS_MAX = MODEL_PIECES_MAX };

/* ---- the definition, for words of ASCII that are given apart */

struct sums {
    long at[DIM];
    long total;
};

static void add(struct sums *s, char kind, const char *text, size_t size, long weight)
{
    uint32_t hash = (2166136261u ^ (uint32_t)(unsigned char)kind) * 16777619u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (uint32_t)(unsigned char)text[i]) * 16777619u;
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    hash ^= hash >> 16;
    s->at[(hash >> 1) % DIM] += hash & 1 ? weight : -weight;
}

static void define(const char *const *words, float vector[DIM])
{
    struct sums s = {0};
    char text[128];
    for (unsigned w = 0; words[w]; w++) {
        add(&s, 'w', words[w], strlen(words[w]), 2);
        int size = snprintf(text, sizeof text, "%s %s", w ? words[w - 1] : "", words[w]);
        if (w) add(&s, 'p', text, (size_t)size, 2);
        size = snprintf(text, sizeof text, "_%s_", words[w]);
        for (int n = 3; n <= 5; n++)
            for (int from = 0; from + n <= size; from++) add(&s, 'c', text + from, (size_t)n, 1);
    }
    for (unsigned i = 0; i < DIM; i++) s.total += labs(s.at[i]);
    for (unsigned i = 0; i < DIM; i++)
        vector[i] = (float)(copysign(sqrt((double)labs(s.at[i]) / (double)s.total), (double)s.at[i]) + 0.0);
}

static void test_equals_its_definition(void **state)
{
    static const char *const words[] = {"how", "do", "i", "reset", "my", "pass2word", "how", NULL};
    float wanted[DIM], vector[DIM], length = 0;
    unsigned count;
    (void)state;
    define(words, wanted);
    assert_int_equal(ngram(guarded(SPAN("How do I -- RESET my pass2word? How!")), WORDS_MAX, vector, &count), RC_OK);
    assert_int_equal(count, 7);
    for (unsigned i = 0; i < DIM; i++) {
        assert_true(vector[i] == wanted[i]);
        length += vector[i] * vector[i];
    }
    assert_true(fabsf(length - 1) < 1e-5F);
}

/* Vectors are stored: their making may not change within a tag, nor from machine to machine. */
static void test_fixed_vectors(void **state)
{
    static const struct {
        const char *text;
        uint32_t crc;
    } rows[] = {
        {"How do I reset my password?", 0x402EDC0A},
        {"Caf\xC3\xA9 \xE6\xBC\xA2\xE5\xAD\x97 a", 0xEB68EBD6},
        {"ngram/1", 0x53FE6776},
    };
    float vector[DIM];
    unsigned count;
    (void)state;
    assert_string_equal(NGRAM_TAG, "ngram/1");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(ngram(span_text(rows[i].text), WORDS_MAX, vector, &count), RC_OK);
        uint32_t crc = crc32c(0, vector, sizeof vector);
        if (crc != rows[i].crc) fail_msg("%s: 0x%08X", rows[i].text, (unsigned)crc);
    }
}

static void assert_same(const char *a, const char *b)
{
    float x[DIM], y[DIM];
    unsigned count;
    assert_int_equal(ngram(guarded(span_text(a)), WORDS_MAX, x, &count), RC_OK);
    assert_int_equal(ngram(guarded(span_text(b)), WORDS_MAX, y, &count), RC_OK);
    assert_memory_equal(x, y, sizeof x);
}

static void test_case_marks_punctuation_and_blanks_do_not_count(void **state)
{
    (void)state;
    assert_same("caf\xC3\xA9 au lait", "  CAFE\xCC\x81, (au)\tlait!!");
    assert_same("a b", "a\nb\xFF");
}

static void test_nothing_and_too_much(void **state)
{
    static char text[4 * WORDS_MAX];
    float vector[DIM], first[DIM];
    unsigned count;
    (void)state;
    assert_int_equal(ngram(SPAN(""), WORDS_MAX, vector, &count), RC_EMPTY);
    assert_int_equal(ngram(SPAN(" ?! \xFF"), WORDS_MAX, vector, &count), RC_EMPTY);
    assert_int_equal(count, 0);
    for (unsigned i = 0; i < DIM; i++) assert_true(vector[i] == 0);
    for (unsigned i = 0; i <= WORDS_MAX; i++) memcpy(text + 2 * i, "a ", 2);
    assert_int_equal(ngram(span_of(text, 2 * WORDS_MAX), WORDS_MAX, first, &count), RC_OK);
    assert_int_equal(count, WORDS_MAX);
    assert_int_equal(ngram(span_of(text, 2 * WORDS_MAX + 2), WORDS_MAX, vector, &count), RC_TOO_LARGE);
    assert_int_equal(count, WORDS_MAX);
    assert_memory_equal(first, vector, sizeof first);
    memset(text, 'z', sizeof text);
    assert_int_equal(ngram(guarded(span_of(text, sizeof text)), WORDS_MAX, vector, &count), RC_OK);
    assert_int_equal(count, 1);
}

static void test_as_embedder(void **state)
{
    float vector[DIM], same[DIM];
    unsigned count;
    char message[64];
    (void)state;
    assert_int_equal(embed_reserve(1), RC_OK);
    assert_int_equal(embed_open(EMBED_NGRAM, "", 0, message, sizeof message), RC_OK);
    assert_int_equal(embed_check(), RC_OK);
    assert_true(embed_ready());
    assert_string_equal(embed_current()->tag, NGRAM_TAG);
    assert_int_equal(embed_current()->dim, DIM);
    assert_null(embed_current()->centre);
    assert_int_equal(embed_text(SPAN("hello world"), vector), RC_OK);
    assert_int_equal(ngram(SPAN("hello world"), WORDS_MAX, same, &count), RC_OK);
    assert_memory_equal(vector, same, sizeof same);
    assert_int_equal(embed_text(SPAN("..."), vector), RC_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_its_definition),
        cmocka_unit_test(test_fixed_vectors),
        cmocka_unit_test(test_case_marks_punctuation_and_blanks_do_not_count),
        cmocka_unit_test(test_nothing_and_too_much),
        cmocka_unit_test(test_as_embedder),
    };
    return cmocka_run_group_tests_name("ngram", tests, NULL, NULL);
}
