/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/tenants.h — whose request it is: virtual keys of the box, the client's own credential, or nobody's.
 *
 * A virtual key ("lk-" and 40 hex digits) is shown once; only its HMAC under the box secret is stored, in
 * <data>/keys/tenants (0600). The tenant of any other credential is the HMAC of that credential. No credential: `local`.
 * Proofs:  what providers said of passthrough tenants, in <data>/proofs: HMAC and times (tenants_proof.c).
 * Guesses: wrong virtual keys by address (tenants_guess.c).
 *
 * Owner:   this module; a table of TENANTS_MAX.
 * Threads: lane only; changes wait for the file (fiber).
 * Fails:   RC_EXISTS, RC_NOT_FOUND, RC_FULL, RC_INVALID (name), file errors: nothing changed then.
 */
#ifndef GATEWAY_TENANTS_H
#define GATEWAY_TENANTS_H

#include "app/gateway/gateway.h"

enum {
    TENANTS_MAX = 256, /* keys a small site hands out */
    TENANT_NAME_MAX = 48,
    TENANT_KEY_SIZE = 43,   /* "lk-" and 40 hex digits: 160 random bits */
    TENANT_PROOFS = 2048,   /* passthrough tenants whose standing is remembered */
    TENANT_PROOF_S = 86400, /* a proof counts so long; while a provider cannot be reached, stale_if_error if longer */
    TENANT_GUESSES = 10,    /* wrong keys from one address before it has to wait … */
    TENANT_GUESS_WINDOW_S = 60, /* … for the rest of this time */
    TENANT_GUESSERS = 256,      /* addresses that are watched at once; /64 of IPv6 */
};

/* Boot: memory of the proofs. */
int tenants_reserve(void);
int tenants_proofs_reserve(void);
/* Boot: reads or makes <data>/keys/box, reads <data>/keys/tenants and <data>/proofs. */
int tenants_open(const char *data_folder, char *message, size_t message_size);
int tenants_proofs_open(const char *data_folder, char *message, size_t message_size);
void tenants_close(void);

/* Fills r->tenant and r->rules from r->credential. RC_DENIED: an unknown, expired or revoked virtual key. RC_AGAIN: too
 * many of those came from this address; any virtual key that was not used from there before has to wait
 * tenant_guess_wait_s. */
int tenant_identify(struct request *r);
unsigned tenant_guess_wait_s(const struct request *r);
/* Of a virtual key that is there, not revoked and not expired; others always. */
bool tenant_is_live(const struct tenant *tenant);
/* r->rules of a request whose tenant is known without its key: background work counts against its limits too. */
void tenant_find_rules(struct request *r);

/* A provider said 401 or 403 to this passthrough tenant: its stored answers are not served until the next 2xx. */
void tenant_reject(const struct tenant *tenant);
void tenant_accept(const struct tenant *tenant);
bool tenant_is_rejected(uint64_t first_bytes);
bool tenant_was_rejected(const struct tenant *tenant);
/* Accepted by a provider lately: may use entries of routes with `share: box`. Virtual keys always may. */
bool tenant_is_proven(const struct tenant *tenant);

/* What a command may say of a key. Seconds; 0: nothing. */
struct tenant_terms {
    uint64_t expires_s; /* from now */
    uint64_t grace_s;   /* how long the key before this one is still taken */
};

/* Fiber. `key` gets the new key, to be shown once. */
int tenant_issue(struct span name, const struct tenant_terms *terms, char key[TENANT_KEY_SIZE + 1]);
static inline int tenant_add(struct span name, char key[TENANT_KEY_SIZE + 1])
{
    static const struct tenant_terms none = {0};
    return tenant_issue(name, &none, key);
}
/* Without expires_s the new key lasts as long as the old one would have. Revoked ones come back. */
int tenant_rotate(struct span name, const struct tenant_terms *terms, char key[TENANT_KEY_SIZE + 1]);
int tenant_revoke(struct span name);
/* Takes the row itself away: revoked first, so that nothing of it can be used while its answers are removed. */
int tenant_forget(struct span name);

struct tenant_view {
    struct span name;
    const char *state;             /* "active", "expired", "revoked" */
    uint64_t created_s, expires_s; /* wall; expires 0: never */
    struct tenant tenant;
};
/* In the order in which they were made; false past the last. */
bool tenant_at(unsigned index, struct tenant_view *view);
int tenant_find(struct span name, struct tenant_view *view);

/* ---- tenants_guess.c. `address`: as exchange_address gives it; empty: nobody's. */
struct tenant_address {
    uint64_t prefix; /* 0: none */
};
struct tenant_address tenant_address_of(struct span address);
void tenant_guess_wrong(struct tenant_address address, uint64_t now_us);
/* Microseconds until keys of strangers are looked at again; 0: now. Monotonic time. */
uint64_t tenant_guess_wait_us(struct tenant_address address, uint64_t now_us);

#endif
