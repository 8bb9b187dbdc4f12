/* SPDX-License-Identifier: Apache-2.0 */
/* app/board.h — the boards this program knows: how each is recognised, and which counts suit it.
 *
 * Owner:   board/NAME.yaml, one file a board, embedded by the build in the order of their names. What is read from one
 *          lives in the caller's arena.
 * Threads: as yaml_read: one at a time.
 * Fails:   RC_INVALID when a file holds what a board may not say; the message has its line and column.
 * Format:  about (text), ram (size: the least RAM of such a board), match (globs over hal/identity.h's model), limits and
 *          storage (keys of the configuration that are counts, sizes or durations, with the board's defaults).
 * Not here: putting the defaults under a user's file (app/config_board.c).
 */
#ifndef APP_BOARD_H
#define APP_BOARD_H

#include "platform/text.h"
#include "platform/yaml.h"

enum {
    BOARD_MATCHES_MAX = 8,
    BOARDS_MAX = 16, /* of the table in the reference */
};

struct board {
    struct span name, about;
    uint64_t ram;
    struct span match[BOARD_MATCHES_MAX];
    unsigned match_count;
    struct span matched;                /* the glob by which board_choose chose it; empty: none */
    struct yaml_node *limits, *storage; /* mappings, or NULL */
};

/* The embedded ones; NULL past the last. */
const char *board_name_at(unsigned index);

/* `text` is a board's file; what is wrong with it is appended to `wrong`. */
int board_read(struct arena *arena, struct span name, struct span text, struct board *board, struct text *wrong);

/* The embedded board of this name; RC_NOT_FOUND. */
int board_find(struct arena *arena, struct span name, struct board *board, struct text *wrong);

/* The boards, and what each sets, as two Markdown tables. */
int board_print_reference(struct arena *arena, struct text *out);

/* The first whose globs match `model`, else "generic". */
int board_choose(struct arena *arena, struct span model, struct board *board, struct text *wrong);

#endif
