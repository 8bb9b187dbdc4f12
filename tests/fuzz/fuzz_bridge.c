/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_bridge.c — requests, objects and streams from any bytes, written in the other dialect.
 *
 * What is written is always JSON, or events of JSON; a request that was carried over can be carried back or is refused;
 * a stream that was ended is one that may be judged.
 */
#include <stdlib.h>

#include "app/gateway/bridge.h"
#include "app/gateway/dialect_events.h"
#include "platform/rc.h"

enum { BODY_MAX = 1 << 15, SCRATCH_SIZE = 4 << 20 };

static _Alignas(16) unsigned char scratch_memory[SCRATCH_SIZE];
static char first_memory[8 * BODY_MAX], second_memory[32 * BODY_MAX];
static struct json_scratch scratch = {scratch_memory, SCRATCH_SIZE};

static void check_json(const struct text *text)
{
    const struct json_value *root;
    int rc = json_parse(&scratch, text_span(text), &root, NULL);
    if (rc != RC_OK && rc != RC_TOO_LARGE) abort();
}

static void check_request(enum dialect to, struct span body)
{
    struct bridge_refusal refusal;
    struct text out = text_on(first_memory, sizeof first_memory);
    int rc = bridge_request(to, body, &scratch, &out, &refusal);
    if (rc == RC_DENIED && refusal.message[0] == 0) abort();
    if (rc != RC_OK) return;
    check_json(&out);
    struct text back = text_on(second_memory, sizeof second_memory);
    rc = bridge_request(to == DIALECT_OPENAI ? DIALECT_ANTHROPIC : DIALECT_OPENAI, text_span(&out), &scratch, &back,
                        &refusal);
    if (rc == RC_CORRUPT) abort();
}

static void check_object(enum dialect to, struct span body)
{
    struct verdict verdict;
    struct text out = text_on(first_memory, sizeof first_memory);
    if (bridge_object(to, body, 1, &scratch, &out) != RC_OK) return;
    check_json(&out);
    verdict_of(to, false, text_span(&out), &scratch, &verdict);
    if (verdict.storable && !verdict.complete) abort();
}

static void check_stream(enum dialect to, struct span body)
{
    struct bridge_stream stream = {.to = to, .now_s = 1};
    struct text out = text_on(first_memory, sizeof first_memory);
    struct event_walk walk = event_walk(body, &scratch);
    struct event event;
    struct verdict verdict;
    while (event_next(&walk, &event))
        if (bridge_stream_event(&stream, event.data, &walk.rest, &out) != RC_OK) return;
    verdict_of(to, true, text_span(&out), &scratch, &verdict);
    if (verdict.storable && !stream.ended) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > BODY_MAX) return 0;
    enum dialect to = data[0] & 1 ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
    struct span body = span_of((const char *)data + 2, size - 2);
    if (data[0] & 2)
        check_request(to, body);
    else if (data[0] & 4)
        check_stream(to, body);
    else
        check_object(to, body);
    bridge_error(to, 500, body, SPAN("r"), &scratch, &(struct text){first_memory, sizeof first_memory, 0, false});
    return 0;
}
