/* SPDX-License-Identifier: Apache-2.0 */
/* platform/yaml.h — read a YAML file into a tree with line and column of every node (door of libyaml).
 *
 * Owner:   nodes and texts live in the caller's arena.
 * Threads: one at a time (libyaml's region).
 * Fails:   RC_INVALID with line, column and message; anchors, aliases, tags and several documents are refused by name.
 *          RC_TOO_LARGE above YAML_NODES_MAX or YAML_DEPTH_MAX.
 * Not here: what the keys mean (app/config), ${NAME} replacement (app/config).
 */
#ifndef PLATFORM_YAML_H
#define PLATFORM_YAML_H

#include "platform/arena.h"

enum { YAML_NODES_MAX = 8192, YAML_DEPTH_MAX = 16 };

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column;    /* from 1 */
    struct span key;          /* in a mapping */
    unsigned key_line, key_column;
    struct span text;         /* scalar */
    bool plain;               /* scalar without quotes: null, true, numbers may be meant */
    struct yaml_node *child;  /* first element or member */
    struct yaml_node *next;
};

struct yaml_error {
    unsigned line, column;
    char message[160];
};

int yaml_read(struct arena *arena, struct span text, struct yaml_node **root, struct yaml_error *error);

#endif
