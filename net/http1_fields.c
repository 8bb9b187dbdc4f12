/* SPDX-License-Identifier: Apache-2.0 */
/* net/http1_fields.c — look fields up, and what belongs to one hop only. */
#include "net/http1.h"
#include "net/http1_syntax.h"
#include "platform/rc.h"

/* One bit a character: 1 tchar, 2 host. Letters and digits are both. */
static unsigned char_class(char c)
{
    unsigned char u = (unsigned char)c;
    if ((u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || (u >= '0' && u <= '9')) return 3;
    if (u == 0 || u >= 0x80) return 0;
    return (strchr("!#$%&'*+-.^_`|~", c) ? 1u : 0u) | (strchr("-._~!$&'()*+;=:[]%", c) ? 2u : 0u);
}

bool http_is_token_char(char c)
{
    return (char_class(c) & 1) != 0;
}

bool http_is_host_char(char c)
{
    return (char_class(c) & 2) != 0;
}

bool http_list_has(struct span list, struct span token)
{
    while (list.size > 0) {
        struct span item;
        list = span_cut(list, ',', &item);
        if (span_equal_nocase(span_trim(item), token)) return true;
    }
    return false;
}

struct span http_field_of(const struct http_head *head, struct span wanted)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->name.size == wanted.size && span_equal_nocase(field->name, wanted)) return field->value;
    }
    return span_of(NULL, 0);
}

static bool any_line_has(const struct http_head *head, struct span name, struct span token)
{
    for (unsigned i = 0; i < head->field_count; i++)
        if (span_equal_nocase(head->fields[i].name, name) && http_list_has(head->fields[i].value, token)) return true;
    return false;
}

bool http_has_token(const struct http_head *head, const char *name, const char *token)
{
    return any_line_has(head, span_text(name), span_text(token));
}

bool http_is_hop_by_hop(const struct http_head *head, struct span name)
{
    static const struct span always[] = {
        SPAN_ROW("Connection"),
        SPAN_ROW("Keep-Alive"),
        SPAN_ROW("TE"),
        SPAN_ROW("Proxy-Authenticate"),
        SPAN_ROW("Trailer"),
        SPAN_ROW("Proxy-Authentication-Info"),
        SPAN_ROW("Upgrade"),
        SPAN_ROW("Proxy-Authorization"),
        SPAN_ROW("Proxy-Connection"),
        SPAN_ROW("Transfer-Encoding"),
    };
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (name.size == always[i].size && span_equal_nocase(name, always[i])) return true;
    return any_line_has(head, SPAN("Connection"), name);
}

const char *http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {103, "Early Hints"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {529, "Overloaded"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Unknown";
}
