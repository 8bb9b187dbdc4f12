/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_private.h — what the files of the TLS door share; nobody else includes it.
 *
 * Threads: a session is touched by one thread at a time: the lane, or the worker that runs its handshake step while its
 *          fiber waits. Trust stores and remembered sessions have locks of their own.
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include "mbedtls/ssl.h"
#include "mbedtls/ssl_ticket.h"
#include "mbedtls/x509_crt.h"
#include "net/tls.h"

enum {
    TLS_HOST_MAX = 255 + 1, /* RFC 1035: 255 bytes; with terminator */
    TLS_PIN_SIZE = 32,
    TLS_TRUSTS_MAX = 64, /* providers of the old and the new configuration while one replaces the other */
    TLS_SERVERS_MAX = 8,
};

struct tls_store;

struct tls_trust {
    mbedtls_ssl_config config;
    struct tls_store *store; /* NULL: the pin alone decides */
    unsigned char pin[TLS_PIN_SIZE];
    bool has_pin;
    unsigned users;  /* the configuration and the sessions under it */
    unsigned number; /* never used again; names the trust in remembered sessions */
};

struct tls_server {
    mbedtls_ssl_config config;
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
    mbedtls_ssl_ticket_context tickets;
    unsigned users;
    bool taken;
};

struct tls_session {
    mbedtls_ssl_context ssl;
    int fd;
    unsigned wants;            /* after RC_AGAIN: LOOP_READ or LOOP_WRITE */
    size_t sealed;             /* bytes of the caller's that wait in a sealed record */
    struct tls_trust *trust;   /* client */
    struct tls_server *server; /* server */
    bool is_ip, set_up, verified, resumed, offered, no_authorities;
    uint32_t faults; /* MBEDTLS_X509_BADCERT_* that stood */
    int result;      /* of the last library call in a handshake step */
    char host[TLS_HOST_MAX];
    char issuer[64]; /* for the message: who issued a certificate nobody here trusts */
};

/* tls_trust.c */
int tls_trust_reserve(void);
const int *tls_ciphersuites(void);
int tls_rng(void *context, unsigned char *out, size_t size);
void tls_trust_hold(struct tls_trust *trust);
int tls_verify(void *session, mbedtls_x509_crt *certificate, int depth, uint32_t *flags);
void tls_verify_explain(const struct tls_session *t, char message[TLS_MESSAGE_MAX]);

/* tls_store.c */
int tls_store_reserve(void);
/* The store of a file (empty: of the machine's bundle), shared by all who name it; NULL when there are too many. */
struct tls_store *tls_store_get(struct span path);
void tls_store_release(struct tls_store *store);
/* RC_NOT_FOUND, RC_INVALID with a message when a named file is of no use. */
int tls_store_check(struct tls_store *store, char message[TLS_MESSAGE_MAX]);
/* Reads the file when it was never read or has changed; how many certificates it holds. On a worker: takes milliseconds. */
unsigned tls_store_refresh(struct tls_store *store);
/* Calls `each` with the DER of every certificate whose subject hashes like `name`, until it says stop. */
void tls_store_walk(struct tls_store *store, const mbedtls_x509_buf *name,
                    bool (*each)(void *context, const unsigned char *der, size_t size), void *context);
void tls_store_skipped(void); /* one that looked well did not parse */

/* tls_resume.c */
int tls_resume_reserve(unsigned count);
/* Sets what is remembered for (trust, host) on a session before its handshake. Whether there was something. */
bool tls_resume_offer(struct tls_session *t);
void tls_resume_remember(struct tls_session *t);
void tls_resume_forget(const struct tls_session *t);

/* tls_server.c */
bool tls_server_resumed_take(void); /* whether the handshake step just run on this thread accepted a ticket */

#endif
