/* SPDX-License-Identifier: Apache-2.0 */
/* app/control_client.c — `larder ctl`: one command over the control socket. A process of its own, that only waits. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/command.h"
#include "app/control.h"
#include "platform/rc.h"

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)(void *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return RC_IO;
        data += n;
        size -= (size_t)n;
    }
    return RC_OK;
}

static int send_words(int fd, const char *const *words, unsigned count)
{
    char line[CONTROL_LINE_MAX];
    struct text out = text_on(line, sizeof line);
    text_put_char(&out, '[');
    for (unsigned i = 0; i < count; i++) {
        if (i) text_put_char(&out, ',');
        text_put_json(&out, span_text(words[i]));
    }
    text_put_text(&out, "]\n");
    return out.truncated ? RC_TOO_LARGE : write_all(fd, out.data, out.size);
}

/* Prints all but the first line, and returns the exit code that it means. */
static int print_answer(int fd)
{
    char buffer[4096], first[64] = "";
    size_t first_size = 0;
    bool in_first = true;
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR)) {
        size_t from = 0;
        while (in_first && n > 0 && from < (size_t)n) {
            char c = buffer[from++];
            in_first = c != '\n';
            if (in_first && first_size < sizeof first - 1) first[first_size++] = c;
        }
        if (n > 0 && write_all(strcmp(first, "ok") == 0 ? 1 : 2, buffer + from, (size_t)n - from) != RC_OK) return 1;
    }
    if (strcmp(first, "ok") == 0) return 0;
    return strcmp(first, "error invalid") == 0 ? 2 : 1;
}

int control_client(const char *path, const char *const *words, unsigned count)
{
    int fd = connect_to(path);
    if (fd < 0) {
        fprintf(
            stderr,
            "larder: cannot reach a running box at %s (%s): is `larder serve` running with the same configuration?\n",
            path, strerror(errno));
        return 1;
    }
    int code = 1;
    if (send_words(fd, words, count) != RC_OK)
        fprintf(stderr, "larder: the command is too long (%d bytes at most)\n", CONTROL_LINE_MAX);
    else
        code = print_answer(fd);
    close(fd);
    return code;
}
