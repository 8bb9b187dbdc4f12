/* SPDX-License-Identifier: Apache-2.0 */
/* platform/fiber_sanitizer.h — tells AddressSanitizer, ThreadSanitizer and valgrind which stack runs.
 *
 * Threads: lane only.
 * Not here: the switch itself (hal/context_switch.h). Without a checker every function is empty.
 */
#ifndef PLATFORM_FIBER_SANITIZER_H
#define PLATFORM_FIBER_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ADDRESS_SANITIZER 1
#elif __has_feature(thread_sanitizer)
#define FIBER_THREAD_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FIBER_ADDRESS_SANITIZER 1
#elif defined(__SANITIZE_THREAD__)
#define FIBER_THREAD_SANITIZER 1
#endif

/* One for each stack, the lane's own included. */
struct fiber_sanitizer {
    void *state; /* ASan: fake stack while the stack is left; TSan: its fiber */
    const void *bottom;
    size_t size;
};

#if defined(FIBER_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>

enum { FIBER_STACK_SCALE = 4 }; /* checked frames are that much larger */

static inline void fiber_sanitizer_init(struct fiber_sanitizer *s, void *bottom, size_t size)
{
    s->bottom = bottom;
    s->size = size;
}

static inline void fiber_sanitizer_leave(struct fiber_sanitizer *from, struct fiber_sanitizer *to)
{
    __sanitizer_start_switch_fiber(&from->state, to->bottom, to->size);
}

/* First thing on the stack that was switched to. `from` gets its bounds: the lane's are only learned so. */
static inline void fiber_sanitizer_enter(struct fiber_sanitizer *self, struct fiber_sanitizer *from)
{
    __sanitizer_finish_switch_fiber(self->state, &from->bottom, &from->size);
}

#elif defined(FIBER_THREAD_SANITIZER)
#include <sanitizer/tsan_interface.h>

enum { FIBER_STACK_SCALE = 4 };

static inline void fiber_sanitizer_init(struct fiber_sanitizer *s, void *bottom, size_t size)
{
    s->bottom = bottom;
    s->size = size;
    s->state = __tsan_create_fiber(0);
}

static inline void fiber_sanitizer_leave(struct fiber_sanitizer *from, struct fiber_sanitizer *to)
{
    if (!from->state) from->state = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->state, 0);
}

static inline void fiber_sanitizer_enter(struct fiber_sanitizer *self, struct fiber_sanitizer *from)
{
    (void)self;
    (void)from;
}

#else

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#if !defined(VALGRIND_STACK_REGISTER)
#define VALGRIND_STACK_REGISTER(start, end) ((void)(start), (void)(end))
#endif

enum { FIBER_STACK_SCALE = 1 };

static inline void fiber_sanitizer_init(struct fiber_sanitizer *s, void *bottom, size_t size)
{
    s->bottom = bottom;
    s->size = size;
    VALGRIND_STACK_REGISTER((char *)bottom, (char *)bottom + size);
}

static inline void fiber_sanitizer_leave(struct fiber_sanitizer *from, struct fiber_sanitizer *to)
{
    (void)from;
    (void)to;
}

static inline void fiber_sanitizer_enter(struct fiber_sanitizer *self, struct fiber_sanitizer *from)
{
    (void)self;
    (void)from;
}

#endif
#endif
