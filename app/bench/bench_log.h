/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_log.h — a log of requests to replay, one JSON object a line, in the order of time.
 *
 * Line:    {"t": seconds, "text": "…"} or {"t": seconds, "request": {a body of /v1/chat/completions}}, and if known
 *          "model", "prompt_tokens", "answer_tokens", "upstream_ms" (what the call took), "answer" (text), "tenant". Further members
 *          are passed over; docs/eviction.md has the details.
 * Defaults: model "model"; a token of a question 4 bytes of it, an answer 128 tokens; a call 500 ms and 20 ms a token of the
 *          answer; an answer's text is made up, 4 bytes a token.
 * Identity: as the gateway reads it: the same digest, the same space, semantic off for the same requests.
 * Owner:   texts lie in memory of the log, until the end of the process.
 * Fails:   RC_INVALID and a line on stderr that says which line and why.
 */
#ifndef APP_BENCH_BENCH_LOG_H
#define APP_BENCH_BENCH_LOG_H

#include "storage/entry.h"

enum { BENCH_TOKEN_BYTES = 4, BENCH_ANSWER_TOKENS = 128, BENCH_FIRST_TOKEN_MS = 500, BENCH_TOKEN_MS = 20 };

struct bench_request {
    double at_s; /* since the first */
    struct digest digest;
    uint64_t space;     /* of everything but the text; 0: exact hits only */
    struct span text;   /* the question */
    struct span answer; /* empty: made up */
    uint8_t tenant[ENTRY_TENANT_SIZE];
    uint32_t tokens_in, tokens_out, upstream_ms;
};

struct bench_log {
    const char *path;
    struct bench_request *requests;
    unsigned count;
};

/* Once a process: scratch for reading. */
void bench_log_reserve(void);
int bench_log_read(const char *path, struct bench_log *log);

#endif
