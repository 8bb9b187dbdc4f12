/* SPDX-License-Identifier: Apache-2.0 */
/* platform/json.c — door of yyjson: strict reading into a scratch, and walks over its flat array of values.
 *
 * yyjson lays all values of a document out in one array in text order (a key is followed by its value, a container by
 * its members), and a container knows how far it reaches. So every pass here is one loop over that array.
 */
#include "platform/json.h"

#include <assert.h>
#include <yyjson.h>

#include "platform/check.h"
#include "platform/rc.h"
#include "platform/text.h"

/* At the front of the scratch, so that json_spare knows where the tree ends. */
struct scratch_head {
    size_t used;   /* bytes, this head included */
    size_t newest; /* start of the newest piece while parsing */
    size_t end;
};

enum {
    ALIGN = 16,
    HEAD_SIZE = (sizeof(struct scratch_head) + ALIGN - 1) / ALIGN * ALIGN,
    SMALL_OBJECT = 16, /* up to here comparing all pairs is cheaper than sorting */
};

static const yyjson_val *inner(const struct json_value *v)
{
    return (const yyjson_val *)(const void *)v;
}

static const struct json_value *outer(const yyjson_val *v)
{
    return (const struct json_value *)(const void *)v;
}

/* yyjson's own accessors want non-const values; the tag is all they look at. */
static bool is_object(const yyjson_val *v)
{
    return (v->tag & YYJSON_TYPE_MASK) == YYJSON_TYPE_OBJ;
}

static bool is_container(const yyjson_val *v)
{
    return (v->tag & YYJSON_TYPE_MASK) >= YYJSON_TYPE_ARR;
}

static_assert(YYJSON_TYPE_ARR == 6 && YYJSON_TYPE_OBJ == 7, "containers are the last two types");

static const yyjson_val *after(const yyjson_val *v)
{
    return is_container(v) ? v + v->uni.ofs / sizeof *v : v + 1;
}

static struct span bytes_of(const yyjson_val *string_or_raw)
{
    return span_of(string_or_raw->uni.str, (size_t)(string_or_raw->tag >> YYJSON_TAG_BIT));
}

/* The allocator yyjson works with: pieces one behind the other, the newest may grow in place, nothing is given back. */
static void *scratch_take(void *context, size_t size)
{
    struct scratch_head *head = context;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size > head->end - head->used) return NULL;
    head->newest = head->used;
    head->used += size;
    return (char *)context + head->newest;
}

static void *scratch_grow(void *context, void *piece, size_t old_size, size_t size)
{
    struct scratch_head *head = context;
    (void)old_size;
    CHECK(piece == (char *)context + head->newest);
    if (size > head->end - head->newest) return NULL;
    head->used = head->newest + ((size + ALIGN - 1) & ~(size_t)(ALIGN - 1));
    return piece;
}

static void scratch_give(void *context, void *piece)
{
    (void)context;
    (void)piece;
}

/* One pass with the ends of the open containers; nothing has recursed before this says yes. */
static bool depth_fits(const yyjson_val *root, const yyjson_val *end)
{
    uint32_t ends[JSON_DEPTH_MAX];
    unsigned depth = 0;
    for (const yyjson_val *v = root; v < end; v++) {
        uint32_t at = (uint32_t)(v - root);
        while (depth > 0 && at == ends[depth - 1]) depth--;
        if (!is_container(v)) continue;
        if (depth == JSON_DEPTH_MAX) return false;
        ends[depth++] = (uint32_t)(after(v) - root);
    }
    return true;
}

static int fail(struct json_error *error, int rc, size_t offset, const char *message)
{
    if (error) *error = (struct json_error){offset, message};
    return rc;
}

int json_parse(struct json_scratch *scratch, struct span text, const struct json_value **root, struct json_error *error)
{
    struct scratch_head *head = scratch->memory;
    CHECK(((uintptr_t)head & (ALIGN - 1)) == 0);
    *root = NULL;
    if (scratch->capacity < HEAD_SIZE || text.size > INT32_MAX)
        return fail(error, RC_TOO_LARGE, 0, "text too long for the scratch");
    *head =
        (struct scratch_head){.used = HEAD_SIZE, .newest = HEAD_SIZE, .end = scratch->capacity & ~(size_t)(ALIGN - 1)};

    const yyjson_alc allocator = {scratch_take, scratch_grow, scratch_give, head};
    yyjson_read_err failed;
    /* The cast is safe: without YYJSON_READ_INSITU the text is only read. */
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)text.data, text.size, YYJSON_READ_NUMBER_AS_RAW, &allocator, &failed);
    if (!doc && failed.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return fail(error, RC_TOO_LARGE, failed.pos, "text too long for the scratch");
    if (!doc) return fail(error, RC_INVALID, failed.pos, failed.msg);

    const yyjson_val *first = yyjson_doc_get_root(doc);
    const yyjson_val *end = after(first);
    head->used = (size_t)((const char *)end - (const char *)head);
    /* Each level takes two bytes of text at least. */
    if (text.size > 2 * JSON_DEPTH_MAX && !depth_fits(first, end))
        return fail(error, RC_TOO_LARGE, 0, "nested too deeply");
    *root = outer(first);
    return RC_OK;
}

struct json_scratch json_spare(const struct json_scratch *scratch, const struct json_value *root)
{
    const struct scratch_head *head = scratch->memory;
    size_t used = root ? head->used : 0;
    CHECK(used <= scratch->capacity);
    return (struct json_scratch){(char *)scratch->memory + used, scratch->capacity - used};
}

enum json_kind json_kind(const struct json_value *v)
{
    static const enum json_kind kinds[8] = {
        [YYJSON_TYPE_RAW] = JSON_NUMBER, [YYJSON_TYPE_NULL] = JSON_NULL,  [YYJSON_TYPE_BOOL] = JSON_FALSE,
        [YYJSON_TYPE_NUM] = JSON_NUMBER, [YYJSON_TYPE_STR] = JSON_STRING, [YYJSON_TYPE_ARR] = JSON_ARRAY,
        [YYJSON_TYPE_OBJ] = JSON_OBJECT,
    };
    if (!v) return JSON_NONE;
    uint64_t tag = inner(v)->tag;
    if ((tag & YYJSON_TAG_MASK) == (YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE)) return JSON_TRUE;
    return kinds[tag & YYJSON_TYPE_MASK];
}

struct span json_string(const struct json_value *v)
{
    return json_kind(v) == JSON_STRING ? bytes_of(inner(v)) : span_of(NULL, 0);
}

struct span json_number_text(const struct json_value *v)
{
    return json_kind(v) == JSON_NUMBER ? bytes_of(inner(v)) : span_of(NULL, 0);
}

int json_i64(const struct json_value *v, int64_t *out)
{
    struct span text = json_number_text(v);
    uint64_t size;
    bool negative = text.size > 0 && text.data[0] == '-';
    if (negative) text = span_of(text.data + 1, text.size - 1);
    if (span_to_u64(text, (uint64_t)INT64_MAX + negative, &size) != RC_OK) return RC_INVALID;
    *out = negative ? (int64_t)(0 - size) : (int64_t)size;
    return RC_OK;
}

int json_double(const struct json_value *v, double *out)
{
    struct span text = json_number_text(v);
    yyjson_val number;
    if (text.size == 0) return RC_INVALID;
    /* yyjson has put a NUL behind every number it kept as text. */
    const char *end = yyjson_read_number(text.data, &number, YYJSON_READ_NOFLAG, NULL, NULL);
    if (end != text.data + text.size) return RC_INVALID;
    *out = yyjson_get_num(&number);
    return RC_OK;
}

bool json_is_true(const struct json_value *v)
{
    return json_kind(v) == JSON_TRUE;
}

size_t json_count(const struct json_value *v)
{
    return v && is_container(inner(v)) ? (size_t)(inner(v)->tag >> YYJSON_TAG_BIT) : 0;
}

struct json_walk json_walk(const struct json_value *container)
{
    return (struct json_walk){
        .cursor = container ? inner(container) + 1 : NULL,
        .left = json_count(container),
        .object = json_kind(container) == JSON_OBJECT,
    };
}

bool json_next(struct json_walk *walk)
{
    if (walk->left == 0) return false;
    const yyjson_val *v = walk->cursor;
    if (walk->object) walk->name = bytes_of(v++);
    walk->value = outer(v);
    walk->cursor = after(v);
    walk->left--;
    return true;
}

const struct json_value *json_get(const struct json_value *object, const char *name)
{
    struct span wanted = span_text(name);
    if (json_kind(object) != JSON_OBJECT) return NULL;
    struct json_walk walk = json_walk(object);
    while (json_next(&walk))
        if (span_equal(walk.name, wanted)) return walk.value;
    return NULL;
}

const struct json_value *json_at(const struct json_value *array, size_t index)
{
    if (json_kind(array) != JSON_ARRAY) return NULL;
    struct json_walk walk = json_walk(array);
    while (json_next(&walk))
        if (index-- == 0) return walk.value;
    return NULL;
}

static bool small_has_duplicate(const yyjson_val *object, size_t count)
{
    struct span names[SMALL_OBJECT];
    const yyjson_val *key = object + 1;
    for (size_t i = 0; i < count; i++, key = after(key + 1)) {
        names[i] = bytes_of(key);
        for (size_t k = 0; k < i; k++)
            if (span_equal(names[i], names[k])) return true;
    }
    return false;
}

/* A name to be sorted: its first bytes and size settle nearly every comparison without touching the text. */
struct name_item {
    uint64_t lead;
    const yyjson_val *key;
};

static struct name_item item_of(const yyjson_val *key)
{
    struct span name = bytes_of(key);
    uint64_t lead = 0;
    memcpy(&lead, name.data, name.size < 7 ? name.size : 7);
    return (struct name_item){lead << 8 | (name.size & 0xff), key};
}

static int item_compare(const struct name_item *a, const struct name_item *b)
{
    if (a->lead != b->lead) return a->lead < b->lead ? -1 : 1;
    struct span x = bytes_of(a->key), y = bytes_of(b->key);
    if (x.size != y.size) return x.size < y.size ? -1 : 1;
    return x.size <= 7 ? 0 : memcmp(x.data, y.data, x.size);
}

static void item_sift(struct name_item *items, size_t root, size_t count)
{
    struct name_item moving = items[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && item_compare(&items[child], &items[child + 1]) < 0) child++;
        if (item_compare(&moving, &items[child]) >= 0) break;
        items[root] = items[child];
    }
    items[root] = moving;
}

/* Heap sort: in place, and no input makes it slow. Equal names meet as neighbours. */
static bool items_have_duplicate(struct name_item *items, size_t count)
{
    for (size_t i = count / 2; i-- > 0;) item_sift(items, i, count);
    for (size_t last = count - 1; last > 0; last--) {
        struct name_item largest = items[0];
        items[0] = items[last];
        items[last] = largest;
        item_sift(items, 0, last);
        if (item_compare(&items[0], &items[last]) == 0) return true;
    }
    return false;
}

static int large_find_duplicate(struct json_scratch *spare, const yyjson_val *object, size_t count)
{
    size_t pad = (0 - (uintptr_t)spare->memory) & (ALIGN - 1);
    if (spare->capacity < pad || (spare->capacity - pad) / sizeof(struct name_item) < count) return RC_TOO_LARGE;
    struct name_item *items = (void *)((char *)spare->memory + pad);
    const yyjson_val *key = object + 1;
    for (size_t i = 0; i < count; i++, key = after(key + 1)) items[i] = item_of(key);
    return items_have_duplicate(items, count) ? RC_EXISTS : RC_OK;
}

int json_find_duplicate(struct json_scratch *spare, const struct json_value *root)
{
    if (!root) return RC_OK;
    const yyjson_val *end = after(inner(root));
    for (const yyjson_val *v = inner(root); v < end; v++) {
        size_t count = is_object(v) ? (size_t)(v->tag >> YYJSON_TAG_BIT) : 0;
        if (count < 2) continue;
        int rc = RC_OK;
        if (count > SMALL_OBJECT)
            rc = large_find_duplicate(spare, v, count);
        else if (small_has_duplicate(v, count))
            rc = RC_EXISTS;
        if (rc != RC_OK) return rc;
    }
    return RC_OK;
}

static void write_scalar(struct text *out, const yyjson_val *v)
{
    switch (json_kind(outer(v))) {
    case JSON_STRING: text_put_json(out, bytes_of(v)); break;
    case JSON_NUMBER: text_put_span(out, bytes_of(v)); break;
    case JSON_TRUE: text_put_text(out, "true"); break;
    case JSON_FALSE: text_put_text(out, "false"); break;
    default: text_put_text(out, "null"); break;
    }
}

/* The open containers while writing: where each ends, and whether it is an object (top bit). */
struct write_levels {
    uint32_t ends[JSON_DEPTH_MAX];
    unsigned depth;
};

#define LEVEL_OBJECT UINT32_C(0x80000000)

/* Whether any was closed. */
static bool close_levels(struct text *out, struct write_levels *levels, uint32_t at)
{
    unsigned before = levels->depth;
    while (levels->depth > 0 && (levels->ends[levels->depth - 1] & ~LEVEL_OBJECT) == at) {
        levels->depth--;
        text_put_char(out, levels->ends[levels->depth] & LEVEL_OBJECT ? '}' : ']');
    }
    return levels->depth < before;
}

static void open_level(struct text *out, struct write_levels *levels, const yyjson_val *v, uint32_t end)
{
    bool object = is_object(v);
    CHECK(levels->depth < JSON_DEPTH_MAX && end < LEVEL_OBJECT);
    levels->ends[levels->depth++] = object ? end | LEVEL_OBJECT : end;
    text_put_char(out, object ? '{' : '[');
}

void json_write(struct text *out, const struct json_value *v)
{
    if (!v) return;
    struct write_levels levels;
    levels.depth = 0;
    bool first = true, after_key = false;
    const yyjson_val *root = inner(v), *end = after(root);
    for (const yyjson_val *at = root; at < end; at++) {
        if (close_levels(out, &levels, (uint32_t)(at - root))) first = false;
        if (!first && !after_key) text_put_char(out, ',');
        bool is_key = !after_key && levels.depth > 0 && (levels.ends[levels.depth - 1] & LEVEL_OBJECT);
        first = is_container(at);
        if (first)
            open_level(out, &levels, at, (uint32_t)(after(at) - root));
        else
            write_scalar(out, at);
        if (is_key) text_put_char(out, ':');
        after_key = is_key;
    }
    (void)close_levels(out, &levels, (uint32_t)(end - root));
}
