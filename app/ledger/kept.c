/* SPDX-License-Identifier: Apache-2.0 */
/* app/ledger/kept.c — see kept.h. */
#include "app/ledger/kept.h"

#include <stdio.h>
#include <string.h>

#include "app/gateway/learn.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/hash.h"
#include "platform/log.h"
#include "platform/offload.h"
#include "platform/plan.h"

struct kept_head {
    char magic[8];
    uint32_t version, row_size, row_count, crc; /* crc: of the rows */
};

static const char magic[8] = {'l', 'a', 'r', 'd', 'e', 'r', 'k', 'p'};

enum { TRY_AGAIN_S = 60 };

struct job {
    const struct kept *kept;
    int rc;
};

static size_t rows_size(const struct kept *k)
{
    return k->row_size * k->row_count;
}

static size_t file_size(const struct kept *k)
{
    return sizeof(struct kept_head) + rows_size(k);
}

static void tick(struct loop_timer *timer);

int kept_reserve(struct kept *k, const char *term)
{
    void *region;
    size_t head = (sizeof(struct kept_head) + k->row_size - 1) / k->row_size;
    int rc = plan_take(term, 2 * k->row_count + head, k->row_size, PLAN_LAZY, 0, NULL, &region);
    k->rows = region;
    k->file = (unsigned char *)region + rows_size(k);
    k->timer.fire = tick;
    return rc;
}

/* ---- writing */

static void snapshot(struct kept *k)
{
    struct kept_head head = {.version = k->version,
                             .row_size = (uint32_t)k->row_size,
                             .row_count = k->row_count,
                             .crc = crc32c(0, k->rows, rows_size(k))};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(k->file, &head, sizeof head);
    memcpy(k->file + sizeof head, k->rows, rows_size(k));
    k->dirty = false;
}

static void write_job(void *arg)
{
    struct job *job = arg;
    job->rc = file_replace(job->kept->path, job->kept->file, file_size(job->kept), 0600);
}

static void say(const struct kept *k, int rc)
{
    if (rc != RC_OK) log_warn("ledger", "cannot keep %s: %s", k->path, rc_name(rc));
}

static void save(void *arg)
{
    struct kept *k = arg;
    struct job job = {.kept = k};
    snapshot(k);
    int rc = offload(write_job, &job);
    if (rc == RC_OK) rc = job.rc;
    say(k, rc);
    k->saving = false;
    if (rc != RC_OK) kept_change(k, TRY_AGAIN_S * CLOCK_SECOND);
}

static void tick(struct loop_timer *timer)
{
    struct kept *k = (struct kept *)(void *)((char *)timer - offsetof(struct kept, timer));
    bool busy = k->saving;
    k->saving = true;
    if (!busy && fiber_start(&learn_background, save, k) == RC_OK) return;
    k->saving = busy;
    k->due_us = clock_monotonic_us() + CLOCK_SECOND;
    (void)loop_timer_set(timer, k->due_us);
}

void kept_change(struct kept *k, uint64_t within_us)
{
    uint64_t due = clock_monotonic_us() + within_us;
    if (!k->path[0]) return;
    if (!k->dirty || due < k->due_us) {
        k->due_us = due;
        (void)loop_timer_set(&k->timer, due);
    }
    k->dirty = true;
}

void kept_close(struct kept *k)
{
    loop_timer_cancel(&k->timer);
    if (!k->path[0] || !k->dirty) return;
    struct job job = {.kept = k};
    snapshot(k);
    write_job(&job);
    say(k, job.rc);
}

/* ---- reading */

static int take(struct kept *k, size_t size)
{
    struct kept_head head;
    if (size != file_size(k)) return RC_CORRUPT;
    memcpy(&head, k->file, sizeof head);
    const unsigned char *rows = k->file + sizeof head;
    if (memcmp(head.magic, magic, sizeof magic) != 0 || head.version != k->version || head.row_size != k->row_size ||
        head.row_count != k->row_count || head.crc != crc32c(0, rows, rows_size(k)))
        return RC_CORRUPT;
    memcpy(k->rows, rows, rows_size(k));
    return RC_OK;
}

int kept_open(struct kept *k, const char *data_folder, char *message, size_t message_size)
{
    char aside[FILE_PATH_MAX];
    size_t size = 0;
    memset(k->rows, 0, rows_size(k));
    k->dirty = false;
    if (file_join(k->path, data_folder, k->name) != RC_OK) return RC_TOO_LARGE;
    int rc = file_read(k->path, k->file, file_size(k), &size);
    if (rc == RC_NOT_FOUND) return RC_OK;
    if (rc == RC_OK) rc = take(k, size);
    if (rc == RC_OK) return rc;
    if (rc != RC_CORRUPT && rc != RC_TOO_LARGE) {
        snprintf(message, message_size, "cannot read %s: %s", k->path, rc_name(rc));
        return rc;
    }
    snprintf(aside, sizeof aside, "%.*s.damaged", (int)sizeof aside - 9, k->path);
    log_warn("ledger", "%s is damaged: moved to %s, it starts empty", k->path, aside);
    (void)rename(k->path, aside);
    return RC_OK;
}
