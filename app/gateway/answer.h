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
/* A stored entry that answers another wording of the question, when it is fresh, of an earlier link as exact hits are, and
 * still there. */
int answer_entry(struct request *r, uint64_t id, float similarity);
/* In the same words; after a lookup in other words too. `any`: no provider can take the request, so the built-in pack may
 * answer whatever the model. */
int answer_pack(struct request *r, bool any);

/* The stored body in the wanted view, made in `arena` when it has to be converted. On failure *out stays as it was. */
int answer_view(enum dialect dialect, enum entry_form form, enum view view, struct span body, struct arena *arena,
                struct span *out);

/* The pack's reply as an object in `arena`; RC_NOT_FOUND when no pack of the route answers. After a lookup, in other words
 * too: *similarity is then above 0. */
int answer_pack_object(const struct request *r, bool any, struct arena *arena, struct span *object, float *similarity);
/* Whether a pack of the route may answer this model's name. */
bool answer_pack_is_open(const struct request *r, unsigned pack, bool any);
/* Whether the stored answer of a later link waits for the earlier ones to fail. */
bool answer_is_too_late(const struct request *r, const struct entry_meta *meta);
/* Of an entry: age, and its time to live under this route. Seconds. */
int64_t answer_age(uint64_t created_us, uint64_t now_us);
int64_t answer_ttl(const struct request *r, uint32_t entry_ttl_s);

#endif
