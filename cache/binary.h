/* SPDX-License-Identifier: Apache-2.0 */
/* cache/binary.h — the store as a table of binary codes: the closest one above a threshold, insert, evict.
 *
 * For experiments and tests of codes by themselves. What the gateway serves goes through cache/semantic.h: by normalised
 * Hamming similarity alone a cache gives more wrong answers at the same number of right ones.
 * Similarity: 1 − distance / CODE_BITS, of two codes of one space that were made with one rotation.
 * Owner:   spans lie in the caller's arena; entries are copies that nothing changes.
 * Threads: a fiber on the lane (lookup waits for a job; insert and evict do not wait).
 * Times:   microseconds; accessed_us is of this process, at first the time of creation.
 */
#ifndef CACHE_BINARY_H
#define CACHE_BINARY_H

#include "cache/cache.h"
#include "cache/rotate.h"
#include "platform/crypto.h"

#define BINARY_THRESHOLD 0.85f

struct binary_entry {
    uint64_t id;
    uint64_t code[CODE_WORDS];
    unsigned char embedding_hash[SHA256_SIZE]; /* of the int8 vector: what is stored of the embedding */
    struct digest request_hash;
    struct span response;
    uint64_t created_us, accessed_us;
    unsigned access_count; /* as eviction counts them: at most EVICT_HITS_MAX */
};

/* RC_NOT_FOUND: none at or above the threshold (negative: BINARY_THRESHOLD). Counts as an access of what
 * it finds, after the entry was filled. */
int binary_lookup(uint64_t space, const uint64_t code[CODE_WORDS], float threshold, struct arena *arena,
                  struct binary_entry *entry, float *similarity);
/* Victims leave first when the store is full. As cache_put; the vector's space_tag is filled in. */
int binary_insert(const struct digest *request_hash, const struct entry_meta *meta, struct span response,
                  struct entry_vector *vector, uint64_t *id);
/* By the policy in force (mmr and cluster keep what is unlike the others); ids[EVICT_BATCH_MAX]. As cache_evict. */
int binary_evict(unsigned n, uint64_t *ids, unsigned *count);

#endif
