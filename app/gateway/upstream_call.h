/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/upstream_call.h — one call to one provider: which provider may take a request, the head that goes up, the
 * header lines that come down.
 *
 * Owner:   composed heads live in the caller's arena.
 * Threads: lane only.
 */
#ifndef GATEWAY_UPSTREAM_CALL_H
#define GATEWAY_UPSTREAM_CALL_H

#include "app/gateway/gateway.h"

/* How a request is paid at a provider, decided by the credential that came. */
enum payment { PAY_NONE /* cannot be taken */, PAY_BOX_KEY, PAY_CLIENT, PAY_FREE /* keyless LAN server */ };

/* Whether packs and keyless providers are there for this request: virtual keys, proven credentials, and nobody in
 * particular as access.anonymous says. */
bool payment_is_welcome(const struct request *r);

enum payment payment_of(const struct request *r, const struct config_provider *provider);

/* The head of the call: the client's end-to-end fields, our framing, the credential. `body_size` < 0: chunked.
 * RC_FULL: no memory. */
int upstream_head(const struct request *r, struct span method, const struct config_provider *provider,
                  enum payment payment, int64_t body_size, struct arena *arena, struct span *head);

/* The provider's end-to-end header lines that a client relies on, without those that belong to its origin, to framing,
 * or to us. `content_type` gets the value, terminated, in the arena; NULL: none. RC_FULL: no memory. */
int upstream_lines(const struct http_head *head, struct arena *arena, struct span *lines, const char **content_type);

/* The provider's own request id, terminated; empty when it gave none, or one longer than ours (then ours is sent). */
void upstream_request_id(const struct http_head *head, enum dialect dialect, char id[REQUEST_ID_SIZE + 1]);

/* What a captive portal, a login page or a misdirected address answers: a page or a redirect where the API has JSON. NULL:
 * it may be the API. */
const char *upstream_is_other(const struct http_head *head);

#endif
