/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic_background.c — starting, stopping, and what is made again in the background. */
#include "cache/inner.h"
#include "cache/rotations.h"
#include "cache/semantic.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "storage/secrets.h"

int semantic_reserve(void)
{
    return secrets_reserve();
}

int semantic_start(const char *data_folder)
{
    struct cache *cache = &cache_self;
    const struct embedder *embedder = embed_current();
    int rc = secrets_open(data_folder, cache->read_only);
    if (rc != RC_OK)
        log_warn("store", "the rotation secrets in %s/keys do not read (%s): no answers to other words for new tenants",
                 data_folder, rc_name(rc));
    if (embedder->kind == EMBED_NONE || cache->read_only) return rc;
    (void)writer_embedder(&cache->writer, embedder->tag_hash);
    return rc;
}

void semantic_stop(void)
{
    secrets_close();
    rotations_forget(NULL);
}

void semantic_stats(struct semantic_stats *stats)
{
    struct codes_stats codes = {0};
    (void)codes_stats(&cache_self.codes, &codes);
    *stats = (struct semantic_stats){
        .waiting = atomic_load(&cache_self.pending.count),
        .damaged = atomic_load(&cache_self.codes.damaged),
        .bytes = codes.bytes,
    };
}
