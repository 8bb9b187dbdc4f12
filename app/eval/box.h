/* SPDX-License-Identifier: Apache-2.0 */
/* app/eval/box.h — a store with the semantic tier in a temporary folder, and nothing else of the box.
 *
 * Owner:   one a process. Spans in struct eval_found are valid until the next call.
 * Threads: lane; put and get from a fiber (they wait).
 * Fails:   open says why in `message`.
 */
#ifndef APP_EVAL_BOX_H
#define APP_EVAL_BOX_H

#include "cache/embed.h"
#include "cache/semantic.h"

struct eval_box_options {
    const char *model;
    enum embed_kind kind;
    bool strict;
    const char *vectors; /* file that gets every vector made, NULL: none (the form is told at eval_record) */
};

/* In the vectors' file, host order; `dim` signed bytes follow. */
struct eval_record {
    uint32_t kind; /* 0: put, 1: get */
    uint32_t dim;  /* 0: no vector could be made */
    float scale;
    uint32_t zero;
    uint64_t code[CODE_WORDS];
};

struct eval_found {
    struct semantic_found found;
    struct span key; /* the candidate's stored answer */
};

int eval_box_open(const struct eval_box_options *options, char *message, size_t message_size);
void eval_box_close(void);

/* RC_TOO_LARGE, RC_EMPTY: stored, and not found in other words. */
int eval_box_put(uint64_t space, struct span key, struct span text);
/* RC_TOO_LARGE, RC_EMPTY: not looked up. found->found.id 0: there is nothing. *found must last until the next call. */
int eval_box_get(uint64_t space, struct span text, struct eval_found *found);

#endif
