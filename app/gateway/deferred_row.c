/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/deferred_row.c — rows of kept questions and their files. See deferred_row.h.
 *
 * What a row must know stands in its files' names, so that the boot reads the folder and no file.
 */
#include "app/gateway/deferred_row.h"

#include <stdio.h>

#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/plan.h"

enum { HEX_ID = 32, HEX_TIME = 16, STEM = HEX_ID + 1 + HEX_ID + 1 + HEX_TIME };

struct deferred_row *deferred_rows;
unsigned deferred_max;
static char folder[FILE_PATH_MAX];

/* ---- seen from outside */

static double read_count(const struct metric *metric)
{
    unsigned count = 0;
    uint8_t wanted = *(const uint8_t *)metric->context;
    for (unsigned i = 0; i < deferred_max; i++) count += deferred_rows[i].state == wanted;
    return count;
}

static const uint8_t waiting = DEFERRED_WAITING, answered = DEFERRED_ANSWERED;
static struct metric gauges[] = {
    {.name = "larder_deferred",
     .labels = "state=\"waiting\"",
     .help = "Questions kept for when the line is back",
     .kind = METRIC_GAUGE_CALL,
     .read = read_count,
     .context = &waiting},
    {.name = "larder_deferred",
     .labels = "state=\"answered\"",
     .kind = METRIC_GAUGE_CALL,
     .read = read_count,
     .context = &answered},
};

int deferred_reserve(const struct config *config)
{
    void *region;
    if (config->deferred_max > 0) {
        int rc = plan_take("deferred questions", config->deferred_max, sizeof(struct deferred_row), PLAN_LAZY, 0,
                           "budgets.deferred_max", &region);
        if (rc != RC_OK) return rc;
        deferred_rows = region;
    }
    deferred_max = config->deferred_max;
    metric_register(&gauges[0]);
    metric_register(&gauges[1]);
    return RC_OK;
}

struct deferred_row *deferred_find(const uint8_t id[16])
{
    for (unsigned i = 0; i < deferred_max; i++) {
        struct deferred_row *row = &deferred_rows[i];
        if (row->state >= DEFERRED_WAITING && !row->gone && crypto_equal(row->id, id, sizeof row->id)) return row;
    }
    return NULL;
}

/* ---- files */

void deferred_paths(const struct deferred_row *row, struct deferred_path *path)
{
    char name[STEM + 16];
    struct text out = text_on(name, sizeof name);
    text_put_hex(&out, row->id, sizeof row->id);
    text_put_char(&out, '-');
    text_put_hex(&out, row->tenant, sizeof row->tenant);
    text_format(&out, "-%016llx.question", (unsigned long long)row->asked_us);
    path->question[0] = path->answer[0] = 0; /* the folder's path was short enough at boot */
    (void)file_join(path->question, folder, name);
    out.size = STEM;
    text_put_text(&out, ".answer");
    (void)file_join(path->answer, folder, name);
}

struct file_job {
    const char *path;
    void *bytes;
    size_t capacity, size;
    int rc;
};

static void run_write(void *arg)
{
    struct file_job *job = arg;
    job->rc = file_replace(job->path, job->bytes, job->size, 0600);
}

static void run_read(void *arg)
{
    struct file_job *job = arg;
    job->rc = file_read(job->path, job->bytes, job->capacity, &job->size);
}

int deferred_write(const char *path, struct span bytes)
{
    struct file_job job = {.path = path, .bytes = (void *)(uintptr_t)bytes.data, .size = bytes.size};
    int rc = offload(run_write, &job);
    return rc == RC_OK ? job.rc : rc;
}

int deferred_read(const char *path, struct arena *arena, size_t most, struct span *bytes)
{
    struct file_job job = {.path = path, .bytes = arena_take(arena, most, 1), .capacity = most};
    if (!job.bytes) return RC_FULL;
    int rc = offload(run_read, &job);
    if (rc == RC_OK) rc = job.rc;
    *bytes = span_of(job.bytes, rc == RC_OK ? job.size : 0);
    return rc;
}

/* A file that stays behind after a power cut brings back at most a question that was answered or taken back. */
static void run_remove(void *arg)
{
    const struct deferred_path *path = arg;
    (void)file_remove(path->question);
    (void)file_remove(path->answer);
    (void)file_sync_folder(folder);
}

void deferred_remove(struct deferred_row *row)
{
    struct deferred_path path;
    row->gone = row->busy = true;
    deferred_paths(row, &path);
    if (offload(run_remove, &path) != RC_OK) run_remove(&path);
    *row = (struct deferred_row){.state = DEFERRED_FREE};
}

/* ---- boot */

static int read_name(struct span name, struct deferred_row *row)
{
    unsigned char time[HEX_TIME / 2];
    if (name.size <= STEM || name.data[HEX_ID] != '-' || name.data[HEX_ID * 2 + 1] != '-') return RC_INVALID;
    struct span kind = span_of(name.data + STEM, name.size - STEM);
    row->state = DEFERRED_FREE;
    if (span_equal(kind, SPAN(".question"))) row->state = DEFERRED_WAITING;
    if (span_equal(kind, SPAN(".answer"))) row->state = DEFERRED_ANSWERED;
    if (row->state == DEFERRED_FREE || hex_decode(span_of(name.data, HEX_ID), row->id, sizeof row->id) != RC_OK ||
        hex_decode(span_of(name.data + HEX_ID + 1, HEX_ID), row->tenant, sizeof row->tenant) != RC_OK ||
        hex_decode(span_of(name.data + STEM - HEX_TIME, HEX_TIME), time, sizeof time) != RC_OK)
        return RC_INVALID;
    for (unsigned i = 0; i < sizeof time; i++) row->asked_us = row->asked_us << 8 | time[i];
    return RC_OK;
}

static struct deferred_row *free_row(void)
{
    for (unsigned i = 0; i < deferred_max; i++)
        if (deferred_rows[i].state == DEFERRED_FREE) return &deferred_rows[i];
    return NULL;
}

/* Of a question whose answer is there the answer counts. */
static int visit(void *context, const char *name)
{
    unsigned *left_out = context;
    struct deferred_row row = {0};
    char path[FILE_PATH_MAX];
    size_t size = strlen(name);
    if (size > 4 && strcmp(name + size - 4, ".new") == 0) { /* a write that a crash cut short */
        if (file_join(path, folder, name) == RC_OK) (void)file_remove(path);
        return RC_OK;
    }
    if (read_name(span_text(name), &row) != RC_OK) return RC_OK;
    struct deferred_row *known = deferred_find(row.id), *place = known ? known : free_row();
    if (!place) {
        ++*left_out;
        return RC_OK;
    }
    if (!known || row.state == DEFERRED_ANSWERED) *place = row;
    return RC_OK;
}

void deferred_open(const char *data_folder)
{
    unsigned left_out = 0, count = 0;
    if (deferred_max == 0) return;
    int rc = file_join(folder, data_folder, "deferred");
    if (rc == RC_OK && strlen(folder) + STEM + 16 >= FILE_PATH_MAX) rc = RC_TOO_LARGE;
    if (rc == RC_OK) rc = file_make_folder(folder, 0700);
    if (rc == RC_OK || rc == RC_READ_ONLY) rc = file_each(folder, visit, &left_out);
    if (rc != RC_OK) {
        log_warn("deferred", "%s cannot be read (%s): no question is kept for later", folder, rc_name(rc));
        deferred_max = 0;
        return;
    }
    for (unsigned i = 0; i < deferred_max; i++) count += deferred_rows[i].state == DEFERRED_WAITING;
    if (count) log_info("deferred", "%u questions wait for the line", count);
    if (left_out)
        log_warn("deferred", "%u questions in %s are more than budgets.deferred_max: raise it to have them asked",
                 left_out, folder);
}
