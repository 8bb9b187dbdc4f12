/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/deferred_row.h — inside of deferred*.c: the rows, and their files. Threads: lane only. */
#ifndef GATEWAY_DEFERRED_ROW_H
#define GATEWAY_DEFERRED_ROW_H

#include "app/gateway/deferred.h"
#include "platform/file.h"

enum deferred_state { DEFERRED_FREE, DEFERRED_WRITING, DEFERRED_WAITING, DEFERRED_ANSWERED };

struct deferred_row {
    uint8_t id[16], tenant[ENTRY_TENANT_SIZE];
    uint64_t asked_us;    /* wall */
    uint64_t next_us;     /* monotonic: not asked before */
    struct digest digest; /* of its question; zeroes after a restart */
    uint16_t tries;
    uint8_t state; /* enum deferred_state */
    bool busy;     /* its files are at work */
    bool gone;     /* taken back meanwhile */
    bool fetched;  /* its answer has been sent: it makes room first */
};

/* <data>/deferred/…: for jobs of other threads, so it is copied. */
struct deferred_path {
    char question[FILE_PATH_MAX], answer[FILE_PATH_MAX];
};

extern struct deferred_row *deferred_rows;
extern unsigned deferred_max;

struct deferred_row *deferred_find(const uint8_t id[16]);
void deferred_paths(const struct deferred_row *row, struct deferred_path *path);

/* Fiber; a row of state FREE or ANSWERED may be reused only after these return. */
int deferred_write(const char *path, struct span bytes);
int deferred_read(const char *path, struct arena *arena, size_t most, struct span *bytes);
void deferred_remove(struct deferred_row *row);

#endif
