/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_http1.c — heads, refusals, chunks, dates; every input ends at an unreadable page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/http1.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"

enum { LIMIT = 4096 };

static struct http_head head;

static void assert_span(struct span s, const char *text)
{
    if (s.size != strlen(text) || memcmp(s.data, text, s.size) != 0)
        fail_msg("\"%.*s\" is not \"%s\"", SPAN_ARG(s), text);
}

static int parse(const char *text)
{
    memset(&head, 0xa5, sizeof head);
    return http_parse_request(guarded(span_text(text)), 0, LIMIT, &head);
}

static const char post[] = "POST /v1/chat/completions?beta=true HTTP/1.1\r\n"
                           "Host: localhost:8080\r\n"
                           "Content-Type: application/json\r\n"
                           "Content-Length: 12\r\n"
                           "X-Blank:\r\n"
                           "X-Trailing: a b \t \r\n"
                           "\r\n";

static void test_request(void **state)
{
    (void)state;
    assert_int_equal(parse(post), RC_OK);
    assert_int_equal(head.size, sizeof post - 1);
    assert_span(head.method, "POST");
    assert_span(head.target, "/v1/chat/completions?beta=true");
    assert_span(head.path, "/v1/chat/completions");
    assert_span(head.query, "beta=true");
    assert_int_equal(head.minor_version, 1);
    assert_int_equal(head.body, HTTP_BODY_SIZED);
    assert_int_equal(head.content_length, 12);
    assert_true(head.keep_alive);
    assert_false(head.expect_continue);
    assert_int_equal(head.field_count, 5);
    assert_span(http_field(&head, "content-TYPE"), "application/json");
    assert_span(http_field(&head, "x-blank"), "");
    assert_span(http_field(&head, "X-Trailing"), "a b");
    assert_null(http_field(&head, "absent").data);
}

/* What follows the head is not looked at. */
static void test_bytes_behind_the_head(void **state)
{
    (void)state;
    char text[sizeof post + 8];
    memcpy(text, post, sizeof post - 1);
    memcpy(text + sizeof post - 1, "\n\0\x01 x\r\r", 8);
    assert_int_equal(http_parse_request(guarded(span_of(text, sizeof post - 1 + 7)), 0, LIMIT, &head), RC_OK);
    assert_int_equal(head.size, sizeof post - 1);
}

static void test_every_split(void **state)
{
    (void)state;
    const char *texts[] = {post, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t t = 0; t < 2; t++) {
        size_t size = strlen(texts[t]);
        for (size_t cut = 0; cut < size; cut++) {
            for (size_t second = cut; second < size; second++) {
                assert_int_equal(http_parse_request(guarded(span_of(texts[t], cut)), 0, LIMIT, &head), RC_AGAIN);
                assert_int_equal(http_parse_request(guarded(span_of(texts[t], second)), cut, LIMIT, &head), RC_AGAIN);
                assert_int_equal(http_parse_request(guarded(span_of(texts[t], size)), second, LIMIT, &head), RC_OK);
                assert_int_equal(head.size, size);
            }
        }
    }
}

struct refusal_case {
    const char *text;
    unsigned refusal;
};

static const struct refusal_case refused[] = {
    {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400}, /* bare LF */
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400}, /* bare CR */
    {"GET / HTTP/1.1\r\nHost: a\r\n\rX", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400}, /* obs-fold */
    {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tfolded\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400}, /* blank before the colon */
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400}, /* control characters */
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400},
    {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"\x16\x03\x01\x02", 400},                   /* TLS on a plain port */
    {"GET /\x1f and eight more", 400},           /* at once */
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400}, /* request line */
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    {"GET /\r\n\r\n", 400}, /* 0.9 */
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /a?q#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505}, /* versions */
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/1.11\r\nHost: a\r\n\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400}, /* Host */
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@b\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400}, /* lengths */
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 501},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        int rc = parse(refused[i].text);
        if (rc != RC_INVALID || head.refusal != refused[i].refusal || !head.reason)
            fail_msg("case %zu: rc %d, refusal %u for %s", i, rc, head.refusal, refused[i].text);
    }
    static const char nul[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
    assert_int_equal(http_parse_request(guarded(span_of(nul, sizeof nul - 1)), 0, LIMIT, &head), RC_INVALID);
    assert_int_equal(head.refusal, 400);
}

static void test_lengths_that_are_taken(void **state)
{
    (void)state;
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n"), RC_OK);
    assert_true(head.content_length == INT64_MAX);
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n"), RC_OK);
    assert_int_equal(head.body, HTTP_BODY_CHUNKED);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), RC_OK);
    assert_int_equal(head.body, HTTP_BODY_NONE);
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), RC_OK);
    assert_int_equal(head.body, HTTP_BODY_SIZED);
}

static void test_targets(void **state)
{
    (void)state;
    assert_int_equal(parse("GET http://a:80/x?y HTTP/1.1\r\nHost: A:80\r\n\r\n"), RC_OK);
    assert_span(head.path, "/x");
    assert_span(head.query, "y");
    assert_int_equal(parse("GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n"), RC_OK);
    assert_span(head.path, "/");
    assert_span(head.query, "y");
    assert_int_equal(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), RC_OK);
    assert_span(head.path, "*");
    assert_int_equal(parse("GET /? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), RC_OK);
    assert_span(head.query, "");
}

static void test_keep_alive(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE ,y\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].text), RC_OK);
        if (head.keep_alive != cases[i].keep) fail_msg("case %zu", i);
    }
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n"), RC_OK);
    assert_true(head.expect_continue);
    assert_int_equal(parse("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"), RC_OK);
    assert_false(head.expect_continue);
}

static void test_limits(void **state)
{
    (void)state;
    size_t size = sizeof post - 1;
    assert_int_equal(http_parse_request(guarded(span_text(post)), 0, size, &head), RC_OK);
    assert_int_equal(http_parse_request(guarded(span_text(post)), 0, size - 1, &head), RC_TOO_LARGE);
    assert_int_equal(head.refusal, 431);
    assert_int_equal(http_parse_request(guarded(span_of(post, 60)), 0, 61, &head), RC_AGAIN);
    assert_int_equal(http_parse_request(guarded(span_of(post, 60)), 0, 60, &head), RC_TOO_LARGE);
    assert_int_equal(head.refusal, 431);
    assert_int_equal(http_parse_request(guarded(span_of(post, 40)), 0, 40, &head), RC_TOO_LARGE);
    assert_int_equal(head.refusal, 414);
}

static void test_field_count(void **state)
{
    (void)state;
    char text[LIMIT];
    for (unsigned fields = HTTP_FIELDS_MAX; fields <= HTTP_FIELDS_MAX + 1; fields++) {
        size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (unsigned i = 1; i < fields; i++) n += (size_t)snprintf(text + n, sizeof text - n, "x%u: y\r\n", i);
        snprintf(text + n, sizeof text - n, "\r\n");
        int rc = parse(text);
        assert_int_equal(rc, fields <= HTTP_FIELDS_MAX ? RC_OK : RC_TOO_LARGE);
        if (rc != RC_OK)
            assert_int_equal(head.refusal, 431);
        else
            assert_int_equal(head.field_count, HTTP_FIELDS_MAX);
    }
}

static void test_lookups(void **state)
{
    (void)state;
    assert_int_equal(
        parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret\r\nAccept: a\r\nAccept: b, c\r\n\r\n"),
        RC_OK);
    assert_true(http_has_token(&head, "accept", "C"));
    assert_true(http_has_token(&head, "accept", "a"));
    assert_false(http_has_token(&head, "accept", "d"));
    assert_span(http_field(&head, "accept"), "a");
    assert_true(http_is_hop_by_hop(&head, SPAN("x-secret")));
    assert_true(http_is_hop_by_hop(&head, SPAN("te")));
    assert_true(http_is_hop_by_hop(&head, SPAN("proxy-authorization")));
    assert_false(http_is_hop_by_hop(&head, SPAN("accept")));
}

static int parse_reply(const char *method, const char *text)
{
    memset(&head, 0xa5, sizeof head);
    return http_parse_response(guarded(span_text(text)), 0, LIMIT, span_text(method), &head);
}

static void test_response(void **state)
{
    (void)state;
    static const struct {
        const char *method, *text;
        int rc;
        enum http_body body;
        unsigned status;
        bool keep;
    } cases[] = {
        {"POST", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", RC_OK, HTTP_BODY_SIZED, 200, true},
        {"POST", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", RC_OK, HTTP_BODY_CHUNKED, 200, true},
        {"POST", "HTTP/1.1 200 OK\r\n\r\n", RC_OK, HTTP_BODY_UNTIL_CLOSE, 200, false},
        {"POST", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", RC_OK, HTTP_BODY_SIZED, 200, false},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", RC_OK, HTTP_BODY_NONE, 200, true},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", RC_OK, HTTP_BODY_NONE, 304, true},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", RC_OK, HTTP_BODY_NONE, 204, true},
        {"GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", RC_OK, HTTP_BODY_NONE, 103, true},
        {"GET", "HTTP/1.1 529 \r\nContent-Length: 1\r\n\r\n", RC_OK, HTTP_BODY_SIZED, 529, true},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", RC_INVALID, 0, 0, false},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", RC_INVALID, 0, 0, false},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", RC_INVALID, 0, 0, false},
        {"GET", "HTTP/1.1 2x0 OK\r\n\r\n", RC_INVALID, 0, 0, false},
        {"GET", "HTTP/1.1 099 OK\r\n\r\n", RC_INVALID, 0, 0, false},
        {"GET", "HTTP/2 200 OK\r\n\r\n", RC_INVALID, 0, 0, false},
        {"GET", "HTTP/1.1 200 OK\r\nX: y\n\r\n", RC_INVALID, 0, 0, false},
        {"GET", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", RC_INVALID, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = parse_reply(cases[i].method, cases[i].text);
        if (rc != cases[i].rc) fail_msg("case %zu: rc %d", i, rc);
        if (rc != RC_OK) assert_int_equal(head.refusal, 502);
        if (rc == RC_OK &&
            (head.body != cases[i].body || head.status != cases[i].status || head.keep_alive != cases[i].keep))
            fail_msg("case %zu: body %u, status %u, keep-alive %d", i, head.body, head.status, head.keep_alive);
    }
}

/* ---- chunks */

static char decoded[256];
static size_t decoded_size;
static size_t rest_size;

/* Feeds `text` in pieces of at most `piece` bytes. */
static int decode(struct span text, size_t piece)
{
    struct http_chunked c;
    http_chunked_start(&c);
    decoded_size = 0;
    for (size_t at = 0; at < text.size;) {
        size_t size = text.size - at < piece ? text.size - at : piece;
        struct span in = guarded(span_of(text.data + at, size)), out;
        int rc;
        while ((rc = http_chunked_run(&c, &in, &out)) == RC_OK) {
            assert_true(decoded_size + out.size <= sizeof decoded);
            memcpy(decoded + decoded_size, out.data, out.size);
            decoded_size += out.size;
        }
        at += size;
        rest_size = in.size + (text.size - at);
        if (rc != RC_AGAIN) return rc;
    }
    return RC_AGAIN;
}

static void test_chunked_in_odd_pieces(void **state)
{
    (void)state;
    static const char text[] =
        "5\r\nhello\r\n1;x=\"y\"\r\n,\r\n00a\r\n 0123456\r\n\r\n0\r\nTrailer: z\r\nB:\r\n\r\nGET";
    for (size_t piece = 1; piece <= sizeof text; piece++) {
        assert_int_equal(decode(span_text(text), piece), RC_EMPTY);
        assert_int_equal(decoded_size, 16);
        assert_memory_equal(decoded, "hello, 0123456\r\n", 16);
        assert_int_equal(rest_size, 3);
    }
    assert_int_equal(decode(span_of(text, sizeof text - 5), 7), RC_AGAIN);
}

static void test_chunked_refusals(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x",
        "\r\n",
        ";x\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhello\n",
        "5\r\nhellox\r\n",
        "5\r\nhello\rx",
        "-5\r\n",
        "+5\r\n",
        "0x5\r\n",
        "1000000000000000\r\n",
        "0000000000000001\r\n",
        "5;\n",
        "5;a\rb",
        "5;\x01\r\n",
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA: \x7f\r\n\r\n",
        "0\r\n\rx",
        "5\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t piece = 1; piece < 8; piece += 6) {
            char text[64];
            int size = snprintf(text, sizeof text, "%s\r\n0\r\n\r\n", bad[i]);
            if (decode(span_of(text, (size_t)size), piece) != RC_INVALID) fail_msg("case %zu", i);
        }
    }
}

static void test_chunked_bounds(void **state)
{
    (void)state;
    static char text[10000];
    memset(text, 'a', sizeof text);
    memcpy(text, "1;", 2);
    assert_int_equal(decode(span_of(text, 1000), 999), RC_AGAIN);
    assert_int_equal(decode(span_of(text, 1100), 999), RC_INVALID);
    memset(text, 'a', 8);
    memcpy(text, "0\r\nA:", 5);
    assert_int_equal(decode(span_of(text, 8000), 999), RC_AGAIN);
    assert_int_equal(decode(span_of(text, 8300), 999), RC_INVALID);
}

static void test_chunk_head(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 255, 256, 65535, 0x12345678, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char out[18], expected[24];
        size_t size = http_chunk_head(out, sizes[i]);
        snprintf(expected, sizeof expected, "%zx\r\n", sizes[i]);
        assert_span(span_of(out, size), expected);
    }
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        uint64_t seconds;
        const char *text;
    } known[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},          {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {951827696, "Tue, 29 Feb 2000 12:34:56 GMT"},  {1795219199, "Fri, 20 Nov 2026 23:59:59 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"}, {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char out[30];
        uint64_t us = 0;
        http_date(known[i].seconds * 1000000 + 999999, out);
        assert_string_equal(out, known[i].text);
        assert_int_equal(http_date_parse(guarded(span_text(known[i].text)), &us), RC_OK);
        assert_true(us == known[i].seconds * 1000000);
    }
    uint64_t us = 0;
    assert_int_equal(http_date_parse(SPAN("Sunday, 06-Nov-94 08:49:37 GMT"), &us), RC_OK);
    assert_true(us == UINT64_C(784111777000000));
    us = 0;
    assert_int_equal(http_date_parse(SPAN("Sun Nov  6 08:49:37 1994"), &us), RC_OK);
    assert_true(us == UINT64_C(784111777000000));
    static const char *const bad[] = {
        "",
        "0",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 06 Nov 1894 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun Nov  6 08:49:37 199",
        "Sun N",
        "Sunday, 06-Nov-94 08:49:37",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (http_date_parse(guarded(span_text(bad[i])), &us) != RC_INVALID) fail_msg("\"%s\" was read", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_bytes_behind_the_head),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lengths_that_are_taken),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_field_count),
        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_chunked_in_odd_pieces),
        cmocka_unit_test(test_chunked_refusals),
        cmocka_unit_test(test_chunked_bounds),
        cmocka_unit_test(test_chunk_head),
        cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests_name("http1", tests, NULL, NULL);
}
