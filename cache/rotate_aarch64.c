/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_aarch64.c — the variants of this architecture. */
#include "cache/rotate_kernel.h"
#include "platform/cpu.h"

const struct rotate_kernel rotate_kernels[] = {{"scalar", rotate_round_scalar, NULL}};
const unsigned rotate_kernel_count = 0;
