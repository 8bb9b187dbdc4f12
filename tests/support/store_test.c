/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/store_test.c */
#include "tests/support/store_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/check.h"
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

struct arena store_test_arena;
const struct cache_limits store_test_limits = {
    .entries_max = 1000,
    .bytes_max = 64 << 20,
    .hot_bytes = 1 << 20,
    .body_max = 1 << 20,
    .sync_us = 5000000,
};

static struct fiber_pool fibers;

void store_test_setup(const struct cache_limits *limits)
{
    void *memory;
    cpu_detect();
    hash_select(cpu_features());
    CHECK(loop_reserve(64) == RC_OK);
    CHECK(fiber_pool_reserve(&fibers, "test", 4, 65536, NULL) == RC_OK);
    CHECK(offload_start(1, 16) == RC_OK);
    CHECK(crypto_start() == RC_OK);
    CHECK(compress_reserve(1 << 20) == RC_OK);
    CHECK(plan_take("test arena", 1, 4 << 20, PLAN_LAZY, 0, NULL, &memory) == RC_OK);
    arena_init(&store_test_arena, memory, 4 << 20, NULL);
    if (limits) CHECK(cache_reserve(limits) == RC_OK);
}

const char *store_test_folder(void)
{
    static char path[4][FILE_PATH_MAX];
    static unsigned turn;
    char *folder = path[turn++ % 4];
    const char *base = getenv("TMPDIR");
    snprintf(folder, FILE_PATH_MAX, "%s/larder-test-XXXXXX", base && base[0] ? base : "/tmp");
    CHECK(mkdtemp(folder) != NULL);
    return folder;
}

void store_test_remove(const char *folder)
{
    char path[FILE_PATH_MAX];
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (file_join(path, folder, entry->d_name) != RC_OK) continue;
        if (unlink(path) != 0) store_test_remove(path);
    }
    if (dir) closedir(dir);
    rmdir(folder);
}

void store_test_copy(const char *from, const char *to)
{
    char source[FILE_PATH_MAX], target[FILE_PATH_MAX];
    static char block[65536];
    ssize_t got;
    mkdir(to, 0700);
    CHECK(file_join(source, from, "data.mdb") == RC_OK);
    CHECK(file_join(target, to, "data.mdb") == RC_OK);
    int in = open(source, O_RDONLY | O_CLOEXEC), out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(in >= 0);
    CHECK(out >= 0);
    while ((got = read(in, block, sizeof block)) > 0) CHECK(write(out, block, (size_t)got) == got);
    close(in);
    close(out);
}

/* ---- fibers */

struct task {
    void (*run)(void *arg);
    void *arg;
    bool done;
};

static void task_run(void *arg)
{
    struct task *task = arg;
    task->run(task->arg);
    task->done = true;
}

void store_test_fiber(void (*run)(void *arg), void *arg)
{
    struct task task = {.run = run, .arg = arg};
    CHECK(fiber_start(&fibers, task_run, &task) == RC_OK);
    while (!task.done) CHECK(loop_turn(10000) == RC_OK);
}

void store_test_turns(unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) CHECK(loop_turn(1000) == RC_OK);
}

/* ---- examples */

struct digest store_test_digest(unsigned n)
{
    struct digest digest;
    sha256_of(&n, sizeof n, digest.bytes);
    return digest;
}

struct entry_meta store_test_meta(unsigned n)
{
    struct entry_meta meta = {.created_us = clock_wall_us(),
                              .ttl_s = 3600,
                              .dialect = (uint8_t)(n % 2),
                              .form = (uint8_t)(n % 2),
                              .upstream_ms = n,
                              .tokens_in = n + 1,
                              .tokens_out = n + 2,
                              .provider = "openai"};
    snprintf(meta.model, sizeof meta.model, "model-%u", n);
    meta.tenant[0] = (uint8_t)(n % 3);
    meta.tenant[15] = (uint8_t)(n % 5);
    return meta;
}

struct span store_test_body(unsigned n, size_t size)
{
    static char body[1 << 20];
    uint32_t random = n * 2654435761u + 1;
    CHECK(size <= sizeof body);
    for (size_t i = 0; i < size; i++) {
        random = random * 1664525u + 1013904223u;
        body[i] = (char)('a' + (random >> 28));
    }
    return span_of(body, size);
}

struct span store_test_query(unsigned n)
{
    static char text[64];
    return span_of(text, (size_t)snprintf(text, sizeof text, "question number %u, asked by a test", n));
}

uint64_t store_test_put(unsigned n, size_t body_size)
{
    struct digest digest = store_test_digest(n);
    struct entry_meta meta = store_test_meta(n);
    uint64_t id = 0;
    int rc = cache_put(&digest, &meta, store_test_query(n), store_test_body(n, body_size), NULL, &id);
    return rc == RC_OK ? id : 0;
}

/* ---- waits */

struct wait {
    uint64_t id;
    unsigned n;
    struct cache_answer *answer;
    const uint8_t *tenant;
    unsigned *removed;
    int rc;
};

static void run_sync(void *arg)
{
    ((struct wait *)arg)->rc = cache_sync(clock_monotonic_us() + 60 * CLOCK_SECOND);
}

int store_test_sync(void)
{
    struct wait wait = {0};
    store_test_fiber(run_sync, &wait);
    return wait.rc;
}

static void run_read(void *arg)
{
    struct wait *wait = arg;
    struct digest digest = store_test_digest(wait->n);
    wait->rc = cache_read(wait->id, &digest, &store_test_arena, wait->answer);
}

int store_test_read(uint64_t id, unsigned n, struct cache_answer *answer)
{
    struct wait wait = {.id = id, .n = n, .answer = answer};
    arena_reset(&store_test_arena, 0);
    store_test_fiber(run_read, &wait);
    return wait.rc;
}

static void run_purge(void *arg)
{
    struct wait *wait = arg;
    wait->rc = cache_purge(wait->tenant, wait->removed);
}

int store_test_purge(const uint8_t *tenant, unsigned *removed)
{
    struct wait wait = {.tenant = tenant, .removed = removed};
    store_test_fiber(run_purge, &wait);
    return wait.rc;
}

bool store_test_holds(unsigned n, size_t body_size)
{
    struct digest digest = store_test_digest(n);
    struct cache_found found;
    struct cache_answer answer;
    bool evicted;
    if (cache_find(&digest, &found, &evicted) != RC_OK) return false;
    if (store_test_read(found.id, n, &answer) != RC_OK) return false;
    return answer.meta.id == found.id && answer.meta.upstream_ms == n &&
           span_equal(answer.query, store_test_query(n)) && span_equal(answer.body, store_test_body(n, body_size));
}

/* LMDB's readers and its writer share the reader table and the meta pages through volatile words, by design. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:^mdb_\n";
}
