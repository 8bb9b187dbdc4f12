/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/learn.h — what is known of how far candidates can be trusted: labels by unit, thresholds, error rates.
 *
 * Unit:    one a (tenant, or the box where a route shares; route; embedder's tag). LEARN_UNITS_MAX of them; the one that
 *          was not asked for longest leaves for a new one.
 * Labels:  a miss whose fresh answer is compared with its best candidate's (free), shadow checks, feedback.
 * File:    <data>/labels, replaced as a whole LEARN_SAVE_US after a change, or after LEARN_SAVE_LABELS of them, and at the
 *          end: kill -9 loses at most that much.
 * Owner:   this module; a unit is valid until the next learn_unit_of or wait: keep its key.
 * Threads: lane only.
 * Not here: the rule (cache/threshold.h), comparing answers (app/gateway/compare.h).
 */
#ifndef GATEWAY_LEARN_H
#define GATEWAY_LEARN_H

#include "app/gateway/gateway.h"
#include "cache/threshold.h"

enum {
    LEARN_UNITS_MAX = 256,
    LEARN_ROUTE_MAX = 40,     /* of a route's name as it is shown */
    LEARN_SAVE_LABELS = 25,   /* labels that are worth a write */
    LEARN_DECIDE_EVERY = 16,  /* candidates between two decisions without a new label */
    LEARN_BACKGROUND_MAX = 4, /* fibers: saving, embedding of packs */
};
#define LEARN_SAVE_US (UINT64_C(180) * 1000 * 1000)
#define LEARN_COUNTERS_US (10 * LEARN_SAVE_US) /* when only counters changed */

enum learn_source { LABEL_MISS, LABEL_SHADOW, LABEL_FEEDBACK, LABEL_SOURCES };

/* As it lies in the file too: no pointers, fixed widths. */
struct learn_unit {
    uint64_t key; /* 0: free */
    uint8_t tenant[ENTRY_TENANT_SIZE];
    char route[LEARN_ROUTE_MAX];
    char tag[MODEL_TAG_SIZE];
    uint64_t used_s;  /* wall: asked last */
    uint64_t asked;   /* lookups */
    uint64_t would;   /* that the rule would have served with the labels of then, learnt or not yet */
    uint64_t hits;    /* served */
    uint64_t checked; /* of them by a shadow check … */
    uint64_t wrong;   /* … that found another answer */
    uint64_t reported_wrong, reported_right;
    struct threshold_unit labels;
};

/* Boot. learn_open reads what was learnt; a file that cannot be read is moved aside and said. */
int learn_reserve(void);
int learn_open(const char *data_folder, char *message, size_t message_size);
/* The end, when no worker runs any more: writes what has not been, on this thread. */
void learn_close(void);
extern struct fiber_pool learn_background;

struct learn_unit *learn_unit_of(const struct request *r, bool shared);
struct learn_unit *learn_find(uint64_t key); /* NULL: it has left */
/* In the order of the table; NULL past the last. `index` counts free rows too. */
const struct learn_unit *learn_at(unsigned index);

/* A lookup was made: counts its candidate, and whether the rule would serve it. */
void learn_asked(struct learn_unit *unit, const struct semantic_found *found, double delta);
void learn_hit(struct learn_unit *unit);
void learn_label(uint64_t key, float score, bool right, enum learn_source source);
/* THRESHOLD_NEVER without a unit. */
float learn_threshold(struct learn_unit *unit, double delta);
/* `partial` as threshold_decide. */
void learn_decide(const struct learn_unit *unit, double delta, bool partial, struct threshold_decision *decision);

/* A tenant's units are forgotten, on disk too (fiber). */
int learn_erase(const uint8_t tenant[ENTRY_TENANT_SIZE]);
/* Writes now what has not been (fiber). */
int learn_save(void);

#endif
