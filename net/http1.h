/* SPDX-License-Identifier: Apache-2.0 */
/* net/http1.h — HTTP/1.1 heads and chunked bodies as bytes on the wire (RFC 9110, 9112; door of picohttpparser).
 *
 * Owner:   spans point into the caller's bytes.
 * Threads: any; pure functions and plain state.
 * Fails:   RC_AGAIN: not complete yet. RC_INVALID / RC_TOO_LARGE: `refusal` is the status to answer with (400, 413, 414,
 *          431, 501, 505) and `reason` says what is wrong; the connection must be closed after it.
 * Strict:  a pre-check refuses what smuggling needs before the parser sees it: bare LF or CR, obs-fold, blank before the
 *          colon, NUL, both lengths, several different or even equal lengths, Transfer-Encoding other than one final
 *          "chunked", overflowing sizes, versions other than HTTP/1.0 and 1.1, a missing or second Host.
 */
#ifndef NET_HTTP1_H
#define NET_HTTP1_H

#include "platform/span.h"

enum { HTTP_FIELDS_MAX = 96 }; /* clients send under 30; browsers under 40 */

enum http_body { HTTP_BODY_NONE, HTTP_BODY_SIZED, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE };

struct http_field {
    struct span name, value;
};

struct http_head {
    struct span method, target, path, query; /* request; path without query, query without '?' */
    unsigned status;                         /* response */
    unsigned minor_version;                  /* 0 or 1 */
    size_t size;                             /* bytes up to and with the blank line */
    enum http_body body;
    uint64_t content_length;
    bool keep_alive; /* by version and Connection */
    bool expect_continue;
    unsigned refusal;
    const char *reason; /* static text */
    unsigned field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/* `seen`: bytes already looked at in an earlier call on the same buffer (0 at first), so that slow heads cost O(n).
 * `limit`: longest head in bytes. */
int http_parse_request(struct span bytes, size_t seen, size_t limit, struct http_head *head);
/* `request_method` decides whether a body follows (HEAD: none). */
int http_parse_response(struct span bytes, size_t seen, size_t limit, struct span request_method,
                        struct http_head *head);

/* First field of that name (ASCII case ignored); data == NULL when absent. */
struct span http_field_of(const struct http_head *head, struct span wanted);
/* Inline so that the size of a literal is known where it is compiled. */
static inline struct span http_field(const struct http_head *head, const char *name)
{
    return http_field_of(head, span_text(name));
}
/* Whether a comma separated list field holds the token, in any of its lines (case ignored). */
bool http_has_token(const struct http_head *head, const char *name, const char *token);
/* Whether the field is hop-by-hop: the standard ones, and those named in Connection (RFC 9110 section 7.6.1). */
bool http_is_hop_by_hop(const struct http_head *head, struct span name);

/* Incremental decoder of a chunked body. */
struct http_chunked {
    uint64_t left; /* of the current chunk */
    unsigned state;
    unsigned line_size; /* of a size or trailer line so far, bounded */
};
void http_chunked_start(struct http_chunked *c);
/* Consumes from *in and yields at most one run of body bytes in *out (a view into in). RC_OK: go on (out may be empty),
 * RC_EMPTY: the body is complete, *in is what follows it, RC_AGAIN: needs more input, RC_INVALID. */
int http_chunked_run(struct http_chunked *c, struct span *in, struct span *out);
/* Writes "<hex>\r\n" of a chunk of `size`; returns its length (at most 18). */
size_t http_chunk_head(char out[18], size_t size);

const char *http_reason(unsigned status);
/* "Sun, 06 Nov 1994 08:49:37 GMT" (29 bytes, terminated) and back. */
void http_date(uint64_t wall_us, char out[30]);
int http_date_parse(struct span value, uint64_t *wall_us);

#endif
