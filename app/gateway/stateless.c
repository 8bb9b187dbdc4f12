/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/stateless.c — see stateless.h. */
#include "app/gateway/stateless.h"

static const struct span paths[] = {
    SPAN_ROW("/v1/embeddings"),         SPAN_ROW("/v1/moderations"),          SPAN_ROW("/v1/rerank"),
    SPAN_ROW("/v1/audio/speech"),       SPAN_ROW("/v1/audio/transcriptions"), SPAN_ROW("/v1/audio/translations"),
    SPAN_ROW("/v1/images/generations"), SPAN_ROW("/v1/images/edits"),         SPAN_ROW("/v1/images/variations"),
};

bool stateless_path(struct span method, struct span path)
{
    if (!span_equal(method, SPAN("POST"))) return false;
    for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (span_equal(paths[i], path)) return true;
    return false;
}
