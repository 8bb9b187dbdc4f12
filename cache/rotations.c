/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotations.c — the one that was used longest ago makes room. */
#include "cache/rotations.h"

#include <pthread.h>

#include "platform/crypto.h"
#include "platform/rc.h"
#include "storage/secrets.h"

static struct kept {
    uint8_t tenant[ENTRY_TENANT_SIZE];
    bool box, made;
    uint64_t used;
    struct rotation rotation;
} kept[ROTATIONS_KEPT];
static uint64_t turn;
static unsigned generation; /* so that what was forgotten while it was being made is not kept */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_of(const struct kept *k, const uint8_t *tenant)
{
    return k->made && k->box == !tenant && (!tenant || memcmp(k->tenant, tenant, sizeof k->tenant) == 0);
}

static bool find(const uint8_t *tenant, unsigned dim, struct rotation *rotation)
{
    for (unsigned i = 0; i < ROTATIONS_KEPT; i++) {
        if (!is_of(&kept[i], tenant) || kept[i].rotation.dim != dim) continue;
        kept[i].used = ++turn;
        *rotation = kept[i].rotation;
        return true;
    }
    return false;
}

static void keep(const uint8_t *tenant, const struct rotation *rotation)
{
    unsigned oldest = 0;
    for (unsigned i = 1; i < ROTATIONS_KEPT; i++)
        if (kept[i].used < kept[oldest].used) oldest = i;
    kept[oldest] = (struct kept){.box = !tenant, .made = true, .used = ++turn, .rotation = *rotation};
    if (tenant) memcpy(kept[oldest].tenant, tenant, sizeof kept[oldest].tenant);
}

int rotations_get(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned dim, struct rotation *rotation)
{
    unsigned char secret[SECRET_SIZE];
    pthread_mutex_lock(&lock);
    bool found = find(tenant, dim, rotation);
    unsigned before = generation;
    pthread_mutex_unlock(&lock);
    if (found) return RC_OK;
    int rc = secrets_get(tenant, secret);
    if (rc == RC_OK) rc = rotation_make(rotation, secret, dim);
    crypto_wipe(secret, sizeof secret);
    if (rc != RC_OK) return rc;
    pthread_mutex_lock(&lock);
    if (generation == before) keep(tenant, rotation);
    pthread_mutex_unlock(&lock);
    return RC_OK;
}

void rotations_forget(const uint8_t *tenant)
{
    pthread_mutex_lock(&lock);
    generation++;
    for (unsigned i = 0; i < ROTATIONS_KEPT; i++)
        if (!tenant || is_of(&kept[i], tenant)) crypto_wipe(&kept[i], sizeof kept[i]);
    pthread_mutex_unlock(&lock);
}
