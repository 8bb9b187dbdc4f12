/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/semantic_test.c */
#include "tests/support/semantic_test.h"

#include <math.h>
#include <stdio.h>

#include "platform/rc.h"
#include "tests/support/store_test.h"

struct embedder semantic_test_embedder = {.kind = EMBED_NGRAM, .dim = 384, .tag = "test", .tag_hash = 77};
int semantic_test_rc;

const struct embedder *__wrap_embed_current(void);
const struct embedder *__wrap_embed_current(void)
{
    return &semantic_test_embedder;
}

bool __wrap_embed_ready(void);
bool __wrap_embed_ready(void)
{
    return true;
}

static float noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)(*seed ^ (*seed >> 15)) / 2147483648.0f;
}

void semantic_test_vector(unsigned topic, unsigned way, unsigned dim, float *vector)
{
    uint32_t seed = topic * 2654435761u + 17, other = topic * 31 + 99;
    float sum = 0;
    for (unsigned i = 0; i < dim; i++) {
        vector[i] = noise(&seed) + 0.03f * (float)way * noise(&other);
        sum += vector[i] * vector[i];
    }
    for (unsigned i = 0; i < dim; i++) vector[i] /= sqrtf(sum);
}

int __wrap_embed_text(struct span text, float *vector);
int __wrap_embed_text(struct span text, float *vector)
{
    unsigned topic = 0, way = 0;
    char copy[64] = {0};
    if (semantic_test_rc != RC_OK) return semantic_test_rc;
    memcpy(copy, text.data, text.size < sizeof copy - 1 ? text.size : sizeof copy - 1);
    if (sscanf(copy, "topic %u way %u", &topic, &way) != 2) return RC_EMPTY;
    semantic_test_vector(topic, way, semantic_test_embedder.dim, vector);
    return RC_OK;
}

struct span semantic_test_text(unsigned topic, unsigned way)
{
    static char text[8][64];
    static unsigned turn;
    char *to = text[turn++ % 8];
    return span_of(to, (size_t)snprintf(to, sizeof text[0], "topic %u way %u", topic, way));
}

struct semantic_question semantic_test_question(unsigned topic, unsigned way, uint64_t space, uint8_t tenant)
{
    return (struct semantic_question){
        .text = semantic_test_text(topic, way), .space = space, .tenant = {tenant, 1, 2, 3}};
}

struct asked {
    const struct semantic_question *question;
    struct semantic_found *found;
    int rc;
};

static void ask(void *arg)
{
    struct asked *asked = arg;
    asked->rc = semantic_lookup(asked->question, &store_test_arena, asked->found);
}

int semantic_test_lookup(const struct semantic_question *question, struct semantic_found *found)
{
    struct asked asked = {.question = question, .found = found};
    arena_reset(&store_test_arena, 0);
    store_test_fiber(ask, &asked);
    return asked.rc;
}

uint64_t semantic_test_put(const struct semantic_question *question, unsigned n, size_t body_size)
{
    struct semantic_found found;
    struct digest digest = store_test_digest(n);
    struct entry_meta meta = store_test_meta(n);
    uint64_t id = 0;
    memcpy(meta.tenant, question->tenant, sizeof meta.tenant);
    int rc = semantic_test_lookup(question, &found), tries = 100;
    if (rc != RC_OK) found.vector = (struct entry_vector){.space = question->space, .shared = question->shared};
    do { /* right after opening a slow disk may not have given ids yet */
        rc = cache_put(&digest, &meta, question->text, store_test_body(n, body_size), &found.vector, &id);
        if (rc == RC_FULL) store_test_turns(10);
    } while (rc == RC_FULL && --tries > 0);
    return rc == RC_OK ? id : 0;
}
