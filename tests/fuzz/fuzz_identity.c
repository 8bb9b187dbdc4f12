/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_identity.c — questions from any bytes, and what identity promises about them.
 *
 * The body is written again with the members of known objects in another order and blanks everywhere: nothing may
 * change. Then with one counting value altered: the digest must change. Then with the usage splice.
 */
#include <stdlib.h>

#include "app/gateway/dialect_table.h"
#include "platform/rc.h"

enum { BODY_MAX = 1 << 16, SCRATCH_SIZE = 2 << 20, MEMBERS_MAX = 64 };

static _Alignas(16) unsigned char scratch_memory[SCRATCH_SIZE], other_memory[SCRATCH_SIZE];
static _Alignas(4096) unsigned char arena_memory[1 << 20];
static char text_memory[4 * BODY_MAX];
static struct json_scratch scratch = {scratch_memory, SCRATCH_SIZE}, other = {other_memory, SCRATCH_SIZE};
static struct arena arena;

/* ---- another text of the same tree */

struct rewrite {
    struct text *out;
    bool too_much;
    unsigned long values, alter; /* the value of this number is altered; none: ULONG_MAX */
    bool altered;
};

static void put_value(struct rewrite *w, const struct json_value *v, const struct canonical_field *field);

static const struct canonical_field *field_of(const struct canonical_shape *shape, struct span name)
{
    for (unsigned i = 0; shape && i < shape->count; i++)
        if (span_equal(span_of(shape->fields[i].name, shape->fields[i].name_size), name)) return &shape->fields[i];
    return NULL;
}

static void put_member(struct rewrite *w, struct span name, const struct json_value *v,
                       const struct canonical_shape *shape)
{
    unsigned long alter = w->alter;
    const struct canonical_field *field = field_of(shape, name);
    text_put_json(w->out, name);
    text_put_text(w->out, " :\t");
    if (field && (field->flags & CANONICAL_IGNORED)) w->alter = (unsigned long)-1;
    put_value(w, v, field);
    w->alter = alter;
}

static void put_object(struct rewrite *w, const struct json_value *v, const struct canonical_shape *shape)
{
    struct json_walk walk = json_walk(v), members[MEMBERS_MAX];
    size_t count = 0, size = json_count(v);
    bool known = shape && !shape->ordered;
    if (size > MEMBERS_MAX) {
        w->too_much = true;
        return;
    }
    while (json_next(&walk)) members[count++] = walk;
    text_put_char(w->out, '{');
    for (size_t i = 0; i < count; i++) {
        const struct json_walk *m = &members[known ? count - 1 - i : i];
        if (i > 0) text_put_text(w->out, "\r\n,");
        put_member(w, m->name, m->value, shape);
    }
    text_put_char(w->out, '}');
}

static void put_scalar(struct rewrite *w, const struct json_value *v)
{
    bool alter = w->values++ == w->alter;
    enum json_kind kind = json_kind(v);
    w->altered = w->altered || alter;
    if (!alter) {
        json_write(w->out, v);
    } else if (kind == JSON_STRING) {
        size_t from = w->out->size;
        json_write(w->out, v);
        if (w->out->size > from) w->out->size--;
        text_put_text(w->out, "~\"");
    } else if (kind == JSON_NULL) {
        text_put_text(w->out, "false");
    } else {
        text_put_text(w->out, "null");
    }
}

static void put_value(struct rewrite *w, const struct json_value *v, const struct canonical_field *field)
{
    enum json_kind kind = json_kind(v);
    const char *separator = " ";
    if (kind == JSON_OBJECT) put_object(w, v, field ? field->shape : NULL);
    if (kind != JSON_ARRAY && kind != JSON_OBJECT) put_scalar(w, v);
    if (kind != JSON_ARRAY) return;
    text_put_char(w->out, '[');
    struct json_walk walk = json_walk(v);
    while (json_next(&walk)) {
        text_put_text(w->out, separator);
        separator = " ,\n";
        put_value(w, walk.value, field);
    }
    text_put_char(w->out, ']');
}

static bool rewrite(struct span body, enum dialect dialect, unsigned long alter, struct text *out,
                    unsigned long *values, bool *altered)
{
    const struct json_value *root;
    struct rewrite w = {.out = out, .alter = alter};
    if (json_parse(&other, body, &root, NULL) != RC_OK) return false;
    const struct canonical_field whole = {"", 0, 0, 0, 0, &dialect_table(dialect)->envelope};
    put_value(&w, root, &whole);
    *values = w.values;
    *altered = w.altered;
    return !w.too_much && !out->truncated;
}

/* ---- */

static int read(struct span body, enum dialect dialect, struct question *q)
{
    static const struct span masks[] = {TABLE_TEXT("{date}"), TABLE_TEXT("id-\\w+")};
    static const struct hash_key key;
    struct question_context context = {.dialect = dialect, .scope = SPAN("scope"), .masks = masks, .key = &key};
    struct span error;
    int rc = question_read(body, &context, &scratch, &arena, q, &error);
    if (rc != RC_OK && error.size == 0) abort();
    context.mask_count = 2;
    struct question masked;
    if (rc == RC_OK && question_read(body, &context, &scratch, &arena, &masked, &error) != RC_OK) abort();
    return rc;
}

static bool same(const struct question *a, const struct question *b)
{
    return memcmp(&a->digest, &b->digest, sizeof a->digest) == 0;
}

static void check_rewritten(struct span body, enum dialect dialect, const struct question *q, unsigned long pick)
{
    struct question again;
    struct text text = text_on(text_memory, sizeof text_memory);
    unsigned long values;
    bool altered;
    if (!rewrite(body, dialect, (unsigned long)-1, &text, &values, &altered)) return;
    if (read(text_span(&text), dialect, &again) != RC_OK || !same(q, &again)) abort();
    if (again.flags != q->flags || again.bypass != q->bypass || !span_equal(again.query, q->query)) abort();
    if (memcmp(&again.parts, &q->parts, sizeof q->parts) != 0) abort();
    if (values == 0) return;
    text_clear(&text);
    if (!rewrite(body, dialect, pick % values, &text, &values, &altered) || !altered) return;
    if (read(text_span(&text), dialect, &again) == RC_OK && same(q, &again)) abort();
}

static void check_splice(struct span body, enum dialect dialect, const struct question *q)
{
    struct question again;
    struct span spliced;
    if (question_add_usage(body, &scratch, &arena, &spliced) != RC_OK) return;
    if (read(spliced, dialect, &again) != RC_OK || !same(q, &again)) abort();
    if (dialect == DIALECT_OPENAI && !(again.flags & QUESTION_INCLUDE_USAGE)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > BODY_MAX) return 0;
    struct question q;
    enum dialect dialect = data[0] & 1 ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
    struct span body = span_of((const char *)data + 2, size - 2);
    arena_init(&arena, arena_memory, sizeof arena_memory, NULL);
    if (read(body, dialect, &q) == RC_OK && !(q.flags & QUESTION_DUPLICATE)) {
        check_rewritten(body, dialect, &q, data[1]);
        /* a member's name written with escapes is found by the parser only; the splice then asks twice */
        if (dialect == DIALECT_OPENAI && !memchr(body.data, '\\', body.size)) check_splice(body, dialect, &q);
    } else {
        struct span spliced;
        (void)question_add_usage(body, &scratch, &arena, &spliced);
    }
    arena_reset(&arena, 0);
    return 0;
}
