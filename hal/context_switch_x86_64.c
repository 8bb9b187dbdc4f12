/* SPDX-License-Identifier: Apache-2.0 */
/* hal/context_switch_x86_64.c — System V ABI: rbx, rbp, r12 … r15, mxcsr and the x87 control word outlive a call. */
#include "hal/context_switch.h"

#if defined(__x86_64__)

#include <stdint.h>

/* Lies where context_switch leaves rsp; 16-byte aligned with `entry` in the last place but one, so that the entered
 * function sees the stack as after a call. */
struct frame {
    uint32_t mxcsr;
    uint16_t x87_control, unused;
    uint64_t r15, r14, r13, r12, rbx, rbp;
    uint64_t entry;
    uint64_t no_return;
};
_Static_assert(sizeof(struct frame) % 16 == 8, "entry lies on a multiple of 16 when the stack's top does");

__asm__(".pushsection .text.context_switch,\"ax\",@progbits\n"
        ".globl context_switch\n"
        ".hidden context_switch\n"
        ".type context_switch,@function\n"
        "context_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    subq $8, %rsp\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size context_switch,.-context_switch\n"
        ".popsection\n");

void *context_make(void *stack_top, void (*entry)(void))
{
    uintptr_t top = (uintptr_t)stack_top & ~(uintptr_t)15;
    struct frame *frame = (struct frame *)(top - sizeof(struct frame));
    *frame = (struct frame){.entry = (uint64_t)(uintptr_t)entry};
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(frame->mxcsr), "=m"(frame->x87_control));
    return frame;
}

#else
typedef int context_switch_is_not_for_x86_64;
#endif
