/* SPDX-License-Identifier: Apache-2.0 */
/* app/lines.h — lines from one descriptor, text to another: for programs that are driven by a script.
 *
 * Owner:   the caller owns the buffer; a line is valid until the next call.
 * Threads: one at a time; both wait for the other end.
 * Fails:   lines_next: RC_EMPTY when the input ended (an unfinished last line is dropped), RC_TOO_LARGE when a line does
 *          not fit, RC_IO. lines_write: RC_CLOSED.
 */
#ifndef APP_LINES_H
#define APP_LINES_H

#include "platform/span.h"

struct lines {
    char *buffer;
    size_t capacity, begin, end;
};

int lines_next(struct lines *lines, int fd, struct span *line); /* without its newline */
int lines_write(int fd, struct span text);

#endif
