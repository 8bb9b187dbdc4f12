/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotations.h — a few tenants' rotations, made from their secrets and kept (cache/rotate.h, storage/secrets.h).
 *
 * Owner:   one a process; static memory.
 * Threads: any worker (a lock; making one waits for the disk when the tenant's secret is new).
 * Fails:   as secrets_get.
 */
#ifndef CACHE_ROTATIONS_H
#define CACHE_ROTATIONS_H

#include "cache/rotate.h"
#include "storage/entry.h"

enum { ROTATIONS_KEPT = 16 };

/* tenant NULL: the box's. Copied out. */
int rotations_get(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned dim, struct rotation *rotation);
/* After its secret was erased; NULL: all. */
void rotations_forget(const uint8_t *tenant);

#endif
