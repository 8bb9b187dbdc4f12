/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/answer.h — answers that need no provider: short cut, exact entry, pack.
 *
 * Each returns RC_OK when the reply has been sent (or the client is gone), RC_NOT_FOUND when the next step is due.
 *
 * Owner:   nothing; replies come from Hot, the store or a pack.
 * Threads: lane only; answer_exact may wait for a cold read.
 */
#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

#include "app/gateway/gateway.h"

/* How a stored body is served; also the variant of a Hot object. */
enum view { VIEW_OBJECT, VIEW_STREAM, VIEW_STREAM_USAGE, VIEWS };

enum view view_wanted(const struct question *q);
bool view_is_stream(enum view view);

int answer_shortcut(struct request *r);
/* The same when the reply has left Hot but not the store: waits for a read, so the request is kept. */
int answer_shortcut_stored(struct request *r);
/* Leaves r->found, r->have_stale and r->miss for the steps that follow. */
int answer_exact(struct request *r);
/* `any`: no provider can take the request, so the built-in pack may answer whatever the model. */
int answer_pack(struct request *r, bool any);

/* The stored body in the wanted view, made in `arena` when it has to be converted. On failure *out stays as it was. */
int answer_view(enum dialect dialect, enum entry_form form, enum view view, struct span body, struct arena *arena,
                struct span *out);

/* The pack's reply as an object in `arena`; RC_NOT_FOUND when no pack of the route answers. */
int answer_pack_object(const struct request *r, bool any, struct arena *arena, struct span *object);

#endif
