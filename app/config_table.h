/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_table.h — what app/config*.c share: the table of keys, the reader's state and the values' forms.
 *
 * Owner:   the tables are constant; a reader lives on config_load's stack.
 * Threads: any.
 * Not here: what others need (app/config.h).
 */
#ifndef APP_CONFIG_TABLE_H
#define APP_CONFIG_TABLE_H

#include "app/config.h"
#include "platform/text.h"
#include "platform/yaml.h"

enum config_type {
    TYPE_TEXT,      /* struct span */
    TYPE_SECRET,    /* struct span; never in a message, masked when printed */
    TYPE_BOOL,      /* bool */
    TYPE_COUNT,     /* unsigned, min … max */
    TYPE_RATIO,     /* double, min … max */
    TYPE_DURATION,  /* uint64_t us, min … max */
    TYPE_SIZE,      /* uint64_t bytes, min … max */
    TYPE_CHOICE,    /* int: index into choices */
    TYPE_FLAG,      /* bool: whether the choice is the second one */
    TYPE_WORD,      /* struct span: one of the choices */
    TYPE_THRESHOLD, /* double: a name or a number; null is 0 */
    TYPE_TEXTS,     /* struct span[max] and its count */
    TYPE_ADDRESSES, /* struct config_addresses; one may stand without brackets */
    TYPE_HEADERS,   /* struct config_header[max] and its count */
    TYPE_PROVIDERS, /* unsigned[max] and its count: names of providers */
    TYPE_PACKS,     /* unsigned[max] and its count: names of packs */
    TYPE_SECTION,   /* keys of the same struct, one level down */
    TYPE_SECTIONS,  /* a list of them: structs of `each` bytes, at most max, and their count */
};

/* LATER: given at its default a warning, otherwise an error. LATER_SOFT: a warning otherwise, silent at its default.
 * When the feature is built its row loses the word. */
enum config_built { BUILT, LATER, LATER_SOFT };

/* What SIGHUP does with a change; RELOAD_DOWN: taken unless it is above what the boot reserved. */
enum config_reload { RESTART, RELOAD, RELOAD_DOWN };

struct config_reader;

struct config_key {
    const char *name;
    enum config_type type;
    enum config_built built;
    enum config_reload reload;
    bool required;
    size_t offset;        /* from the start of the section's struct */
    const char *fallback; /* as it would be written; NULL: required, or zero */
    uint64_t min, max;
    const char *const *choices;    /* ends with NULL */
    unsigned choices_later;        /* bit i: choice i is not built yet */
    const struct config_key *keys; /* sections; ends with name NULL */
    size_t each, count_offset;
    /* After the value was read (node NULL: from the fallback): its syntax, and fields that follow from it. */
    void (*check)(struct config_reader *reader, const struct yaml_node *node, void *base);
    const char *help;
};

extern const struct config_key config_keys[]; /* of the file itself; ends with name NULL */

enum {
    CONFIG_PATH_TEXT_MAX = 128, /* "providers.15.timeouts.first_byte" has 32 */
    CONFIG_QUOTE_MAX = 60,      /* bytes of a wrong value in a message */
};

/* Column of a node without a line that the board's file brought; other numbers are overrides, 0 the built-in default. */
#define CONFIG_FROM_BOARD 10000u

struct config_reader {
    struct arena *arena;
    const struct config_source *source;
    struct config_report *report;
    struct config *config;
    struct yaml_node *root;
    struct text path; /* of the key being read */
    char path_bytes[CONFIG_PATH_TEXT_MAX];
    bool full; /* the arena is */
};

/* ---- config_report.c: what was wrong, and where */
__attribute__((format(printf, 3, 4))) void config_error(struct config_reader *reader, const struct yaml_node *node,
                                                        const char *format, ...);
__attribute__((format(printf, 3, 4))) void config_warning(struct config_reader *reader, const struct yaml_node *node,
                                                          const char *format, ...);
void config_unknown_key(struct config_reader *reader, const struct yaml_node *node, const struct config_key *keys);
size_t config_path_push(struct config_reader *reader, struct span name);
size_t config_path_push_index(struct config_reader *reader, unsigned index);
void config_path_pop(struct config_reader *reader, size_t mark);
/* Whichever of `names` (a list that ends with NULL) is nearest to `name`, or NULL when none is near. */
const char *config_nearest(struct span name, const char *(*name_at)(const void *list, unsigned index),
                           const void *list);

/* ---- config_value.c: texts to values and back; RC_INVALID when malformed */
int config_value_bool(struct span text, bool *value);
int config_value_ratio(struct span text, double *value);
int config_value_duration(struct span text, uint64_t *us);
int config_value_size(struct span text, uint64_t *bytes);
int config_value_address(struct span text); /* a.b.c.d:port or [v6]:port */
void config_put_duration(struct text *out, uint64_t us);
void config_put_size(struct text *out, uint64_t bytes);

struct config_url {
    bool tls;
    struct span user, host, path; /* user: "user:password"; host without brackets; path without a closing slash */
    unsigned port;
};
/* What is wrong in a few words, or NULL. */
const char *config_value_url(struct span text, struct config_url *url);
/* An address of this machine, of a private or link-local network, or a name that only such networks know. */
bool config_host_is_near(struct span host);

/* ---- config_scalar.c */
bool config_is_null(const struct yaml_node *node);
/* ${NAME} and ${NAME:-default} replaced, $${ for a plain ${; false when reported. `node` says where. */
bool config_expand(struct config_reader *reader, const struct yaml_node *node, struct span text, struct span *expanded);
/* The default of a key into its field, then what `node` says; NULL: nothing. */
void config_read_scalar(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                        void *base);
/* One text of a list, not empty; false when reported. */
bool config_read_element(struct config_reader *reader, const struct yaml_node *node, struct span *value);

/* ---- config_read.c */
const struct yaml_node *config_child(const struct yaml_node *mapping, const char *name);
void config_read_section(struct config_reader *reader, const struct config_key *keys, const struct yaml_node *node,
                         void *base);

/* ---- config_override.c, config_default.c: the tree before it is read */
void config_apply_overrides(struct config_reader *reader, struct yaml_node *root);
void config_graft_defaults(struct config_reader *reader, struct yaml_node *root);
void config_append(struct yaml_node *container, struct yaml_node *member);
void config_place_nodes(struct yaml_node *node, unsigned origin); /* override's number, 0 or CONFIG_FROM_BOARD */

/* ---- config_board.c: the board's values in that tree */
bool config_from_board(const struct yaml_node *node);
/* The member that the user gave: in the file or by an override. */
const struct yaml_node *config_given(const struct yaml_node *mapping, const char *name);

/* ---- config_check.c: rules between values; the `check` functions of the table */
void config_check_control(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_tls(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_serial(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_data(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_board(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_limits(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_storage_key(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_semantic(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_base_url(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_ca(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_pin(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_proxy(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_provider(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_route(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_tenant(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_tenant_model(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_pack(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_check_prices(struct config_reader *reader, const struct yaml_node *node, void *base);

#endif
