/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_replay.c — replies from any bytes: judged, followed live in pieces, and made into the other form.
 *
 * A reply that may be kept and can be replayed must be judged the same in its other form.
 */
#include <stdlib.h>

#include "app/gateway/dialect.h"
#include "platform/rc.h"

enum { BODY_MAX = 1 << 16, SCRATCH_SIZE = 2 << 20 };

static _Alignas(16) unsigned char scratch_memory[SCRATCH_SIZE];
static char first_memory[32 * BODY_MAX], second_memory[64 * BODY_MAX];
static struct json_scratch scratch = {scratch_memory, SCRATCH_SIZE};

static void check_live(enum dialect dialect, struct span body, size_t piece)
{
    struct live_stream whole = {.dialect = dialect}, live = {.dialect = dialect};
    live_stream_scan(&whole, body, &scratch);
    for (size_t at = 0; at < body.size;) {
        at = body.size - at < piece ? body.size : at + piece;
        live_stream_scan(&live, span_of(body.data, at), &scratch);
        if (live.scanned > at || live.usage_to > at || live.usage_from > live.usage_to) abort();
    }
    if (live.scanned != whole.scanned || live.terminal != whole.terminal || live.error != whole.error) abort();
    if (live.usage_from != whole.usage_from || live.usage_to != whole.usage_to) abort();
}

/* Once more through the other form: what was storable stays so. */
static void check_same(enum dialect dialect, bool stream, const struct verdict *before, const struct text *made)
{
    struct verdict after;
    verdict_of(dialect, !stream, text_span(made), &scratch, &after);
    if (!before->storable) return;
    if (!after.storable || after.tool_calls != before->tool_calls) abort();
}

static void check_replay(enum dialect dialect, bool stream, struct span body, const struct verdict *verdict)
{
    struct text made = text_on(first_memory, replay_bound(dialect, body.size) + 1),
                back = text_on(second_memory, sizeof second_memory);
    int rc = stream ? replay_object_from_stream(dialect, body, &scratch, &made)
                    : replay_stream_from_object(dialect, body, true, &scratch, &made);
    if (rc != RC_OK) return;
    check_same(dialect, stream, verdict, &made);
    rc = stream ? replay_stream_from_object(dialect, text_span(&made), true, &scratch, &back)
                : replay_object_from_stream(dialect, text_span(&made), &scratch, &back);
    if (verdict->storable && rc != RC_OK && rc != RC_TOO_LARGE) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > BODY_MAX) return 0;
    struct verdict verdict;
    enum dialect dialect = data[0] & 1 ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
    bool stream = data[0] & 2;
    struct span body = span_of((const char *)data + 2, size - 2);
    verdict_of(dialect, stream, body, &scratch, &verdict);
    if (verdict.storable && !verdict.complete) abort();
    check_live(dialect, body, 1u + data[1]);
    check_replay(dialect, stream, body, &verdict);
    struct text stripped = text_on(first_memory, sizeof first_memory);
    if (dialect == DIALECT_OPENAI && replay_strip_usage(body, &scratch, &stripped) != RC_OK) abort();
    return 0;
}
