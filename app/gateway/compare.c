/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/compare.c — see compare.h. */
#include "app/gateway/compare.h"

#include "app/gateway/answer.h"
#include "cache/embed.h"
#include "cache/guard.h"
#include "platform/fold.h"
#include "platform/offload.h"
#include "platform/rc.h"

/* ---- what a reply says */

static void put_piece(struct text *out, struct span piece)
{
    if (piece.size == 0) return;
    if (out->size) text_put_char(out, '\n');
    text_put_span(out, piece);
}

/* A content that is a string, or a list of parts with texts (Anthropic, and some OpenAI-compatible servers). */
static void put_content(struct text *out, const struct json_value *content)
{
    put_piece(out, json_string(content));
    if (json_kind(content) != JSON_ARRAY) return;
    struct json_walk walk = json_walk(content);
    while (json_next(&walk)) put_piece(out, json_string(json_get(walk.value, "text")));
}

/* The texts of a response's messages. */
static void put_output(struct text *out, const struct json_value *output)
{
    struct json_walk walk = json_walk(output);
    while (json_next(&walk))
        if (span_equal(json_string(json_get(walk.value, "type")), SPAN("message")))
            put_content(out, json_get(walk.value, "content"));
}

int compare_text(enum dialect dialect, enum entry_form form, struct span body, struct arena *arena, struct span *text)
{
    const struct json_value *root;
    struct span object;
    int rc = answer_view(dialect, form, VIEW_OBJECT, body, arena, &object);
    if (rc != RC_OK) return rc;
    char *bytes = arena_take(arena, object.size + 1, 1);
    if (!bytes) return RC_FULL;
    if (json_parse(&gateway.scratch, object, &root, NULL) != RC_OK) return RC_CORRUPT;
    struct text out = text_on(bytes, object.size + 1);
    if (dialect == DIALECT_OPENAI)
        put_content(&out, json_get(json_get(json_at(json_get(root, "choices"), 0), "message"), "content"));
    else if (dialect == WIRE_RESPONSES)
        put_output(&out, json_get(root, "output"));
    else
        put_content(&out, json_get(root, "content"));
    *text = text_span(&out);
    return text->size ? RC_OK : RC_EMPTY;
}

/* ---- equal */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Marks that shape prose; what changes meaning (+ # % $ = < > / * & @ _ ~ ^ | \) stays. */
static bool is_mark(char c)
{
    return c != 0 && strchr(".,;:!?'\"()[]{}-`", c) != NULL;
}

/* Blanks for marks beside no digit, then single blanks. In place. */
static size_t without_marks(char *text, size_t size)
{
    size_t kept = 0;
    char before = ' '; /* as it was written */
    for (size_t i = 0; i < size; i++) {
        char c = text[i], after = i + 1 < size ? text[i + 1] : ' ';
        bool drop = is_mark(c) && !is_digit(before) && !is_digit(after);
        /* A mark that ends a number ("5." at the end) shapes prose too. */
        drop = drop || (is_mark(c) && is_digit(before) && (after == ' ' || after == '\n'));
        before = c;
        if (drop || c == ' ' || c == '\n' || c == '\t' || c == '\r') c = ' ';
        if (c == ' ' && (kept == 0 || text[kept - 1] == ' ')) continue;
        text[kept++] = c;
    }
    while (kept > 0 && text[kept - 1] == ' ') kept--;
    return kept;
}

static int normalise(struct span text, struct arena *arena, struct span *out)
{
    size_t room = 3 * text.size + 16, size = 0;
    char *bytes = arena_take(arena, room, 1);
    if (!bytes) return RC_FULL;
    int rc = fold_question(text, bytes, room, &size);
    if (rc == RC_OK) *out = span_of(bytes, without_marks(bytes, size));
    return rc;
}

bool compare_equal(struct span a, struct span b, struct arena *arena)
{
    struct span x, y;
    if (span_equal(a, b)) return true;
    if (a.size > COMPARE_FOLD_MAX || b.size > COMPARE_FOLD_MAX) return false;
    size_t mark = arena_mark(arena);
    bool equal = normalise(a, arena, &x) == RC_OK && normalise(b, arena, &y) == RC_OK && span_equal(x, y);
    arena_rewind(arena, mark);
    return equal;
}

/* ---- near */

static bool ends_sentence(struct span text, size_t at)
{
    char c = text.data[at];
    return c == '\n' || ((c == '.' || c == '!' || c == '?') && at + 1 < text.size &&
                         (text.data[at + 1] == ' ' || text.data[at + 1] == '\n'));
}

struct span compare_beginning(struct span text)
{
    if (text.size <= COMPARE_TEXT_MAX) return text;
    size_t end = COMPARE_TEXT_MAX;
    while (end > COMPARE_TEXT_MAX / 2 && !ends_sentence(text, end - 1)) end--;
    if (end > COMPARE_TEXT_MAX / 2) return span_of(text.data, end);
    end = COMPARE_TEXT_MAX; /* no sentence: at a character */
    while (end > COMPARE_TEXT_MAX - 4 && ((unsigned char)text.data[end] & 0xc0) == 0x80) end--;
    return span_of(text.data, end);
}

#define BIT(guard) (UINT32_C(1) << (guard))

uint32_t compare_vetoes_that_count(struct span a, struct span b, uint32_t vetoes)
{
    uint32_t counting = BIT(GUARD_NUM) | BIT(GUARD_NUM1) | BIT(GUARD_UNIT) | BIT(GUARD_ORD) | BIT(GUARD_NEG);
    if (a.size <= COMPARE_SHORT_MAX && b.size <= COMPARE_SHORT_MAX)
        counting |= BIT(GUARD_ANT) | BIT(GUARD_AFFIX) | BIT(GUARD_ENT_SUB) | BIT(GUARD_TRANSP);
    return vetoes & counting;
}

enum compare_verdict compare_judge(float cosine, uint32_t vetoes)
{
    if (vetoes & ~BIT(GUARD_NEG)) return COMPARE_OTHER;
    if (vetoes) return cosine < COMPARE_NEGATED_MAX ? COMPARE_OTHER : COMPARE_UNSURE;
    if (cosine >= COMPARE_SAME_MIN) return COMPARE_SAME;
    return cosine < COMPARE_OTHER_MAX ? COMPARE_OTHER : COMPARE_UNSURE;
}

struct job {
    struct span a, b;
    float *vectors[2];
    struct guard_text *read[2];
    uint32_t vetoes;
    bool embed; /* not by a remote embedder */
    int rc;
};

static void job_run(void *arg)
{
    struct job *job = arg;
    unsigned pieces;
    job->rc = RC_OK;
    if (job->embed) job->rc = embed_text_pieces(job->a, true, job->vectors[0], NULL, &pieces);
    if (job->embed && job->rc == RC_OK) job->rc = embed_text_pieces(job->b, true, job->vectors[1], NULL, &pieces);
    guard_read(job->a, job->read[0]);
    guard_read(job->b, job->read[1]);
    job->vetoes = guard_vetoes(job->read[0], job->read[1], false);
}

static float dot(const float *a, const float *b, unsigned dim)
{
    float sum = 0;
    for (unsigned i = 0; i < dim; i++) sum += a[i] * b[i];
    return sum;
}

static int embed_both_remote(struct job *job)
{
    int rc = embed_remote(job->a, job->vectors[0]);
    return rc == RC_OK ? embed_remote(job->b, job->vectors[1]) : rc;
}

static int prepare(struct job *job, struct arena *arena)
{
    enum { ALIGN = 64 };
    unsigned dim = embed_current()->dim;
    for (unsigned i = 0; i < 2; i++) {
        job->vectors[i] = arena_take(arena, dim * sizeof(float), ALIGN);
        job->read[i] = arena_take(arena, guard_text_size(), ALIGN);
        if (!job->vectors[i] || !job->read[i]) return RC_FULL;
    }
    return RC_OK;
}

static int compare_near(struct span a, struct span b, struct arena *arena, struct comparison *result)
{
    struct job job = {.a = a, .b = b, .embed = embed_current()->kind != EMBED_REMOTE};
    if (embed_current()->kind == EMBED_NONE) return RC_EMPTY;
    int rc = prepare(&job, arena);
    if (rc == RC_OK && !job.embed) rc = embed_both_remote(&job);
    if (rc == RC_OK) rc = offload(job_run, &job);
    if (rc == RC_OK) rc = job.rc;
    if (rc != RC_OK) return rc;
    result->vetoes = compare_vetoes_that_count(a, b, job.vetoes);
    result->cosine = dot(job.vectors[0], job.vectors[1], embed_current()->dim);
    result->verdict = compare_judge(result->cosine, result->vetoes);
    return RC_OK;
}

int compare_answers(struct span a, struct span b, struct arena *arena, struct comparison *result)
{
    *result = (struct comparison){0};
    if (compare_equal(a, b, arena)) {
        result->equal = true; /* and the verdict is COMPARE_SAME */
        return RC_OK;
    }
    size_t mark = arena_mark(arena);
    int rc = compare_near(compare_beginning(a), compare_beginning(b), arena, result);
    arena_rewind(arena, mark);
    return rc;
}
