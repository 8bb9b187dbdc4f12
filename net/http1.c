/* SPDX-License-Identifier: Apache-2.0 */
/* net/http1.c — the strict pre-check, the parser behind it, and what the fields mean for framing.
 *
 * The pre-check finds the end of the head and refuses every control byte that the grammar does not allow, so that
 * picohttpparser (which takes a bare LF for a line end, and folds) only ever sees lines that end in CRLF.
 */
#include "net/http1.h"

#include <assert.h>

#include "net/http1_syntax.h"
#include "picohttpparser.h"
#include "platform/rc.h"

static_assert(sizeof(struct http_field) == sizeof(struct phr_header), "a field is the parser's header");
static_assert(offsetof(struct http_field, name.size) == offsetof(struct phr_header, name_len), "same layout");
static_assert(offsetof(struct http_field, value.data) == offsetof(struct phr_header, value), "same layout");
static_assert(offsetof(struct http_field, value.size) == offsetof(struct phr_header, value_len), "same layout");

enum { METHOD_SIZE_MAX = 32 };

#define LENGTH_MAX UINT64_C(0x7fffffffffffffff)

static int refuse(struct http_head *head, unsigned status, const char *reason)
{
    head->refusal = status;
    head->reason = reason;
    return status == 413 || status == 414 || status == 431 ? RC_TOO_LARGE : RC_INVALID;
}

/* ---- pre-check */

/* Bytes below 0x20 and 0x7f in eight bytes at once: the lowest bit set marks the first of them (the ones above it may
 * be wrong: a borrow runs upwards). */
static inline uint64_t controls_in(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t del = word ^ (ones * 0x7f);
    return (((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & (ones << 7);
}

static size_t next_control(struct span bytes, size_t at)
{
    for (; bytes.size - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + at, sizeof word);
        uint64_t found = controls_in(word);
        if (found != 0) return at + (size_t)(__builtin_ctzll(found) >> 3);
    }
    while (at < bytes.size && (unsigned char)bytes.data[at] >= 0x20 && bytes.data[at] != 0x7f) at++;
    return at;
}

/* Where to go on after `seen` bytes: before the line end that may have been cut. */
static size_t resume_at(struct span bytes, size_t seen)
{
    size_t at = seen < bytes.size ? seen : bytes.size;
    while (at > 0 && (bytes.data[at - 1] == '\r' || bytes.data[at - 1] == '\n')) at--;
    return at;
}

/* At the CR of bytes[at]: RC_OK and *next behind the CRLF, *end set when a blank line follows. */
static int line_end(struct span bytes, size_t at, size_t *next, size_t *end, const char **reason)
{
    if (at + 1 == bytes.size) return RC_AGAIN;
    *reason = "a CR without LF in the head";
    if (bytes.data[at + 1] != '\n') return RC_INVALID;
    *next = at + 2;
    if (*next == bytes.size) return RC_AGAIN;
    char c = bytes.data[*next];
    if (c == ' ' || c == '\t') {
        *reason = "a folded field line";
        return RC_INVALID;
    }
    if (c != '\r') return RC_OK;
    if (*next + 1 == bytes.size) return RC_AGAIN;
    if (bytes.data[*next + 1] != '\n') return RC_INVALID;
    *end = *next + 2;
    return RC_OK;
}

/* *end: bytes up to and with the blank line. RC_AGAIN when it has not come. */
static int head_end(struct span bytes, size_t seen, size_t *end, const char **reason)
{
    size_t at = resume_at(bytes, seen);
    if (at == 0 && bytes.size > 0 && bytes.data[0] == '\r') { /* RFC 9112 section 2.2: one empty line before it */
        if (bytes.size == 1) return RC_AGAIN;
        if (bytes.data[1] == '\n') at = 2;
    }
    for (*end = 0; *end == 0;) {
        at = next_control(bytes, at);
        if (at == bytes.size) return RC_AGAIN;
        if (bytes.data[at] == '\t') {
            at++;
            continue;
        }
        *reason = bytes.data[at] == '\n' ? "a bare LF in the head" : "a control character in the head";
        if (bytes.data[at] != '\r') return RC_INVALID;
        int rc = line_end(bytes, at, &at, end, reason);
        if (rc != RC_OK) return rc;
    }
    return RC_OK;
}

static int find_head(struct span bytes, size_t seen, size_t limit, struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, fields)); /* the array is large and counted */
    const char *reason = NULL;
    int rc = head_end(bytes, seen, &head->size, &reason);
    if (rc == RC_INVALID) return refuse(head, 400, reason);
    if (rc == RC_OK && head->size <= limit) return RC_OK;
    if (rc == RC_AGAIN && bytes.size < limit) return RC_AGAIN;
    head->size = 0;
    if (memchr(bytes.data, '\r', bytes.size < limit ? bytes.size : limit))
        return refuse(head, 431, "the head is too long");
    return refuse(head, 414, "the request line is too long");
}

/* ---- why the parser said no; slow, for the message only */

static int explain(struct span bytes, struct http_head *head)
{
    unsigned lines = 0;
    bool blank_before_colon = false;
    struct span rest = span_of(bytes.data, head->size);
    struct span first = SPAN("");
    while (rest.size > 0) {
        struct span line;
        rest = span_cut(rest, '\n', &line);
        if (line.size <= 1) continue; /* its CR */
        if (lines++ == 0) {
            first = span_of(line.data, line.size - 1);
            continue;
        }
        struct span name;
        span_cut(line, ':', &name);
        if (name.size > 0 && (name.data[name.size - 1] == ' ' || name.data[name.size - 1] == '\t'))
            blank_before_colon = true;
    }
    if (lines > HTTP_FIELDS_MAX + 1) return refuse(head, 431, "too many fields");
    size_t version = first.size;
    while (version > 0 && first.data[version - 1] != ' ') version--;
    struct span last = span_of(first.data + version, first.size - version);
    if (span_starts_with(last, SPAN("HTTP/")) && !span_equal(last, SPAN("HTTP/1.1")) &&
        !span_equal(last, SPAN("HTTP/1.0")))
        return refuse(head, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    if (blank_before_colon) return refuse(head, 400, "a blank before the colon of a field");
    return refuse(head, 400, "a malformed request line or field");
}

/* ---- fields that decide framing */

struct framing {
    unsigned hosts, lengths, encodings;
    struct span host, length, encoding;
    bool close, keep_alive, expect_continue;
};

static void note_connection(struct framing *f, struct span value)
{
    if (http_list_has(value, SPAN("close"))) f->close = true;
    if (http_list_has(value, SPAN("keep-alive"))) f->keep_alive = true;
}

static void note_field(struct framing *f, const struct http_field *field)
{
    switch (field->name.size) {
    case 4:
        if (!span_equal_nocase(field->name, SPAN("Host"))) break;
        f->hosts++;
        f->host = field->value;
        break;
    case 6:
        if (span_equal_nocase(field->name, SPAN("Expect")) && span_equal_nocase(field->value, SPAN("100-continue")))
            f->expect_continue = true;
        break;
    case 10:
        if (span_equal_nocase(field->name, SPAN("Connection"))) note_connection(f, field->value);
        break;
    case 14:
        if (!span_equal_nocase(field->name, SPAN("Content-Length"))) break;
        f->lengths++;
        f->length = field->value;
        break;
    case 17:
        if (!span_equal_nocase(field->name, SPAN("Transfer-Encoding"))) break;
        f->encodings++;
        f->encoding = field->value;
        break;
    default: break;
    }
}

static void note_fields(struct http_head *head, struct framing *f)
{
    *f = (struct framing){0};
    for (unsigned i = 0; i < head->field_count; i++) {
        struct http_field *field = &head->fields[i];
        while (field->value.size > 0 && http_is_blank(field->value.data[field->value.size - 1])) field->value.size--;
        note_field(f, field);
    }
    head->keep_alive = head->minor_version == 1 ? !f->close : f->keep_alive && !f->close;
}

/* RFC 9112 section 6.3, stricter: whatever two readers could understand differently is refused. */
static int decide_length(struct http_head *head, const struct framing *f)
{
    if (f->encodings > 0 && f->lengths > 0) return refuse(head, 400, "both Content-Length and Transfer-Encoding");
    if (f->encodings > 1) return refuse(head, 400, "more than one Transfer-Encoding");
    if (f->lengths > 1) return refuse(head, 400, "more than one Content-Length");
    if (f->encodings == 1) {
        if (head->minor_version == 0) return refuse(head, 400, "Transfer-Encoding in HTTP/1.0");
        if (!span_equal_nocase(f->encoding, SPAN("chunked")))
            return refuse(head, f->encoding.size == 0 ? 400 : 501, "a Transfer-Encoding other than chunked");
        head->body = HTTP_BODY_CHUNKED;
    }
    if (f->lengths == 1) {
        if (span_to_u64(f->length, LENGTH_MAX, &head->content_length) != RC_OK)
            return refuse(head, 400, "a Content-Length that is not a number of bytes");
        head->body = HTTP_BODY_SIZED;
    }
    return RC_OK;
}

/* ---- request line */

static int decide_host(struct http_head *head, const struct framing *f)
{
    if (f->hosts > 1) return refuse(head, 400, "more than one Host");
    if (f->hosts == 0) return head->minor_version == 0 ? RC_OK : refuse(head, 400, "no Host");
    for (size_t i = 0; i < f->host.size; i++)
        if (!http_is_host_char(f->host.data[i])) return refuse(head, 400, "a malformed Host");
    return RC_OK;
}

/* Absolute form is legal for any server (RFC 9112 section 3.2.2); its host must be the one of Host. */
static int cut_authority(struct http_head *head, const struct framing *f, struct span *target)
{
    struct span t = *target;
    size_t scheme = 0;
    if (t.size >= 7 && span_equal_nocase(span_of(t.data, 7), SPAN("http://"))) scheme = 7;
    if (t.size >= 8 && span_equal_nocase(span_of(t.data, 8), SPAN("https://"))) scheme = 8;
    if (scheme == 0) return refuse(head, 400, "a target that is not a path");
    size_t end = scheme;
    while (end < t.size && t.data[end] != '/' && t.data[end] != '?') end++;
    struct span authority = span_of(t.data + scheme, end - scheme);
    if (f->hosts == 1 && !span_equal_nocase(authority, f->host))
        return refuse(head, 400, "a target whose host is not the one of Host");
    *target = span_of(t.data + end, t.size - end);
    return RC_OK;
}

static int decide_target(struct http_head *head, const struct framing *f)
{
    struct span target = head->target;
    if (span_equal(head->method, SPAN("CONNECT"))) return refuse(head, 501, "CONNECT is not offered");
    if (target.size == 1 && target.data[0] == '*' && span_equal(head->method, SPAN("OPTIONS"))) {
        head->path = target;
        return RC_OK;
    }
    if (target.size == 0 || target.data[0] != '/') {
        int rc = cut_authority(head, f, &target);
        if (rc != RC_OK) return rc;
    }
    size_t path = 0;
    while (path < target.size && target.data[path] != '?' && target.data[path] != '#') path++;
    head->path = path > 0 ? span_of(target.data, path) : SPAN("/");
    if (path < target.size && target.data[path] == '?')
        head->query = span_of(target.data + path + 1, target.size - path - 1);
    if (path < target.size && target.data[path] == '#') return refuse(head, 400, "a fragment in the target");
    if (head->query.size > 0 && memchr(head->query.data, '#', head->query.size))
        return refuse(head, 400, "a fragment in the target");
    return RC_OK;
}

static int check_method(struct http_head *head)
{
    if (head->method.size == 0 || head->method.size > METHOD_SIZE_MAX) return refuse(head, 400, "a malformed method");
    for (size_t i = 0; i < head->method.size; i++)
        if (!http_is_token_char(head->method.data[i])) return refuse(head, 400, "a malformed method");
    return RC_OK;
}

int http_parse_request(struct span bytes, size_t seen, size_t limit, struct http_head *head)
{
    int rc = find_head(bytes, seen, limit, head);
    if (rc != RC_OK) return rc;

    int minor = 0;
    size_t count = HTTP_FIELDS_MAX;
    int parsed = phr_parse_request(bytes.data, head->size, &head->method.data, &head->method.size, &head->target.data,
                                   &head->target.size, &minor, (struct phr_header *)head->fields, &count, 0);
    if (parsed != (int)head->size || minor > 1) {
        head->method = head->target = span_of(NULL, 0);
        return explain(bytes, head);
    }
    head->minor_version = (unsigned)minor;
    head->field_count = (unsigned)count;

    struct framing framing;
    note_fields(head, &framing);
    head->expect_continue = framing.expect_continue && minor == 1;
    rc = check_method(head);
    if (rc == RC_OK) rc = decide_length(head, &framing);
    if (rc == RC_OK) rc = decide_host(head, &framing);
    if (rc == RC_OK) rc = decide_target(head, &framing);
    return rc;
}

/* ---- response */

static bool response_has_no_body(const struct http_head *head, struct span request_method)
{
    if (head->status < 200 || head->status == 204 || head->status == 304) return true;
    if (span_equal(request_method, SPAN("HEAD"))) return true;
    return span_equal(request_method, SPAN("CONNECT")) && head->status < 300;
}

int http_parse_response(struct span bytes, size_t seen, size_t limit, struct span request_method,
                        struct http_head *head)
{
    int rc = find_head(bytes, seen, limit, head);
    if (rc == RC_AGAIN) return rc;
    if (rc != RC_OK) {
        head->refusal = 502;
        return rc;
    }
    int minor = 0, status = 0;
    size_t count = HTTP_FIELDS_MAX;
    struct span text;
    int parsed = phr_parse_response(bytes.data, head->size, &minor, &status, &text.data, &text.size,
                                    (struct phr_header *)head->fields, &count, 0);
    if (parsed != (int)head->size || minor > 1 || status < 100)
        return refuse(head, 502, "a malformed status line or field in the reply");
    head->minor_version = (unsigned)minor;
    head->status = (unsigned)status;
    head->field_count = (unsigned)count;

    struct framing framing;
    note_fields(head, &framing);
    if (response_has_no_body(head, request_method)) return RC_OK;
    rc = decide_length(head, &framing);
    if (rc != RC_OK) {
        head->refusal = 502;
        return rc;
    }
    if (head->body == HTTP_BODY_NONE) {
        head->body = HTTP_BODY_UNTIL_CLOSE;
        head->keep_alive = false;
    }
    return RC_OK;
}
