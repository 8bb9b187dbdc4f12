/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_x86_64.c — this architecture's variants of the encoder. */
#include "cache/encode_kernels.h"
#include "platform/cpu.h"

extern const struct encode_products encode_products_avx2, encode_products_avx512;
extern const struct encode_math encode_math_avx2, encode_math_avx512;

static bool has_vnni(const struct cpu_features *features)
{
    return features && features->avx512_vnni;
}

static bool has_avx2(const struct cpu_features *features)
{
    return features && features->avx2;
}

static bool anywhere(const struct cpu_features *features)
{
    (void)features;
    return true;
}

const struct encode_variant encode_variants[] = {
    {"avx512", has_vnni, &encode_products_avx512, &encode_math_avx512},
    {"avx2", has_avx2, &encode_products_avx2, &encode_math_avx2},
    {"scalar", anywhere, &encode_products_scalar, &encode_math_scalar},
};
const unsigned encode_variant_count = sizeof encode_variants / sizeof *encode_variants;
