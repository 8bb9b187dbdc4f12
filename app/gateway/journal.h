/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/journal.h — the newest requests in a RAM ring (`larder ctl why`), and the gateway's metrics.
 *
 * Owner:   a fixed ring of JOURNAL_SIZE rows; no prompts, answers or credentials in it.
 * Threads: lane only.
 */
#ifndef GATEWAY_JOURNAL_H
#define GATEWAY_JOURNAL_H

#include "app/gateway/gateway.h"

enum { JOURNAL_SIZE = 2048 /* minutes of a busy box in a quarter MiB */ };

struct journal_row {
    char id[REQUEST_ID_SIZE + 1];
    char model[43];
    uint64_t wall_us;
    uint64_t entry;
    uint64_t tenant; /* first bytes of its id; 0: nobody's */
    uint32_t overhead_us;
    int32_t upstream_ms; /* -1: none */
    float similarity;    /* of a semantic hit, else 0 */
    uint16_t status;
    uint8_t hit;      /* enum hit_kind */
    const char *miss; /* static text, or NULL */
};

int journal_reserve(void);
/* One row and the counters; called exactly once for each request that got a reply. upstream_ms -1: none. */
void journal_reply(const struct request *r, unsigned status, enum hit_kind hit, const char *miss, int64_t upstream_ms,
                   uint64_t overhead_us);
/* The same for a connection that outlived its request. */
void journal_row_add(const struct journal_row *row);
/* The cheap path of a short-cut hit: counters and row without a request. */
void journal_hit(const char *id, const struct tenant *tenant, struct span model, uint64_t entry, uint64_t overhead_us);
const struct journal_row *journal_find(struct span id);
/* Newest first; NULL past the end. */
const struct journal_row *journal_at(unsigned back);

/* What a row keeps of a tenant. */
uint64_t journal_tenant(const uint8_t tenant[ENTRY_TENANT_SIZE]);
/* A tenant's rows are emptied. */
void journal_erase(const uint8_t tenant[ENTRY_TENANT_SIZE]);

void journal_connect_failure(void);
void journal_not_stored(const char *reason);

#endif
