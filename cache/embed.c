/* SPDX-License-Identifier: Apache-2.0 */
/* cache/embed.c — see embed.h. */
#include "cache/embed.h"

#include <stdatomic.h>
#include <stdio.h>

#include "cache/encode.h"
#include "cache/ngram.h"
#include "cache/tokenize.h"
#include "platform/check.h"
#include "platform/cpu.h"
#include "platform/hash.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { WORKERS_MAX = 256 };

static struct {
    unsigned workers;
    struct embedder current;
    struct model model;
    unsigned char *work; /* a workspace each worker, work_size apart */
    size_t work_size;
    atomic_flag busy[WORKERS_MAX];
    _Atomic int state; /* RC_OK: may be asked; else what asking says */
    int (*remote)(struct span text, float *vector);
} embed;

int embed_reserve(unsigned workers)
{
    CHECK(workers > 0);
    embed.workers = workers < WORKERS_MAX ? workers : WORKERS_MAX;
    return RC_OK;
}

/* ---- opening */

static void set_current(enum embed_kind kind, unsigned dim, const char *tag)
{
    static const struct hash_key tag_key; /* fixed: the hash is part of what is stored */
    embed.current = (struct embedder){.kind = kind, .dim = dim};
    snprintf(embed.current.tag, sizeof embed.current.tag, "%s", tag);
    embed.current.tag_hash = hash_of(&tag_key, tag, strlen(tag)).low;
}

static int take_work(const char *path, char *message, size_t message_size)
{
    void *region;
    embed.work_size = (encode_work_size(&embed.model) + MODEL_ALIGN - 1) / MODEL_ALIGN * MODEL_ALIGN;
    int rc = plan_take("embed workspaces", embed.workers, embed.work_size, PLAN_LAZY, 0, "semantic.embedder", &region);
    if (rc != RC_OK) {
        snprintf(message, message_size, "no memory for the workspaces of %s", path);
        return rc;
    }
    plan_note("embed model file, mapped", 1, embed.model.map_size, 0, 0); /* the system's to give and take back */
    embed.work = region;
    return RC_OK;
}

static int open_model(const char *path, char *message, size_t message_size)
{
    int rc = model_open(path, &embed.model);
    if (rc != RC_OK) {
        const char *why = rc == RC_NOT_FOUND ? "there is no such file; `make model`, or `larder model import`, makes it"
                          : rc == RC_VERSION ? "it was made by a newer version; `larder model import` makes it anew"
                          : rc == RC_CORRUPT ? "it is damaged; `larder model import` makes it anew"
                                             : rc_name(rc);
        snprintf(message, message_size, "the local model %s cannot be used: %s", path, why);
        return rc;
    }
    encode_select(cpu_features());
    rc = take_work(path, message, message_size);
    if (rc != RC_OK) {
        model_close(&embed.model);
        return rc;
    }
    atomic_store(&embed.state, RC_AGAIN);
    set_current(EMBED_MINILM, embed.model.dim, embed.model.tag);
    embed.current.model = &embed.model;
    embed.current.centre = embed.model.centre;
    return RC_OK;
}

/* Names of any length: its hash stands for the rest. */
static void set_remote(const char *model, unsigned dim)
{
    static const struct hash_key name_key;
    char tag[MODEL_TAG_SIZE];
    CHECK(dim > 0 && dim <= EMBED_DIM_MAX);
    uint64_t name = hash_of(&name_key, model, strlen(model)).low;
    snprintf(tag, sizeof tag, "remote/1/%u/%016llx/%.24s", dim, (unsigned long long)name, model);
    set_current(EMBED_REMOTE, dim, tag);
}

int embed_open(enum embed_kind kind, const char *model, unsigned remote_dim, char *message, size_t message_size)
{
    CHECK(embed.workers > 0 && embed.current.kind == EMBED_NONE);
    if (message_size > 0) message[0] = '\0';
    switch (kind) {
    case EMBED_MINILM: return open_model(model, message, message_size);
    case EMBED_NGRAM: set_current(EMBED_NGRAM, EMBED_NGRAM_DIM, NGRAM_TAG); break;
    case EMBED_REMOTE: set_remote(model, remote_dim); break;
    case EMBED_NONE:
    case EMBED_KINDS: return RC_OK;
    }
    atomic_store(&embed.state, RC_OK);
    return RC_OK;
}

const struct embedder *embed_current(void)
{
    return &embed.current;
}

int embed_check(void)
{
    if (embed.current.kind == EMBED_MINILM) atomic_store(&embed.state, model_check(&embed.model));
    return atomic_load(&embed.state);
}

bool embed_ready(void)
{
    return embed.current.kind != EMBED_NONE && atomic_load(&embed.state) == RC_OK;
}

/* ---- asking */

/* There are as many workspaces as workers, so one is free. */
static unsigned take_place(void)
{
    unsigned place = 0;
    while (place < embed.workers && atomic_flag_test_and_set_explicit(&embed.busy[place], memory_order_acquire))
        place++;
    CHECK(place < embed.workers);
    return place;
}

static int embed_minilm(struct span text, bool truncate, float *vector, uint16_t *ids, unsigned *count)
{
    uint16_t own[MODEL_PIECES_MAX];
    if (!ids) ids = own;
    int rc = tokenize(&embed.model, text, ids, MODEL_PIECES_MAX, count);
    if (rc == RC_TOO_LARGE && truncate) rc = RC_OK;
    if (rc != RC_OK) return rc;
    unsigned place = take_place();
    encode(&embed.model, ids, *count, embed.work + place * embed.work_size, vector);
    atomic_flag_clear_explicit(&embed.busy[place], memory_order_release);
    return RC_OK;
}

int embed_text_pieces(struct span text, bool truncate, float *vector, uint16_t *ids, unsigned *count)
{
    *count = 0;
    if (embed.current.kind == EMBED_NONE) return RC_EMPTY;
    if (embed.current.kind == EMBED_REMOTE) return RC_UNSUPPORTED;
    int state = atomic_load(&embed.state);
    if (state != RC_OK) return state;
    if (embed.current.kind == EMBED_MINILM) return embed_minilm(text, truncate, vector, ids, count);
    int rc = ngram(text, MODEL_PIECES_MAX, vector, count);
    return rc == RC_TOO_LARGE && truncate ? RC_OK : rc;
}

int embed_text(struct span text, float *vector)
{
    enum { ENDS = 2 }; /* [CLS], [SEP] */
    unsigned count;
    int rc = embed_text_pieces(text, false, vector, NULL, &count);
    return rc == RC_OK && embed.current.kind == EMBED_MINILM && count <= ENDS ? RC_EMPTY : rc;
}

void embed_remote_set(int (*ask)(struct span text, float *vector))
{
    embed.remote = ask;
}

int embed_remote(struct span text, float *vector)
{
    if (embed.current.kind != EMBED_REMOTE || !embed.remote) return RC_EMPTY;
    return embed.remote(text, vector);
}
