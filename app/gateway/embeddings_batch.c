/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embeddings_batch.c — see embeddings_batch.h. */
#include "app/gateway/embeddings_batch.h"

#include "app/gateway/embedding_vector.h"
#include "app/gateway/embeddings_cached.h"
#include "cache/canonical.h"
#include "platform/crypto.h"

enum {
    INPUTS_MAX = 2048,    /* the API takes so many */
    DIM_SUPPOSED = 3072,  /* where `dimensions` does not say: the largest of today's models */
    NUMBER_SUPPOSED = 22, /* bytes of one number in a provider's reply, white space included */
    ITEM_AROUND = 128,    /* bytes of a reply around one vector */
};

static const struct canonical_field fields[] = {
    {CANONICAL_NAME("model"), 0, PART_MODEL, 0, NULL},
    {CANONICAL_NAME("input"), CANONICAL_IGNORED, PART_QUERY, 0, NULL},
    {CANONICAL_NAME("encoding_format"), CANONICAL_IGNORED, PART_PARAMETERS, 0, NULL},
    {CANONICAL_NAME("user"), CANONICAL_IGNORED, PART_PARAMETERS, 0, NULL},
};
static const struct canonical_shape envelope = {fields, sizeof fields / sizeof fields[0], false};

/* What all inputs of the request have in common. */
static int identify(struct embeddings_batch *b, const struct json_value *root, struct digest *common)
{
    struct canonical c;
    struct request_parts parts;
    size_t count, mark = arena_mark(b->r->x->arena);
    canonical_start(&c, b->r->x->arena, NULL);
    canonical_text(&c, SPAN("larder embedding 1"));
    canonical_text(&c, b->scope);
    struct canonical_member *members = canonical_members(&c, root, &envelope, &count);
    for (size_t i = 0; !c.failed && i < count; i++) {
        if (members[i].field && (members[i].field->flags & CANONICAL_IGNORED)) continue;
        canonical_name(&c, members[i].name);
        canonical_value(&c, members[i].value, members[i].field);
    }
    int rc = canonical_finish(&c, common, &parts);
    arena_rewind(b->r->x->arena, mark);
    return rc == RC_OK && c.duplicate ? RC_INVALID : rc;
}

static bool all_numbers(const struct json_value *array)
{
    struct json_walk walk = json_walk(array);
    while (json_next(&walk))
        if (json_kind(walk.value) != JSON_NUMBER) return false;
    return json_count(array) > 0;
}

static bool is_input(const struct json_value *v)
{
    return json_kind(v) == JSON_STRING || (json_kind(v) == JSON_ARRAY && all_numbers(v));
}

/* The number of inputs; 0: a form that is not understood, the provider may say what is wrong. */
static size_t count_inputs(const struct json_value *input)
{
    if (is_input(input)) return 1;
    if (json_kind(input) != JSON_ARRAY) return 0;
    struct json_walk walk = json_walk(input);
    while (json_next(&walk))
        if (!is_input(walk.value)) return 0;
    return json_count(input);
}

static void digest_of(const struct digest *common, const struct json_value *input, struct digest *digest)
{
    struct sha256 h;
    struct span text = json_string(input);
    bool words = json_kind(input) == JSON_STRING;
    sha256_start(&h);
    sha256_add(&h, common->bytes, sizeof common->bytes);
    sha256_add(&h, words ? "text" : "ints", 4);
    if (words) sha256_add(&h, text.data, text.size);
    for (struct json_walk walk = json_walk(words ? NULL : input); json_next(&walk);) {
        struct span number = json_number_text(walk.value);
        sha256_add(&h, number.data, number.size);
        sha256_add(&h, ",", 1);
    }
    sha256_finish(&h, digest->bytes);
}

static int take_input(struct embeddings_batch *b, const struct digest *common, const struct json_value *input)
{
    enum { SHOWN = 200 };
    struct embeddings_item *item = &b->items[b->count++];
    struct span text = json_string(input);
    *item = (struct embeddings_item){0};
    digest_of(common, input, &item->digest);
    size_t shown = text.size < SHOWN ? text.size : SHOWN;
    while (shown > 0 && shown < text.size && ((unsigned char)text.data[shown] & 0xC0) == 0x80) shown--;
    item->query = arena_copy(b->r->x->arena, span_of(text.data ? text.data : "", shown));
    return item->query.data ? RC_OK : RC_FULL;
}

size_t embeddings_reply_size(const struct embeddings_batch *b)
{
    size_t dim = b->dimensions ? (size_t)b->dimensions : DIM_SUPPOSED;
    return ITEM_AROUND + dim * (b->base64 ? 6 : NUMBER_SUPPOSED);
}

static bool read_form(struct embeddings_batch *b, const struct json_value *root)
{
    const struct json_value *format = json_get(root, "encoding_format"), *dimensions = json_get(root, "dimensions");
    int64_t number = 0;
    if (json_kind(format) > JSON_NULL) {
        b->base64 = span_equal(json_string(format), SPAN("base64"));
        if (!b->base64 && !span_equal(json_string(format), SPAN("float"))) return false;
    }
    if (json_kind(dimensions) > JSON_NULL &&
        (json_i64(dimensions, &number) != RC_OK || number <= 0 || number > VECTOR_DIM_MAX))
        return false;
    b->dimensions = (uint64_t)number;
    return true;
}

static int read_items(struct embeddings_batch *b, const struct json_value *root)
{
    struct digest common;
    const struct json_value *input = json_get(root, "input");
    size_t count = count_inputs(input);
    if (count == 0 || count > INPUTS_MAX) return RC_INVALID;
    if (count * embeddings_reply_size(b) > EMBEDDINGS_ROOM * b->r->config->limits.parse_max) return RC_TOO_LARGE;
    b->single = is_input(input);
    b->items = arena_take(b->r->x->arena, count * sizeof *b->items, _Alignof(struct embeddings_item));
    if (!b->items) return RC_FULL;
    int rc = identify(b, root, &common);
    if (rc == RC_OK && b->single) return take_input(b, &common, input);
    for (struct json_walk walk = json_walk(input); rc == RC_OK && json_next(&walk);)
        rc = take_input(b, &common, walk.value);
    return rc;
}

int embeddings_batch_read(struct embeddings_batch *b)
{
    struct request *r = b->r;
    const struct json_value *root;
    if (json_parse(&gateway.scratch, r->body, &root, NULL) != RC_OK) return RC_INVALID;
    struct span model = json_string(json_get(root, "model"));
    if (model.size == 0 || !read_form(b, root)) return RC_INVALID;
    r->question.model = arena_copy(r->x->arena, model);
    if (!r->question.model.data) return RC_FULL;
    r->route = gateway_route(r->config, r->dialect, r->question.model);
    if (!r->route || !r->route->provider_count) return RC_NOT_FOUND;
    b->scope = gateway_scope(r);
    return b->scope.data ? read_items(b, root) : RC_FULL;
}
