/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate.c — signs from a secret, the code of a vector by the chosen variant, and the int8 form of a vector. */
#include "cache/rotate.h"

#include <math.h>
#include <string.h>

#include "cache/rotate_kernel.h"
#include "platform/check.h"
#include "platform/crypto.h"
#include "platform/rc.h"

static const struct rotate_kernel scalar = {"scalar", rotate_round_scalar, NULL};
static const struct rotate_kernel *chosen = &scalar;

void rotate_select(const struct cpu_features *features)
{
    chosen = &scalar;
    for (unsigned i = 0; features && i < rotate_kernel_count; i++)
        if (rotate_kernels[i].runs_on(features)) chosen = &rotate_kernels[i];
}

const char *rotate_variant(void)
{
    return chosen->name;
}

int rotation_make(struct rotation *rotation, const unsigned char secret[ROTATION_SECRET_SIZE], unsigned dim)
{
    static const char info[] = "larder rotation 1";
    unsigned char bits[ROTATION_ROUNDS * ROTATION_WIDTH_MAX / 8];
    if (dim == 0 || dim > EMBED_DIM_MAX) return RC_INVALID;
    memset(rotation, 0, sizeof *rotation);
    rotation->dim = dim;
    for (rotation->width = CODE_BITS; rotation->width < dim;) rotation->width *= 2;
    size_t round_size = rotation->width / 8;
    CHECK(hkdf_sha256(secret, ROTATION_SECRET_SIZE, info, sizeof info - 1, bits, ROTATION_ROUNDS * round_size) ==
          RC_OK);
    /* little endian is all we build for: bytes are words */
    for (unsigned i = 0; i < ROTATION_ROUNDS; i++) memcpy(rotation->signs[i], bits + i * round_size, round_size);
    crypto_wipe(bits, sizeof bits);
    return RC_OK;
}

static void load_centred(const struct rotation *rotation, const float *vector, const float *centre, float *work)
{
    unsigned dim = rotation->dim;
    memset(work + dim, 0, (rotation->width - dim) * sizeof *work);
    if (centre)
        for (unsigned i = 0; i < dim; i++) work[i] = vector[i] - centre[i];
    else
        memcpy(work, vector, dim * sizeof *work);
}

static uint64_t not_negative(const float *values)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < 64; i++) word |= (uint64_t)(values[i] >= 0.0F) << i;
    return word;
}

void rotate_code(const struct rotation *rotation, const float *vector, const float *centre, float *work,
                 uint64_t code[CODE_WORDS])
{
    load_centred(rotation, vector, centre, work);
    for (unsigned i = 0; i < ROTATION_ROUNDS; i++) chosen->round(work, rotation->width, rotation->signs[i]);
    for (unsigned i = 0; i < CODE_WORDS; i++) code[i] = not_negative(work + 64 * i);
}

static float largest(const float *vector, unsigned dim)
{
    float max = 0.0F;
    for (unsigned i = 0; i < dim; i++) max = fabsf(vector[i]) > max ? fabsf(vector[i]) : max;
    return max;
}

/* Adding and taking away 1.5 × 2^23 leaves no bits behind the point, rounded as the processor rounds: ties to even. */
static inline int8_t rounded(float x)
{
    const float border = 12582912.0F;
    float clamped = x < 127.0F ? x : 127.0F;
    clamped = clamped > -127.0F ? clamped : -127.0F;
    return (int8_t)((clamped + border) - border);
}

float vector_quantise(const float *vector, unsigned dim, int8_t *quantised)
{
    float max = largest(vector, dim);
    int32_t squares = 0;
    if (max == 0.0F) {
        memset(quantised, 0, dim);
        return 0.0F;
    }
    for (unsigned i = 0; i < dim; i++) {
        quantised[i] = rounded(127.0F * vector[i] / max);
        squares += quantised[i] * quantised[i];
    }
    return (float)(1.0 / sqrt((double)squares));
}
