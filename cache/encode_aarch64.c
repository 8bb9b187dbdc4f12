/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_aarch64.c — this architecture's variants of the encoder. */
#include "cache/encode_kernels.h"
#include "platform/cpu.h"

extern const struct encode_products encode_products_neon, encode_products_dotprod;
extern const struct encode_math encode_math_neon;

static bool has_dotprod(const struct cpu_features *features)
{
    return features && features->neon && features->dotprod;
}

static bool has_neon(const struct cpu_features *features)
{
    return features && features->neon;
}

static bool anywhere(const struct cpu_features *features)
{
    (void)features;
    return true;
}

const struct encode_variant encode_variants[] = {
    {"dotprod", has_dotprod, &encode_products_dotprod, &encode_math_neon},
    {"neon", has_neon, &encode_products_neon, &encode_math_neon},
    {"scalar", anywhere, &encode_products_scalar, &encode_math_scalar},
};
const unsigned encode_variant_count = sizeof encode_variants / sizeof *encode_variants;
