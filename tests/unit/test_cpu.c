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
#include "platform/rc.h"

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

static void test_levels_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CPU_LEVELS; i++) {
        enum cpu_level level = CPU_LEVELS;
        assert_int_equal(cpu_level_find(cpu_level_name((enum cpu_level)i), &level), RC_OK);
        assert_int_equal(level, i);
    }
    enum cpu_level level = CPU_AVX2;
    assert_int_equal(cpu_level_find("", &level), RC_NOT_FOUND);
    assert_int_equal(cpu_level_find("avx", &level), RC_NOT_FOUND);
    assert_int_equal(level, CPU_AVX2);
}

static void test_a_limit_hides_what_is_above_it(void **state)
{
    (void)state;
    const struct cpu_features *f = cpu_features();
    for (unsigned i = 0; i < CPU_LEVELS; i++) {
        enum cpu_level limit = (enum cpu_level)i;
        cpu_detect();
        struct cpu_features found = *f;
        bool runs = cpu_level_runs(limit);
        assert_int_equal(cpu_limit(limit), runs ? RC_OK : RC_UNSUPPORTED);
        if (!runs) assert_memory_equal(&found, f, sizeof found);
        for (unsigned above = i + 1; runs && above < CPU_LEVELS; above++)
            assert_false(cpu_level_runs((enum cpu_level)above));
        assert_int_equal(cpu_level_runs(limit), runs);
        assert_true(f->sha2 == found.sha2 && f->aes == found.aes && f->crc32 == found.crc32);
        assert_int_equal(f->cores, found.cores);
    }
    cpu_detect();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_levels_have_names),
        cmocka_unit_test(test_a_limit_hides_what_is_above_it),
    };
    return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
