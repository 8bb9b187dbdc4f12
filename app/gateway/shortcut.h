/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/shortcut.h — byte-identical repeats skip JSON: a fixed table from a keyed hash of the raw request to the
 * entry that answered it.
 *
 * The hash covers path, query, credential, loopback, the headers that count, and the raw body. A slot carries the
 * gateway's epoch (reload, purge, key changes void it) and the tenant, so that a rejected tenant can be told.
 *
 * Owner:   the table, SHORTCUT_SLOTS, two-way set associative; the older of two goes.
 * Threads: lane only.
 */
#ifndef GATEWAY_SHORTCUT_H
#define GATEWAY_SHORTCUT_H

#include "app/gateway/gateway.h"

enum { SHORTCUT_SLOTS = 8192 /* 48 bytes each: a third of a MiB; more distinct hot bodies than Hot holds */ };

struct shortcut {
    uint64_t low, high;
    uint64_t entry;
    uint32_t epoch;
    uint32_t used;      /* tick, to choose between two ways */
    uint64_t tenant;    /* first 8 bytes of its id */
    uint32_t expires_s; /* wall: by the entry's and the route's TTL */
    uint8_t variant;
    uint8_t dialect;
    uint8_t tenant_kind; /* enum tenant_kind */
    uint8_t reserved;
};

int shortcut_reserve(void);
struct hash128 shortcut_hash(const struct request *r);
const struct shortcut *shortcut_find(struct hash128 key);
void shortcut_put(struct hash128 key, uint64_t entry, unsigned variant, uint64_t expires_s, enum dialect dialect,
                  const struct tenant *tenant);

#endif
