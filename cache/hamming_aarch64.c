/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_aarch64.c — the variants of this architecture. */
#include "cache/hamming_kernel.h"
#include "platform/cpu.h"

const struct hamming_kernel hamming_kernels[] = {{"scalar", hamming_scan_scalar, NULL}};
const unsigned hamming_kernel_count = 0;
