/* SPDX-License-Identifier: Apache-2.0 */
/* tests/eval/guard_driver.c — the guards for tests/eval/guard_diff.py: a line "ASKED CACHED" in hexadecimal ("-" is empty)
 * gives a line of vetoes ("-": none) and the bytes of the packed stored side. The stored side is compared as packed, and
 * must say the same as unpacked. `time FILE` instead reports what a pair costs. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cache/guard.h"
#include "platform/check.h"
#include "platform/cpu.h"
#include "platform/hash.h"
#include "platform/rc.h"

enum { LINE_MAX_BYTES = 1 << 17, PACKED_MAX = 1 << 16, TEXTS_MAX = 200000, ROUNDS = 20 };

static char line[LINE_MAX_BYTES], texts[2][LINE_MAX_BYTES];
static _Alignas(16) unsigned char rooms[3][1 << 17];
static unsigned char packed[PACKED_MAX];

static unsigned nibble(int c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct span from_hex(const char *hex, size_t size, char *out)
{
    if (size == 1) return span_of(out, 0);
    for (size_t i = 0; i + 1 < size; i += 2) out[i / 2] = (char)(nibble(hex[i]) << 4 | nibble(hex[i + 1]));
    return span_of(out, size / 2);
}

static bool read_pair(FILE *file, struct span *asked, struct span *cached)
{
    if (!fgets(line, sizeof line, file)) return false;
    size_t size = strcspn(line, "\n"), cut = strcspn(line, " ");
    CHECK(cut < size);
    *asked = from_hex(line, cut, texts[0]);
    *cached = from_hex(line + cut + 1, size - cut - 1, texts[1]);
    return true;
}

static void answer(FILE *file, bool strict)
{
    struct guard_text *a = (void *)rooms[0], *b = (void *)rooms[1], *c = (void *)rooms[2];
    struct span asked, cached;
    while (read_pair(file, &asked, &cached)) {
        size_t size = 0;
        guard_read(asked, a);
        guard_read(cached, b);
        uint32_t vetoes = guard_vetoes(a, b, strict);
        int rc = guard_pack(b, packed, sizeof packed, &size);
        if (rc == RC_OK) {
            CHECK(guard_unpack(span_of((char *)packed, size), c) == RC_OK);
            CHECK(guard_vetoes(a, c, strict) == vetoes);
        }
        for (unsigned i = 0, any = 0; i < GUARDS; i++)
            if (vetoes >> i & 1) printf("%s%s", any++ ? "," : "", guard_name((enum guard)i));
        printf("%s %zu\n", vetoes ? "" : "-", size);
    }
}

/* ---- time: everything is in memory first */

struct pair {
    struct span asked, cached, packed;
};

static struct span keep(struct span text)
{
    char *copy = malloc(text.size + 1);
    CHECK(copy != NULL);
    memcpy(copy, text.data, text.size);
    return span_of(copy, text.size);
}

/* Of this process, so that what else runs on the machine counts less. */
static uint64_t spent_us(void)
{
    struct timespec spent;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent) == 0);
    return (uint64_t)spent.tv_sec * 1000000 + (uint64_t)spent.tv_nsec / 1000;
}

static void report(const char *what, uint64_t start, uint64_t count)
{
    printf("%-34s %.3f us\n", what, (double)(spent_us() - start) / (double)count);
}

static void measure(FILE *file)
{
    static struct pair pairs[TEXTS_MAX];
    struct guard_text *a = (void *)rooms[0], *b = (void *)rooms[1];
    unsigned count = 0, vetoed = 0;
    uint64_t bytes = 0, start, rounds;
    while (count < TEXTS_MAX && read_pair(file, &pairs[count].asked, &pairs[count].cached)) {
        size_t size;
        pairs[count].asked = keep(pairs[count].asked);
        pairs[count].cached = keep(pairs[count].cached);
        guard_read(pairs[count].cached, b);
        CHECK(guard_pack(b, packed, sizeof packed, &size) == RC_OK);
        pairs[count++].packed = keep(span_of((char *)packed, size));
        bytes += size;
    }
    CHECK(count > 0);
    rounds = (uint64_t)ROUNDS * count;
    printf("%-34s %.1f bytes\n", "packed, mean", (double)bytes / count);
    start = spent_us();
    for (unsigned r = 0; r < ROUNDS; r++)
        for (unsigned i = 0; i < count; i++) guard_read(pairs[i].asked, a);
    report("read one", start, rounds);
    start = spent_us();
    for (unsigned r = 0; r < ROUNDS; r++)
        for (unsigned i = 0; i < count; i++) CHECK(guard_unpack(pairs[i].packed, b) == RC_OK);
    report("unpack one", start, rounds);
    start = spent_us();
    for (unsigned r = 0; r < ROUNDS; r++)
        for (unsigned i = 0; i < count; i++) {
            guard_read(pairs[i].asked, a);
            guard_read(pairs[i].cached, b);
            vetoed += guard_vetoes(a, b, true) != 0;
        }
    report("a pair, both read", start, rounds);
    start = spent_us();
    for (unsigned r = 0; r < ROUNDS; r++)
        for (unsigned i = 0; i < count; i++) {
            guard_read(pairs[i].asked, a);
            (void)guard_unpack(pairs[i].packed, b);
            vetoed += guard_vetoes(a, b, true) != 0;
        }
    report("a pair, stored side packed", start, rounds);
    CHECK(vetoed > 0);
}

int main(int argc, char **argv)
{
    cpu_detect();
    CHECK(guard_text_size() <= sizeof rooms[0]);
    if (argc == 3 && strcmp(argv[1], "time") == 0) {
        FILE *file = fopen(argv[2], "r");
        CHECK(file != NULL);
        measure(file);
        fclose(file);
        return 0;
    }
    answer(stdin, argc == 2 && strcmp(argv[1], "strict") == 0);
    return 0;
}
