/* SPDX-License-Identifier: Apache-2.0 */
/* app/eval/box.c — see box.h. */
#include "app/eval/box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/compress.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/fiber.h"
#include "platform/file.h"
#include "platform/loop.h"
#include "platform/offload.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    ENTRIES_MAX = 200000,
    BODY_MAX = 64 << 10,
    TIMERS_MAX = 64,
    JOBS_MAX = 16,
    ARENA_SIZE = 4 << 20,
    TTL_S = 30 * 24 * 3600,
    PUT_TRIES = 5000, /* of a millisecond each, while the writer is behind */
    SYNC_EVERY = 256, /* puts: half of the codes that may wait for their commit */
    SYNC_US = 60 * 1000 * 1000,
};

static struct {
    struct arena arena;
    char folder[FILE_PATH_MAX];
    bool strict, open;
    int vectors;
    /* of the last get, whose vector lies in the arena: a put of the same text takes it, as a miss does in the gateway */
    char text[ENTRY_QUERY_MAX];
    size_t text_size;
    uint64_t space;
    const struct entry_vector *vector;
    unsigned puts;
} box = {.vectors = -1};

/* ---- opening */

static int reserve_lane(void)
{
    void *memory;
    int rc = loop_reserve(TIMERS_MAX);
    if (rc == RC_OK) rc = offload_start(1, JOBS_MAX);
    if (rc == RC_OK) rc = crypto_start();
    if (rc == RC_OK) rc = compress_reserve(BODY_MAX);
    if (rc == RC_OK) rc = plan_take("eval arena", 1, ARENA_SIZE, PLAN_LAZY, 0, NULL, &memory);
    if (rc == RC_OK) arena_init(&box.arena, memory, ARENA_SIZE, NULL);
    return rc;
}

static int reserve_store(void)
{
    static const struct cache_limits limits = {.entries_max = ENTRIES_MAX,
                                               .bytes_max = UINT64_C(2) << 30,
                                               .hot_bytes = 1 << 20,
                                               .body_max = BODY_MAX,
                                               .sync_us = 5 * CLOCK_SECOND};
    int rc = cache_reserve(&limits);
    if (rc == RC_OK) rc = semantic_reserve();
    return rc == RC_OK ? embed_reserve(2) : rc;
}

static int make_folder(void)
{
    const char *base = getenv("TMPDIR");
    int size = snprintf(box.folder, sizeof box.folder, "%s/larder-eval-XXXXXX", base && base[0] ? base : "/tmp");
    if (size < 0 || (size_t)size >= sizeof box.folder || !mkdtemp(box.folder)) {
        box.folder[0] = '\0';
        return file_from_errno(errno);
    }
    return RC_OK;
}

static int open_embedder(const struct eval_box_options *options, char *message, size_t message_size)
{
    int rc = embed_open(options->kind, options->model, 0, message, message_size);
    if (rc == RC_OK && embed_check() != RC_OK) {
        snprintf(message, message_size, "%s is damaged: import it anew", options->model);
        rc = RC_CORRUPT;
    }
    return rc;
}

static int open_store(char *message, size_t message_size)
{
    struct cache_boot found = {0};
    int rc = cache_open(box.folder, &found);
    box.open = rc == RC_OK;
    if (rc == RC_OK) rc = semantic_start(NULL);
    if (rc != RC_OK) snprintf(message, message_size, "the store in %s: %s %s", box.folder, rc_name(rc), found.message);
    return rc;
}

static int open_vectors(const char *path, char *message, size_t message_size)
{
    if (!path) return RC_OK;
    box.vectors = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (box.vectors >= 0) return RC_OK;
    int rc = file_from_errno(errno);
    snprintf(message, message_size, "cannot write %s: %s", path, rc_name(rc));
    return rc;
}

int eval_box_open(const struct eval_box_options *options, char *message, size_t message_size)
{
    box.strict = options->strict;
    int rc = reserve_lane();
    if (rc == RC_OK) rc = reserve_store();
    if (rc == RC_OK) rc = open_embedder(options, message, message_size);
    if (rc == RC_OK) rc = open_vectors(options->vectors, message, message_size);
    if (rc == RC_OK) rc = make_folder();
    if (rc == RC_OK) rc = open_store(message, message_size);
    if (rc != RC_OK && !message[0]) snprintf(message, message_size, "%s", rc_name(rc));
    return rc;
}

/* ---- the end: what a store leaves in its folder */

static void remove_files(const char *inner, const char *const *names, unsigned count)
{
    char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];
    if (file_join(folder, box.folder, inner) != RC_OK) return;
    for (unsigned i = 0; i < count; i++)
        if (file_join(path, inner[0] ? folder : box.folder, names[i]) == RC_OK) (void)unlink(path);
    if (inner[0]) (void)rmdir(folder);
}

void eval_box_close(void)
{
    static const char *const environment[] = {"data.mdb", "lock.mdb"}, *const top[] = {"lock", "ids", "faults"};
    if (box.open) {
        semantic_stop();
        cache_close();
    }
    if (box.vectors >= 0) (void)close(box.vectors);
    if (!box.folder[0]) return;
    remove_files("entries", environment, 2);
    remove_files("codes", environment, 2);
    remove_files("keys", NULL, 0);
    remove_files("", top, 3);
    if (rmdir(box.folder) != 0) fprintf(stderr, "larder eval-serve: %s is left behind\n", box.folder);
}

/* ---- vectors for the script */

static int record(unsigned kind, const struct entry_vector *vector)
{
    struct eval_record head = {.kind = kind, .dim = vector->dim, .scale = vector->scale};
    if (box.vectors < 0) return RC_OK;
    memcpy(head.code, vector->code, sizeof head.code);
    if (write(box.vectors, &head, sizeof head) != sizeof head) return RC_IO;
    return write(box.vectors, vector->vector, vector->dim) == (ssize_t)vector->dim ? RC_OK : RC_IO;
}

/* ---- put and get */

struct job {
    const struct semantic_question *question;
    struct entry_vector *vector;
    int rc;
};

static void make_vector(void *arg)
{
    struct job *job = arg;
    job->rc = semantic_vector_now(job->question, NULL, &box.arena, job->vector);
}

static struct semantic_question question_of(uint64_t space, struct span text)
{
    return (struct semantic_question){.text = text, .space = space, .strict = box.strict};
}

static bool is_textless(int rc)
{
    return rc == RC_TOO_LARGE || rc == RC_EMPTY;
}

static struct digest digest_of(uint64_t space, struct span key, struct span text)
{
    struct digest digest;
    struct sha256 h;
    sha256_start(&h);
    sha256_add(&h, &space, sizeof space);
    sha256_add(&h, &key.size, sizeof key.size);
    sha256_add(&h, key.data, key.size);
    sha256_add(&h, text.data, text.size);
    sha256_finish(&h, digest.bytes);
    return digest;
}

/* The writer may be behind: an evaluation waits for it, where the gateway would not store, or would make the code later. */
static int store(uint64_t space, struct span key, struct span text, const struct entry_vector *vector)
{
    struct digest digest = digest_of(space, key, text);
    struct entry_meta meta = {.created_us = clock_wall_us(), .ttl_s = TTL_S, .provider = "eval", .model = "eval"};
    struct span query = text.size <= ENTRY_QUERY_MAX ? text : span_of(NULL, 0);
    uint64_t id;
    int rc = RC_FULL;
    for (unsigned i = 0; i < PUT_TRIES && rc == RC_FULL; i++) {
        rc = cache_put(&digest, &meta, query, key, vector, &id);
        if (rc == RC_FULL) (void)fiber_sleep_until(clock_monotonic_us() + CLOCK_SECOND / 1000);
    }
    return rc == RC_OK && ++box.puts % SYNC_EVERY == 0 ? cache_sync(clock_monotonic_us() + SYNC_US) : rc;
}

static int vector_of(uint64_t space, struct span text, struct entry_vector *vector)
{
    struct semantic_question question = question_of(space, text);
    struct job job = {.question = &question, .vector = vector};
    if (text.size > ENTRY_QUERY_MAX) return RC_TOO_LARGE;
    if (box.vector && box.space == space && span_equal(text, span_of(box.text, box.text_size))) {
        *vector = *box.vector;
        return RC_OK;
    }
    box.vector = NULL;
    arena_reset(&box.arena, 0);
    int rc = offload(make_vector, &job);
    return rc == RC_OK ? job.rc : rc;
}

int eval_box_put(uint64_t space, struct span key, struct span text)
{
    struct entry_vector vector = {0};
    int rc = vector_of(space, text, &vector);
    bool textless = is_textless(rc);
    if (rc != RC_OK && !textless) return rc;
    if (textless) vector = (struct entry_vector){0};
    rc = record(0, &vector);
    if (rc == RC_OK) rc = store(space, key, text, textless ? NULL : &vector);
    return rc == RC_OK && textless ? RC_EMPTY : rc;
}

int eval_box_get(uint64_t space, struct span text, struct eval_found *found)
{
    struct semantic_question question = question_of(space, text);
    struct cache_answer answer;
    box.vector = NULL;
    arena_reset(&box.arena, 0);
    found->key = span_of("null", 4);
    int rc = text.size <= ENTRY_QUERY_MAX ? semantic_lookup(&question, &box.arena, &found->found) : RC_TOO_LARGE;
    if (is_textless(rc)) found->found = (struct semantic_found){0};
    if (rc == RC_OK || is_textless(rc)) {
        int written = record(1, &found->found.vector);
        if (written != RC_OK) return written;
    }
    if (rc == RC_OK) {
        memcpy(box.text, text.data, text.size);
        box.text_size = text.size;
        box.space = space;
        box.vector = &found->found.vector;
    }
    if (rc != RC_OK || !found->found.id) return rc;
    rc = cache_read(found->found.id, NULL, &box.arena, &answer);
    if (rc == RC_OK) found->key = answer.body;
    return rc;
}
