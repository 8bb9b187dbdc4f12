/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embedding_vector.c — see embedding_vector.h. */
#include "app/gateway/embedding_vector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/crypto.h"
#include "platform/rc.h"

enum { ITEM = sizeof(float), DIGITS_MIN = 6, DIGITS_MAX = 9, GROUP = 48 /* bytes that base64 takes without padding */ };

static void put_little(unsigned char *to, float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    for (unsigned i = 0; i < ITEM; i++) to[i] = (unsigned char)(bits >> 8 * i);
}

static float get_little(const unsigned char *from)
{
    uint32_t bits = 0;
    float number;
    for (unsigned i = 0; i < ITEM; i++) bits |= (uint32_t)from[i] << 8 * i;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static int read_numbers(const struct json_value *v, struct arena *arena, struct span *vector)
{
    size_t count = json_count(v);
    double number;
    if (count == 0 || count > VECTOR_DIM_MAX) return RC_INVALID;
    unsigned char *bytes = arena_take(arena, count * ITEM, ITEM);
    if (!bytes) return RC_FULL;
    *vector = span_of((char *)bytes, count * ITEM);
    for (struct json_walk walk = json_walk(v); json_next(&walk); bytes += ITEM) {
        if (json_double(walk.value, &number) != RC_OK || !isfinite((float)number)) return RC_INVALID;
        put_little(bytes, (float)number);
    }
    return RC_OK;
}

static int read_base64(struct span text, struct arena *arena, struct span *vector)
{
    size_t room = text.size / 4 * 3 + 3, size = 0;
    if (text.size == 0 || room > (size_t)VECTOR_DIM_MAX * ITEM) return RC_INVALID;
    unsigned char *bytes = arena_take(arena, room, ITEM);
    if (!bytes) return RC_FULL;
    if (base64_decode(text, bytes, room, &size) != RC_OK || size == 0 || size % ITEM) return RC_INVALID;
    for (size_t at = 0; at < size; at += ITEM)
        if (!isfinite(get_little(bytes + at))) return RC_INVALID;
    *vector = span_of((char *)bytes, size);
    return RC_OK;
}

int embedding_vector_read(const struct json_value *v, struct arena *arena, struct span *vector)
{
    if (json_kind(v) == JSON_STRING) return read_base64(json_string(v), arena, vector);
    return json_kind(v) == JSON_ARRAY ? read_numbers(v, arena, vector) : RC_INVALID;
}

size_t embedding_vector_room(struct span vector, bool base64)
{
    return base64 ? vector.size / 3 * 4 + 8 : vector.size / ITEM * VECTOR_NUMBER_MAX + 4;
}

static void put_number(struct text *out, float number)
{
    char digits[VECTOR_NUMBER_MAX + 15];
    int size = 0;
    for (int precision = DIGITS_MIN; precision <= DIGITS_MAX; precision++) {
        size = snprintf(digits, sizeof digits, "%.*g", precision, (double)number);
        if (strtof(digits, NULL) == number) break;
    }
    text_put(out, digits, (size_t)size);
}

static void put_base64(struct span vector, struct text *out)
{
    char encoded[GROUP / 3 * 4 + 4];
    text_put_char(out, '"');
    for (size_t at = 0; at < vector.size; at += GROUP) {
        size_t size = vector.size - at < GROUP ? vector.size - at : GROUP;
        text_put(out, encoded, base64_encode(vector.data + at, size, encoded));
    }
    text_put_char(out, '"');
}

void embedding_vector_write(struct span vector, bool base64, struct text *out)
{
    if (base64) {
        put_base64(vector, out);
        return;
    }
    text_put_char(out, '[');
    for (size_t at = 0; at + ITEM <= vector.size; at += ITEM) {
        if (at) text_put_char(out, ',');
        put_number(out, get_little((const unsigned char *)vector.data + at));
    }
    text_put_char(out, ']');
}
