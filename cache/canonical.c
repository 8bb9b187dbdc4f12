/* SPDX-License-Identifier: Apache-2.0 */
/* cache/canonical.c — the canonical form, streamed into SHA-256 and into one short hash a part. */
#include "cache/canonical.h"

#include "platform/check.h"
#include "platform/rc.h"

enum { FEW = 12 }; /* up to here insertion is the fastest sort */

static const struct hash_key part_key = {0x6c61726465722d70, 0x6172742d64696773};

/* ---- bytes */

static void close_part(struct canonical *c)
{
    size_t size = c->size - c->part_from;
    if (size > 0) hash_add(&c->parts[c->part], c->buffer + c->part_from, size);
    if (size > 0 && c->part == PART_QUERY && !c->in_text) hash_add(&c->around, c->buffer + c->part_from, size);
    c->part_from = c->size;
}

static void flush(struct canonical *c)
{
    close_part(c);
    sha256_add(&c->whole, c->buffer, c->size);
    c->size = c->part_from = 0;
}

static void put_slow(struct canonical *c, const void *data, size_t size)
{
    flush(c);
    if (size < sizeof c->buffer) {
        memcpy(c->buffer, data, size);
        c->size = size;
        return;
    }
    hash_add(&c->parts[c->part], data, size);
    if (c->part == PART_QUERY && !c->in_text) hash_add(&c->around, data, size);
    sha256_add(&c->whole, data, size);
}

static inline void put(struct canonical *c, const void *data, size_t size)
{
    if (size > sizeof c->buffer - c->size) {
        put_slow(c, data, size);
        return;
    }
    if (size > 0) memcpy(c->buffer + c->size, data, size);
    c->size += size;
}

/* A tag and a number: at most 11 bytes. */
static void put_tag(struct canonical *c, char tag, size_t number)
{
    enum { ROOM = 11 };
    if (sizeof c->buffer - c->size < ROOM) flush(c);
    unsigned char *to = c->buffer + c->size;
    if (tag) *to++ = (unsigned char)tag;
    while (number >= 0x80) {
        *to++ = (unsigned char)(number | 0x80);
        number >>= 7;
    }
    *to++ = (unsigned char)number;
    c->size = (size_t)(to - c->buffer);
}

void canonical_text(struct canonical *c, struct span bytes)
{
    put_tag(c, '"', bytes.size);
    put(c, bytes.data, bytes.size);
}

void canonical_object(struct canonical *c, size_t count)
{
    put_tag(c, '{', count);
}

void canonical_array(struct canonical *c, size_t count)
{
    put_tag(c, '[', count);
}

void canonical_name(struct canonical *c, struct span name)
{
    put_tag(c, 0, name.size);
    put(c, name.data, name.size);
}

/* ---- parts */

void canonical_key(struct canonical *c, const struct hash_key *key)
{
    c->key = *key;
    for (unsigned i = 0; i <= PARTS; i++) hash_start(&c->parts[i], key);
    hash_start(&c->around, key);
}

void canonical_start(struct canonical *c, struct arena *arena, const struct canonical_mask *mask)
{
    sha256_start(&c->whole);
    canonical_key(c, &part_key);
    c->arena = arena;
    c->mask = mask;
    c->part = PART_ROUTE;
    c->duplicate = c->failed = c->in_text = false;
    c->depth = 0;
    c->size = c->part_from = 0;
}

void canonical_part(struct canonical *c, enum request_part part)
{
    CHECK(part <= PARTS);
    if (part == c->part) return;
    close_part(c);
    c->part = part;
}

void canonical_part_number(struct canonical *c, uint64_t number)
{
    close_part(c);
    hash_add(&c->parts[c->part], &number, sizeof number);
}

int canonical_finish(struct canonical *c, struct digest *digest, struct request_parts *parts)
{
    struct hash128 wide[PARTS];
    flush(c);
    sha256_finish(&c->whole, digest->bytes);
    for (unsigned i = 0; i < PARTS; i++) {
        wide[i] = hash_finish(&c->parts[i]);
        parts->digest[i] = wide[i].low;
    }
    wide[PART_QUERY] = hash_finish(&c->around);
    c->apart = hash_of(&c->key, wide, sizeof wide);
    return c->failed ? RC_FULL : RC_OK;
}

struct hash128 canonical_apart(const struct canonical *c)
{
    return c->apart;
}

/* ---- members */

static const struct canonical_field *find_field(const struct canonical_shape *shape, struct span name)
{
    for (unsigned i = 0; i < shape->count; i++) {
        const struct canonical_field *field = &shape->fields[i];
        if (field->name_size == name.size && memcmp(field->name, name.data, name.size) == 0) return field;
    }
    return NULL;
}

static int compare_names(struct span a, struct span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int difference = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (difference != 0) return difference;
    return a.size < b.size ? -1 : a.size > b.size;
}

static int compare_members(const struct canonical_member *a, const struct canonical_member *b)
{
    int difference = compare_names(a->name, b->name);
    if (difference != 0) return difference;
    return a->order < b->order ? -1 : 1;
}

static void sort_few(struct canonical_member *members, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct canonical_member moving = members[i];
        size_t k = i;
        for (; k > 0 && compare_members(&moving, &members[k - 1]) < 0; k--) members[k] = members[k - 1];
        members[k] = moving;
    }
}

static void sift(struct canonical_member *members, size_t root, size_t count)
{
    struct canonical_member moving = members[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare_members(&members[child], &members[child + 1]) < 0) child++;
        if (compare_members(&moving, &members[child]) > 0) break;
        members[root] = members[child];
    }
    members[root] = moving;
}

/* Heap sort: in place, and no input makes it slow. */
static void sort_many(struct canonical_member *members, size_t count)
{
    for (size_t i = count / 2; i-- > 0;) sift(members, i, count);
    for (size_t last = count - 1; last > 0; last--) {
        struct canonical_member largest = members[0];
        members[0] = members[last];
        members[last] = largest;
        sift(members, 0, last);
    }
}

static struct canonical_member *list_members(struct canonical *c, const struct json_value *object, size_t count)
{
    struct canonical_member *members =
        count > SIZE_MAX / sizeof *members
            ? NULL
            : arena_take(c->arena, count * sizeof *members, _Alignof(struct canonical_member));
    if (!members) {
        c->failed = true;
        return NULL;
    }
    struct json_walk walk = json_walk(object);
    for (size_t i = 0; json_next(&walk); i++)
        members[i] = (struct canonical_member){.name = walk.name, .value = walk.value, .order = i};
    return members;
}

static void sort_members(struct canonical *c, struct canonical_member *members, size_t count)
{
    if (count <= FEW)
        sort_few(members, count);
    else
        sort_many(members, count);
    for (size_t i = 1; i < count; i++)
        if (span_equal(members[i - 1].name, members[i].name)) c->duplicate = true;
}

struct canonical_member *canonical_members(struct canonical *c, const struct json_value *object,
                                           const struct canonical_shape *shape, size_t *count)
{
    *count = json_count(object);
    struct canonical_member *members = *count > 0 ? list_members(c, object, *count) : NULL;
    if (!members) {
        *count = 0;
        return NULL;
    }
    if (!shape->ordered) sort_members(c, members, *count);
    for (size_t i = 0; i < *count; i++) members[i].field = find_field(shape, members[i].name);
    return members;
}

/* ---- duplicates where nothing is sorted */

static bool few_have_duplicate(const struct json_value *object)
{
    struct json_walk walk = json_walk(object);
    while (json_next(&walk)) {
        struct json_walk rest = walk;
        while (json_next(&rest))
            if (span_equal(walk.name, rest.name)) return true;
    }
    return false;
}

static void look_for_duplicate(struct canonical *c, const struct json_value *object)
{
    size_t count = json_count(object);
    if (count <= FEW) {
        c->duplicate = c->duplicate || few_have_duplicate(object);
        return;
    }
    size_t mark = arena_mark(c->arena);
    struct canonical_member *members = list_members(c, object, count);
    if (members) sort_members(c, members, count);
    arena_rewind(c->arena, mark);
}

/* A subtree that does not count still must not hide two members of one name. */
static void pass_over(struct canonical *c, const struct json_value *value)
{
    enum json_kind kind = json_kind(value);
    if (kind == JSON_OBJECT) look_for_duplicate(c, value);
    if (kind != JSON_OBJECT && kind != JSON_ARRAY) return;
    struct json_walk walk = json_walk(value);
    while (json_next(&walk)) pass_over(c, walk.value);
}

/* ---- values */

static void put_masked(struct canonical *c, struct span text)
{
    size_t from = 0, start, end;
    if (!c->mask->find(c->mask->context, text, 0, &start, &end)) {
        canonical_text(c, text);
        return;
    }
    put(c, "M", 1);
    do {
        CHECK(from <= start && start < end && end <= text.size);
        put_tag(c, 'p', start - from);
        put(c, text.data + from, start - from);
        put(c, "m", 1);
        from = end;
    } while (c->mask->find(c->mask->context, text, from, &start, &end));
    put_tag(c, 'p', text.size - from);
    put(c, text.data + from, text.size - from);
    put(c, "e", 1);
}

static void put_plain_object(struct canonical *c, const struct json_value *object)
{
    look_for_duplicate(c, object);
    canonical_object(c, json_count(object));
    struct json_walk walk = json_walk(object);
    while (json_next(&walk)) {
        canonical_name(c, walk.name);
        canonical_value(c, walk.value, NULL);
    }
}

/* Its bytes count in the query only; that it stands here, around it too. */
void canonical_query(struct canonical *c, struct span text)
{
    close_part(c);
    c->in_text = true;
    canonical_text(c, text);
    close_part(c);
    c->in_text = false;
    hash_add(&c->around, "\"", 1);
}

/* A message is the first known object, a part of it the second: what is further down is no question. */
static bool is_query(const struct canonical *c, const struct canonical_member *member)
{
    enum { PART_DEPTH = 2 };
    return c->part == PART_QUERY && c->depth <= PART_DEPTH && member->field &&
           (member->field->flags & CANONICAL_QUERY) && json_kind(member->value) == JSON_STRING;
}

static void put_known_object(struct canonical *c, const struct json_value *object, const struct canonical_shape *shape)
{
    size_t count, counting = 0, mark = arena_mark(c->arena);
    if (shape->ordered) look_for_duplicate(c, object);
    const struct canonical_member *members = canonical_members(c, object, shape, &count);
    for (size_t i = 0; i < count; i++) counting += !members[i].field || !(members[i].field->flags & CANONICAL_IGNORED);
    canonical_object(c, counting);
    c->depth++;
    for (size_t i = 0; i < count; i++) {
        if (members[i].field && (members[i].field->flags & CANONICAL_IGNORED)) {
            pass_over(c, members[i].value);
            continue;
        }
        canonical_name(c, members[i].name);
        if (is_query(c, &members[i]))
            canonical_query(c, json_string(members[i].value));
        else
            canonical_value(c, members[i].value, members[i].field);
    }
    c->depth--;
    arena_rewind(c->arena, mark);
}

static void put_array(struct canonical *c, const struct json_value *array, const struct canonical_field *field)
{
    canonical_array(c, json_count(array));
    struct json_walk walk = json_walk(array);
    while (json_next(&walk)) canonical_value(c, walk.value, field);
}

static void put_string(struct canonical *c, struct span text, const struct canonical_field *field)
{
    bool masked = c->mask && c->part == PART_SYSTEM && field && (field->flags & CANONICAL_TEXT);
    if (masked)
        put_masked(c, text);
    else
        canonical_text(c, text);
}

static void put_number(struct canonical *c, struct span text)
{
    put_tag(c, '0', text.size);
    put(c, text.data, text.size);
}

void canonical_value(struct canonical *c, const struct json_value *value, const struct canonical_field *field)
{
    if (field && (field->flags & CANONICAL_IGNORED)) {
        pass_over(c, value);
        return;
    }
    switch (json_kind(value)) {
    case JSON_STRING: put_string(c, json_string(value), field); break;
    case JSON_NUMBER: put_number(c, json_number_text(value)); break;
    case JSON_ARRAY: put_array(c, value, field); break;
    case JSON_OBJECT:
        if (field && field->shape)
            put_known_object(c, value, field->shape);
        else
            put_plain_object(c, value);
        break;
    case JSON_TRUE: put(c, "t", 1); break;
    case JSON_FALSE: put(c, "f", 1); break;
    default: put(c, "n", 1); break;
    }
}
