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

/* What variants of kernels are named after, each including the ones before it on its machine. */
enum cpu_level { CPU_SCALAR, CPU_POPCNT, CPU_AVX2, CPU_AVX512, CPU_NEON, CPU_DOTPROD, CPU_LEVELS };

const char *cpu_level_name(enum cpu_level level);
/* RC_NOT_FOUND: no such name. */
int cpu_level_find(const char *name, enum cpu_level *level);
bool cpu_level_runs(enum cpu_level level);
/* From here on features above `level` count as absent, so that `--kernel` can try the slower variants; whoever has
 * chosen a variant chooses again. Encryption, hashes and CRC keep theirs. RC_UNSUPPORTED: this processor lacks `level`
 * itself. Undone by cpu_detect. */
int cpu_limit(enum cpu_level level);

#endif
