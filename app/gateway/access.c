/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/access.c — see access.h. */
#include "app/gateway/access.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

#include "app/gateway/journal.h"
#include "app/gateway/reply.h"

enum { ORIGIN_MAX = 300 /* a scheme, a host name of 253, a port */ };

void access_learn_names(void)
{
    if (gethostname(gateway.own_name, sizeof gateway.own_name) != 0) gateway.own_name[0] = 0;
    gateway.own_name[sizeof gateway.own_name - 1] = 0;
}

static struct span without_port(struct span host)
{
    struct span name;
    if (host.size && host.data[0] == '[') {
        (void)span_cut(span_of(host.data + 1, host.size - 1), ']', &name);
        return name;
    }
    (void)span_cut(host, ':', &name);
    return name;
}

static bool is_address(struct span name)
{
    char text[64];
    unsigned char address[16];
    if (name.size == 0 || name.size >= sizeof text) return false;
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static bool listed(const struct config_names *names, struct span name)
{
    for (unsigned i = 0; i < names->count; i++)
        if (span_equal_nocase(names->at[i], name)) return true;
    return false;
}

bool access_host_known(struct span host, const struct config_names *hosts)
{
    struct span name = without_port(host);
    return span_equal_nocase(name, SPAN("localhost")) || is_address(name) ||
           (gateway.own_name[0] && span_equal_nocase(name, span_text(gateway.own_name))) || listed(hosts, name);
}

bool access_origin_same(struct span origin, struct span host)
{
    struct span rest = origin;
    if (span_starts_with(origin, SPAN("http://")))
        rest = span_of(origin.data + 7, origin.size - 7);
    else if (span_starts_with(origin, SPAN("https://")))
        rest = span_of(origin.data + 8, origin.size - 8);
    else
        return false;
    return span_equal_nocase(rest, host);
}

int access_check(struct request *r, const char **why)
{
    struct span host = http_field(&r->x->head, "host");
    struct span origin = http_field(&r->x->head, "origin");
    r->origin = (struct span){0};
    if (host.data && !access_host_known(host, &r->config->access.hosts)) {
        *why = "this Host is not one of the box's names: use localhost, its address, or add the name to access.hosts";
        return RC_DENIED;
    }
    if (!origin.data) return RC_OK;
    if (origin.size > ORIGIN_MAX) {
        *why = "this Origin is longer than any real one";
        return RC_DENIED;
    }
    if (listed(&r->config->access.cors, origin) || listed(&r->config->access.cors, SPAN("*"))) {
        r->origin = origin;
        return RC_OK;
    }
    if (access_origin_same(origin, host)) return RC_OK;
    *why = "pages of this Origin may not use the box: add it to access.cors if that is meant";
    return RC_DENIED;
}

bool access_is_preflight(const struct request *r)
{
    return span_equal(r->x->head.method, SPAN("OPTIONS")) &&
           http_field(&r->x->head, "access-control-request-method").data != NULL;
}

void access_answer_preflight(struct request *r)
{
    char lines[1024];
    struct text extra = text_on(lines, sizeof lines);
    struct span asked = http_field(&r->x->head, "access-control-request-headers");
    struct reply reply;
    text_put_text(&extra, "Access-Control-Allow-Methods: GET, POST, DELETE, OPTIONS\r\n");
    if (asked.size && asked.size < 700) text_format(&extra, "Access-Control-Allow-Headers: %.*s\r\n", SPAN_ARG(asked));
    text_put_text(&extra, "Access-Control-Max-Age: 600\r\n");
    reply_defaults(&reply, 204);
    reply.content_type = NULL;
    reply.extra = text_span(&extra);
    reply_body(r, &reply, (struct span){0});
}

/* What clients send to a custom endpoint when they were given no key: many users would share that "tenant". */
static bool is_place_holder(struct span credential)
{
    return span_equal(credential, SPAN("DUMMY_KEY")) || span_equal(credential, SPAN("none")) ||
           span_equal(credential, SPAN("not-needed")) || span_equal(credential, SPAN("no-key")) ||
           span_equal(credential, SPAN("larder"));
}

struct span access_secret(struct span value)
{
    if (value.size > 7 && span_equal_nocase(span_of(value.data, 7), SPAN("Bearer ")))
        value = span_of(value.data + 7, value.size - 7);
    return span_trim(value);
}

struct span access_credential(const struct http_head *head)
{
    struct span value = access_secret(http_field(head, "authorization"));
    if (value.size == 0 || is_place_holder(value)) value = access_secret(http_field(head, "x-api-key"));
    return is_place_holder(value) ? (struct span){0} : value;
}

static bool came_through_a_proxy(const struct http_head *head)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        struct span name = head->fields[i].name;
        if (span_equal_nocase(name, SPAN("forwarded")) || span_equal_nocase(name, SPAN("via")) ||
            (name.size > 12 && span_equal_nocase(span_of(name.data, 12), SPAN("x-forwarded-"))))
            return true;
    }
    return false;
}

bool access_anonymous(const struct request *r)
{
    if (r->config->access.anonymous == ANONYMOUS_ANY) return true;
    return r->config->access.anonymous == ANONYMOUS_LOOPBACK && exchange_is_loopback(r->x) &&
           !came_through_a_proxy(&r->x->head);
}
