/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/guard_page.h — inputs for parsers that end at an unreadable page. */
#ifndef TESTS_SUPPORT_GUARD_PAGE_H
#define TESTS_SUPPORT_GUARD_PAGE_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/span.h"

enum { GUARDED_MAX = 1 << 17 };

/* A copy of `s` whose last byte is the last readable one; valid until the next call. */
static inline struct span guarded(struct span s)
{
    static char *end;
    if (!end) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *base = mmap(NULL, GUARDED_MAX + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(base != MAP_FAILED);
        CHECK(mprotect(base + GUARDED_MAX, page, PROT_NONE) == 0);
        end = base + GUARDED_MAX;
    }
    CHECK(s.size <= GUARDED_MAX);
    if (s.size > 0) memcpy(end - s.size, s.data, s.size);
    return span_of(end - s.size, s.size);
}

#endif
