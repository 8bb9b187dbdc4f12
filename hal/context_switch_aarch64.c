/* SPDX-License-Identifier: Apache-2.0 */
/* hal/context_switch_aarch64.c — AAPCS64: x19 … x30 and the low halves of v8 … v15 outlive a call. */
#include "hal/context_switch.h"

#if defined(__aarch64__)

#include <stdint.h>

/* Lies where context_switch leaves sp. */
struct frame {
    uint64_t x19_to_x29[11];
    uint64_t x30; /* where the switch returns to */
    uint64_t d8_to_d15[8];
};
_Static_assert(sizeof(struct frame) == 160, "as the assembly below has it");

__asm__(".pushsection .text.context_switch,\"ax\",%progbits\n"
        ".globl context_switch\n"
        ".hidden context_switch\n"
        ".type context_switch,%function\n"
        "context_switch:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x2, sp\n"
        "    str x2, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size context_switch,.-context_switch\n"
        ".popsection\n");

void *context_make(void *stack_top, void (*entry)(void))
{
    uintptr_t top = (uintptr_t)stack_top & ~(uintptr_t)15;
    struct frame *frame = (struct frame *)(top - sizeof(struct frame));
    *frame = (struct frame){.x30 = (uint64_t)(uintptr_t)entry};
    return frame;
}

#else
typedef int context_switch_is_not_for_aarch64;
#endif
