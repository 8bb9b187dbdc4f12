/* SPDX-License-Identifier: Apache-2.0 */
/* net/dns.c — the cache, and the resolver library on the lane: its sockets are loop sources, its timeouts one timer.
 *
 * An entry keeps its last good addresses past their time to live; they are what "stale" means. While a name is asked for,
 * all who want it wait on its entry.
 */
#include "net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "net/dns_private.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/heap.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    SOCKETS_MAX = 32,
    TIMEOUT_MS = 1000, /* of one query to one server; doubled by the library at the next try */
    TRIES = 2,
    REGION_BYTES = 512 * 1024, /* measured: 140 KiB with one query, most of it short-lived */
};

static const uint64_t ttl_min_us = 5 * CLOCK_SECOND;
static const uint64_t ttl_max_us = 3600 * CLOCK_SECOND;
static const uint64_t negative_us = 5 * CLOCK_SECOND;
static const uint64_t stale_wait_us = 1 * CLOCK_SECOND; /* for a fresh answer when there is an old one */

struct waiter {
    struct fiber *fiber;
    struct waiter *next;
    bool done;
};

struct entry {
    char name[DNS_NAME_MAX];  /* lower case; empty: free */
    struct dns_answer answer; /* the last good one */
    int status;               /* of the newest answer */
    uint64_t until_us;        /* that long it holds */
    uint64_t asked_us, used;
    bool pending;
    unsigned users; /* fibers with a pointer to it */
    struct waiter *waiters;
};

struct socket_source {
    struct loop_source source;
    bool taken;
};

static struct {
    struct entry *entries; /* DNS_CACHE_MAX */
    uint64_t clock;
    ares_channel_t *channel;
    char servers[DNS_SERVERS_TEXT]; /* by dns_servers_set */
    bool servers_given, renew;
    unsigned pending;
    struct loop_timer timer;
    struct socket_source sockets[SOCKETS_MAX];
} dns;

static struct metric_histogram lookup_times;
static struct metric lookups = {.name = "larder_upstream_dns_lookups_total",
                                .help = "Names asked for at name servers."};
static struct metric failures = {
    .name = "larder_upstream_dns_failures_total",
    .help = "Names for which no name server gave an answer.",
};
static struct metric stale_used = {
    .name = "larder_upstream_dns_stale_total",
    .help = "Answers from memory because no name server answered.",
};
static struct metric lookup_seconds = {
    .name = "larder_upstream_dns_seconds",
    .help = "Time until a name server had answered.",
    .kind = METRIC_HISTOGRAM,
    .histogram = &lookup_times,
};

/* ---- addresses */

bool dns_raw_parse(struct span text, struct dns_raw *raw)
{
    char plain[INET6_ADDRSTRLEN];
    *raw = (struct dns_raw){0};
    if (text.size == 0 || text.size >= sizeof plain) return false;
    memcpy(plain, text.data, text.size);
    plain[text.size] = 0;
    if (inet_pton(AF_INET, plain, raw->bytes) == 1)
        raw->family = 4;
    else if (inet_pton(AF_INET6, plain, raw->bytes) == 1)
        raw->family = 6;
    return raw->family != 0;
}

void dns_answer_add(struct dns_answer *answer, const struct dns_raw *raw)
{
    for (unsigned i = 0; i < answer->count; i++) {
        if (memcmp(&answer->addresses[i], raw, sizeof *raw) == 0) return;
    }
    if (answer->count < DNS_ADDRESSES_MAX) answer->addresses[answer->count++] = *raw;
}

static void address_put(const struct dns_raw *raw, struct dns_address *out)
{
    *out = (struct dns_address){0};
    if (raw->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out->address;
        v4->sin_family = AF_INET;
        memcpy(&v4->sin_addr, raw->bytes, sizeof v4->sin_addr);
        out->size = sizeof *v4;
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&out->address;
        v6->sin6_family = AF_INET6;
        memcpy(&v6->sin6_addr, raw->bytes, sizeof v6->sin6_addr);
        out->size = sizeof *v6;
    }
}

/* Connecting a datagram socket sends nothing; it only asks the routing table (an address of RFC 3849's documentation range
 * takes the default route). */
static bool has_route6(void)
{
    struct sockaddr_in6 far = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    inet_pton(AF_INET6, "2001:db8::1", &far.sin6_addr);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool has = connect(fd, (struct sockaddr *)&far, sizeof far) == 0;
    close(fd);
    return has;
}

static const struct dns_raw *next_of(const struct dns_answer *answer, unsigned char family, unsigned *place)
{
    while (*place < answer->count) {
        const struct dns_raw *raw = &answer->addresses[(*place)++];
        if (raw->family == family) return raw;
    }
    return NULL;
}

static unsigned interleave(const struct dns_answer *answer, struct dns_address out[DNS_ADDRESSES_MAX])
{
    unsigned count = 0, places[2] = {0, 0}, missed = 0;
    const unsigned char families[2] = {6, 4};
    unsigned turn = has_route6() ? 0 : 1;
    while (missed < 2 && count < DNS_ADDRESSES_MAX) {
        const struct dns_raw *raw = next_of(answer, families[turn], &places[turn]);
        turn = 1 - turn;
        missed = raw ? 0 : missed + 1;
        if (raw) address_put(raw, &out[count++]);
    }
    return count;
}

/* ---- the library's sockets and timer */

static void timer_set(void)
{
    struct timeval left;
    if (!dns.channel || !ares_timeout(dns.channel, NULL, &left)) {
        loop_timer_cancel(&dns.timer);
        return;
    }
    uint64_t us = (uint64_t)left.tv_sec * CLOCK_SECOND + (uint64_t)left.tv_usec;
    (void)loop_timer_set(&dns.timer, clock_monotonic_us() + us + 1000);
}

static void timer_fired(struct loop_timer *timer)
{
    (void)timer;
    if (dns.channel) ares_process_fd(dns.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    timer_set();
}

static void socket_ready(struct loop_source *source, unsigned events)
{
    bool read = (events & (LOOP_READ | LOOP_HANGUP)) != 0;
    bool write = (events & LOOP_WRITE) != 0;
    ares_process_fd(dns.channel, read ? source->fd : ARES_SOCKET_BAD, write ? source->fd : ARES_SOCKET_BAD);
    timer_set();
}

static struct socket_source *socket_find(ares_socket_t fd)
{
    struct socket_source *spare = NULL;
    for (unsigned i = 0; i < SOCKETS_MAX; i++) {
        struct socket_source *s = &dns.sockets[i];
        if (s->taken && s->source.fd == fd) return s;
        if (!s->taken && !spare) spare = s;
    }
    return spare;
}

static void socket_state(void *unused, ares_socket_t fd, int readable, int writable)
{
    (void)unused;
    struct socket_source *s = socket_find(fd);
    unsigned events = (readable ? LOOP_READ : 0u) | (writable ? LOOP_WRITE : 0u);
    if (!s) return; /* that query runs into its timeout */
    if (events == 0) {
        if (s->taken) loop_remove(&s->source);
        s->taken = false;
    } else if (s->taken) {
        (void)loop_change(&s->source, events);
    } else {
        s->source = (struct loop_source){.fd = fd, .ready = socket_ready};
        s->taken = loop_add(&s->source, events) == RC_OK;
    }
}

/* ---- the channel */

static void channel_options(const struct dns_settings *settings, struct ares_options *options, int *mask)
{
    static char *domains[DNS_DOMAINS_MAX];
    static char lookup_order[] = "b"; /* name servers only: hosts is read by dns_files.c */
    for (unsigned i = 0; i < settings->domain_count; i++) domains[i] = (char *)(uintptr_t)settings->domains[i];
    *options = (struct ares_options){
        .timeout = TIMEOUT_MS,
        .tries = TRIES,
        .ndots = settings->ndots,
        .domains = domains,
        .ndomains = (int)settings->domain_count,
        .lookups = lookup_order,
        .sock_state_cb = socket_state,
    };
    *mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
            ARES_OPT_SOCK_STATE_CB | ARES_OPT_QUERY_CACHE;
}

static int servers_apply(const struct dns_settings *settings)
{
    const char *servers = dns.servers_given ? dns.servers : settings->servers;
    if (!servers[0] || ares_set_servers_ports_csv(dns.channel, servers) == ARES_SUCCESS) return RC_OK;
    log_warn("dns", "name servers \"%s\" cannot be used", servers);
    return RC_INVALID;
}

/* A new channel would fail what is asked for just now: then only the servers change, and the rest (the search list) as soon
 * as nothing is under way. */
static int channel_renew(void)
{
    static struct dns_settings settings;
    struct ares_options options;
    int mask = 0;
    dns_settings_read(&settings);
    dns.renew = dns.pending > 0;
    if (dns.pending > 0) return servers_apply(&settings);
    if (dns.channel) ares_destroy(dns.channel);
    dns.channel = NULL;
    channel_options(&settings, &options, &mask);
    if (ares_init_options(&dns.channel, &options, mask) == ARES_SUCCESS) return servers_apply(&settings);
    dns.channel = NULL;
    return RC_FULL;
}

static int channel_ready(void)
{
    bool stale = !dns.channel || dns.renew || (!dns.servers_given && dns_settings_changed());
    return stale ? channel_renew() : RC_OK;
}

int dns_servers_set(const char *servers_csv)
{
    dns.servers_given = servers_csv != NULL;
    dns.renew = true;
    if (!servers_csv) return RC_OK;
    if (strlen(servers_csv) >= sizeof dns.servers) return RC_TOO_LARGE;
    memcpy(dns.servers, servers_csv, strlen(servers_csv) + 1);
    return RC_OK;
}

/* ---- the cache */

static struct entry *entry_find(const char *name)
{
    for (unsigned i = 0; i < DNS_CACHE_MAX; i++) {
        if (strcmp(dns.entries[i].name, name) == 0) return &dns.entries[i];
    }
    return NULL;
}

/* The entry of a name: known, or in the place of the one longest unused. NULL when all are waited for. */
static struct entry *entry_get(const char *name)
{
    struct entry *entry = entry_find(name);
    if (entry) return entry;
    for (unsigned i = 0; i < DNS_CACHE_MAX; i++) {
        struct entry *e = &dns.entries[i];
        if (e->users > 0 || e->pending) continue;
        if (!entry || e->used < entry->used) entry = e;
    }
    if (!entry) return NULL;
    *entry = (struct entry){.status = RC_EMPTY};
    memcpy(entry->name, name, strlen(name) + 1);
    return entry;
}

static void remembered(struct span name, const struct dns_answer *answer)
{
    char text[DNS_NAME_MAX];
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    struct entry *entry = entry_get(text);
    if (!entry) return;
    entry->answer = *answer;
    entry->used = ++dns.clock;
}

static void memory_write(struct text *out)
{
    for (unsigned i = 0; i < DNS_CACHE_MAX; i++) {
        const struct entry *e = &dns.entries[i];
        if (e->name[0] && e->answer.count > 0) dns_memory_line(out, e->name, &e->answer);
    }
}

static void answer_read(const struct ares_addrinfo *info, struct dns_answer *answer, uint64_t *ttl_us)
{
    uint64_t least = ttl_max_us;
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next) {
        struct dns_raw raw = {0};
        if (node->ai_family == AF_INET) {
            raw.family = 4;
            memcpy(raw.bytes, &((const struct sockaddr_in *)(const void *)node->ai_addr)->sin_addr, 4);
        } else if (node->ai_family == AF_INET6) {
            raw.family = 6;
            memcpy(raw.bytes, &((const struct sockaddr_in6 *)(const void *)node->ai_addr)->sin6_addr, 16);
        } else {
            continue;
        }
        dns_answer_add(answer, &raw);
        uint64_t ttl = node->ai_ttl > 0 ? (uint64_t)node->ai_ttl * CLOCK_SECOND : 0;
        if (ttl < least) least = ttl;
    }
    *ttl_us = least < ttl_min_us ? ttl_min_us : least;
}

static void waiters_wake(struct entry *entry)
{
    while (entry->waiters) {
        struct waiter *w = entry->waiters;
        entry->waiters = w->next;
        w->done = true;
        fiber_wake(w->fiber, RC_OK);
    }
}

static void take_good(struct entry *entry, const struct dns_answer *answer, uint64_t ttl_us)
{
    bool same = entry->answer.count == answer->count &&
                memcmp(entry->answer.addresses, answer->addresses, answer->count * sizeof answer->addresses[0]) == 0;
    entry->answer = *answer;
    entry->status = RC_OK;
    entry->until_us = clock_monotonic_us() + ttl_us;
    if (!same) dns_memory_changed(memory_write);
}

static void answered(void *context, int status, int timeouts, struct ares_addrinfo *info)
{
    struct entry *entry = context;
    struct dns_answer answer = {0};
    uint64_t ttl_us = 0;
    (void)timeouts;
    if (status == ARES_SUCCESS) answer_read(info, &answer, &ttl_us);
    if (info) ares_freeaddrinfo(info);
    dns.pending--;
    entry->pending = false;
    metric_observe_us(&lookup_seconds, clock_monotonic_us() - entry->asked_us);
    if (answer.count > 0) {
        take_good(entry, &answer, ttl_us);
    } else if (status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA ||
               status == ARES_EBADNAME) {
        entry->status = RC_NOT_FOUND;
        entry->until_us = clock_monotonic_us() + negative_us;
    } else {
        metric_add(&failures, 1);
        entry->status = RC_UNREACHABLE;
        entry->until_us = clock_monotonic_us() + negative_us;
        log_debug("dns", "%s: %s", entry->name, ares_strerror(status));
    }
    waiters_wake(entry);
}

static int ask(struct entry *entry)
{
    static const struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC};
    int rc = channel_ready();
    if (rc != RC_OK) return rc;
    entry->pending = true;
    entry->asked_us = clock_monotonic_us();
    dns.pending++;
    metric_add(&lookups, 1);
    ares_getaddrinfo(dns.channel, entry->name, NULL, &hints, answered, entry);
    timer_set();
    return RC_OK;
}

static void waiter_drop(struct entry *entry, struct waiter *waiter)
{
    for (struct waiter **place = &entry->waiters; *place; place = &(*place)->next) {
        if (*place == waiter) {
            *place = waiter->next;
            return;
        }
    }
}

/* Until the entry's answer came. */
static int entry_wait(struct entry *entry, uint64_t deadline_us)
{
    struct waiter waiter = {.fiber = fiber_self(), .next = entry->waiters};
    entry->waiters = &waiter;
    int rc = RC_OK;
    while (!waiter.done && rc == RC_OK) rc = fiber_park(deadline_us);
    if (waiter.done) return RC_OK;
    waiter_drop(entry, &waiter);
    return rc;
}

static int entry_answer(struct entry *entry, uint64_t deadline_us, bool *stale)
{
    uint64_t now = clock_monotonic_us();
    int rc = RC_OK;
    *stale = false;
    if (!entry->pending && entry->until_us <= now) rc = ask(entry);
    if (rc == RC_OK && entry->pending) {
        uint64_t soon = now + stale_wait_us;
        rc = entry_wait(entry, entry->answer.count > 0 && soon < deadline_us ? soon : deadline_us);
        if (rc == RC_CANCELLED) return rc;
    }
    if (rc == RC_OK && entry->status == RC_OK) return RC_OK;
    if (rc == RC_OK && entry->status == RC_NOT_FOUND) return RC_NOT_FOUND;
    if (entry->answer.count == 0) return rc == RC_OK ? entry->status : rc;
    *stale = true;
    metric_add(&stale_used, 1);
    return RC_OK;
}

/* ---- the door */

static void *region_take(size_t size)
{
    return heap_take(HEAP_CARES, size);
}

static void *region_resize(void *piece, size_t size)
{
    return heap_resize(HEAP_CARES, piece, size);
}

static void region_give(void *piece)
{
    if (piece) heap_give(HEAP_CARES, piece);
}

int dns_reserve(const char *last_good_path)
{
    void *region = NULL;
    int rc = plan_take("dns cache", DNS_CACHE_MAX, sizeof(struct entry), PLAN_LAZY, 0, NULL, &region);
    dns.entries = region;
    dns.timer.fire = timer_fired;
    if (rc == RC_OK) rc = heap_reserve(HEAP_CARES, REGION_BYTES, NULL);
    if (rc == RC_OK) rc = dns_files_reserve();
    if (rc == RC_OK) rc = dns_memory_reserve(last_good_path);
    if (rc != RC_OK) return rc;
    if (ares_library_init_mem(ARES_LIB_INIT_ALL, region_take, region_give, region_resize) != ARES_SUCCESS)
        return RC_FULL;
    metric_register(&lookups);
    metric_register(&failures);
    metric_register(&stale_used);
    metric_register(&lookup_seconds);
    dns_memory_load(remembered);
    return RC_OK;
}

/* Known without asking: literals, this machine, hosts. */
static bool known(struct span name, struct dns_answer *answer)
{
    struct dns_raw raw;
    bool local = span_equal_nocase(name, SPAN("localhost")) ||
                 (name.size > 10 && span_equal_nocase(span_of(name.data + name.size - 10, 10), SPAN(".localhost")));
    if (dns_raw_parse(name, &raw)) {
        dns_answer_add(answer, &raw);
        return true;
    }
    if (local) {
        (void)dns_raw_parse(SPAN("127.0.0.1"), &raw);
        dns_answer_add(answer, &raw);
        (void)dns_raw_parse(SPAN("::1"), &raw);
        dns_answer_add(answer, &raw);
        return true;
    }
    return dns_hosts_find(name, answer);
}

static bool name_copy(struct span name, char out[DNS_NAME_MAX])
{
    if (name.size == 0 || name.size >= DNS_NAME_MAX || memchr(name.data, 0, name.size)) return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    out[name.size] = 0;
    return true;
}

int dns_resolve(struct span name, uint64_t deadline_us, struct dns_address addresses[DNS_ADDRESSES_MAX],
                unsigned *count, bool *stale)
{
    struct dns_answer answer = {0};
    char text[DNS_NAME_MAX];
    *stale = false;
    *count = 0;
    if (name.size > 2 && name.data[0] == '[' && name.data[name.size - 1] == ']')
        name = span_of(name.data + 1, name.size - 2);
    if (name.size > 1 && name.data[name.size - 1] == '.') name.size--;
    if (!name_copy(name, text)) return RC_INVALID;
    if (known(name, &answer)) {
        *count = interleave(&answer, addresses);
        return RC_OK;
    }
    struct entry *entry = entry_get(text);
    if (!entry) return RC_FULL;
    entry->used = ++dns.clock;
    entry->users++;
    int rc = entry_answer(entry, deadline_us, stale);
    entry->users--;
    if (rc == RC_OK) *count = interleave(&entry->answer, addresses);
    return rc;
}
