/* SPDX-License-Identifier: Apache-2.0 */
/* hal/context_switch.h — leave one stack, go on with another.
 *
 * Owner:   the caller owns the stacks. A context is the stack pointer of a stack that was left; it is used up by the switch
 *          to it.
 * Threads: any; a context is resumed on the thread that left it.
 * Fails:   never.
 * Keeps:   what the ISA's procedure call standard lets a caller rely on, the floating point control words of x86 and the
 *          vector registers d8 … d15 of ARM included. Signal masks are not switched.
 * Who calls: platform/fiber only. One file an ISA; there is no fake: it has no device to stand for.
 */
#ifndef HAL_CONTEXT_SWITCH_H
#define HAL_CONTEXT_SWITCH_H

/* A context that calls `entry` on the stack that ends at `stack_top`. `entry` must not return. */
void *context_make(void *stack_top, void (*entry)(void));

/* Leaves the running stack, its context in *save, and goes on with `to`. */
void context_switch(void **save, void *to);

#endif
