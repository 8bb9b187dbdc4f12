/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/sweep_x86_64.c — which loads are the widest. */
#include "app/bench/sweep.h"
#include "platform/cpu.h"

sweep_run *sweep_widest(const struct cpu_features *features)
{
    if (features->avx512_vpopcntdq || features->avx512_vnni) return sweep_avx512;
    return features->avx2 ? sweep_avx2 : sweep_plain;
}
