/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/erase.h — all that is kept of one tenant goes, in one order.
 *
 * Order:   the intention is on disk (<data>/erasing) before anything else; its key is refused and nothing of it is served
 *          any more; then what stands in memory, stored answers with their codes and the secret of its codes, kept
 *          questions, labels, rejected pairs, figures; at last its name, then the intention.
 * Durable: RC_OK comes when all of that is on disk; its figures (numbers only) follow within SPEND_SAVE_US. What is cut
 *          short, by kill -9 or a full disk, is done again from the start by erase_resume after the next start, or by
 *          asking again.
 * Remains: free pages of the two environments hold the deleted bytes until others are written over them (nothing is
 *          sealed), and so do environments that were set aside as damaged: erase_print_rest says so.
 * Owner:   this module; at most ERASES_MAX are unfinished at a time.
 * Threads: lane, on a fiber.
 * Fails:   RC_NOT_FOUND: no such name; RC_FULL, RC_AGAIN: try again; else what the store or the disk said.
 */
#ifndef GATEWAY_ERASE_H
#define GATEWAY_ERASE_H

#include "app/gateway/gateway.h"

enum { ERASES_MAX = 16 };

struct erased {
    unsigned answers;
    const char *failed; /* what could not be removed, NULL: the disk took nothing of it, or all is done */
};

/* Boot: reads which ones were cut short. */
int erase_open(const char *data_folder);
/* Finishes them (fiber); says in the log what became of them. */
void erase_resume(void);
unsigned erase_unfinished(void);

int erase_tenant(struct span name, struct erased *erased);
/* What the disk still holds of erased tenants. */
void erase_print_rest(struct text *out);

#endif
