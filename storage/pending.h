/* SPDX-License-Identifier: Apache-2.0 */
/* storage/pending.h — codes that the index does not hold durably yet, in RAM, for scans to see at once.
 *
 * Life:    added by the lane with its entry's store; durable once the entry is committed (with its random bits); taken by
 *          the writer into storage/codes.h; released after that commit. Dead when its entry left meanwhile.
 * Owner:   one; memory is taken at boot: PENDING_MAX codes, PENDING_BYTES of vectors and texts.
 * Threads: adding and killing on the lane, the rest of the life on the writer thread, collecting and reading on any worker.
 *          One lock, held for a copy at most.
 * Fails:   RC_FULL: no room: the entry stays exact until background work makes its code.
 * Seen:    a scan collects here first and opens its transaction on the codes after: what is released in between is in what
 *          it opens, or pending_read says RC_NOT_FOUND and the scan is made again.
 */
#ifndef STORAGE_PENDING_H
#define STORAGE_PENDING_H

#include <pthread.h>

#include "platform/arena.h"
#include "storage/entry.h"

enum { PENDING_MAX = 512, PENDING_BYTES = 1 << 20 };

enum pending_state { PENDING_QUEUED, PENDING_DURABLE, PENDING_TAKEN, PENDING_DEAD };

struct pending {
    pthread_mutex_t lock;
    unsigned char *bytes;
    uint64_t byte_head, byte_tail; /* positions that only grow; records never wrap */
    unsigned head, tail;           /* of the arrays, modulo PENDING_MAX */
    uint8_t state[PENDING_MAX];
    uint64_t tag[PENDING_MAX]; /* space_tag */
    uint64_t id[PENDING_MAX];
    uint64_t code[PENDING_MAX][4];
    uint32_t random[PENDING_MAX];
    uint64_t place[PENDING_MAX]; /* of its record */
    _Atomic unsigned count, durable;
};

/* Behind the vector lie the guard's bytes and the query. */
struct pending_text {
    uint64_t space;
    uint8_t tenant[ENTRY_TENANT_SIZE];
    bool shared;
    unsigned dim;
    const int8_t *vector;
    struct span guard, query;
};

int pending_reserve(struct pending *pending);
void pending_clear(struct pending *pending);

/* ---- lane */
/* Ids grow. */
int pending_add(struct pending *pending, uint64_t id, const uint8_t tenant[ENTRY_TENANT_SIZE],
                const struct entry_vector *vector, struct span query);
void pending_kill(struct pending *pending, uint64_t id);
void pending_kill_tenant(struct pending *pending, const uint8_t *tenant /* NULL: all */);

/* The oldest id here; UINT64_MAX: none. */
uint64_t pending_oldest(struct pending *pending);

/* ---- writer */
/* Its entry is on disk, or (`kept` false) could not be kept. */
void pending_settle(struct pending *pending, uint64_t id, uint32_t random, bool kept);
/* The oldest durable one that was not taken yet; what it points to stays until it is released. RC_EMPTY. */
int pending_take(struct pending *pending, uint64_t *id, uint32_t *random, struct entry_vector *vector);
/* What was taken is in the index, or never will be: gone from here. */
void pending_release(struct pending *pending);
/* What was taken is durable only here again: it will be taken once more. */
void pending_give_back(struct pending *pending);

/* ---- workers */
/* Codes of the namespace and whose they are, oldest first; room for PENDING_MAX. Returns how many. */
unsigned pending_collect(struct pending *pending, uint64_t space_tag, uint64_t *ids, uint64_t (*codes)[4]);
/* dim bytes are copied to `vector` when they are as many; RC_NOT_FOUND likewise when they are not. */
int pending_vector(struct pending *pending, uint64_t id, unsigned dim, int8_t *vector);
/* Copies; RC_NOT_FOUND: it was released or died; RC_FULL: no room in the arena. */
int pending_read(struct pending *pending, uint64_t id, struct arena *arena, struct pending_text *text);

#endif
