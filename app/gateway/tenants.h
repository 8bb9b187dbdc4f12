/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/tenants.h — whose request it is: virtual keys of the box, the client's own credential, or nobody's.
 *
 * A virtual key ("lk-" and 40 hex digits) is shown once; only its HMAC under the box secret is stored, in
 * <data>/keys/tenants (0600). The tenant of any other credential is the HMAC of that credential. No credential: `local`.
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
    TENANT_KEY_SIZE = 43,    /* "lk-" and 40 hex digits: 160 random bits */
    TENANTS_REJECTED = 1024, /* passthrough tenants whose credential a provider refused lately */
};

/* Boot: reads or makes <data>/keys/box and reads <data>/keys/tenants. */
int tenants_open(const char *data_folder, char *message, size_t message_size);

/* Fills r->tenant from r->credential. RC_DENIED: an unknown or revoked virtual key. */
int tenant_identify(struct request *r);

/* A provider said 401 or 403 to this passthrough tenant: its stored answers are not served until the next 2xx. */
void tenant_reject(const struct tenant *tenant);
void tenant_accept(const struct tenant *tenant);
bool tenant_is_rejected(uint64_t first_bytes);
bool tenant_was_rejected(const struct tenant *tenant);
/* Accepted by a provider since boot: may use entries of routes with `share: box`. Virtual keys always may. */
bool tenant_is_proven(const struct tenant *tenant);

/* Fiber. `key` gets the new key, to be shown once. */
int tenant_add(struct span name, char key[TENANT_KEY_SIZE + 1]);
int tenant_rotate(struct span name, char key[TENANT_KEY_SIZE + 1]);
int tenant_revoke(struct span name);
void tenant_list(struct text *out);

/* Of a virtual key that is there and not revoked; others always. */
bool tenant_is_live(const struct tenant *tenant);

#endif
