/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embedding_vector.h — one vector of an embeddings reply: read from either form, written in either.
 *
 * Stored as float32, little-endian. Numbers are written with the fewest digits (6 to 9) that read back to the same float32.
 *
 * Threads: any; pure.
 */
#ifndef GATEWAY_EMBEDDING_VECTOR_H
#define GATEWAY_EMBEDDING_VECTOR_H

#include "platform/arena.h"
#include "platform/json.h"
#include "platform/text.h"

enum {
    VECTOR_NUMBER_MAX = 17, /* "-1.23456789e-38," */
    VECTOR_DIM_MAX = 65536,
};

/* An array of numbers, or base64. RC_INVALID: neither, empty, or not finite; RC_FULL: no room in the arena. */
int embedding_vector_read(const struct json_value *v, struct arena *arena, struct span *vector);
size_t embedding_vector_room(struct span vector, bool base64);
void embedding_vector_write(struct span vector, bool base64, struct text *out);

#endif
