/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_value.c — the forms of values: durations, sizes, numbers, addresses, URLs. */
#include <arpa/inet.h>
#include <stdio.h>

#include "app/config_table.h"
#include "platform/rc.h"

struct unit {
    const char *name;
    uint64_t worth;
};

/* Largest first: printing takes the first that divides. */
static const struct unit time_units[] = {{"d", UINT64_C(86400000000)},
                                         {"h", UINT64_C(3600000000)},
                                         {"m", 60000000},
                                         {"s", 1000000},
                                         {"ms", 1000},
                                         {NULL, 0}};
static const struct unit size_units[] = {{"TiB", UINT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20},
                                         {"KiB", 1 << 10},           {"B", 1},         {NULL, 0}};

int config_value_bool(struct span text, bool *value)
{
    *value = span_equal(text, SPAN("true"));
    return *value || span_equal(text, SPAN("false")) ? RC_OK : RC_INVALID;
}

/* Digits, and at most one point among them: 0, 0.5, 12.25. */
int config_value_ratio(struct span text, double *value)
{
    double whole = 0, part = 1;
    unsigned digits = 0, points = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '.' && points++ == 0) continue;
        if (c < '0' || c > '9' || ++digits > 15) return RC_INVALID;
        whole = whole * 10 + (c - '0');
        if (points) part *= 10;
    }
    *value = whole / part; /* both exact: correctly rounded */
    return digits > 0 ? RC_OK : RC_INVALID;
}

static int with_unit(struct span text, const struct unit *units, uint64_t *value)
{
    size_t digits = 0;
    uint64_t number;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') digits++;
    if (span_to_u64(span_of(text.data, digits), UINT64_MAX / 2, &number) != RC_OK) return RC_INVALID;
    struct span name = span_of(text.data + digits, text.size - digits);
    *value = 0;
    if (name.size == 0) return number == 0 ? RC_OK : RC_INVALID;
    for (const struct unit *u = units; u->name; u++) {
        if (!span_equal(name, span_text(u->name))) continue;
        if (number > (UINT64_MAX / 2) / u->worth) return RC_INVALID;
        *value = number * u->worth;
        return RC_OK;
    }
    return RC_INVALID;
}

int config_value_duration(struct span text, uint64_t *us)
{
    return with_unit(text, time_units, us);
}

int config_value_size(struct span text, uint64_t *bytes)
{
    return with_unit(text, size_units, bytes);
}

static void put_with_unit(struct text *out, uint64_t value, const struct unit *units)
{
    const struct unit *u = units;
    if (value == 0) {
        text_put_char(out, '0');
        return;
    }
    while (u[1].name && value % u->worth != 0) u++;
    text_put_u64(out, value / u->worth);
    text_put_text(out, u->name);
}

void config_put_duration(struct text *out, uint64_t us)
{
    put_with_unit(out, us, time_units);
}

void config_put_size(struct text *out, uint64_t bytes)
{
    put_with_unit(out, bytes, size_units);
}

static bool literal(int family, struct span host, unsigned char bytes[16])
{
    char text[INET6_ADDRSTRLEN + 1];
    if (host.size >= sizeof text) return false;
    memcpy(text, host.data, host.size);
    text[host.size] = 0;
    return strlen(text) == host.size && inet_pton(family, text, bytes) == 1;
}

/* Cuts "host:port" or "[host]:port"; *bracketed says which. No port: port stays as it is. */
static int cut_port(struct span text, struct span *host, unsigned *port, bool *bracketed)
{
    uint64_t number;
    struct span after;
    *bracketed = text.size > 0 && text.data[0] == '[';
    after = span_cut(*bracketed ? span_of(text.data + 1, text.size - 1) : text, *bracketed ? ']' : ':', host);
    if (*bracketed) {
        if (host->size + 2 > text.size) return RC_INVALID; /* never closed */
        if (after.size == 0) return RC_OK;
        if (after.data[0] != ':') return RC_INVALID;
        after = span_of(after.data + 1, after.size - 1);
    } else if (host->size == text.size) {
        return RC_OK;
    }
    if (span_to_u64(after, 65535, &number) != RC_OK) return RC_INVALID;
    *port = (unsigned)number;
    return RC_OK;
}

int config_value_address(struct span text)
{
    struct span host;
    unsigned char bytes[16];
    unsigned port = 65536;
    bool bracketed;
    if (cut_port(text, &host, &port, &bracketed) != RC_OK || port > 65535) return RC_INVALID;
    return literal(bracketed ? AF_INET6 : AF_INET, host, bytes) ? RC_OK : RC_INVALID;
}

static bool host_name_fits(struct span host)
{
    if (host.size == 0 || host.size > 253 || host.data[0] == '.' || host.data[0] == '-') return false;
    for (size_t i = 0; i < host.size; i++) {
        char c = host.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '-' && c != '_' && c != '.') return false;
        if (c == '.' && i + 1 < host.size && host.data[i + 1] == '.') return false;
    }
    return true;
}

static const char *take_authority(struct span authority, struct config_url *url)
{
    unsigned char bytes[16];
    bool bracketed;
    size_t at = authority.size;
    while (at > 0 && authority.data[at - 1] != '@') at--;
    if (at > 0) {
        url->user = span_of(authority.data, at - 1);
        authority = span_of(authority.data + at, authority.size - at);
    }
    if (cut_port(authority, &url->host, &url->port, &bracketed) != RC_OK || url->port == 0)
        return "its host or port is malformed";
    if (bracketed) return literal(AF_INET6, url->host, bytes) ? NULL : "its host is no IPv6 address";
    return host_name_fits(url->host) ? NULL : "it has no valid host name";
}

const char *config_value_url(struct span text, struct config_url *url)
{
    struct span rest;
    *url = (struct config_url){0};
    if (span_starts_with(text, SPAN("https://"))) {
        url->tls = true;
        rest = span_of(text.data + 8, text.size - 8);
    } else if (span_starts_with(text, SPAN("http://"))) {
        rest = span_of(text.data + 7, text.size - 7);
    } else {
        return "it does not begin with https:// or http://";
    }
    url->port = url->tls ? 443 : 80;
    for (size_t i = 0; i < rest.size; i++) {
        if (rest.data[i] == '?' || rest.data[i] == '#') return "it has a query or a fragment";
        if (rest.data[i] <= ' ' || rest.data[i] >= 0x7f) return "it holds a blank or a byte that is not ASCII";
    }
    struct span authority;
    (void)span_cut(rest, '/', &authority);
    url->path = span_of(rest.data + authority.size, rest.size - authority.size);
    while (url->path.size > 0 && url->path.data[url->path.size - 1] == '/') url->path.size--;
    return take_authority(authority, url);
}

static bool near_v4(const unsigned char a[16])
{
    return a[0] == 127 || a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) || (a[0] == 192 && a[1] == 168) ||
           (a[0] == 169 && a[1] == 254) || (a[0] == 100 && (a[1] & 0xc0) == 64);
}

static bool near_v6(const unsigned char a[16])
{
    static const unsigned char loopback[16] = {[15] = 1};
    return memcmp(a, loopback, 16) == 0 || (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

/* RFC 1918, 3927, 4193, 4291, 6598 (shared space of overlay networks), 6761, 6762, 8375. */
bool config_host_is_near(struct span host)
{
    static const char *const endings[] = {".localhost", ".local", ".lan", ".internal", ".home.arpa"};
    unsigned char bytes[16];
    if (literal(AF_INET, host, bytes)) return near_v4(bytes);
    if (literal(AF_INET6, host, bytes)) return near_v6(bytes);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (span_ends_with(host, span_text(endings[i]))) return true;
    return memchr(host.data, '.', host.size) == NULL; /* one label: localhost, a neighbour */
}
