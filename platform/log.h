/* SPDX-License-Identifier: Apache-2.0 */
/* platform/log.h — lines in a fixed ring, flushed to stderr by a thread of their own.
 *
 * Owner:   the ring, static.
 * Threads: any. Never blocks the caller: when stderr cannot keep up the oldest unread lines are dropped and counted.
 * Format:  text "2026-11-21T10:00:00.123Z info  net: message key=value" or one JSON object a line.
 * Not here: secrets. Callers never pass credentials, prompts or answers.
 */
#ifndef PLATFORM_LOG_H
#define PLATFORM_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/text.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

enum {
    LOG_LINE_MAX = 512,    /* longer lines are cut with an ellipsis */
    LOG_RING_LINES = 1024, /* half a MiB: minutes of a busy box */
};

void log_configure(enum log_level level, enum log_format format);
/* Starts the flusher; before it (and after log_stop) lines are written directly. */
int log_start(void);
/* Writes what is left and ends the flusher. */
void log_stop(void);

__attribute__((format(printf, 3, 4))) void log_line(enum log_level level, const char *area, const char *format, ...);

#define log_error(area, ...) log_line(LOG_ERROR, (area), __VA_ARGS__)
#define log_warn(area, ...) log_line(LOG_WARN, (area), __VA_ARGS__)
#define log_info(area, ...) log_line(LOG_INFO, (area), __VA_ARGS__)
#define log_debug(area, ...) log_line(LOG_DEBUG, (area), __VA_ARGS__)

/* The newest lines, oldest first, for `larder ctl` and the admin page. */
void log_tail(struct text *out, unsigned lines);
uint64_t log_dropped(void);

#endif
