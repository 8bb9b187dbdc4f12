/* SPDX-License-Identifier: Apache-2.0 */
/* platform/check.c — says which check broke, then aborts. */
#include "platform/check.h"

#include <stdlib.h>
#include <unistd.h>

#include "platform/text.h"

void check_failed(const char *condition, const char *file, int line)
{
    char buffer[256];
    struct text t = text_on(buffer, sizeof buffer);
    text_put_text(&t, "larder: check failed: ");
    text_put_text(&t, condition);
    text_put_text(&t, " at ");
    text_put_text(&t, file);
    text_put_char(&t, ':');
    text_put_i64(&t, line);
    text_put_char(&t, '\n');
    if (t.truncated) buffer[t.size - 1] = '\n';
    /* Nothing can be done when stderr refuses; abort follows either way. */
    ssize_t written = write(STDERR_FILENO, t.data, t.size);
    (void)written;
    abort();
}
