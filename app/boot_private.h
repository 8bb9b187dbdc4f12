/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot_private.h — what the parts of boot share; nobody else includes it.
 *
 *   boot.c         serving: store, doors, signals, drain
 *   boot_config.c  the configuration file: check, reload
 *   boot_plan.c    every region of the process: plan
 *   boot_metrics.c figures of the process as a whole
 *   boot_embed.c   the embedder: opened at boot, checked on a worker
 *   boot_clock.c   the clock's floor, kept hourly
 */
#ifndef APP_BOOT_PRIVATE_H
#define APP_BOOT_PRIVATE_H

#include "app/boot.h"
#include "app/bounds.h"
#include "hal/identity.h"
#include "platform/fiber.h"
#include "platform/file.h"

enum {
    CONFIG_TEXT_MAX = 256 << 10,
    YAML_HEAP = 2 << 20, /* libyaml's own copies of a file of that size */
    EXIT_USAGE = 2,
    SAID_MAX = 16 << 10, /* errors and warnings of one configuration */
};

struct boot {
    const struct boot_options *options;
    char config_path[FILE_PATH_MAX]; /* empty: built-in default */
    char data[FILE_PATH_MAX];
    char model[IDENTITY_TEXT_MAX]; /* of this machine, or empty */
    struct server api, admin;
    struct arena_budget requests_budget, admin_budget;
    struct fiber_pool background;
    struct arena baseline_arena;
    struct config *baseline; /* the configuration of the boot, which the plan follows: what a reload is compared with */
    struct loop_source signals;
    struct loop_timer drain_timer, hourly;
    uint64_t drain_deadline_us, started_us;
    bool ready, draining, reloading;
    unsigned api_port, admin_port;
    char embedder_message[FILE_PATH_MAX + 256]; /* why there is no embedder although one is configured */
};

extern struct boot boot;

/* ---- boot_config.c */
/* Process start, configuration read into *next; says errors and warnings on stderr. 0, or the exit code. */
int boot_begin(const struct boot_options *options, struct generation **next);
/* Reads the same text once more, to where no reload goes. */
int boot_keep_baseline(void);
void boot_reload_fiber(void *arg);

/* ---- boot_plan.c */
struct server_limits boot_api_limits(const struct config *c);
int boot_reserve_all(const struct config *c);

/* ---- boot_embed.c */
/* `workers`: of the compute pool. A model that cannot be used is no failure: boot.embedder_message says why. */
int boot_embed_open(const struct config *c, unsigned workers);
/* In the loop's first turn: says what is missing, has the model read through. */
void boot_embed_start(void);

/* ---- boot_metrics.c: after all is reserved */
void boot_register_metrics(void);

/* ---- boot_clock.c */
void boot_clock_read(void);
void boot_clock_start(void);

#endif
