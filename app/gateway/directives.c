/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/directives.c — see directives.h. */
#include "app/gateway/directives.h"

enum { SECONDS_MAX = INT32_MAX };

static int64_t seconds_of(struct span value)
{
    uint64_t seconds;
    if (value.size > 1 && value.data[0] == '"') value = span_of(value.data + 1, value.size - 2);
    return span_to_u64(value, SECONDS_MAX, &seconds) == RC_OK ? (int64_t)seconds : 0;
}

static void read_one(struct span item, struct directives *d)
{
    struct span name, value = span_trim(span_cut(item, '=', &name));
    name = span_trim(name);
    if (span_equal_nocase(name, SPAN("no-cache")))
        d->no_cache = true;
    else if (span_equal_nocase(name, SPAN("no-store")))
        d->no_store = true;
    else if (span_equal_nocase(name, SPAN("only-if-cached")))
        d->only_if_cached = true;
    else if (span_equal_nocase(name, SPAN("max-age")))
        d->max_age = seconds_of(value);
    else if (span_equal_nocase(name, SPAN("stale-if-error")))
        d->stale_if_error = seconds_of(value);
    else if (span_equal_nocase(name, SPAN("max-stale"))) {
        d->any_stale = value.size == 0;
        d->max_stale = value.size ? seconds_of(value) : SECONDS_MAX;
    }
}

static void read_list(struct span list, struct directives *d)
{
    while (list.size) {
        struct span item;
        list = span_cut(list, ',', &item);
        read_one(span_trim(item), d);
    }
}

static bool is_larder_field(struct span name)
{
    return name.size > 9 && span_equal_nocase(span_of(name.data, 9), SPAN("x-larder-")) &&
           !span_equal_nocase(name, SPAN("x-larder-namespace"));
}

void directives_read(const struct http_head *head, struct directives *d)
{
    *d = (struct directives){.max_age = -1, .max_stale = -1, .stale_if_error = -1};
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (span_equal_nocase(f->name, SPAN("cache-control"))) {
            read_list(f->value, d);
            d->present = true;
        } else if (is_larder_field(f->name)) {
            d->present = true;
        }
    }
    struct span accept = http_field(head, "accept");
    if (d->no_cache && span_contains(accept, SPAN("text/event-stream"))) d->no_cache = false;
    struct span own = http_field(head, "x-larder-cache");
    if (own.size) read_list(own, d);
}

bool directives_allow(const struct directives *d, int64_t age_s, int64_t ttl_s)
{
    if (d->max_age >= 0 && age_s > d->max_age) return false;
    if (age_s <= ttl_s) return true;
    return d->max_stale >= 0 && (d->any_stale || age_s - ttl_s <= d->max_stale);
}
