/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_cpu.c — what was found is consistent; prints it, for the record of a test run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/cpu.h"

static void test_found(void **state)
{
    (void)state;
    cpu_detect();
    const struct cpu_features *f = cpu_features();
    printf("cpu: %s, %u cores, page %zu, aes %d sha2 %d popcnt %d avx2 %d vpopcntdq %d vnni %d neon %d dotprod %d\n",
           f->name, f->cores, f->page_size, f->aes, f->sha2, f->popcnt, f->avx2, f->avx512_vpopcntdq, f->avx512_vnni,
           f->neon, f->dotprod);
    assert_true(f->cores >= 1);
    assert_int_equal(f->page_size, sysconf(_SC_PAGESIZE));
    assert_int_equal(f->page_size & (f->page_size - 1), 0);
    assert_true(strlen(f->name) > 0);
    assert_true(!f->avx512_vnni || f->avx2);
    assert_true(!f->dotprod || f->neon);
    assert_false(f->neon && f->avx2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found)};
    return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
