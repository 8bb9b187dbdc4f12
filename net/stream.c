/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream.c — see net/stream.h. Plain sockets here; what is sealed goes through net/tls.h. */
#include "net/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/tls.h"
#include "platform/check.h"
#include "platform/rc.h"

void stream_init(struct stream *s, int fd)
{
    *s = (struct stream){.source.source.fd = fd};
}

/* What a failed send or recv means; errno is the system's. */
static int failure(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return RC_AGAIN;
    return errno == EPIPE ? RC_CLOSED : RC_IO;
}

int stream_recv(struct stream *s, void *buffer, size_t capacity, size_t *done)
{
    *done = 0;
    if (s->tls) return tls_recv(s->tls, buffer, capacity, done);
    ssize_t got = recv(s->source.source.fd, buffer, capacity, MSG_DONTWAIT);
    if (got < 0) return failure();
    if (got == 0) return RC_CLOSED;
    *done = (size_t)got;
    return RC_OK;
}

int stream_send(struct stream *s, const void *data, size_t size, size_t *done)
{
    *done = 0;
    if (s->tls) return tls_send(s->tls, data, size, done);
    ssize_t sent = send(s->source.source.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return failure();
    *done = (size_t)sent;
    return RC_OK;
}

int stream_send_pair(struct stream *s, struct span first, struct span second, size_t *done)
{
    if (second.size == 0) return stream_send(s, first.data, first.size, done);
    if (first.size == 0 || s->tls) {
        struct span one = first.size > 0 ? first : second;
        return stream_send(s, one.data, one.size, done);
    }
    struct iovec pieces[2] = {{(void *)(uintptr_t)first.data, first.size},
                              {(void *)(uintptr_t)second.data, second.size}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    *done = 0;
    ssize_t sent = sendmsg(s->source.source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return failure();
    *done = (size_t)sent;
    return RC_OK;
}

bool stream_has_buffered(const struct stream *s)
{
    return s->tls && tls_has_buffered(s->tls);
}

unsigned stream_wants(const struct stream *s, unsigned plain_events)
{
    return s->tls ? tls_wants(s->tls, plain_events) : plain_events;
}

int stream_wait(struct stream *s, unsigned events, uint64_t deadline_us)
{
    if (!s->watched) {
        int rc = fiber_source_add(&s->source, s->source.source.fd);
        if (rc != RC_OK) return rc;
        s->watched = true;
    }
    return fiber_wait(&s->source, events, deadline_us, NULL);
}

void stream_unwatch(struct stream *s)
{
    if (!s->watched) return;
    int fd = s->source.source.fd;
    fiber_source_remove(&s->source);
    s->source.source.fd = fd;
    s->watched = false;
}

int stream_recv_wait(struct stream *s, void *buffer, size_t capacity, size_t *done, uint64_t deadline_us)
{
    for (;;) {
        int rc = stream_recv(s, buffer, capacity, done);
        if (rc != RC_AGAIN) return rc;
        rc = stream_wait(s, stream_wants(s, LOOP_READ), deadline_us);
        if (rc != RC_OK) return rc;
    }
}

/* Takes up to `size` off the front; returns what is left of `size`. */
static size_t skip(struct span *s, size_t size)
{
    size_t taken = size < s->size ? size : s->size;
    if (taken > 0) *s = span_of(s->data + taken, s->size - taken);
    return size - taken;
}

int stream_send_pair_all(struct stream *s, struct span first, struct span second, uint64_t deadline_us)
{
    while (first.size + second.size > 0) {
        size_t done = 0;
        int rc = stream_send_pair(s, first, second, &done);
        if (rc == RC_AGAIN) rc = stream_wait(s, stream_wants(s, LOOP_WRITE), deadline_us);
        if (rc != RC_OK) return rc;
        skip(&second, skip(&first, done));
    }
    return RC_OK;
}

int stream_send_all(struct stream *s, const void *data, size_t size, uint64_t deadline_us)
{
    return stream_send_pair_all(s, span_of(data, size), SPAN(""), deadline_us);
}

void stream_close(struct stream *s, bool reset)
{
    int fd = s->source.source.fd;
    if (fd < 0) return;
    stream_unwatch(s);
    if (s->tls) tls_close(s->tls, !reset);
    s->tls = NULL;
    if (reset) {
        struct linger at_once = {.l_onoff = 1};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    close(fd);
    s->source.source.fd = -1;
}
