/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore_aarch64.c — the variants of this architecture. */
#include <stddef.h>

#include "cache/rescore_kernel.h"
#include "platform/cpu.h"

const struct rescore_kernel rescore_kernels[] = {{"scalar", rescore_dots_scalar, NULL}};
const unsigned rescore_kernel_count = 0;
