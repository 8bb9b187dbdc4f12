/* SPDX-License-Identifier: Apache-2.0 */
/* platform/cpu.c — asks the processor (x86_64) or the kernel (ARM) what instructions there are. */
#include "platform/cpu.h"

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "platform/rc.h"

static struct cpu_features features;

#if defined(__x86_64__)
#include <cpuid.h>

/* Which register files the kernel saves: without it the wide instructions fault. */
static uint64_t extended_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static void detect_name(void)
{
    uint32_t words[12] = {0};
    uint32_t highest = (uint32_t)__get_cpuid_max(0x80000000u, NULL);
    if (highest < 0x80000004u) return;
    for (uint32_t i = 0; i < 3; i++)
        __cpuid(0x80000002u + i, words[i * 4], words[i * 4 + 1], words[i * 4 + 2], words[i * 4 + 3]);
    memcpy(features.name, words, sizeof words);
    features.name[sizeof words] = '\0';
}

static void detect_instructions(void)
{
    const uint64_t state_avx = 0x6, state_avx512 = 0xE6;
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    features.popcnt = (c >> 23 & 1) != 0;
    features.crc32 = (c >> 20 & 1) != 0;                    /* SSE4.2 */
    features.aes = (c >> 25 & 1) != 0 && (c >> 1 & 1) != 0; /* with carry-less multiplication, for GCM */
    uint64_t state = (c >> 27 & 1) != 0 ? extended_state() : 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    features.sha2 = (b >> 29 & 1) != 0;
    features.avx2 = (state & state_avx) == state_avx && (b >> 5 & 1) != 0;
    /* F, BW and VL: the kernels use byte operations on 256-bit registers too. */
    bool avx512 = (state & state_avx512) == state_avx512 && (b >> 16 & 1) && (b >> 30 & 1) && (b >> 31 & 1);
    features.avx512_vpopcntdq = avx512 && (c >> 14 & 1) != 0;
    features.avx512_vnni = avx512 && (c >> 11 & 1) != 0;
}

#else

/* The device tree names the board, which names the processor. */
static void detect_name(void)
{
    int fd = open("/proc/device-tree/model", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t size = read(fd, features.name, sizeof features.name - 1);
    close(fd);
    features.name[size > 0 ? size : 0] = '\0';
}

#if defined(__aarch64__)
#include <asm/hwcap.h>

static void detect_instructions(void)
{
    unsigned long capabilities = getauxval(AT_HWCAP);
    features.neon = (capabilities & HWCAP_ASIMD) != 0;
    features.dotprod = (capabilities & HWCAP_ASIMDDP) != 0;
    features.aes = (capabilities & HWCAP_AES) != 0 && (capabilities & HWCAP_PMULL) != 0;
    features.sha2 = (capabilities & HWCAP_SHA2) != 0;
    features.crc32 = (capabilities & HWCAP_CRC32) != 0;
}

#else

static void detect_instructions(void)
{
}

#endif
#endif

static unsigned count_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

void cpu_detect(void)
{
    memset(&features, 0, sizeof features);
    detect_instructions();
    detect_name();
    if (features.name[0] == '\0') memcpy(features.name, "unknown", sizeof "unknown");
    features.cores = count_cores();
    features.page_size = (size_t)sysconf(_SC_PAGESIZE);
}

const struct cpu_features *cpu_features(void)
{
    return &features;
}

static const char *const level_names[CPU_LEVELS] = {"scalar", "popcnt", "avx2", "avx512", "neon", "dotprod"};

const char *cpu_level_name(enum cpu_level level)
{
    return level_names[level];
}

int cpu_level_find(const char *name, enum cpu_level *level)
{
    for (unsigned i = 0; i < CPU_LEVELS; i++) {
        if (strcmp(name, level_names[i]) != 0) continue;
        *level = (enum cpu_level)i;
        return RC_OK;
    }
    return RC_NOT_FOUND;
}

bool cpu_level_runs(enum cpu_level level)
{
    const bool runs[CPU_LEVELS] = {
        [CPU_SCALAR] = true,        [CPU_POPCNT] = features.popcnt,
        [CPU_AVX2] = features.avx2, [CPU_AVX512] = features.avx512_vpopcntdq || features.avx512_vnni,
        [CPU_NEON] = features.neon, [CPU_DOTPROD] = features.dotprod,
    };
    return runs[level];
}

int cpu_limit(enum cpu_level level)
{
    if (!cpu_level_runs(level)) return RC_UNSUPPORTED;
    features.popcnt = features.popcnt && level >= CPU_POPCNT;
    features.avx2 = features.avx2 && level >= CPU_AVX2;
    features.avx512_vpopcntdq = features.avx512_vpopcntdq && level >= CPU_AVX512;
    features.avx512_vnni = features.avx512_vnni && level >= CPU_AVX512;
    features.neon = features.neon && level >= CPU_NEON;
    features.dotprod = features.dotprod && level >= CPU_DOTPROD;
    return RC_OK;
}
