/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_guard.c — the guards against tests/data/guard_vectors.txt (guard_diff.py --vectors: what the reference
 * says), and the stored form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cache/guard_inner.h"
#include "platform/crypto.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"
#include "tests/support/random.h"

static char file[1 << 20];
static struct guard_text asked, stored, unpacked;
static unsigned char packed[1 << 16];

static struct span from_hex(struct span hex, char *out)
{
    if (span_equal(hex, SPAN("-"))) return span_of(out, 0);
    assert_int_equal(hex_decode(hex, out, hex.size / 2), RC_OK);
    return span_of(out, hex.size / 2);
}

static uint32_t vetoes_named(struct span names)
{
    uint32_t vetoes = 0;
    for (struct span name; names.size > 0 && !span_equal(names, SPAN("-"));) {
        unsigned before = (unsigned)__builtin_popcount(vetoes);
        names = span_cut(names, ',', &name);
        for (unsigned i = 0; i < GUARDS; i++)
            if (span_equal(name, span_text(guard_name((enum guard)i)))) vetoes |= 1u << i;
        assert_int_equal(__builtin_popcount(vetoes), before + 1);
    }
    return vetoes;
}

static uint32_t vetoes_of(const char *a, const char *b, bool strict)
{
    guard_read(guarded(span_text(a)), &asked);
    guard_read(guarded(span_text(b)), &stored);
    return guard_vetoes(&asked, &stored, strict);
}

/* Both ways of the stored side, as read and as unpacked, say `vetoes`. */
static void says(struct span a, struct span b, uint32_t vetoes, const char *line)
{
    size_t size;
    guard_read(guarded(a), &asked);
    guard_read(guarded(b), &stored);
    if (guard_vetoes(&asked, &stored, true) != vetoes) print_error("line %.60s\n", line);
    assert_int_equal(guard_vetoes(&asked, &stored, true), vetoes);
    assert_int_equal(guard_vetoes(&asked, &stored, false), vetoes & ~(1u << GUARD_STRICT));
    assert_int_equal(guard_pack(&stored, packed, sizeof packed, &size), RC_OK);
    assert_int_equal(guard_unpack(guarded(span_of((char *)packed, size)), &unpacked), RC_OK);
    assert_int_equal(guard_vetoes(&asked, &unpacked, true), vetoes);
}

static void equals_the_reference(void **state)
{
    (void)state;
    static char a[8192], b[8192];
    unsigned count = 0;
    int fd = open("tests/data/guard_vectors.txt", O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = read(fd, file, sizeof file);
    close(fd);
    assert_in_range(got, 1, sizeof file - 1);
    for (struct span line, rest = span_of(file, (size_t)got); rest.size > 0; count++) {
        struct span words[3];
        rest = span_cut(rest, '\n', &line);
        if (line.size == 0 || line.data[0] == '#') continue;
        const char *start = line.data;
        for (int i = 0; i < 3; i++) line = span_cut(line, ' ', &words[i]);
        says(from_hex(words[0], a), from_hex(words[1], b), vetoes_named(words[2]), start);
    }
    assert_true(count > 1500);
}

/* One of each kind, and of a kind that looks like it and is none. */
static void names_what_speaks_against(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *stored;
        uint32_t vetoes;
    } cases[] = {
        {"Convert 5 km to miles", "Convert 50 km to miles", 1u << GUARD_NUM},
        {"What is 20% of 1,500?", "What is twenty % of 1500.0?", 0},
        {"Wake me at 7", "Wake me", 1u << GUARD_NUM1},
        {"How far is 5 km?", "How far is 5 miles?", 1u << GUARD_UNIT | 1u << GUARD_STRICT},
        {"Who was the 3rd president?", "Who was the fourth president?", 1u << GUARD_ORD},
        {"It is open", "It isn't open", 1u << GUARD_NEG},
        {"Can I eat it or not?", "Can I eat it?", 0},
        {"How do I enable logs?", "How do I disable logs?", 1u << GUARD_ANT | 1u << GUARD_STRICT},
        {"Is it stable?", "Is it unstable?", 1u << GUARD_AFFIX | 1u << GUARD_STRICT},
        {"weather in Paris", "weather in Berlin", 1u << GUARD_ENT_SUB | 1u << GUARD_STRICT},
        {"convert euros to dollars", "convert dollars to euros", 1u << GUARD_TRANSP},
        {"cats and dogs", "dogs and cats", 0},
        {"what does foo_bar do", "what does foo_baz do", 1u << GUARD_CODE | 1u << GUARD_STRICT},
        {"translate \"cat\"", "translate \"dog\"", 1u << GUARD_QUOT | 1u << GUARD_STRICT},
        {"When did it end?", "Why did it end?", 1u << GUARD_WHS},
        {"book a table", "book a chair", 1u << GUARD_STRICT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t vetoes = vetoes_of(cases[i].asked, cases[i].stored, true);
        if (vetoes != cases[i].vetoes) print_error("%s / %s\n", cases[i].asked, cases[i].stored);
        assert_int_equal(vetoes, cases[i].vetoes);
    }
    assert_string_equal(guard_name(GUARD_ENT_SUB), "ent_sub");
    assert_string_equal(guard_name(GUARDS), "unknown");
}

static void fill(char *text, const char *unit, unsigned times)
{
    size_t size = strlen(unit);
    for (unsigned i = 0; i < times; i++) memcpy(text + i * size, unit, size);
    text[times * size] = '\0';
}

/* At each bound the text is read, one over it never matches, not even itself. */
static void long_texts_never_match(void **state)
{
    (void)state;
    static char text[16384];
    static const struct {
        const char *unit;
        unsigned most;
    } cases[] = {
        {"a ", GUARD_WORDS_MAX}, {"  ", GUARD_CHARS_MAX / 2 - 1}, {"() ", GUARD_MARKS_MAX}, {"1,", GUARD_MARKS_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fill(text, cases[i].unit, cases[i].most);
        assert_int_equal(vetoes_of(text, text, true), 0);
        fill(text, cases[i].unit, cases[i].most + 1);
        assert_int_equal(vetoes_of(text, text, true), 1u << GUARD_LONG);
        size_t size;
        assert_int_equal(guard_pack(&stored, packed, sizeof packed, &size), RC_OK);
        assert_int_equal(guard_unpack(span_of((char *)packed, size), &unpacked), RC_OK);
        assert_int_equal(guard_vetoes(&asked, &unpacked, false), 1u << GUARD_LONG);
    }
    assert_int_equal(vetoes_of("a", "a", false), 0); /* nothing of the long ones is left */
}

static void the_stored_form_is_small_and_checked(void **state)
{
    (void)state;
    static const char question[] = "How do I cancel a 30 day Premium subscription in New York before the 3rd of May?";
    static unsigned char second[1024];
    size_t size, again;
    guard_read(SPAN(question), &stored);
    assert_int_equal(guard_pack(&stored, packed, sizeof packed, &size), RC_OK);
    assert_in_range(size, 1, 120);
    for (size_t room = 0; room < size; room++) assert_int_equal(guard_pack(&stored, second, room, &again), RC_FULL);
    assert_int_equal(guard_unpack(span_of((char *)packed, size), &unpacked), RC_OK);
    assert_int_equal(guard_pack(&unpacked, second, sizeof second, &again), RC_OK);
    assert_int_equal(again, size);
    assert_memory_equal(second, packed, size);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(guard_unpack(guarded(span_of((char *)packed, cut)), &unpacked), RC_CORRUPT);
    packed[size] = 0;
    assert_int_equal(guard_unpack(span_of((char *)packed, size + 1), &unpacked), RC_CORRUPT);
    packed[0]++;
    assert_int_equal(guard_unpack(span_of((char *)packed, size), &unpacked), RC_VERSION);
    packed[0]--;
    packed[1] ^= 1; /* other lists */
    assert_int_equal(guard_unpack(span_of((char *)packed, size), &unpacked), RC_VERSION);
}

/* Whatever the bytes: either refused, or a text that can be compared. */
static void broken_forms_do_no_harm(void **state)
{
    (void)state;
    static const char question[] = "Ist die Größe von iPhone 12 in München 5 km oder \"zwei\" a_b? ПРИВЕТ мир";
    static unsigned char bad[1024];
    size_t size;
    uint32_t seed = 9;
    unsigned accepted = 0;
    guard_read(SPAN(question), &asked);
    assert_int_equal(guard_pack(&asked, packed, sizeof packed, &size), RC_OK);
    for (unsigned i = 0; i < 20000; i++) {
        memcpy(bad, packed, size);
        for (int k = test_random(&seed) % 3; k >= 0; k--)
            bad[5 + (unsigned)test_random(&seed) % (size - 5)] = (unsigned char)test_random(&seed);
        int rc = guard_unpack(guarded(span_of((char *)bad, size)), &unpacked);
        assert_true(rc == RC_OK || rc == RC_CORRUPT);
        if (rc != RC_OK) continue;
        accepted++;
        (void)guard_vetoes(&asked, &unpacked, true);
        (void)guard_vetoes(&unpacked, &asked, true);
    }
    assert_true(accepted > 1000);
}

static void bad_utf8_separates_words(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff", "\xc0\x80", "\xe2\x82", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[32];
        snprintf(text, sizeof text, "one%stwo", bad[i]);
        assert_int_equal(vetoes_of(text, "12", false) & 1u << GUARD_NUM, 1u << GUARD_NUM);
        assert_int_equal(asked.word_count, 2);
        snprintf(text, sizeof text, "tail %s", bad[i]);
        guard_read(guarded(span_text(text)), &asked);
        assert_int_equal(asked.word_count, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_reference),    cmocka_unit_test(names_what_speaks_against),
        cmocka_unit_test(long_texts_never_match),  cmocka_unit_test(the_stored_form_is_small_and_checked),
        cmocka_unit_test(broken_forms_do_no_harm), cmocka_unit_test(bad_utf8_separates_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
