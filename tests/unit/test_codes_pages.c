/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_codes_pages.c — the codes' environment with the 16 KiB pages of some 64-bit ARM kernels: LMDB takes a new
 * environment's page size from the system, so here the system says 16 KiB. Everything test_codes.c asserts holds; only what
 * lies on how many pages differs.
 *
 * Link: -Wl,--wrap=sysconf
 */
#include <unistd.h>

#define TEST_PAGE_SIZE 16384

long __real_sysconf(int name);
long __wrap_sysconf(int name);

#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#define BARE __attribute__((disable_sanitizer_instrumentation)) /* the thread sanitizer asks before it is there */
#endif
#endif
#if !defined(BARE)
#define BARE
#endif

BARE long __wrap_sysconf(int name)
{
    return name == _SC_PAGESIZE ? TEST_PAGE_SIZE : __real_sysconf(name);
}

#include "tests/unit/test_codes.c"
