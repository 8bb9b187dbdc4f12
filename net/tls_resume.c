/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_resume.c — remembered client sessions: a fixed table of serialized ones, the longest unused goes first.
 *
 * A slot is used again until a newer ticket replaces it or a handshake that offered it fails.
 */
#include <pthread.h>
#include <string.h>

#include "mbedtls/platform_util.h"
#include "net/tls_private.h"
#include "platform/metric.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { SLOT_BYTES = 2048 }; /* tickets of 200 … 1,500 bytes are common; a larger one is not remembered */

struct slot {
    unsigned trust_number; /* 0: free */
    uint64_t used_at;      /* a count, not a time */
    size_t size;
    char host[TLS_HOST_MAX];
    unsigned char bytes[SLOT_BYTES];
};

static struct {
    pthread_mutex_t lock;
    struct slot *slots;
    unsigned count;
    uint64_t clock;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct metric too_large = {
    .name = "larder_upstream_tls_tickets_too_large_total",
    .help = "TLS sessions that were too large to be remembered.",
};

int tls_resume_reserve(unsigned count)
{
    void *region = NULL;
    int rc = plan_take("tls remembered sessions", count, sizeof(struct slot), PLAN_LAZY, 0, NULL, &region);
    memory.slots = region;
    memory.count = rc == RC_OK ? count : 0;
    metric_register(&too_large);
    return rc;
}

static struct slot *find(const struct tls_session *t)
{
    for (unsigned i = 0; i < memory.count; i++) {
        struct slot *slot = &memory.slots[i];
        if (slot->trust_number == t->trust->number && strcmp(slot->host, t->host) == 0) return slot;
    }
    return NULL;
}

static struct slot *find_victim(void)
{
    struct slot *oldest = NULL;
    for (unsigned i = 0; i < memory.count; i++) {
        struct slot *slot = &memory.slots[i];
        if (slot->trust_number == 0) return slot;
        if (!oldest || slot->used_at < oldest->used_at) oldest = slot;
    }
    return oldest;
}

static void wipe(struct slot *slot)
{
    mbedtls_platform_zeroize(slot->bytes, sizeof slot->bytes);
    slot->trust_number = 0;
}

bool tls_resume_offer(struct tls_session *t)
{
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    bool offered = false;
    pthread_mutex_lock(&memory.lock);
    struct slot *slot = find(t);
    if (slot) {
        slot->used_at = ++memory.clock;
        offered = mbedtls_ssl_session_load(&session, slot->bytes, slot->size) == 0 &&
                  mbedtls_ssl_set_session(&t->ssl, &session) == 0;
        if (!offered) wipe(slot);
    }
    pthread_mutex_unlock(&memory.lock);
    mbedtls_ssl_session_free(&session);
    return offered;
}

static void keep(struct tls_session *t, const mbedtls_ssl_session *session)
{
    struct slot *slot = find(t);
    if (!slot) slot = find_victim();
    if (!slot) return;
    size_t size = 0;
    if (mbedtls_ssl_session_save(session, slot->bytes, sizeof slot->bytes, &size) != 0) {
        wipe(slot);
        metric_add(&too_large, 1);
        return;
    }
    slot->trust_number = t->trust->number;
    slot->used_at = ++memory.clock;
    slot->size = size;
    memcpy(slot->host, t->host, sizeof slot->host);
}

void tls_resume_remember(struct tls_session *t)
{
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    if (mbedtls_ssl_get_session(&t->ssl, &session) == 0) {
        pthread_mutex_lock(&memory.lock);
        keep(t, &session);
        pthread_mutex_unlock(&memory.lock);
    }
    mbedtls_ssl_session_free(&session);
}

void tls_resume_forget(const struct tls_session *t)
{
    pthread_mutex_lock(&memory.lock);
    struct slot *slot = find(t);
    if (slot) wipe(slot);
    pthread_mutex_unlock(&memory.lock);
}
