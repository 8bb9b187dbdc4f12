/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot.h — a serving process from its first memory to its last commit.
 *
 * Order:   configuration, plan (all memory), seal, store, keys, providers, listeners, loop; then drain and close.
 * Threads: boot and shutdown on the main thread, which becomes the lane.
 */
#ifndef APP_BOOT_H
#define APP_BOOT_H

#include "app/config.h"

struct boot_options {
    const char *config_path; /* NULL: larder.yaml in the working folder if there is one, else the built-in default */
    const char *const *overrides;
    unsigned override_count;
    bool named_board; /* by --board: the plan is for such a board, not for this machine */
};

/* `larder serve`: returns the process's exit code. */
int boot_serve(const struct boot_options *options);
/* `larder check`: prints the resolved configuration, or its errors. */
int boot_check(const struct boot_options *options);
/* Where the control socket of this configuration is; 0, or the exit code of what is wrong with it. */
int boot_control_path(const struct boot_options *options, char *path, size_t size);
/* `larder plan`: of a named board also when this machine could not hold it. */
int boot_plan(const struct boot_options *options);
/* `larder reference`. */
int boot_reference(void);

/* For commands, on the lane. */
void boot_print_plan(struct text *out);
int boot_reload(struct text *out); /* fiber */
void boot_shutdown(void);
uint64_t boot_uptime_us(void);
/* Private memory as of now (fiber: the kernel walks the page tables, which is for a worker), and as last asked. */
size_t boot_private_measure(void);
size_t boot_private_last(void);
bool boot_is_ready(void);
/* What becomes of the embedder: "ready", "its model is being read", or why there is none. */
const char *boot_embedder_state(void);

#endif
