/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/bench_soak.c — the clients of the soak: each asks, judges every byte of the answer (soak_answer.h), thinks
 * and asks again; who is refused or cut off comes back. One JSON object at the end.
 *
 *   bench_soak [options] PORT                (127.0.0.1)
 *     -c N   clients                  -d SECONDS | -n REQUESTS each
 *     -s N   of them ask for streams  -t MS   think at most so long between two questions (0: not at all)
 *     -k N   known questions, -f N the first of them, -u N: of a thousand requests ask something new (from -f + -k on)
 *     -D MS  -E N  -G MS              the provider's delay, pieces, gap; otherwise they follow from the question
 *     -o     the known ones in order  -m MODEL        -1  all ask question -f, at once
 *     -g PATH   GET this instead
 *     -l     lag: how much later than the first to have it each client has each event; the leader asks 0.2 s ahead
 *
 * Arrivals are the kernel's (SO_TIMESTAMPNS), so that a late turn of this program is not taken for the server's. Of a
 * miss the provider's own time stands in its answer; what the request took besides is added latency: of answers to the
 * first try (a repeated call would count its pause), to the first byte, or to the end where that is later.
 */
#include "tests/bench/soak_answer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 2048, REPLY_MAX = 65536, SAMPLES_MAX = 1 << 22, EVENTS = 256, PATIENCE_S = 60, LEAD_MS = 200 };

enum kind { HIT, STALE, MISS, COALESCED, OTHER, KINDS };
static const char *const kind_names[KINDS] = {"exact", "stale", "none", "coalesced", "other"};

struct client {
    int fd; /* -1: to be connected */
    bool waiting, stream, convertible;
    unsigned number, asked, event_count;
    uint64_t sent_ns, first_ns;
    size_t got, head_size, total;
    char bytes[REPLY_MAX];
};

struct samples {
    uint32_t us[SAMPLES_MAX];
    size_t count;
};

struct options {
    unsigned port, clients, streaming, think_ms, known, first, fresh, requests, delay_ms, pieces, gap_ms;
    double seconds;
    bool together, lag, fixed, order;
    const char *model, *path;
};

static struct options options = {.clients = 1, .seconds = 10, .known = 1, .model = "gpt-4o-mini"};
static struct client clients[CLIENTS_MAX];
static uint64_t due[CLIENTS_MAX]; /* 0: nothing planned */
static uint64_t arrivals[CLIENTS_MAX][SOAK_EVENTS_MAX];
static struct samples added[KINDS], overhead, lags;
static uint64_t kinds[KINDS], statuses[6], wrong, cut, hung, converted, refused;
static unsigned new_questions;
static uint64_t failed_last_ns, miss_first_ns;         /* the first answer of the provider after the last failure */
static uint64_t until_ns, gap_from_ns, gap_longest_ns; /* between good answers */
static unsigned running;
static int loop;

static void fail(const char *what)
{
    fprintf(stderr, "bench_soak: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void sample(struct samples *s, int64_t ns)
{
    if (s->count < SAMPLES_MAX) s->us[s->count++] = ns > 0 ? (uint32_t)(ns / 1000) : 0;
}

static uint32_t random_below(uint32_t limit)
{
    static uint64_t state = 7;
    state = soak_mix(state);
    return limit ? (uint32_t)(state >> 32) % limit : 0;
}

/* ---- asking */

/* Every fourth one is the newest of its form once more: it may be under way still. */
static unsigned choose_new(const struct client *c)
{
    static unsigned newest[2];
    unsigned *mine = &newest[c->stream];
    if (*mine == 0 || options.requests || random_below(4)) *mine = options.first + options.known + new_questions++;
    return *mine;
}

/* Every fourth known question is asked as a stream and as an object; every second as an object only. */
static unsigned choose(struct client *c)
{
    if (options.together) return options.first;
    if (random_below(1000) < options.fresh) return choose_new(c);
    static unsigned in_order;
    unsigned number = options.first + (options.order ? in_order++ % options.known : random_below(options.known));
    unsigned group = number % 4;
    if (c->stream ? group > 1 : group == 1) number -= group; /* of both forms */
    if (number < options.first) number += 4;
    return number;
}

static size_t compose(struct client *c, char *out, size_t room)
{
    char body[1024];
    bool given = options.fixed;
    if (options.path)
        return (size_t)snprintf(out, room, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", options.path, options.port);
    int size = snprintf(
        body, sizeof body,
        "{\"model\":\"%s\",%s\"messages\":[{\"role\":\"system\",\"content\":\"You are careful.\"},"
        "{\"role\":\"user\",\"content\":\"Question %08u [delay=%05u events=%03u gap=%04u]: what is it?\"}]}",
        options.model, c->stream ? "\"stream\":true," : "", c->number, given ? options.delay_ms : 5 + c->number % 60,
        given ? options.pieces : 3 + c->number % 17, given ? options.gap_ms : 2 + c->number % 7);
    return (size_t)snprintf(out, room,
                            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: application/json\r\n"
                            "Content-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.0\r\n"
                            "Authorization: Bearer sk-soak-0123456789abcdef0123456789\r\nContent-Length: %d\r\n\r\n%s",
                            options.port, size, body);
}

static void hang_up(struct client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->waiting = false;
}

static void open_client(struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &event) != 0) fail("epoll_ctl");
}

static void plan(struct client *c)
{
    bool over = options.requests ? c->asked >= options.requests : soak_now() >= until_ns;
    due[c - clients] = 0;
    if (over) {
        hang_up(c);
        running--;
        return;
    }
    due[c - clients] = soak_now() + 1 + (uint64_t)random_below(options.think_ms * 1000) * 1000;
}

static void ask(struct client *c)
{
    char request[2048];
    if (c->fd < 0) open_client(c);
    c->number = choose(c);
    c->convertible = c->number % 4 == 0 && !options.lag;
    c->got = c->head_size = c->total = 0;
    c->first_ns = 0;
    c->event_count = 0;
    c->waiting = true;
    c->asked++;
    size_t size = compose(c, request, sizeof request);
    due[c - clients] = soak_now() + PATIENCE_S * 1000000000ull;
    c->sent_ns = soak_now();
    if (send(c->fd, request, size, MSG_NOSIGNAL) == (ssize_t)size) return;
    hang_up(c); /* an idle connection ended meanwhile */
    c->asked--;
    due[c - clients] = soak_now() + 1000000;
}

/* ---- replies */

static const char *field(const struct client *c, const char *name)
{
    const char *at = memmem(c->bytes, c->head_size, name, strlen(name));
    return at ? at + strlen(name) : NULL;
}

static enum kind kind_of(const struct client *c)
{
    const char *hit = field(c, "\r\nx-larder-hit: ");
    for (unsigned k = 0; hit && k < OTHER; k++)
        if (strncmp(hit, kind_names[k], strlen(kind_names[k])) == 0) return k;
    return OTHER;
}

static bool is_whole(struct client *c)
{
    if (!c->head_size) {
        const char *end = memmem(c->bytes, c->got, "\r\n\r\n", 4);
        if (!end) return false;
        c->head_size = (size_t)(end - c->bytes) + 4;
        const char *length = field(c, "\r\nContent-Length: ");
        c->total = length ? c->head_size + strtoul(length, NULL, 10) : 0;
    }
    if (c->total) return c->got >= c->total;
    return c->got >= c->head_size + 5 && memcmp(c->bytes + c->got - 5, "0\r\n\r\n", 5) == 0;
}

/* The body without its chunk heads, as far as it came. */
static size_t body_of(const struct client *c, char *out)
{
    const char *at = c->bytes + c->head_size, *end = c->bytes + c->got;
    size_t size = 0;
    if (c->total || !field(c, "\r\nTransfer-Encoding: chunked")) {
        memcpy(out, at, (size_t)(end - at));
        return (size_t)(end - at);
    }
    while (at < end) {
        char *rest;
        size_t chunk = strtoul(at, &rest, 16);
        at = rest + 2;
        if (chunk == 0 || at >= end) break;
        if (chunk > (size_t)(end - at)) chunk = (size_t)(end - at);
        memcpy(out + size, at, chunk);
        size += chunk;
        at += chunk + 2;
    }
    return size;
}

static void complain(const struct client *c, const char *what)
{
    if (wrong++ < 3)
        fprintf(stderr, "bench_soak: %s, question %08u: %.*s\n", what, c->number, (int)(c->got < 4000 ? c->got : 4000),
                c->bytes);
}

static void note_added(struct client *c, enum kind kind, const struct soak_stamp *s, uint64_t last_ns)
{
    int64_t took = (int64_t)(c->first_ns - c->sent_ns);
    const char *own = field(c, "\r\nx-larder-overhead-us: ");
    if (own && kind != COALESCED) sample(&overhead, (int64_t)strtoul(own, NULL, 10) * 1000);
    if (kind == MISS) {
        if (s->call != 1) return;
        int64_t end = (int64_t)(last_ns - s->ended_ns);
        took -= (int64_t)(s->began_ns - s->had_ns);
        if (end > took) took = end;
    }
    if (kind != COALESCED) sample(&added[kind], took);
}

static void note_good(enum kind kind, uint64_t now)
{
    if (kind == MISS && miss_first_ns <= failed_last_ns) miss_first_ns = now;
    if (gap_from_ns && now - gap_from_ns > gap_longest_ns) gap_longest_ns = now - gap_from_ns;
    gap_from_ns = now;
}

static void judge(struct client *c, uint64_t last_ns)
{
    static char body[REPLY_MAX];
    struct soak_stamp stamp;
    unsigned status = (unsigned)atoi(c->bytes + 9);
    enum kind kind = kind_of(c);
    statuses[status / 100 < 6 ? status / 100 : 0]++;
    if (options.path) {
        if (status != 200) complain(c, "not 200");
        sample(&added[OTHER], (int64_t)(c->first_ns - c->sent_ns));
        return;
    }
    size_t size = body_of(c, body);
    body[size < REPLY_MAX ? size : REPLY_MAX - 1] = 0;
    if (status != 200) {
        char mark[16];
        snprintf(mark, sizeof mark, "Q%08u", c->number);
        if (strstr(body, "failing on purpose") && !strstr(body, mark)) complain(c, "another question's error");
        if (strstr(body, "\"overloaded\"")) refused++;
        failed_last_ns = last_ns;
        return;
    }
    kinds[kind]++;
    enum soak_verdict verdict = soak_judge(body, size, c->number, c->stream, c->convertible, &stamp);
    if (verdict == SOAK_WRONG) complain(c, "a wrong answer");
    if (verdict == SOAK_CONVERTED) converted++;
    note_added(c, kind, &stamp, last_ns);
    note_good(kind, last_ns);
}

static void note_events(struct client *c, size_t from, uint64_t when_ns)
{
    const char *at = c->bytes + (from ? from - 1 : 0), *end = c->bytes + c->got;
    while ((at = memmem(at, (size_t)(end - at), "\n\n", 2)) != NULL) {
        if (c->event_count < SOAK_EVENTS_MAX) arrivals[c - clients][c->event_count++] = when_ns;
        at += 2;
    }
}

static ssize_t receive(int fd, char *into, size_t room, uint64_t *when_ns)
{
    char control[256];
    struct iovec part = {into, room};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
    *when_ns = soak_now();
    if (size <= 0) return size;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec t;
        memcpy(&t, CMSG_DATA(c), sizeof t);
        *when_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    return size;
}

/* The connection broke: within an answer it must have begun as the right one. */
static void broken(struct client *c)
{
    static char body[REPLY_MAX];
    bool waited = c->waiting;
    hang_up(c);
    if (!waited) return; /* an idle one: the next question connects anew */
    if (c->got && !is_whole(c)) {
        size_t size = c->head_size ? body_of(c, body) : 0;
        if (!soak_is_beginning(body, size, c->number)) complain(c, "a wrong beginning");
    }
    cut++;
    failed_last_ns = soak_now();
    plan(c);
}

static void take(struct client *c)
{
    uint64_t when_ns;
    ssize_t size = receive(c->fd, c->bytes + c->got, sizeof c->bytes - 1 - c->got, &when_ns);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        broken(c);
        return;
    }
    if (!c->waiting) {
        complain(c, "bytes that nobody asked for");
        return;
    }
    size_t from = c->got;
    c->got += (size_t)size;
    c->bytes[c->got] = 0;
    if (!c->first_ns) c->first_ns = when_ns;
    if (options.lag) note_events(c, from, when_ns);
    if (!is_whole(c)) return;
    c->waiting = false;
    judge(c, when_ns);
    if (field(c, "\r\nConnection: close")) hang_up(c);
    plan(c);
}

static void give_up(struct client *c)
{
    if (hung++ < 3) fprintf(stderr, "bench_soak: no answer in time to question %08u\n", c->number);
    hang_up(c);
    plan(c);
}

/* Whoever's time has come asks, or has waited too long. How long the loop may sleep then. */
static int take_due(void)
{
    uint64_t now = soak_now(), next = UINT64_MAX;
    for (unsigned i = 0; i < options.clients; i++) {
        if (due[i] && due[i] <= now) {
            if (clients[i].waiting)
                give_up(&clients[i]);
            else
                ask(&clients[i]);
        }
        if (due[i] && due[i] < next) next = due[i];
    }
    if (next == UINT64_MAX) return -1;
    now = soak_now();
    return next <= now ? 0 : (int)((next - now) / 1000000u) + 1;
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    until_ns = soak_now() + (uint64_t)(options.seconds * 1e9);
    running = options.clients;
    for (unsigned i = 0; i < options.clients; i++) {
        clients[i].fd = -1;
        clients[i].stream = i < options.streaming;
        open_client(&clients[i]);
    }
    uint64_t start = soak_now() + 1;
    for (unsigned i = 0; i < options.clients; i++)
        due[i] = start + (options.lag && i ? LEAD_MS * 1000000ull : 0) +
                 (uint64_t)random_below(options.think_ms * 1000) * 1000;
    while (running) {
        int timeout = take_due(), count = running ? epoll_wait(loop, events, EVENTS, timeout) : 0;
        for (int i = 0; i < count; i++) take(events[i].data.ptr);
    }
}

/* ---- what is said */

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void print_samples(const char *name, struct samples *s)
{
    printf(", \"%s\": {\"count\": %zu", name, s->count);
    qsort(s->us, s->count, sizeof s->us[0], by_size);
    if (s->count)
        printf(", \"p50\": %u, \"p90\": %u, \"p99\": %u, \"p999\": %u, \"max\": %u", s->us[s->count / 2],
               s->us[s->count * 9 / 10], s->us[s->count * 99 / 100], s->us[s->count * 999 / 1000], s->us[s->count - 1]);
    printf("}");
}

/* The earliest arrival of event e at any client; 0 when not all have it. */
static uint64_t first_arrival(unsigned e)
{
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < options.clients; i++) {
        if (e >= clients[i].event_count) return 0;
        if (arrivals[i][e] < first) first = arrivals[i][e];
    }
    return first;
}

/* Against whoever had an event first, the leader or another. What came before all had joined is no lag. */
static void gather_lags(void)
{
    uint64_t joined = clients[options.clients - 1].sent_ns + LEAD_MS * 1000000ull;
    for (unsigned e = 0; options.lag && e < SOAK_EVENTS_MAX; e++) {
        uint64_t first = first_arrival(e);
        if (first < joined) continue;
        for (unsigned i = 0; i < options.clients; i++) sample(&lags, (int64_t)(arrivals[i][e] - first));
    }
}

static void print(void)
{
    uint64_t answers = 0;
    for (unsigned k = 0; k < KINDS; k++) answers += kinds[k];
    printf("{\"answers\": %llu, \"wrong\": %llu, \"cut\": %llu, \"hung\": %llu, \"converted\": %llu, \"refused\": %llu",
           (unsigned long long)answers, (unsigned long long)wrong, (unsigned long long)cut, (unsigned long long)hung,
           (unsigned long long)converted, (unsigned long long)refused);
    for (unsigned s = 2; s < 6; s++) printf(", \"%uxx\": %llu", s, (unsigned long long)statuses[s]);
    for (unsigned k = 0; k < KINDS; k++) printf(", \"%s\": %llu", kind_names[k], (unsigned long long)kinds[k]);
    for (unsigned k = 0; k < KINDS; k++) {
        char name[32];
        snprintf(name, sizeof name, "added_%s", kind_names[k]);
        print_samples(name, &added[k]);
    }
    print_samples("overhead", &overhead);
    gather_lags();
    print_samples("lag", &lags);
    printf(", \"gap_ms\": %.1f, \"miss_first\": %.6f, \"failed_last\": %.6f}\n", (double)gap_longest_ns / 1e6,
           (double)miss_first_ns / 1e9, (double)failed_last_ns / 1e9);
}

static void read_option(int letter)
{
    unsigned number = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
    switch (letter) {
    case 'c': options.clients = number; break;
    case 'd': options.seconds = atof(optarg); break;
    case 'n': options.requests = number; break;
    case 's': options.streaming = number; break;
    case 't': options.think_ms = number; break;
    case 'k': options.known = number; break;
    case 'f': options.first = number; break;
    case 'u': options.fresh = number; break;
    case 'D':
        options.delay_ms = number;
        options.fixed = true;
        break;
    case 'E': options.pieces = number; break;
    case 'G': options.gap_ms = number; break;
    case 'm': options.model = optarg; break;
    case 'g': options.path = optarg; break;
    case 'o': options.order = true; break;
    case '1': options.together = true; break;
    case 'l': options.lag = options.together = true; break;
    default: exit(2);
    }
}

int main(int argc, char **argv)
{
    int letter;
    while ((letter = getopt(argc, argv, "c:d:n:s:t:k:f:u:D:E:G:m:g:1lo")) != -1) read_option(letter);
    if (optind >= argc || options.clients < 1 || options.clients > CLIENTS_MAX || options.pieces > SOAK_EVENTS_MAX - 6)
        return 2;
    options.port = (unsigned)atoi(argv[optind]);
    loop = epoll_create1(0);
    run();
    print();
    return wrong || hung ? 3 : 0;
}
