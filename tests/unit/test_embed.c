/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_embed.c — the local model as embedder: not before its bytes are checked, from several threads at once. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/embed.h"
#include "platform/file.h"
#include "platform/rc.h"
#include "tests/support/model_test.h"

enum { THREADS = 4, ROUNDS = 200, D = MODEL_TEST_DIM };

static char folder[] = "/tmp/larder-embed-XXXXXX", path[64];

static void write_model(void)
{
    struct span file = model_test_file();
    assert_int_equal(file_replace(path, file.data, file.size, 0600), RC_OK);
}

static void test_without_an_embedder(void **state)
{
    float vector[D];
    unsigned count;
    (void)state;
    assert_int_equal(embed_current()->kind, EMBED_NONE);
    assert_false(embed_ready());
    assert_int_equal(embed_text(SPAN("hello"), vector), RC_EMPTY);
    assert_int_equal(embed_text_pieces(SPAN("hello"), true, vector, NULL, &count), RC_EMPTY);
    assert_int_equal(embed_remote(SPAN("hello"), vector), RC_EMPTY);
}

static void test_a_model_that_cannot_be_used_is_said_and_changes_nothing(void **state)
{
    char message[256];
    (void)state;
    assert_int_equal(embed_open(EMBED_MINILM, path, 0, message, sizeof message), RC_NOT_FOUND);
    assert_non_null(strstr(message, path));
    assert_non_null(strstr(message, "make model"));
    assert_int_equal(file_replace(path, "not a model", 11, 0600), RC_OK);
    assert_int_equal(embed_open(EMBED_MINILM, path, 0, message, sizeof message), RC_CORRUPT);
    assert_non_null(strstr(message, "damaged"));
    test_without_an_embedder(NULL);
    assert_int_equal(embed_open(EMBED_NONE, "", 0, message, sizeof message), RC_OK);
    test_without_an_embedder(NULL);
}

static void test_nothing_is_embedded_before_the_check(void **state)
{
    char message[256];
    float vector[D];
    (void)state;
    write_model();
    assert_int_equal(embed_open(EMBED_MINILM, path, 0, message, sizeof message), RC_OK);
    assert_string_equal(message, "");
    const struct embedder *e = embed_current();
    assert_int_equal(e->kind, EMBED_MINILM);
    assert_int_equal(e->dim, D);
    assert_string_equal(e->tag, e->model->tag);
    assert_true(e->tag_hash != 0 && e->centre == e->model->centre);
    assert_false(embed_ready());
    assert_int_equal(embed_text(SPAN("hello"), vector), RC_AGAIN);
    assert_int_equal(embed_check(), RC_OK);
    assert_true(embed_ready());
    assert_int_equal(embed_text(SPAN("hello"), vector), RC_OK);
}

static float length(const float *vector)
{
    float sum = 0;
    for (unsigned i = 0; i < D; i++) sum += vector[i] * vector[i];
    return sqrtf(sum);
}

static void test_texts_and_pieces(void **state)
{
    float vector[D], other[D];
    uint16_t ids[MODEL_PIECES_MAX];
    unsigned count;
    static char longest[4 * MODEL_PIECES_MAX];
    (void)state;
    assert_int_equal(embed_text_pieces(SPAN("Hello world"), false, vector, ids, &count), RC_OK);
    assert_int_equal(count, 5);
    assert_int_equal(ids[1], model_test_id("hello"));
    assert_true(fabsf(length(vector) - 1) < 1e-5F);
    assert_int_equal(embed_text_pieces(SPAN("hello WORLD"), false, other, NULL, &count), RC_OK);
    assert_memory_equal(vector, other, sizeof vector);
    assert_int_equal(embed_text(SPAN(""), vector), RC_EMPTY);
    assert_int_equal(embed_text(SPAN(" \n"), vector), RC_EMPTY);
    assert_int_equal(embed_text_pieces(SPAN(""), false, vector, ids, &count), RC_OK);
    assert_int_equal(count, 2);
    for (unsigned i = 0; i < MODEL_PIECES_MAX; i++) memcpy(longest + 2 * i, "a ", 2);
    struct span fits = span_of(longest, 2 * (MODEL_PIECES_MAX - 2)), over = span_of(longest, fits.size + 1);
    assert_int_equal(embed_text(fits, vector), RC_OK);
    assert_int_equal(embed_text(over, other), RC_TOO_LARGE);
    assert_int_equal(embed_text_pieces(over, false, other, NULL, &count), RC_TOO_LARGE);
    assert_int_equal(embed_text_pieces(over, true, other, ids, &count), RC_OK);
    assert_int_equal(count, MODEL_PIECES_MAX);
    assert_memory_equal(vector, other, sizeof vector);
}

static void *ask_often(void *arg)
{
    static const char *const texts[THREADS] = {"hello", "world hello", "a b c d e f", "unwanted running, hello?"};
    unsigned mine = *(unsigned *)arg, *wrong = arg;
    float first[D], again[D];
    *wrong = embed_text(span_text(texts[mine]), first) != RC_OK;
    for (unsigned i = 0; i < ROUNDS; i++)
        *wrong += embed_text(span_text(texts[mine]), again) != RC_OK || memcmp(first, again, sizeof first) != 0;
    return NULL;
}

static void test_as_many_threads_as_workers(void **state)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(numbers[i], 0);
    }
}

/* The file is mapped: what changes on the disk changes under the process. */
static void test_damage_found_by_the_check_ends_it(void **state)
{
    float vector[D];
    char byte;
    (void)state;
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, -1, SEEK_END), 0);
    byte = (char)fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_END), 0);
    assert_int_not_equal(fputc(byte ^ 1, file), EOF);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(embed_check(), RC_CORRUPT);
    assert_false(embed_ready());
    assert_int_equal(embed_text(SPAN("hello"), vector), RC_CORRUPT);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/m.lmodel", folder);
    return embed_reserve(THREADS);
}

static int end(void **state)
{
    (void)state;
    return unlink(path) == 0 ? rmdir(folder) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_an_embedder),
        cmocka_unit_test(test_a_model_that_cannot_be_used_is_said_and_changes_nothing),
        cmocka_unit_test(test_nothing_is_embedded_before_the_check),
        cmocka_unit_test(test_texts_and_pieces),
        cmocka_unit_test(test_as_many_threads_as_workers),
        cmocka_unit_test(test_damage_found_by_the_check_ends_it),
    };
    return cmocka_run_group_tests_name("embed", tests, begin, end);
}
