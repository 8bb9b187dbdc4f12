/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream.h — a connected socket, plain or TLS, that never blocks.
 *
 * Owner:   whoever opened it; stream_close gives socket and TLS session back.
 * Threads: lane; TLS handshake steps run on the compute pool while the fiber waits.
 * Fails:   RC_AGAIN (wait for stream_wants), RC_CLOSED (orderly end), RC_IO (reset), RC_TIMEOUT, RC_CANCELLED,
 *          RC_UNTRUSTED.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "platform/fiber.h"
#include "platform/span.h"

struct tls_session;

struct stream {
    struct fiber_source source; /* source.source.fd is -1 when closed */
    struct tls_session *tls;    /* NULL: plain */
    bool watched;               /* the source is in the loop; a stream that never waits never gets there */
};

/* A connected, non-blocking descriptor. Nothing is registered before the first *_wait or *_all. */
void stream_init(struct stream *s, int fd);
/* Non-blocking. *done > 0 with RC_OK. stream_recv of a TLS stream may hold decrypted bytes: read until RC_AGAIN, or ask
 * stream_has_buffered. After RC_AGAIN of stream_send the same bytes are offered again (more may follow them): TLS has
 * sealed some of them already. */
int stream_recv(struct stream *s, void *buffer, size_t capacity, size_t *done);
int stream_send(struct stream *s, const void *data, size_t size, size_t *done);
/* Head and body in one system call (TLS: the first of them that is not empty, as stream_send). */
int stream_send_pair(struct stream *s, struct span first, struct span second, size_t *done);
bool stream_has_buffered(const struct stream *s);
/* The events to wait for after RC_AGAIN of the last call (TLS may want to read in order to write). */
unsigned stream_wants(const struct stream *s, unsigned plain_events);
/* Fiber: until one of `events` (RC_OK, RC_TIMEOUT, RC_CANCELLED). One fiber at a time waits on a stream. */
int stream_wait(struct stream *s, unsigned events, uint64_t deadline_us);
/* Takes the source out of the loop. A module with a loop_source of its own on this descriptor takes that one out before
 * any wait here and calls this before it puts it back: the kernel knows a descriptor once. */
void stream_unwatch(struct stream *s);
/* Fiber: until some bytes came / all are sent. */
int stream_recv_wait(struct stream *s, void *buffer, size_t capacity, size_t *done, uint64_t deadline_us);
int stream_send_all(struct stream *s, const void *data, size_t size, uint64_t deadline_us);
int stream_send_pair_all(struct stream *s, struct span first, struct span second, uint64_t deadline_us);
/* close_notify when TLS and possible, then close. `reset`: SO_LINGER 0, so that the peer sees an abort. */
void stream_close(struct stream *s, bool reset);

#endif
