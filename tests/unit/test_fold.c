/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_fold.c — NFC and the folded question against tests/data/fold_vectors.txt (tools/fold-tables --vectors). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "platform/crypto.h"
#include "platform/fold.h"
#include "platform/rc.h"

static char file[1 << 18];

static struct span from_hex(struct span hex, char *out)
{
    if (span_equal(hex, SPAN("-"))) return span_of(out, 0);
    assert_int_equal(hex_decode(hex, out, hex.size / 2), RC_OK);
    return span_of(out, hex.size / 2);
}

static void equals_the_vectors(void **state)
{
    (void)state;
    char text[512], nfc[512], question[512], out[2048];
    unsigned count = 0;
    int fd = open("tests/data/fold_vectors.txt", O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = read(fd, file, sizeof file);
    close(fd);
    assert_in_range(got, 1, sizeof file - 1);
    for (struct span line, rest = span_of(file, (size_t)got); rest.size > 0;) {
        struct span words[3];
        size_t size;
        rest = span_cut(rest, '\n', &line);
        if (line.size == 0 || line.data[0] == '#') continue;
        for (int i = 0; i < 3; i++) line = span_cut(line, ' ', &words[i]);
        struct span t = from_hex(words[0], text), n = from_hex(words[1], nfc), q = from_hex(words[2], question);
        assert_int_equal(fold_nfc(t, out, 3 * t.size, &size), RC_OK);
        assert_int_equal(size, n.size);
        assert_memory_equal(out, n.data, n.size);
        assert_int_equal(fold_question(t, out, 3 * t.size, &size), RC_OK);
        assert_int_equal(size, q.size);
        assert_memory_equal(out, q.data, q.size);
        count++;
    }
    assert_true(count > 400);
}

static void same(const char *a, const char *b, bool equal)
{
    char left[256], right[256];
    size_t left_size, right_size;
    assert_int_equal(fold_question(span_text(a), left, sizeof left, &left_size), RC_OK);
    assert_int_equal(fold_question(span_text(b), right, sizeof right, &right_size), RC_OK);
    assert_int_equal(span_equal(span_of(left, left_size), span_of(right, right_size)), equal);
}

static void wordings_meet(void **state)
{
    (void)state;
    same("What is Larder?", "  what  is\nLARDER ", true);
    same("what is larder?!", "What is Larder\xEF\xBC\x9F", true);
    same("Cafe\xCC\x81", "CAF\xC3\x89", true);
    same("C", "C++", false);
    same("a.b", "ab", false);
    same("...", "", true);
}

static void invalid_bytes_pass_through(void **state)
{
    (void)state;
    char out[64];
    size_t size;
    const char bad[] = "A\xFF\xC0\xAF\xED\xA0\x80 \xF5z\xE2\x82";
    assert_int_equal(fold_question(span_text(bad), out, sizeof out, &size), RC_OK);
    assert_int_equal(size, sizeof bad - 1);
    assert_memory_equal(out, "a\xFF\xC0\xAF\xED\xA0\x80 \xF5z\xE2\x82", size);
}

static void says_when_it_does_not_fit(void **state)
{
    (void)state;
    char out[8];
    size_t size;
    assert_int_equal(fold_question(SPAN("12345678"), out, 8, &size), RC_OK);
    assert_int_equal(fold_question(SPAN("123456789"), out, 8, &size), RC_TOO_LARGE);
    assert_int_equal(fold_nfc(SPAN("\xE0\xA5\x98"), out, 5, &size),
                     RC_TOO_LARGE); /* U+0958 becomes two of three bytes */
    assert_int_equal(fold_nfc(SPAN("\xE0\xA5\x98"), out, 6, &size), RC_OK);
}

static void many_marks_are_bounded(void **state)
{
    (void)state;
    char text[1 + 2 * 100], out[3 * sizeof text];
    size_t size;
    text[0] = 'a';
    for (int i = 0; i < 100; i++) memcpy(text + 1 + 2 * i, "\xCC\x80", 2);
    assert_int_equal(fold_nfc(span_of(text, sizeof text), out, sizeof out, &size), RC_OK);
    assert_int_equal(size, sizeof text - 1); /* the first mark is composed, the rest is kept */
}

int main(void)
{
    const struct CMUnitTest fold[] = {
        cmocka_unit_test(equals_the_vectors),         cmocka_unit_test(wordings_meet),
        cmocka_unit_test(invalid_bytes_pass_through), cmocka_unit_test(says_when_it_does_not_fit),
        cmocka_unit_test(many_marks_are_bounded),
    };
    return cmocka_run_group_tests(fold, NULL, NULL);
}
