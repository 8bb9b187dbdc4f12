/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/access.h — who may speak to the API port at all: Host, Origin, CORS, loopback, credential.
 *
 * Threads: lane only; pure functions of request head and configuration, except access_learn_names.
 */
#ifndef GATEWAY_ACCESS_H
#define GATEWAY_ACCESS_H

#include "app/gateway/gateway.h"

/* Boot: the machine's own host name. */
void access_learn_names(void);

/* RC_OK, or RC_DENIED with a sentence for the client. Fills r->origin when a browser origin is allowed. */
int access_check(struct request *r, const char **why);

/* A CORS preflight (OPTIONS with Origin and Access-Control-Request-Method) of an allowed origin: answers it. */
bool access_is_preflight(const struct request *r);
void access_answer_preflight(struct request *r);

/* The credential of either dialect's field, without "Bearer ". Empty: none, or one of the place holders that clients
 * send when they have no key. */
struct span access_credential(const struct http_head *head);

/* A credential field's value without "Bearer ". */
struct span access_secret(struct span value);

/* Whether a request without credential may use packs and keyless providers. */
bool access_anonymous(const struct request *r);

/* Host and Origin alone, for the admin port: names are localhost, IP literals, the machine's own and `hosts`. */
bool access_host_known(struct span host, const struct config_names *hosts);
bool access_origin_same(struct span origin, struct span host);

#endif
