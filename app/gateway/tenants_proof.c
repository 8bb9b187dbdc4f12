/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/tenants_proof.c — what providers said of passthrough tenants: accepted at a time, or refused. See tenants.h.
 *
 * Rows of (HMAC, times) in sets of a few ways. A refusal of a tenant that was never accepted leaves first: it has nothing
 * stored, so that a flood of made-up credentials pushes out neither proofs nor the refusals that matter.
 */
#include "app/gateway/tenants.h"

#include "app/ledger/kept.h"
#include "platform/clock.h"

enum { WAYS = 4, SETS = TENANT_PROOFS / WAYS, FILE_VERSION = 1, RENEW_S = 3600 /* a newer time is worth a write */ };
#define SAVE_US (60 * CLOCK_SECOND)
#define AT_ONCE_US UINT64_C(1)

struct proof {
    uint8_t id[ENTRY_TENANT_SIZE];
    uint32_t proven_s;  /* wall: the newest 2xx; 0: none yet */
    uint32_t refused_s; /* wall: 401 or 403, and no 2xx since; 0: not */
};

static struct kept kept = {
    .name = "proofs", .version = FILE_VERSION, .row_size = sizeof(struct proof), .row_count = TENANT_PROOFS};

int tenants_proofs_reserve(void)
{
    return kept_reserve(&kept, "tenant proofs");
}

int tenants_proofs_open(const char *data_folder, char *message, size_t message_size)
{
    return kept_open(&kept, data_folder, message, message_size);
}

void tenants_close(void)
{
    kept_close(&kept);
}

static uint32_t now_s(void)
{
    return (uint32_t)(clock_wall_us() / CLOCK_SECOND);
}

static struct proof *set_of(uint64_t first)
{
    return (struct proof *)kept.rows + (first % SETS) * WAYS;
}

static uint64_t first_of(const struct proof *p)
{
    uint64_t first;
    memcpy(&first, p->id, sizeof first);
    return first;
}

static bool is_free(const struct proof *p)
{
    return p->proven_s == 0 && p->refused_s == 0;
}

static struct proof *find_first(uint64_t first)
{
    struct proof *set = kept.rows ? set_of(first) : NULL;
    for (unsigned i = 0; set && i < WAYS; i++)
        if (!is_free(&set[i]) && first_of(&set[i]) == first) return &set[i];
    return NULL;
}

static struct proof *find(const struct tenant *tenant)
{
    uint64_t first;
    memcpy(&first, tenant->id, sizeof first);
    struct proof *p = tenant->kind == TENANT_PASSTHROUGH ? find_first(first) : NULL;
    return p && memcmp(p->id, tenant->id, sizeof p->id) == 0 ? p : NULL;
}

/* How much a row is worth: none, a stranger's refusal, then by the time of the last 2xx. */
static uint64_t worth(const struct proof *p)
{
    if (is_free(p)) return 0;
    return p->proven_s ? UINT32_MAX + (uint64_t)p->proven_s : p->refused_s;
}

static struct proof *find_or_make(const struct tenant *tenant)
{
    uint64_t first;
    struct proof *p = find(tenant);
    if (p || !kept.rows) return p;
    memcpy(&first, tenant->id, sizeof first);
    struct proof *set = set_of(first);
    p = &set[0];
    for (unsigned i = 1; i < WAYS; i++)
        if (worth(&set[i]) < worth(p)) p = &set[i];
    *p = (struct proof){0};
    memcpy(p->id, tenant->id, sizeof p->id);
    return p;
}

void tenant_reject(const struct tenant *tenant)
{
    struct proof *p = tenant->kind == TENANT_PASSTHROUGH ? find_or_make(tenant) : NULL;
    if (!p || p->refused_s) return;
    p->refused_s = now_s();
    /* A stranger's costs no write of its own: there is nothing stored to be stopped. */
    kept_change(&kept, p->proven_s ? AT_ONCE_US : SAVE_US);
}

void tenant_accept(const struct tenant *tenant)
{
    struct proof *p = tenant->kind == TENANT_PASSTHROUGH ? find_or_make(tenant) : NULL;
    uint32_t now = now_s();
    if (!p) return;
    bool news = p->refused_s || now < p->proven_s || now - p->proven_s >= RENEW_S;
    p->refused_s = 0;
    if (!news) return;
    p->proven_s = now;
    kept_change(&kept, SAVE_US);
}

bool tenant_is_rejected(uint64_t first)
{
    const struct proof *p = find_first(first);
    return p && p->refused_s != 0;
}

bool tenant_was_rejected(const struct tenant *tenant)
{
    const struct proof *p = find(tenant);
    return p && p->refused_s != 0;
}

/* Nobody can be asked: then old proofs count as long as old answers do. */
static uint64_t patience_s(void)
{
    uint64_t most_us = 0;
    const struct generation *g = gateway.current;
    bool offline = false;
    for (unsigned i = 0; g && i < g->config->provider_count; i++)
        offline = offline || (g->config->providers[i].passthrough && g->health[i].failing_since_us);
    for (unsigned i = 0; offline && i < g->config->route_count; i++)
        if (g->config->routes[i].stale_if_error_us > most_us) most_us = g->config->routes[i].stale_if_error_us;
    return most_us / CLOCK_SECOND > TENANT_PROOF_S ? most_us / CLOCK_SECOND : TENANT_PROOF_S;
}

bool tenant_is_proven(const struct tenant *tenant)
{
    const struct proof *p = find(tenant);
    uint32_t now = now_s();
    if (tenant->kind == TENANT_VIRTUAL) return true;
    if (!p || p->refused_s || !p->proven_s) return false;
    uint32_t age = now > p->proven_s ? now - p->proven_s : 0; /* a clock that went back */
    return age <= TENANT_PROOF_S || age <= patience_s();
}
