/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/bench_upstream.c — a provider that costs next to nothing: every POST gets the same chat completion of
 * 0.9 KB, as an object or, when the body asks so, as a stream of events.
 *
 *   bench_upstream PORT [GAP_US]     127.0.0.1; GAP_US: how long a stream pauses after its first event (blocks: for one
 *                                    connection at a time)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 4096, REQUEST_MAX = 16384, REPLY_MAX = 8192, CONTENT_SIZE = 580, STREAM_EVENTS = 6, EVENTS = 128 };

struct client {
    size_t got;
    char bytes[REQUEST_MAX];
};

static struct client clients[CLIENTS_MAX]; /* by descriptor */
static char object[REPLY_MAX], stream[REPLY_MAX];
static size_t object_size, stream_size, stream_first;
static unsigned gap_us;

static void compose_object(void)
{
    char content[CONTENT_SIZE + 1], body[REPLY_MAX];
    for (int i = 0; i < CONTENT_SIZE; i++) content[i] = i % 6 == 5 ? ' ' : (char)('a' + i % 23);
    content[CONTENT_SIZE] = 0;
    int size = snprintf(
        body, sizeof body,
        "{\"id\":\"chatcmpl-BenchmarkAnswer0123456789abc\",\"object\":\"chat.completion\",\"created\":1793000000,"
        "\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":58,\"completion_tokens\":120,\"total_tokens\":178}}",
        content);
    object_size = (size_t)snprintf(object, sizeof object,
                                   "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 2026 08:49:37 GMT\r\n"
                                   "Content-Type: application/json\r\nContent-Length: %d\r\n"
                                   "x-request-id: req_upstream0123456789\r\n\r\n%s",
                                   size, body);
}

static size_t put_event(char *at, const char *delta, const char *finish)
{
    char event[512];
    int size = snprintf(event, sizeof event,
                        "data: {\"id\":\"chatcmpl-BenchmarkStream\",\"object\":\"chat.completion.chunk\","
                        "\"created\":1793000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,"
                        "\"delta\":{%s},\"finish_reason\":%s}]}\n\n",
                        delta, finish);
    return (size_t)snprintf(at, 600, "%x\r\n%s\r\n", (unsigned)size, event);
}

static void compose_stream(void)
{
    size_t used =
        (size_t)snprintf(stream, sizeof stream,
                         "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 2026 08:49:37 GMT\r\n"
                         "Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n");
    used += put_event(stream + used, "\"role\":\"assistant\",\"content\":\"\"", "null");
    stream_first = used;
    for (int i = 0; i < STREAM_EVENTS; i++)
        used += put_event(stream + used, "\"content\":\"some words of it \"", "null");
    used += put_event(stream + used, "", "\"stop\"");
    used += (size_t)snprintf(stream + used, sizeof stream - used, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    stream_size = used;
}

static void send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes += sent;
        size -= (size_t)sent;
    }
}

static void answer(int fd, const char *body, size_t size)
{
    if (!memmem(body, size, "\"stream\":true", 13)) {
        send_all(fd, object, object_size);
    } else if (gap_us == 0) {
        send_all(fd, stream, stream_size);
    } else {
        send_all(fd, stream, stream_first);
        usleep(gap_us);
        send_all(fd, stream + stream_first, stream_size - stream_first);
    }
}

/* The size of the first request in the bytes, 0 when it is not whole. */
static size_t request_whole(const char *bytes, size_t size, size_t *head_size)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end) return 0;
    *head_size = (size_t)(end - bytes) + 4;
    const char *length = memmem(bytes, *head_size, "\r\nContent-Length: ", 18);
    size_t whole = *head_size + (length ? strtoul(length + 18, NULL, 10) : 0);
    return whole <= size ? whole : 0;
}

static void serve(int fd)
{
    struct client *c = &clients[fd];
    ssize_t size = recv(fd, c->bytes + c->got, sizeof c->bytes - c->got, 0);
    if (size <= 0) {
        close(fd);
        return;
    }
    c->got += (size_t)size;
    size_t head, whole;
    while ((whole = request_whole(c->bytes, c->got, &head)) > 0) {
        answer(fd, c->bytes + head, whole - head);
        c->got -= whole;
        memmove(c->bytes, c->bytes + whole, c->got);
    }
}

static void admit(int loop, int listener)
{
    int fd = accept(listener, NULL, NULL), on = 1;
    if (fd < 0) return;
    if (fd >= CLIENTS_MAX) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    clients[fd].got = 0;
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
        fprintf(stderr, "bench_upstream: port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    if (argc > 2) gap_us = (unsigned)atoi(argv[2]);
    compose_object();
    compose_stream();
    int listener = listen_on((unsigned)atoi(argv[1])), loop = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(loop, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                admit(loop, listener);
            else
                serve(events[i].data.fd);
        }
    }
}
