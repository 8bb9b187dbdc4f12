/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/refresh.h — answers that were served past their time are asked anew once the line is back.
 *
 * Only questions that the box can pay (a virtual key's, or of a keyless provider), REFRESH_SIZE bytes at most, the newest
 * REFRESH_SLOTS; at most budgets.refresh_per_hour are asked. They stand in memory: a restart forgets them, and the next
 * client that asks brings the fresh answer instead.
 *
 * Owner:   this module.
 * Threads: lane only; refresh_step waits.
 */
#ifndef GATEWAY_REFRESH_H
#define GATEWAY_REFRESH_H

#include "app/gateway/gateway.h"

enum { REFRESH_SLOTS = 64, REFRESH_SIZE = 8 << 10, REFRESH_TRIES = 3 };

int refresh_reserve(void);
/* A stored answer past its time has been served because no provider could be reached. */
void refresh_note(const struct request *r, struct arena *arena);
/* Whether refresh_step would find something to do. */
bool refresh_is_due(void);
/* Asks one, or finds that it need not be asked. The arena is the caller's. */
void refresh_step(struct arena *arena);
unsigned refresh_waiting(void);
/* A tenant's are forgotten. */
void refresh_erase(const uint8_t tenant[ENTRY_TENANT_SIZE]);

#endif
