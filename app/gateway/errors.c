/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/errors.c — our own errors in the shape of the provider the client speaks to.
 *
 * SDKs choose their exception by the HTTP status and show type, code and message; so the words are each API's own.
 */
#include "app/gateway/dialect.h"

struct error_type {
    unsigned status;
    const char *type;
};

static const struct error_type openai_types[] = {
    {401, "authentication_error"}, {403, "permission_error"}, {404, "not_found_error"},
    {408, "timeout_error"},        {429, "rate_limit_error"}, {529, "overloaded_error"},
};

static const struct error_type anthropic_types[] = {
    {401, "authentication_error"}, {402, "billing_error"}, {403, "permission_error"},
    {404, "not_found_error"},      {408, "timeout_error"}, {413, "request_too_large"},
    {429, "rate_limit_error"},     {504, "timeout_error"}, {529, "overloaded_error"},
};

static const char *find_type(const struct error_type *types, size_t count, unsigned status, const char *server)
{
    for (size_t i = 0; i < count; i++)
        if (types[i].status == status) return types[i].type;
    return status >= 500 ? server : "invalid_request_error";
}

/* An exhausted budget is told by its own type there, as the API does. */
static const char *openai_type(unsigned status, const char *code)
{
    if (code && strcmp(code, "insufficient_quota") == 0) return code;
    return find_type(openai_types, sizeof openai_types / sizeof *openai_types, status, "server_error");
}

static const char *anthropic_type(unsigned status)
{
    return find_type(anthropic_types, sizeof anthropic_types / sizeof *anthropic_types, status, "api_error");
}

static void put_openai(unsigned status, const char *code, struct span message, struct text *out)
{
    text_put_text(out, "{\"error\":{\"message\":");
    text_put_json(out, message);
    text_put_text(out, ",\"type\":");
    text_put_json(out, span_text(openai_type(status, code)));
    text_put_text(out, ",\"param\":null,\"code\":");
    if (code)
        text_put_json(out, span_text(code));
    else
        text_put_text(out, "null");
    text_put_text(out, "}}");
}

static void put_anthropic(unsigned status, const char *code, struct span message, struct span request_id,
                          struct text *out)
{
    text_put_text(out, "{\"type\":\"error\",\"error\":{\"type\":");
    text_put_json(out, span_text(anthropic_type(status)));
    text_put_text(out, ",\"message\":");
    text_put_json(out, message);
    if (code) {
        text_put_text(out, ",\"code\":");
        text_put_json(out, span_text(code));
    }
    text_put_char(out, '}');
    if (request_id.size > 0) {
        text_put_text(out, ",\"request_id\":");
        text_put_json(out, request_id);
    }
    text_put_char(out, '}');
}

void dialect_error(enum dialect dialect, unsigned status, const char *code, struct span message, struct span request_id,
                   struct text *out)
{
    if (dialect == DIALECT_OPENAI)
        put_openai(status, code, message, out);
    else
        put_anthropic(status, code, message, request_id, out);
}

/* The status has gone out as 200: what breaks a stream under way is the server's. */
void dialect_error_event(enum dialect dialect, const char *code, struct span message, struct text *out)
{
    enum { BROKEN = 500 };
    text_put_text(out, dialect == DIALECT_OPENAI ? "data: " : "event: error\ndata: ");
    dialect_error(dialect, BROKEN, code, message, span_of(NULL, 0), out);
    text_put_text(out, "\n\n");
}
