/* SPDX-License-Identifier: Apache-2.0 */
/* platform/yaml.h — read a YAML file into a tree with line and column of every node (door of libyaml).
 *
 * Owner:   nodes and texts live in the caller's arena.
 * Threads: one at a time (libyaml's region).
 * Fails:   RC_INVALID with line, column and message; anchors, aliases, tags and several documents are refused by name.
 *          A key twice in one mapping is refused too. RC_TOO_LARGE above the bounds below, RC_FULL when the arena or
 *          the region is; the message says so.
 * Not here: what the keys mean (app/config), ${NAME} replacement (app/config).
 */
#ifndef PLATFORM_YAML_H
#define PLATFORM_YAML_H

#include "platform/arena.h"

enum {
    YAML_NODES_MAX = 8192, /* ten times what a full configuration has */
    YAML_DEPTH_MAX = 16,   /* ours is 5 deep; readers of the tree may recurse */
    YAML_TEXT_MAX = 256 * 1024,
    YAML_REGION_SIZE = 2 * 1024 * 1024, /* libyaml's buffers, and a scalar of YAML_TEXT_MAX that grows by doubling */
};

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column; /* from 1 */
    struct span key;       /* in a mapping */
    unsigned key_line, key_column;
    struct span text;        /* scalar */
    bool plain;              /* scalar without quotes: null, true, numbers may be meant */
    struct yaml_node *child; /* first element or member */
    struct yaml_node *next;
};

struct yaml_error {
    unsigned line, column;
    char message[160];
};

/* Boot: reserves the library's region; without it every yaml_read is RC_FULL. */
int yaml_reserve(void);

/* A text without any node (empty, or comments alone) is RC_OK with *root == NULL. */
int yaml_read(struct arena *arena, struct span text, struct yaml_node **root, struct yaml_error *error);

#endif
