/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/serve.h — steps of the story that a question asked in the background takes too.
 *
 * Threads: lane only.
 */
#ifndef GATEWAY_SERVE_H
#define GATEWAY_SERVE_H

#include "app/gateway/gateway.h"

/* Endpoint and dialect by method, path and headers. */
void serve_classify(struct request *r);
/* r->body to r->question and r->route (NULL: none matches). RC_INVALID, RC_TOO_LARGE: the client's fault, said in
 * `error`; RC_FULL: no memory. */
int serve_read_question(struct request *r, struct span *error);

#endif
