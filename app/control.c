/* SPDX-License-Identifier: Apache-2.0 */
/* app/control.c — the server side of the control socket. See control.h. */
#include "app/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/command.h"
#include "net/stream.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/plan.h"
#include "platform/pool.h"
#include "platform/rc.h"

enum {
    CONTROL_STACK = 64 << 10,
    WAIT_SECONDS = 10,
    JSON_ROOM = JSON_SCRATCH_FACTOR * CONTROL_LINE_MAX + JSON_SCRATCH_EXTRA
};

struct client {
    struct stream stream;
    struct arena arena;
    bool taken;
    char line[CONTROL_LINE_MAX];
    size_t size;
};

static struct fiber_pool fibers;
static struct arena_budget budget = {.limit = CONTROL_MEMORY};
static struct client *clients;
static struct loop_source listener = {.fd = -1};
static char socket_path[sizeof((struct sockaddr_un *)0)->sun_path];

int control_reserve(void)
{
    void *arenas, *memory;
    int rc = fiber_pool_reserve(&fibers, "control", CONTROL_CLIENTS_MAX, CONTROL_STACK, NULL);
    if (rc == RC_OK)
        rc = plan_take("control clients", CONTROL_CLIENTS_MAX, sizeof(struct client), PLAN_LAZY, 0, NULL, &memory);
    if (rc == RC_OK)
        rc = plan_take("control arenas", CONTROL_CLIENTS_MAX, CONTROL_ARENA, PLAN_LAZY, CONTROL_MEMORY, NULL, &arenas);
    if (rc != RC_OK) return rc;
    clients = memory;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        arena_init(&clients[i].arena, (char *)arenas + (size_t)i * CONTROL_ARENA, CONTROL_ARENA, &budget);
    return RC_OK;
}

int control_parse(struct span line, struct json_scratch *scratch, struct span *words, unsigned *count)
{
    const struct json_value *root;
    struct json_error error;
    *count = 0;
    if (json_parse(scratch, line, &root, &error) != RC_OK || json_kind(root) != JSON_ARRAY) return RC_INVALID;
    for (struct json_walk w = json_walk(root); json_next(&w);) {
        if (json_kind(w.value) != JSON_STRING || *count == COMMAND_WORDS_MAX) return RC_INVALID;
        words[(*count)++] = json_string(w.value);
    }
    return *count ? RC_OK : RC_INVALID;
}

static int read_line(struct client *c, uint64_t deadline_us)
{
    while (c->size < sizeof c->line) {
        size_t done = 0;
        int rc = stream_recv_wait(&c->stream, c->line + c->size, sizeof c->line - c->size, &done, deadline_us);
        if (rc != RC_OK) return rc;
        c->size += done;
        if (memchr(c->line, '\n', c->size)) return RC_OK;
    }
    return RC_TOO_LARGE;
}

static void answer(struct client *c, uint64_t deadline_us)
{
    struct span words[COMMAND_WORDS_MAX], line;
    unsigned count;
    char head[48];
    struct json_scratch scratch = {arena_take(&c->arena, JSON_ROOM, 16), JSON_ROOM};
    char *bytes = arena_take(&c->arena, CONTROL_OUTPUT, 1);
    if (!scratch.memory || !bytes) return;
    struct text out = text_on(bytes, CONTROL_OUTPUT);
    (void)span_cut(span_of(c->line, c->size), '\n', &line);
    int rc = control_parse(line, &scratch, words, &count);
    if (rc == RC_OK)
        rc = command_run(words, count, &c->arena, &out);
    else
        text_put_text(&out, "a request is a JSON array of words and a line feed: [\"status\"]\n");
    struct text first = text_on(head, sizeof head);
    text_put_text(&first, rc == RC_OK ? "ok\n" : "error ");
    if (rc != RC_OK) text_format(&first, "%s\n", rc_name(rc));
    rc = stream_send_all(&c->stream, first.data, first.size, deadline_us);
    if (rc == RC_OK) (void)stream_send_all(&c->stream, out.data, out.size, deadline_us);
}

static void serve_client(void *arg)
{
    struct client *c = arg;
    if (read_line(c, clock_monotonic_us() + WAIT_SECONDS * CLOCK_SECOND) == RC_OK)
        answer(c, clock_monotonic_us() + 6 * WAIT_SECONDS * CLOCK_SECOND);
    stream_close(&c->stream, false);
    arena_reset(&c->arena, 0);
    c->taken = false;
}

static void accept_client(struct loop_source *source, unsigned events)
{
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (!clients[i].taken) {
            clients[i].taken = true;
            clients[i].size = 0;
            stream_init(&clients[i].stream, fd);
            if (fiber_start(&fibers, serve_client, &clients[i]) == RC_OK) return;
            clients[i].taken = false;
            break;
        }
    close(fd); /* all in use: the caller sees the end and may try again */
}

static bool somebody_answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)address, sizeof *address) == 0;
    if (fd >= 0) close(fd);
    return answers;
}

static int make_folder_of(const char *path)
{
    char folder[sizeof socket_path];
    memcpy(folder, path, strlen(path) + 1);
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder) return RC_OK;
    *slash = 0;
    return file_make_folder(folder, 0700);
}

int control_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return RC_TOO_LARGE;
    memcpy(address.sun_path, path, strlen(path) + 1);
    memcpy(socket_path, address.sun_path, sizeof socket_path);
    (void)make_folder_of(path);
    if (somebody_answers(&address)) return RC_EXISTS;
    (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return file_from_errno(errno);
    mode_t old = umask(0177);
    int bound = bind(fd, (struct sockaddr *)(void *)&address, sizeof address);
    int error = errno;
    (void)umask(old);
    if (bound != 0 || listen(fd, CONTROL_CLIENTS_MAX) != 0) {
        close(fd);
        return file_from_errno(bound != 0 ? error : errno);
    }
    listener = (struct loop_source){.fd = fd, .ready = accept_client};
    return loop_add(&listener, LOOP_READ);
}

void control_close(void)
{
    if (listener.fd < 0) return;
    loop_remove(&listener);
    close(listener.fd);
    (void)unlink(socket_path);
    listener.fd = -1;
}
