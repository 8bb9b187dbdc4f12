/* SPDX-License-Identifier: Apache-2.0 */
/* platform/start.h — what a process does first, and what it writes down when it dies of a fault.
 *
 * Owner:   process-wide.
 * Threads: boot, on the main thread. start_watch_range also later, from the thread that maps.
 * Fails:   start_process: RC_IO when memory that must be read-only cannot be made so. Nothing else here fails a boot.
 * Order:   start_process is main's first call; start_faults follows, before any thread is made.
 * Why:     musl applies no RELRO to static programs, a parent may have blocked or ignored signals, and a damaged map that
 *          faults must be told from other faults at the next boot.
 */
#ifndef PLATFORM_START_H
#define PLATFORM_START_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

enum { START_RANGES_MAX = 8 };

/* Makes tables of pointers read-only, empties the signal mask, sets every signal to its default and SIGPIPE to ignored, and
 * raises the limit of open files to what the system allows. */
int start_process(void);

/* How many files this process may have open. */
size_t start_files_max(void);

/* From here on SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT write one line to stderr before the process dies of them. The
 * handler has its own stack on the calling thread (the lane, whose fibers' stacks may be what overflowed). */
void start_faults(void);

/* A fault at an address within the range appends "NAME SECONDS\n" (wall time) to the file at `path` before the process
 * dies. The same name again replaces its range; size 0 ends the watch. RC_FULL above START_RANGES_MAX names,
 * RC_TOO_LARGE when name (31 bytes) or path (FILE_PATH_MAX) is too long. */
int start_watch_range(const char *name, const void *base, size_t size, const char *path);

/* What a thread of ours blocks: every signal but the faults, since a blocked fault kills without its last words. */
void start_thread_mask(sigset_t *set);

/* How many faults of `name` the file records at or after `since_us`; a missing file has none. */
unsigned start_faults_recorded(const char *path, const char *name, uint64_t since_us);

#endif
