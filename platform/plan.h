/* SPDX-License-Identifier: Apache-2.0 */
/* platform/plan.h — the memory plan: every region of the process, taken at boot under a name.
 *
 * Owner:   this module owns the list; a region belongs to the module that took it, for the life of the process.
 * Threads: boot only (before plan_seal); reading afterwards from any.
 * Fails:   RC_FULL when the system or the configured ceiling has no room: the message names the term to lower.
 * Not here: what the terms are (each module's *_reserve function), their compile-time maxima (app/bounds.h).
 */
#ifndef PLATFORM_PLAN_H
#define PLATFORM_PLAN_H

#include <stdbool.h>
#include <stddef.h>

enum { PLAN_TERMS_MAX = 96 };

enum plan_use {
    PLAN_TOUCHED, /* committed whole at boot (pre-faulted) */
    PLAN_LAZY,    /* address space now; pages as they are used, never above `ceiling` */
};

struct plan_term {
    const char *name;  /* "net connections": module, then what; static text */
    size_t count;      /* how many … */
    size_t each;       /* … of how many bytes */
    size_t reserved;   /* address space, whole pages */
    size_t committed;  /* at boot */
    size_t ceiling;    /* most it ever commits */
    const char *lower; /* the configuration key that makes it smaller, or NULL; static text */
};

/* Maps count × each bytes, zeroed, page aligned. `ceiling` is for PLAN_LAZY (0: all of it). */
int plan_take(const char *name, size_t count, size_t each, enum plan_use use, size_t ceiling, const char *lower,
              void **region);

/* Names memory that is not mapped here: thread stacks, static data, a library's own mapping. */
void plan_note(const char *name, size_t count, size_t each, size_t committed, size_t ceiling);

/* Bytes of a lazy term that boot itself has touched. */
void plan_touched(const char *name, size_t bytes);

/* The plan of another machine: nothing is pre-faulted, and this one's memory does not limit it. Before the first
 * plan_take. */
void plan_dry_run(void);

enum { PLAN_PROGRAM_GROWTH = 1 << 20 }; /* static buffers that are first used later: log ring, fiber tables, messages */

/* When all is taken: counts what boot itself has committed of the lazy terms, and names what the program holds besides. */
void plan_measure(void);

/* After this plan_take is a CHECK failure. */
void plan_seal(void);

size_t plan_count(void);
const struct plan_term *plan_at(size_t index);
struct plan_term plan_total(void);

/* Private (anonymous or dirtied) bytes of this process now, from /proc/self/smaps_rollup, in bytes; 0 when unknown. */
size_t plan_private_now(void);

#endif
