/* SPDX-License-Identifier: Apache-2.0 */
/* app/lines.c — see lines.h. */
#include "app/lines.h"

#include <errno.h>
#include <unistd.h>

#include "platform/rc.h"

int lines_next(struct lines *lines, int fd, struct span *line)
{
    for (;;) {
        char *start = lines->buffer + lines->begin, *newline = memchr(start, '\n', lines->end - lines->begin);
        if (newline) {
            *line = span_of(start, (size_t)(newline - start));
            lines->begin += line->size + 1;
            return RC_OK;
        }
        memmove(lines->buffer, start, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
        if (lines->end == lines->capacity) return RC_TOO_LARGE;
        ssize_t n = read(fd, lines->buffer + lines->end, lines->capacity - lines->end);
        if (n < 0 && errno != EINTR) return RC_IO;
        if (n == 0) return RC_EMPTY;
        if (n > 0) lines->end += (size_t)n;
    }
}

int lines_write(int fd, struct span text)
{
    while (text.size > 0) {
        ssize_t n = write(fd, text.data, text.size);
        if (n < 0 && errno != EINTR) return RC_CLOSED;
        if (n > 0) text = span_of(text.data + n, text.size - (size_t)n);
    }
    return RC_OK;
}
