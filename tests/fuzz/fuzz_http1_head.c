/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_http1_head.c — a request or reply head, whole and in two pieces, must give the same answer; what is
 * taken must be one that no other reader could understand differently. The first byte chooses cut and kind. */
#include <stdlib.h>

#include "net/http1.h"
#include "platform/check.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"

enum { LIMIT = 8192 };

static int parse(struct span bytes, size_t seen, bool reply, struct http_head *head)
{
    return reply ? http_parse_response(bytes, seen, LIMIT, SPAN("POST"), head)
                 : http_parse_request(bytes, seen, LIMIT, head);
}

static void check_inside(struct span bytes, struct span part)
{
    CHECK(part.size == 0 || (part.data >= bytes.data && part.data + part.size <= bytes.data + bytes.size));
}

static void check_taken(struct span bytes, const struct http_head *head)
{
    CHECK(head->size <= bytes.size && head->size <= LIMIT);
    CHECK(head->size >= 4 && memcmp(bytes.data + head->size - 4, "\r\n\r\n", 4) == 0);
    CHECK(head->field_count <= HTTP_FIELDS_MAX);
    for (size_t i = 1; i < head->size; i++) CHECK(bytes.data[i] != '\n' || bytes.data[i - 1] == '\r');
    unsigned lengths = 0, encodings = 0, hosts = 0;
    for (unsigned i = 0; i < head->field_count; i++) {
        check_inside(bytes, head->fields[i].name);
        check_inside(bytes, head->fields[i].value);
        CHECK(head->fields[i].name.size > 0);
        lengths += span_equal_nocase(head->fields[i].name, SPAN("content-length"));
        encodings += span_equal_nocase(head->fields[i].name, SPAN("transfer-encoding"));
        hosts += span_equal_nocase(head->fields[i].name, SPAN("host"));
    }
    CHECK(head->status != 0 || (lengths + encodings <= 1 && hosts <= 1));
    CHECK(head->body != HTTP_BODY_SIZED || lengths == 1);
    CHECK(head->body != HTTP_BODY_CHUNKED || encodings == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head whole, pieces;
    if (size < 1 || size > 2 * LIMIT) return 0;
    bool reply = data[0] & 1;
    struct span text = span_of((const char *)data + 1, size - 1);
    size_t cut = text.size * (data[0] >> 1) / 127;
    int first = parse(guarded(span_of(text.data, cut)), 0, reply, &pieces);
    struct span bytes = guarded(text);
    int rc = parse(bytes, 0, reply, &whole);
    if (rc == RC_OK) check_taken(bytes, &whole);
    if (rc != RC_OK && rc != RC_AGAIN) CHECK(whole.refusal >= 400 && whole.reason);
    if (first != RC_AGAIN) return 0;
    CHECK(parse(bytes, cut, reply, &pieces) == rc);
    CHECK(pieces.size == whole.size && pieces.refusal == whole.refusal && pieces.body == whole.body);
    return 0;
}
