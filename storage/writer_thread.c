/* SPDX-License-Identifier: Apache-2.0 */
/* storage/writer_thread.c — when the thread works, its ids, its reports, and what it wrote. */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "platform/log.h"
#include "platform/metric.h"
#include "platform/rc.h"
#include "platform/start.h"
#include "storage/writer_batch.h"

/* ---- bytes handed to the kernel by this thread: what wear is made of */

static struct metric bytes_written = {.name = "larder_store_written_bytes_total",
                                      .help = "Bytes the store handed to the kernel.",
                                      .kind = METRIC_COUNTER};

void writer_thread_metrics(void)
{
    metric_register(&bytes_written);
}

uint64_t writer_bytes_written(void)
{
    return metric_get(&bytes_written);
}

void writer_count_bytes(struct writer *writer)
{
    char text[256];
    ssize_t size = writer->io >= 0 ? pread(writer->io, text, sizeof text - 1, 0) : -1;
    if (size <= 0) return;
    text[size] = '\0';
    const char *found = strstr(text, "wchar:");
    uint64_t value = 0;
    for (const char *c = found ? found + 6 : ""; *c == ' ' || (*c >= '0' && *c <= '9'); c++)
        if (*c != ' ') value = value * 10 + (uint64_t)(*c - '0');
    if (value > 0) metric_set(&bytes_written, value);
}

/* ---- time: the kernel's own, since waits are measured by it */

uint64_t writer_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static struct timespec timespec_of(uint64_t us)
{
    return (struct timespec){.tv_sec = (time_t)(us / 1000000u), .tv_nsec = (long)(us % 1000000u) * 1000};
}

/* ---- reports */

static void post(struct writer *writer)
{
    if (!atomic_exchange(&writer->posted, true)) loop_post(&writer->call);
}

void writer_tell(struct writer *writer, enum writer_fate fate, uint64_t id, uint32_t value)
{
    unsigned head = atomic_load(&writer->event_head);
    if (head - atomic_load(&writer->event_tail) == WRITER_EVENTS) {
        post(writer);
        pthread_mutex_lock(&writer->lock);
        pthread_cond_signal(&writer->progress); /* a lane that waits for the end takes reports too */
        while (head - atomic_load(&writer->event_tail) == WRITER_EVENTS)
            pthread_cond_wait(&writer->work, &writer->lock);
        pthread_mutex_unlock(&writer->lock);
    }
    writer->events[head % WRITER_EVENTS] = (struct writer_event){.id = id, .fate = fate, .value = value};
    atomic_store(&writer->event_head, head + 1);
}

/* ---- ids */

int writer_ids(struct writer *writer)
{
    uint64_t limit = atomic_load(&writer->id_limit);
    uint64_t mark = (limit > writer->ids.mark ? limit : writer->ids.mark) + IDS_BLOCK;
    int rc = ids_save(&writer->ids, mark);
    if (rc == RC_OK) {
        atomic_store(&writer->id_limit, mark);
        writer->mark_due = true;
    }
    pthread_mutex_lock(&writer->lock);
    writer->ids_failed = rc != RC_OK;
    pthread_cond_signal(&writer->progress);
    pthread_mutex_unlock(&writer->lock);
    return rc;
}

static bool ids_are_short(const struct writer *writer)
{
    uint64_t limit = atomic_load(&writer->id_limit);
    return limit == 0 || atomic_load(&writer->id_next) + IDS_BLOCK / 2 > limit;
}

/* ---- when */

static bool work_is_due(struct writer *writer, uint64_t now, uint64_t *until)
{
    *until = UINT64_MAX;
    if (writer->stopping) return true;
    size_t used = ring_used(&writer->ring);
    *until = writer_codes_due(writer);
    if (now >= *until) return true;
    if (used == 0) {
        writer->first_us = 0;
        return false;
    }
    if (writer->first_us == 0) writer->first_us = now;
    if (writer->urgent > ring_first(&writer->ring)) return true;
    if (atomic_load(&writer->pending) >= COMMIT_ENTRIES || used >= COMMIT_BYTES) return true;
    uint64_t due = writer->first_us + writer->limits.sync_us;
    if (due < *until) *until = due;
    return now >= due;
}

/* Returns with something to do, or at the end. Spurious wakes are harmless. */
static bool wait_for_work(struct writer *writer)
{
    uint64_t until;
    pthread_mutex_lock(&writer->lock);
    while (!work_is_due(writer, writer_now(), &until)) {
        struct timespec when = timespec_of(until);
        if (until == UINT64_MAX)
            pthread_cond_wait(&writer->work, &writer->lock);
        else
            pthread_cond_timedwait(&writer->work, &writer->lock, &when);
        if (atomic_load(&writer->id_limit) == 0) break; /* somebody wants ids */
    }
    bool more = !writer->stopping || ring_used(&writer->ring) > 0;
    pthread_mutex_unlock(&writer->lock);
    return more;
}

void *writer_main(void *arg)
{
    struct writer *writer = arg;
    sigset_t set;
    start_thread_mask(&set);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    writer->io = open("/proc/thread-self/io", O_RDONLY | O_CLOEXEC);
    writer_codes_doubt(writer);
    int rc = writer_ids(writer);
    if (rc != RC_OK)
        log_warn("store", "cannot reserve ids in %s (%s): nothing is stored", writer->home->folder, rc_name(rc));
    while (wait_for_work(writer)) {
        if (writer_now() >= writer_codes_due(writer)) {
            writer_codes_flush(writer);
            post(writer);
            continue;
        }
        uint64_t end = atomic_load(&writer->ring.head);
        if (ids_are_short(writer)) (void)writer_ids(writer);
        while (ring_first(&writer->ring) < end) {
            writer_batch(writer);
            post(writer);
        }
        writer->first_us = 0;
    }
    writer_codes_flush(writer);
    if (writer->io >= 0) close(writer->io);
    pthread_mutex_lock(&writer->lock);
    writer->ended = true;
    pthread_cond_signal(&writer->progress);
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}
