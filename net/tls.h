/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls.h — TLS 1.2 and 1.3, both sides (door of mbedTLS's ssl and x509).
 *
 * Owner:   sessions come from a pool reserved at boot; trust stores and certificates live as long as the configuration.
 * Threads: lane; handshake steps and certificate parsing run on the compute pool.
 * Fails:   RC_UNTRUSTED (the message says which check: name, date, issuer, pin), RC_TIMEOUT, RC_CLOSED, RC_INVALID
 *          (alert or protocol error), RC_FULL.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "net/stream.h"
#include "platform/arena.h"

struct tls_trust;  /* a set of CA certificates, or a pin */
struct tls_server; /* certificate chain and key */

enum { TLS_MESSAGE_MAX = 160 };

struct tls_limits {
    unsigned sessions_client, sessions_server;
    unsigned resumptions; /* remembered sessions, one per (provider, address) */
};

/* Terms of the library's region, measured on x86_64 with chains of three certificates. A client session takes 17 KiB (1.2)
 * or 28 KiB (1.3) at rest and up to 54 KiB in its handshake, while the peer's chain is there too; the server's side 17 and
 * 27 KiB at rest. */
enum {
    TLS_CLIENT_BYTES = 60 * 1024,
    TLS_SERVER_BYTES = 48 * 1024,
    TLS_FIXED_BYTES = 256 * 1024, /* own certificates and keys, candidates out of a CA file */
    TLS_HEAP_SLACK = 8,           /* one part in so many for fragmentation */
};

/* Bytes the region must have, with what platform/crypto needs in it. tls_reserve takes it when nobody has: it comes before
 * crypto_start, and everything else here after. */
size_t tls_heap_size(const struct tls_limits *limits);
int tls_reserve(const struct tls_limits *limits);

/* `source`: "system" (the machine's bundle: the first of the usual paths that exists), "file:PATH". Loading happens on
 * the pool in the first handshake that needs it, and again when the file has changed; a named file is also read here, so that
 * a wrong one is told at once.
 * pin: "sha256/BASE64" of the leaf's SubjectPublicKeyInfo, or empty; with a pin and no ca the pin alone decides. */
int tls_trust_load(struct span source, struct span pin, struct tls_trust **trust, char message[TLS_MESSAGE_MAX]);
void tls_trust_release(struct tls_trust *trust);

int tls_server_load(const char *certificate_path, const char *key_path, struct tls_server **server,
                    char message[TLS_MESSAGE_MAX]);
void tls_server_release(struct tls_server *server);

/* Fiber: turns a connected plain stream into a TLS one. `host` is checked and sent as SNI (not for IP literals).
 * While the clock is unset a certificate that is not valid yet is tolerated on a chain that otherwise verifies. */
int tls_connect(struct stream *s, struct tls_trust *trust, struct span host, uint64_t deadline_us,
                char message[TLS_MESSAGE_MAX]);
int tls_accept(struct stream *s, struct tls_server *server, uint64_t deadline_us);

/* For net/stream.c */
int tls_recv(struct tls_session *t, void *buffer, size_t capacity, size_t *done);
int tls_send(struct tls_session *t, const void *data, size_t size, size_t *done);
unsigned tls_wants(const struct tls_session *t, unsigned plain_events);
bool tls_has_buffered(const struct tls_session *t);
void tls_close(struct tls_session *t, bool notify);

#endif
