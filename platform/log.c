/* SPDX-License-Identifier: Apache-2.0 */
/* platform/log.c — the ring, its flusher, and a rate for each kind of line.
 *
 * A caller holds the lock for one copy of a line; the flusher copies out under it and writes without it, so a stderr that
 * does not drain costs lines, never time.
 */
#include "platform/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "platform/start.h"

enum {
    MESSAGE_MAX = 400, /* before escaping; the rest of the line is time, level and area */
    BATCH_MAX = 4096,  /* PIPE_BUF: after POLLOUT a pipe takes it without blocking */
    STDERR_WAIT_MS = 1000,
    RATES = 64,
    RATE_LINES = 200, /* of one format, in … */
    FLUSHER_STACK = 64 * 1024,
};
static const uint64_t rate_window_us = CLOCK_SECOND;

struct line {
    uint16_t size;
    char text[LOG_LINE_MAX];
};

/* How often one format string was used lately. Two formats may share a place: the later one starts afresh. */
struct rate {
    const char *format;
    uint64_t since_us;
    unsigned lines, suppressed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static struct line ring[LOG_RING_LINES];
static uint64_t written_count, flushed_count, dropped_count; /* lines since start; index = count % LOG_RING_LINES */
static struct rate rates[RATES];
static bool flusher_runs, flusher_sleeps, stopping;
static pthread_t flusher;

static _Atomic int level_max = LOG_INFO;
static _Atomic int line_format = LOG_TEXT;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_configure(enum log_level level, enum log_format format)
{
    level_max = (int)level;
    line_format = (int)format;
}

/* RFC 3339 in UTC with milliseconds. */
static void put_time(struct text *t, uint64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / CLOCK_SECOND);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    text_format(t, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                utc.tm_min, utc.tm_sec, (int)(wall_us / 1000 % 1000));
}

/* A message cannot start a line of its own or steer a terminal. */
static void put_escaped(struct text *t, struct span s)
{
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x20 && c != 0x7F) {
            text_put_char(t, (char)c);
        } else if (c == '\n') {
            text_put_text(t, "\\n");
        } else {
            text_put_text(t, "\\x");
            text_put_hex(t, &c, 1);
        }
    }
}

/* Cuts back to a whole UTF-8 sequence and says that something is missing. */
static void put_ellipsis(struct text *t, size_t room)
{
    size_t size = t->size;
    while (size + room > t->capacity - 1 && size > 0) size--;
    while (size > 0 && ((unsigned char)t->data[size] & 0xC0) == 0x80) size--;
    t->size = size;
    t->truncated = false;
    text_put_text(t, "\xE2\x80\xA6");
}

static void compose_text(struct text *t, enum log_level level, const char *area, struct span message)
{
    put_time(t, clock_wall_us());
    text_format(t, " %-5s %s: ", level_names[level], area);
    put_escaped(t, message);
    if (t->truncated) put_ellipsis(t, 4);
    text_put_char(t, '\n');
}

static void compose_json(struct text *t, enum log_level level, const char *area, struct span message)
{
    text_put_text(t, "{\"time\":\"");
    put_time(t, clock_wall_us());
    text_format(t, "\",\"level\":\"%s\",\"area\":\"%s\",\"message\":", level_names[level], area);
    struct text head = *t;
    /* Escapes make up to six bytes of one: shorten the message until the object closes. */
    for (;;) {
        text_put_json(t, message);
        text_put_text(t, "}\n");
        if (!t->truncated || message.size == 0) return;
        *t = head;
        message.size -= message.size > 32 ? message.size / 8 : message.size;
    }
}

/* Whether the line is to be written; *suppressed gets how many like it were not since the last one that was. */
static bool rate_allows(const char *format, unsigned *suppressed)
{
    struct rate *rate = &rates[((uintptr_t)format >> 3) % RATES];
    uint64_t now = clock_monotonic_us();
    if (rate->format != format) *rate = (struct rate){.format = format, .since_us = now};
    *suppressed = 0;
    if (now - rate->since_us >= rate_window_us) {
        *suppressed = rate->suppressed;
        *rate = (struct rate){.format = format, .since_us = now};
    }
    if (rate->lines < RATE_LINES) {
        rate->lines++;
        return true;
    }
    rate->suppressed++;
    return false;
}

static void write_out(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        data += n;
        size -= (size_t)n;
    }
}

/* With the lock held. */
static void ring_put(const struct text *t)
{
    struct line *line = &ring[written_count % LOG_RING_LINES];
    memcpy(line->text, t->data, t->size);
    line->size = (uint16_t)t->size;
    written_count++;
    if (written_count - flushed_count > LOG_RING_LINES) {
        flushed_count++;
        dropped_count++;
    }
    if (!flusher_runs)
        flushed_count = written_count;
    else if (flusher_sleeps)
        pthread_cond_signal(&filled);
}

static void line_put(enum log_level level, const char *area, const char *format, va_list args)
{
    char message[MESSAGE_MAX];
    char buffer[LOG_LINE_MAX];
    struct text t = text_on(buffer, sizeof buffer);
    unsigned suppressed;
    pthread_mutex_lock(&lock);
    bool allowed = rate_allows(format, &suppressed);
    pthread_mutex_unlock(&lock);
    if (!allowed) return;
    int size = vsnprintf(message, sizeof message, format, args);
    struct text m = {message, sizeof message, size < 0 ? 0 : (size_t)size, false};
    if (m.size >= sizeof message) {
        m.size = sizeof message - 1;
        put_ellipsis(&m, 3);
    }
    if (suppressed > 0) text_format(&m, " suppressed=%u", suppressed);
    if (line_format == LOG_JSON)
        compose_json(&t, level, area, text_span(&m));
    else
        compose_text(&t, level, area, text_span(&m));
    pthread_mutex_lock(&lock);
    bool direct = !flusher_runs;
    ring_put(&t);
    pthread_mutex_unlock(&lock);
    if (direct) write_out(t.data, t.size);
}

void log_line(enum log_level level, const char *area, const char *format, ...)
{
    if ((int)level > level_max) return;
    int error = errno;
    va_list args;
    va_start(args, format);
    line_put(level, area, format, args);
    va_end(args);
    errno = error;
}

/* With the lock held: copies unread lines, whole ones only. */
static size_t batch_take(char *batch)
{
    size_t size = 0;
    while (flushed_count < written_count) {
        const struct line *line = &ring[flushed_count % LOG_RING_LINES];
        if (size + line->size > BATCH_MAX) break;
        memcpy(batch + size, line->text, line->size);
        size += line->size;
        flushed_count++;
    }
    return size;
}

static void *flusher_main(void *unused)
{
    static char batch[BATCH_MAX];
    pthread_mutex_lock(&lock);
    for (;;) {
        size_t size = batch_take(batch);
        if (size == 0 && stopping) break;
        if (size == 0) {
            flusher_sleeps = true;
            pthread_cond_wait(&filled, &lock);
            flusher_sleeps = false;
            continue;
        }
        bool last = stopping;
        pthread_mutex_unlock(&lock);
        struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
        bool writable = false;
        do {
            writable = poll(&out, 1, STDERR_WAIT_MS) > 0;
            pthread_mutex_lock(&lock);
            last = stopping;
            pthread_mutex_unlock(&lock);
        } while (!writable && !last);
        if (writable) write_out(batch, size);
        pthread_mutex_lock(&lock);
        if (!writable) break;
    }
    pthread_mutex_unlock(&lock);
    return unused;
}

static void note_memory(void)
{
    static bool noted;
    if (noted) return;
    noted = true;
    plan_note("log ring", LOG_RING_LINES, sizeof(struct line), 0, sizeof ring);
    plan_note("log flusher stack", 1, FLUSHER_STACK, 0, FLUSHER_STACK);
}

int log_start(void)
{
    pthread_attr_t attributes;
    note_memory();
    sigset_t all, before;
    start_thread_mask(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, FLUSHER_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&lock);
    stopping = false;
    flusher_runs = pthread_create(&flusher, &attributes, flusher_main, NULL) == 0;
    bool started = flusher_runs;
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started ? RC_OK : RC_FULL;
}

void log_stop(void)
{
    pthread_mutex_lock(&lock);
    bool runs = flusher_runs;
    stopping = true;
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&lock);
    if (!runs) return;
    pthread_join(flusher, NULL);
    pthread_mutex_lock(&lock);
    flusher_runs = false;
    flushed_count = written_count;
    pthread_mutex_unlock(&lock);
}

void log_tail(struct text *out, unsigned lines)
{
    pthread_mutex_lock(&lock);
    uint64_t kept = written_count < LOG_RING_LINES ? written_count : LOG_RING_LINES;
    uint64_t from = written_count - (lines < kept ? lines : kept);
    for (uint64_t i = from; i < written_count; i++)
        text_put(out, ring[i % LOG_RING_LINES].text, ring[i % LOG_RING_LINES].size);
    pthread_mutex_unlock(&lock);
}

uint64_t log_dropped(void)
{
    pthread_mutex_lock(&lock);
    uint64_t dropped = dropped_count;
    pthread_mutex_unlock(&lock);
    return dropped;
}
