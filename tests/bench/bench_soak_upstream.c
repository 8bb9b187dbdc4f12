/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/bench_soak_upstream.c — the provider of the soak: answers follow from the question's number
 * (soak_answer.h), come late or in pieces as the question says, and a share of the calls fails.
 *
 *   bench_soak_upstream PORT [FAILING]     127.0.0.1; FAILING: of a thousand calls
 *
 * A question holds `Question 00000007 [delay=00050 events=010 gap=0020]`: milliseconds until the answer begins, its
 * pieces, milliseconds between them (a stream's). GET /stats counts what was asked and how it failed.
 */
#include "tests/bench/soak_answer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 4096,
    REQUEST_MAX = 16384,
    NUMBERS = 1u << 22, /* counters of how often a question was asked: by its number's low bits */
    EVENTS = 256,
    STALL_MS = 20000, /* longer than the box's patience */
};

enum failing {
    FINE,
    STATUS_500,
    STATUS_503,
    STATUS_529,
    STATUS_429,
    STATUS_429_LATER,
    DROP,
    RESET,
    CUT,
    CUT_RESET,
    STALL,
    FAILINGS
};

static const char *const failing_names[FAILINGS] = {"fine", "500",   "503", "529",       "429",  "429_later",
                                                    "drop", "reset", "cut", "cut_reset", "stall"};
/* Of 20 failing calls. */
static const enum failing shares[20] = {
    STATUS_500, STATUS_500, STATUS_500, STATUS_503, STATUS_503, STATUS_529, STATUS_429, STATUS_429, STATUS_429_LATER,
    DROP,       DROP,       RESET,      RESET,      RESET,      CUT,        CUT,        CUT,        CUT_RESET,
    CUT_RESET,  STALL};

struct client {
    bool open, busy, stream, usage;
    enum failing failing;
    unsigned gap_ms, event;
    struct soak_stamp stamp;
    size_t got, said;
    char bytes[REQUEST_MAX], text[SOAK_TEXT_MAX];
};

static struct client clients[CLIENTS_MAX]; /* by descriptor */
static uint64_t due[CLIENTS_MAX];          /* 0: nothing planned */
static unsigned asked[NUMBERS];
static uint64_t calls, again, kinds[FAILINGS];
static unsigned failing_share, open_now, open_high;
static int loop, fd_high;

static void hang_up(int fd, bool reset)
{
    struct linger at_once = {.l_onoff = 1};
    if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    due[fd] = 0;
    clients[fd].open = clients[fd].busy = false;
    open_now--;
    close(fd);
}

/* Replies are small against a socket's buffer; who does not read is hung up on. */
static void put(int fd, const char *bytes, size_t size)
{
    if (send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size && clients[fd].open) hang_up(fd, true);
}

static void put_status(int fd, unsigned status, const char *more)
{
    char body[256], reply[1024];
    struct client *c = &clients[fd];
    int size = snprintf(body, sizeof body,
                        "{\"error\":{\"message\":\"failing on purpose\",\"type\":\"server_error\",\"param\":\"Q%08u\","
                        "\"code\":\"soak\"}}",
                        c->stamp.number);
    size = snprintf(reply, sizeof reply,
                    "HTTP/1.1 %u Status\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", status,
                    more, size, body);
    c->busy = false;
    put(fd, reply, (size_t)size);
}

static void put_object(int fd)
{
    static char reply[SOAK_BODY_MAX], body[SOAK_BODY_MAX];
    struct client *c = &clients[fd];
    c->stamp.ended_ns = c->stamp.began_ns;
    size_t size = soak_object(&c->stamp, body);
    int head = sprintf(reply, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", size);
    bool cut = c->failing == CUT || c->failing == CUT_RESET;
    memcpy(reply + head, body, size);
    c->busy = false;
    put(fd, reply, (size_t)head + (cut ? size / 2 : size));
    if (cut && c->open) hang_up(fd, c->failing == CUT_RESET);
}

static size_t put_chunk(const char *bytes, size_t size, char *out)
{
    size_t at = (size_t)sprintf(out, "%zx\r\n", size);
    memcpy(out + at, bytes, size);
    memcpy(out + at + size, "\r\n", 2);
    return at + size + 2;
}

/* A step of a stream: one piece, the last step all that is left. */
static void put_step(int fd)
{
    static char out[SOAK_BODY_MAX], event[2048];
    struct client *c = &clients[fd];
    size_t size = 0, more = 0;
    if (c->event == 0)
        size = (size_t)sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                    "Transfer-Encoding: chunked\r\n\r\n");
    bool last = c->event >= c->stamp.events + 2;
    if (last) c->stamp.ended_ns = soak_now();
    do {
        more = soak_stream_event(&c->stamp, c->event++, c->usage, c->text, &c->said, event);
        size += more ? put_chunk(event, more, out + size) : (size_t)sprintf(out + size, "0\r\n\r\n");
    } while (more && (last || c->event == 1));
    if (last) c->busy = false;
    due[fd] = last ? 0 : soak_now() + (uint64_t)c->gap_ms * 1000000u + 1;
    put(fd, out, size);
    if (!c->open || last || c->event < c->stamp.events / 2 + 2) return;
    if (c->failing == CUT || c->failing == CUT_RESET) hang_up(fd, c->failing == CUT_RESET);
    if (c->failing == STALL) due[fd] = soak_now() + STALL_MS * 1000000ull;
}

/* Its time has come: the answer begins, or goes on. */
static void step(int fd)
{
    struct client *c = &clients[fd];
    due[fd] = 0;
    if (c->event == 0) c->stamp.began_ns = soak_now();
    switch (c->failing) {
    case STATUS_500: put_status(fd, 500, ""); return;
    case STATUS_503: put_status(fd, 503, ""); return;
    case STATUS_529: put_status(fd, 529, ""); return;
    case STATUS_429: put_status(fd, 429, ""); return;
    case STATUS_429_LATER: put_status(fd, 429, "retry-after-ms: 200\r\n"); return;
    case DROP: hang_up(fd, false); return;
    case RESET: hang_up(fd, true); return;
    case STALL:
        if (c->stream) break;
        c->failing = DROP;
        due[fd] = soak_now() + STALL_MS * 1000000ull;
        return;
    default: break;
    }
    if (c->stream)
        put_step(fd);
    else
        put_object(fd);
}

static enum failing dice(void)
{
    uint64_t thrown = soak_mix(calls * 977);
    return thrown % 1000 < failing_share ? shares[(thrown >> 20) % 20] : FINE;
}

static void put_stats(int fd)
{
    char body[1024], reply[1200];
    int size = snprintf(body, sizeof body, "{\"calls\": %llu, \"again\": %llu, \"open\": %u, \"open_high\": %u",
                        (unsigned long long)calls, (unsigned long long)again, open_now, open_high);
    for (unsigned i = 0; i < FAILINGS; i++)
        size += snprintf(body + size, sizeof body - (size_t)size, ", \"%s\": %llu", failing_names[i],
                         (unsigned long long)kinds[i]);
    size = snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s}", size + 1, body);
    put(fd, reply, (size_t)size);
}

static void begin(int fd, const char *bytes, size_t size, uint64_t had_ns)
{
    struct client *c = &clients[fd];
    unsigned delay_ms = 0;
    const char *question = memmem(bytes, size, "Question ", 9);
    c->stamp = (struct soak_stamp){.had_ns = had_ns};
    if (memcmp(bytes, "GET /stats", 10) == 0) {
        put_stats(fd);
        return;
    }
    if (!question || sscanf(question, "Question %8u [delay=%5u events=%3u gap=%4u]", &c->stamp.number, &delay_ms,
                            &c->stamp.events, &c->gap_ms) != 4) {
        put_status(fd, 400, "");
        return;
    }
    c->stream = memmem(bytes, size, "\"stream\":true", 13) != NULL;
    c->usage = memmem(bytes, size, "\"include_usage\":true", 20) != NULL;
    c->event = 0;
    c->said = 0;
    c->busy = true;
    calls++;
    c->stamp.call = ++asked[c->stamp.number % NUMBERS];
    if (c->stamp.call > 1) again++;
    c->failing = dice();
    kinds[c->failing]++;
    due[fd] = had_ns + delay_ms * 1000000ull + 1;
}

static size_t request_whole(const char *bytes, size_t size)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - bytes) + 4;
    const char *length = memmem(bytes, head, "\r\nContent-Length: ", 18);
    size_t whole = head + (length ? strtoul(length + 18, NULL, 10) : 0);
    return whole <= size ? whole : 0;
}

/* When the kernel had the bytes, not when this program came round to them. */
static ssize_t receive(int fd, char *into, size_t room, uint64_t *when_ns)
{
    char control[256];
    struct iovec part = {into, room};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
    *when_ns = soak_now();
    if (size <= 0) return size;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec t;
        memcpy(&t, CMSG_DATA(c), sizeof t);
        *when_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    return size;
}

static void serve(int fd)
{
    struct client *c = &clients[fd];
    uint64_t when_ns;
    ssize_t size = receive(fd, c->bytes + c->got, sizeof c->bytes - c->got, &when_ns);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        hang_up(fd, false);
        return;
    }
    c->got += (size_t)size;
    size_t whole = request_whole(c->bytes, c->got);
    if (!whole || c->busy) return; /* the box pipelines nothing */
    begin(fd, c->bytes, whole, when_ns);
    c->got -= whole;
    memmove(c->bytes, c->bytes + whole, c->got);
}

static void admit(int listener)
{
    int fd = accept(listener, NULL, NULL), on = 1;
    if (fd < 0) return;
    if (fd >= CLIENTS_MAX) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    clients[fd].got = 0;
    clients[fd].busy = false;
    clients[fd].open = true;
    if (++open_now > open_high) open_high = open_now;
    if (fd > fd_high) fd_high = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

static int listen_on(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1024) != 0) {
        fprintf(stderr, "bench_soak_upstream: port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

/* Takes what is due; how long the loop may sleep then, in milliseconds. */
static int take_due(void)
{
    uint64_t now = soak_now(), next = UINT64_MAX;
    for (int fd = 0; fd <= fd_high; fd++) {
        if (due[fd] && due[fd] <= now) step(fd);
        if (due[fd] && due[fd] < next) next = due[fd];
    }
    if (next == UINT64_MAX) return -1;
    now = soak_now();
    return next <= now ? 0 : (int)((next - now) / 1000000u) + 1;
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    if (argc > 2) failing_share = (unsigned)atoi(argv[2]);
    int listener = listen_on((unsigned)atoi(argv[1]));
    loop = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    printf("%llu\n", (unsigned long long)soak_now()); /* from now on the line is there */
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(loop, events, EVENTS, take_due());
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                admit(listener);
            else
                serve(events[i].data.fd);
        }
    }
}
