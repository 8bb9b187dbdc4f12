/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/negative.c — see negative.h. */
#include "app/gateway/negative.h"

#include <stdio.h>

#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/plan.h"

struct negative {
    uint64_t entry, query;
    uint8_t tenant[ENTRY_TENANT_SIZE];
    float score;
    uint32_t crc; /* of what stands before it */
};
_Static_assert(sizeof(struct negative) == 40, "as it lies in the file");

enum { FILE_MOST = 2 * NEGATIVES_MAX }; /* records before the file is written anew */

static struct negative *rows;
static struct negative *writing; /* a copy for the disk */
static unsigned count, next;     /* used rows; where the next one goes */
static unsigned in_file;         /* records there, of which some are out of date */
static bool saving;
static char path[FILE_PATH_MAX];

static double read_count(const struct metric *metric)
{
    (void)metric;
    return (double)count;
}

static struct metric count_gauge = {.name = "larder_semantic_rejected_pairs",
                                    .help = "Pairs of entry and question that were reported as wrong",
                                    .kind = METRIC_GAUGE_CALL,
                                    .read = read_count};

int negative_reserve(void)
{
    void *region;
    int rc = plan_take("semantic rejected pairs", NEGATIVES_MAX, sizeof(struct negative), PLAN_LAZY, 0, NULL, &region);
    rows = region;
    if (rc == RC_OK)
        rc = plan_take("semantic rejected pairs file", FILE_MOST, sizeof(struct negative), PLAN_LAZY, 0, NULL, &region);
    writing = region;
    metric_register(&count_gauge);
    return rc;
}

static uint32_t crc_of(const struct negative *row)
{
    return crc32c(0, row, offsetof(struct negative, crc));
}

static void take(const struct negative *row)
{
    rows[next] = *row;
    next = (next + 1) % NEGATIVES_MAX;
    if (count < NEGATIVES_MAX) count++;
}

int negative_open(const char *data_folder, char *message, size_t message_size)
{
    size_t size = 0;
    unsigned damaged = 0;
    count = next = in_file = 0;
    if (file_join(path, data_folder, "negatives") != RC_OK) return RC_TOO_LARGE;
    int rc = file_read(path, writing, FILE_MOST * sizeof *writing, &size);
    if (rc == RC_NOT_FOUND) return RC_OK;
    if (rc != RC_OK) {
        snprintf(message, message_size, "cannot read %s: %s", path, rc_name(rc));
        return rc;
    }
    in_file = (unsigned)((size + sizeof *writing - 1) / sizeof *writing);
    for (size_t i = 0; i < size / sizeof *writing; i++) {
        if (writing[i].crc == crc_of(&writing[i]))
            take(&writing[i]);
        else
            damaged++;
    }
    if (size % sizeof *writing) in_file = FILE_MOST; /* torn: what is appended would not stand on a border */
    if (damaged) log_warn("gateway", "%u damaged records in %s were left out", damaged, path);
    return RC_OK;
}

/* ---- keeping */

struct job {
    size_t size;
    bool append;
    int rc;
};

static void job_run(void *arg)
{
    struct job *job = arg;
    job->rc = job->append ? file_append(path, writing, job->size, 0600) : file_replace(path, writing, job->size, 0600);
}

static void copy_all(void)
{
    unsigned from = count < NEGATIVES_MAX ? 0 : next; /* the oldest */
    for (unsigned i = 0; i < count; i++) writing[i] = rows[(from + i) % NEGATIVES_MAX];
}

static int save(const struct negative *row)
{
    struct job job = {.append = row && in_file < FILE_MOST, .size = sizeof *row};
    while (saving) /* another one is being written; it takes milliseconds */
        if (fiber_sleep_until(clock_monotonic_us() + CLOCK_SECOND / 500) != RC_OK) return RC_CANCELLED;
    saving = true;
    if (job.append) {
        writing[0] = *row;
    } else {
        copy_all();
        job.size = count * sizeof *writing;
    }
    unsigned written = count;
    int rc = offload(job_run, &job);
    if (rc == RC_OK) rc = job.rc;
    if (rc == RC_OK) in_file = job.append ? in_file + 1 : written;
    if (rc != RC_OK && job.append) in_file = FILE_MOST; /* perhaps torn: the next one writes all anew */
    saving = false;
    return rc;
}

int negative_add(uint64_t entry, uint64_t query, const uint8_t tenant[ENTRY_TENANT_SIZE], float score)
{
    struct negative row = {.entry = entry, .query = query, .score = score};
    memcpy(row.tenant, tenant, sizeof row.tenant);
    row.crc = crc_of(&row);
    for (unsigned i = 0; i < count; i++)
        if (rows[i].entry == entry && rows[i].query == query && rows[i].score >= score) return RC_OK;
    take(&row);
    return save(&row);
}

bool negative_allows(uint64_t entry, uint64_t query, float score)
{
    for (unsigned i = 0; i < count; i++)
        if (rows[i].entry == entry && (rows[i].query == query || score <= rows[i].score + NEGATIVE_MARGIN))
            return false;
    return true;
}

int negative_erase(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    unsigned kept = 0, from = count < NEGATIVES_MAX ? 0 : next;
    while (saving)
        if (fiber_sleep_until(clock_monotonic_us() + CLOCK_SECOND / 500) != RC_OK) return RC_CANCELLED;
    for (unsigned i = 0; i < count; i++) {
        const struct negative *row = &rows[(from + i) % NEGATIVES_MAX];
        if (memcmp(row->tenant, tenant, sizeof row->tenant) != 0) writing[kept++] = *row;
    }
    if (kept == count) return RC_OK;
    memset(rows, 0, count * sizeof *rows);
    memcpy(rows, writing, kept * sizeof *rows);
    count = kept;
    next = kept % NEGATIVES_MAX;
    return save(NULL);
}

unsigned negative_count(void)
{
    return count;
}
