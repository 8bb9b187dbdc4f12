/* SPDX-License-Identifier: Apache-2.0 */
/* platform/cpu.h — what this processor can do, found once at boot (cpuid and xgetbv, or getauxval).
 *
 * Threads: cpu_detect at boot; reading from any.
 */
#ifndef PLATFORM_CPU_H
#define PLATFORM_CPU_H

#include <stdbool.h>
#include <stddef.h>

struct cpu_features {
    bool aes, sha2, crc32;                            /* instructions for AES, SHA-256, CRC-32C */
    bool popcnt, avx2, avx512_vpopcntdq, avx512_vnni; /* x86_64 */
    bool neon, dotprod;                               /* aarch64 */
    unsigned cores;                                   /* this process may run on */
    size_t page_size;                                 /* of the running kernel; never assume 4096 */
    char name[64];                                    /* as the system calls it, or "unknown" */
};

void cpu_detect(void);
const struct cpu_features *cpu_features(void);

#endif
