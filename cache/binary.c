/* SPDX-License-Identifier: Apache-2.0 */
/* cache/binary.c — one job finds the code, then the answer is read as any other. */
#include "cache/binary.h"

#include "cache/inner.h"
#include "cache/semantic_scan.h"
#include "platform/clock.h"
#include "platform/offload.h"
#include "platform/rc.h"

enum { BINARY_TOP = 16 /* of them the nearest that lives */ };

struct binary_job {
    uint64_t space_tag;
    const uint64_t *code;
    unsigned distance_max;
    struct arena *arena;
    struct scan_candidate found[BINARY_TOP];
    uint64_t codes[BINARY_TOP][CODE_WORDS];
    unsigned char hashes[BINARY_TOP][SHA256_SIZE];
    unsigned count;
    int rc;
};

static void keep(struct binary_job *job, struct scan *scan)
{
    for (unsigned i = 0; i < scan->count && scan->candidates[i].distance <= job->distance_max; i++) {
        struct scan_candidate *candidate = &scan->candidates[i];
        if (scan_vector(scan, candidate, embed_current()->dim) != RC_OK) continue;
        sha256_of(candidate->vector, embed_current()->dim, job->hashes[job->count]);
        memcpy(job->codes[job->count], candidate->code, sizeof job->codes[0]);
        job->found[job->count++] = *candidate;
    }
}

static void find_job(void *arg)
{
    struct binary_job *job = arg;
    struct scan scan;
    size_t mark = arena_mark(job->arena);
    job->rc = scan_begin(&scan, job->space_tag, job->code, BINARY_TOP, job->arena);
    if (job->rc == RC_OK) keep(job, &scan);
    scan_end(&scan);
    arena_rewind(job->arena, mark);
}

static int read_entry(struct binary_job *job, unsigned i, struct binary_entry *entry)
{
    struct cache_answer answer;
    struct cache *cache = &cache_self;
    uint64_t id = job->found[i].id;
    if (!cache_has(id)) return RC_NOT_FOUND;
    int rc = cache_read(id, NULL, job->arena, &answer);
    uint32_t position = exact_find_id(&cache->exact, id);
    if (rc != RC_OK || position == EXACT_NONE) return rc == RC_OK ? RC_NOT_FOUND : rc;
    uint64_t accessed = cache->accessed_us[position];
    unsigned count = evict_hits(&cache->evict, position);
    cache_touch(id);
    *entry = (struct binary_entry){.id = id,
                                   .request_hash = answer.digest,
                                   .response = answer.body,
                                   .created_us = answer.meta.created_us,
                                   .accessed_us = accessed ? accessed : answer.meta.created_us,
                                   .access_count = count};
    memcpy(entry->embedding_hash, job->hashes[i], sizeof entry->embedding_hash);
    memcpy(entry->code, job->codes[i], sizeof entry->code);
    return RC_OK;
}

int binary_lookup(uint64_t space, const uint64_t code[CODE_WORDS], float threshold, struct arena *arena,
                  struct binary_entry *entry, float *similarity)
{
    struct binary_job *job = ARENA_NEW(arena, struct binary_job);
    float least = threshold < 0 ? BINARY_THRESHOLD : threshold;
    if (!job) return RC_FULL;
    job->space_tag = codes_space_tag(space, embed_current()->tag_hash);
    job->code = code;
    job->distance_max = least > 1 ? 0 : (unsigned)((1 - least) * CODE_BITS);
    job->arena = arena;
    int rc = offload(find_job, job);
    if (rc == RC_OK) rc = job->rc;
    if (rc != RC_OK || least > 1) return rc == RC_OK ? RC_NOT_FOUND : rc;
    rc = RC_NOT_FOUND;
    for (unsigned i = 0; i < job->count && rc == RC_NOT_FOUND; i++) {
        rc = read_entry(job, i, entry);
        *similarity = 1 - (float)job->found[i].distance / CODE_BITS;
    }
    return rc;
}

int binary_insert(const struct digest *request_hash, const struct entry_meta *meta, struct span response,
                  struct entry_vector *vector, uint64_t *id)
{
    vector->space_tag = codes_space_tag(vector->space, embed_current()->tag_hash);
    return cache_put(request_hash, meta, span_of("", 0), response, vector, id);
}

int binary_evict(unsigned n, uint64_t *ids, unsigned *count)
{
    return cache_evict(n, ids, count);
}
