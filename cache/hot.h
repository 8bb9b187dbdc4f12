/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hot.h — Hot's inner side: memory, and what must leave it. hot_find and friends are in cache/cache.h.
 *
 * An object lies in one piece: struct, head room, body. SIEVE decides who leaves: its hand takes up to HOT_VICTIMS; when
 * the holes are still too small for a large object, neighbours leave until there is room in a row.
 * Owner:   this module; replies belong to it until hot_put, a wait, or hot_unpin ends the loan.
 * Threads: lane only.
 */
#ifndef CACHE_HOT_H
#define CACHE_HOT_H

#include "cache/cache.h"

enum { HOT_VICTIMS = 16, HOT_SHARE = 4 /* of all, the largest object */ };

int hot_reserve(size_t bytes);
void hot_clear(void);
void hot_drop_tenant(const uint8_t tenant[ENTRY_TENANT_SIZE]);
unsigned hot_count(void);
size_t hot_used(void);

#endif
