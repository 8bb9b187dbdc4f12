/* SPDX-License-Identifier: Apache-2.0 */
/* platform/plan.c — the list of terms and the mappings behind it. */
#include "platform/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "platform/span.h"

static struct plan_term terms[PLAN_TERMS_MAX];
static void *bases[PLAN_TERMS_MAX]; /* of the terms that are mapped here, else NULL */
static size_t term_count;
static bool sealed;
static bool dry_run;

static size_t page_up(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) & ~(page - 1);
}

/* One small text file of /proc; a folder of its own would be too much. */
static size_t read_text(const char *path, char *buffer, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    size_t size = 0;
    ssize_t n;
    while (size < capacity && (n = read(fd, buffer + size, capacity - size)) > 0) size += (size_t)n;
    close(fd);
    return size;
}

/* "Name:   123 kB" → bytes; 0 when there is no such line. */
static size_t kib_line(struct span text, struct span name)
{
    while (text.size > 0) {
        struct span line;
        text = span_cut(text, '\n', &line);
        if (!span_starts_with(line, name)) continue;
        struct span number = span_trim(span_of(line.data + name.size, line.size - name.size));
        uint64_t kib = 0;
        span_cut(number, ' ', &number);
        return span_to_u64(number, SIZE_MAX >> 10, &kib) == RC_OK ? (size_t)kib << 10 : 0;
    }
    return 0;
}

/* What the system could give this process when the first term was taken; SIZE_MAX when it does not say. */
static size_t system_available(void)
{
    static size_t available;
    char text[2048];
    if (available > 0) return available;
    size_t size = read_text("/proc/meminfo", text, sizeof text);
    available = kib_line(span_of(text, size), SPAN("MemAvailable:"));
    if (available == 0) available = SIZE_MAX;
    return available;
}

static struct plan_term *term_add(const char *name, size_t count, size_t each)
{
    CHECK(!sealed);
    CHECK(term_count < PLAN_TERMS_MAX);
    CHECK(each == 0 || count <= SIZE_MAX / each);
    struct plan_term *term = &terms[term_count++];
    *term = (struct plan_term){.name = name, .count = count, .each = each};
    bases[term - terms] = NULL;
    return term;
}

/* Populating is a wish that the kernel, or an emulator, may leave unanswered. */
static void touch_pages(unsigned char *base, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t at = 0; at < size; at += page) *(volatile unsigned char *)(base + at) = 0;
}

/* The largest term that a configuration key makes smaller is the one worth naming. */
static const struct plan_term *term_to_lower(void)
{
    const struct plan_term *largest = NULL;
    for (size_t i = 0; i < term_count; i++) {
        if (terms[i].lower && (!largest || terms[i].ceiling > largest->ceiling)) largest = &terms[i];
    }
    return largest;
}

static int refuse(const struct plan_term *term, const char *why)
{
    const struct plan_term *lower = term_to_lower();
    log_error("plan", "no room for %s (%zu x %zu bytes): %s; lower %s", term->name, term->count, term->each, why,
              lower ? lower->lower : "the board profile");
    term_count--;
    return RC_FULL;
}

static int map_region(const struct plan_term *term, enum plan_use use, void **region)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (use == PLAN_TOUCHED && !dry_run) flags |= MAP_POPULATE;
    void *base = mmap(NULL, term->reserved, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED) return RC_FULL;
    /* A huge page would commit 2 MiB for one byte; a kernel without them says EINVAL. */
    if (use == PLAN_LAZY) (void)madvise(base, term->reserved, MADV_NOHUGEPAGE);
    if (use == PLAN_TOUCHED && !dry_run) touch_pages(base, term->reserved);
    bases[term - terms] = base;
    *region = base;
    return RC_OK;
}

int plan_take(const char *name, size_t count, size_t each, enum plan_use use, size_t ceiling, const char *lower,
              void **region)
{
    struct plan_term *term = term_add(name, count, each);
    size_t whole = count * each > 0 ? count * each : 1;
    term->reserved = page_up(whole);
    if (use == PLAN_TOUCHED || ceiling == 0 || ceiling > term->reserved) ceiling = term->reserved;
    term->ceiling = page_up(ceiling);
    term->committed = use == PLAN_TOUCHED ? term->reserved : 0;
    term->lower = lower;
    if (term->reserved < whole) return refuse(term, "the size overflows");
    if (!dry_run && plan_total().ceiling > system_available())
        return refuse(term, "the terms so far need more than the memory available");
    if (map_region(term, use, region) != RC_OK) return refuse(term, strerror(errno));
    return RC_OK;
}

void plan_note(const char *name, size_t count, size_t each, size_t committed, size_t ceiling)
{
    struct plan_term *term = term_add(name, count, each);
    term->reserved = page_up(count * each);
    term->committed = committed;
    term->ceiling = ceiling;
}

static struct plan_term *term_find(const char *name)
{
    for (size_t i = 0; i < term_count; i++) {
        if (strcmp(terms[i].name, name) == 0) return &terms[i];
    }
    return NULL;
}

void plan_touched(const char *name, size_t bytes)
{
    struct plan_term *term = term_find(name);
    CHECK(term != NULL);
    term->committed = page_up(bytes);
    if (term->committed > term->ceiling) term->ceiling = term->committed;
}

void plan_dry_run(void)
{
    CHECK(term_count == 0);
    dry_run = true;
}

/* Bytes of a mapping that are in memory. */
static size_t resident(void *base, size_t size)
{
    static unsigned char map[4096];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = size / page, count = 0;
    for (size_t from = 0; from < pages; from += sizeof map) {
        size_t part = pages - from < sizeof map ? pages - from : sizeof map;
        if (mincore((char *)base + from * page, part * page, map) != 0) return 0;
        for (size_t i = 0; i < part; i++) count += map[i] & 1;
    }
    return count * page;
}

void plan_measure(void)
{
    size_t known = 0;
    for (size_t i = 0; i < term_count; i++) {
        /* Ranges larger than what they may hold are shared out by a budget: gigabytes to look through for nothing. */
        bool shared = terms[i].reserved > terms[i].ceiling;
        size_t held = bases[i] && !shared ? resident(bases[i], terms[i].reserved) : 0;
        if (bases[i] && terms[i].committed == 0) terms[i].committed = held;
        known += dry_run && bases[i] ? held : terms[i].committed;
    }
    size_t now = plan_private_now();
    size_t rest = now > known ? now - known : 0;
    plan_note("program's own data and stacks", 1, rest, rest, rest + PLAN_PROGRAM_GROWTH);
}

void plan_seal(void)
{
    sealed = true;
}

size_t plan_count(void)
{
    return term_count;
}

const struct plan_term *plan_at(size_t index)
{
    CHECK(index < term_count);
    return &terms[index];
}

struct plan_term plan_total(void)
{
    struct plan_term total = {.name = "total"};
    for (size_t i = 0; i < term_count; i++) {
        total.count += terms[i].count;
        total.reserved += terms[i].reserved;
        total.committed += terms[i].committed;
        total.ceiling += terms[i].ceiling;
    }
    return total;
}

/* Anonymous + Swap: what the process itself costs and what goes away with it. Pages of mapped files (store, model,
 * program text) are the page cache's, also when only this process has them mapped, so Private_Clean does not count;
 * Private_Dirty would add LMDB's shared lock file and lose what was swapped out. */
size_t plan_private_now(void)
{
    char text[2048];
    size_t size = read_text("/proc/self/smaps_rollup", text, sizeof text);
    struct span all = span_of(text, size);
    return kib_line(all, SPAN("Anonymous:")) + kib_line(all, SPAN("Swap:"));
}
