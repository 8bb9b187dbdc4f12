/* SPDX-License-Identifier: Apache-2.0 */
/* app/ledger/spend.h — who used what: calls, tokens, money spent and saved, by tenant and for the box.
 *
 * Spent:   what calls upstream cost by the price table, whoever pays: the box's keys, or the client's own credential.
 * Saved:   what the call that made a stored answer had cost, each time that answer is served; a follower saves what its
 *          leader's call cost. Packs save nothing that is known.
 * Tenants: a row for each virtual key's tenant; clients with credentials of their own share one, clients without another.
 * File:    <data>/spend, within SPEND_SAVE_US of a change (app/ledger/kept.h). Metrics count from the boot.
 * Owner:   this module. A row is valid until the next call of this module.
 * Threads: lane only.
 */
#ifndef LEDGER_SPEND_H
#define LEDGER_SPEND_H

#include "app/gateway/gateway.h"

enum { SPEND_ROWS = 512 /* twice the tenants there can be, and the two that are shared */ };
#define SPEND_SAVE_US (UINT64_C(60) * 1000 * 1000)

/* As it lies in the file too. Money in micro-USD. */
struct spend_row {
    uint64_t tenant; /* first bytes of its id; 0: free */
    uint64_t calls, unpriced, hits, tokens_in, tokens_out, cost, saved;
    uint64_t today_cost;
    uint32_t today;  /* days since 1970 */
    uint32_t used_s; /* wall: its last request that was answered from the box or upstream */
};

struct spend_call {
    struct usage usage;
    uint64_t cost;
    bool priced; /* the model is in the table, or the provider takes no money */
    bool by_box; /* the box's key paid */
};

int spend_reserve(void);
int spend_open(const char *data_folder, char *message, size_t message_size);
void spend_close(void);

uint64_t spend_key(const struct tenant *tenant);
void spend_add_call(uint64_t key, const struct spend_call *call);
/* An answer that the box had: `cost` is what its call had cost. */
void spend_add_hit(uint64_t key, enum hit_kind kind, uint64_t cost);
/* NULL: it has used nothing yet. */
const struct spend_row *spend_find(uint64_t key);
/* The tenant is no more. */
void spend_forget(uint64_t key);

#endif
