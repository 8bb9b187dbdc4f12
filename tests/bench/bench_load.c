/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/bench_load.c — a load generator: many keep-alive connections on one thread, each asks again when it is
 * answered. It exists beside wrk because it asks distinct questions, times the first byte of a body, and costs little.
 *
 *   bench_load [options] PORT [PROGRAM ARGUMENT...]        (127.0.0.1)
 *     -c N  connections               -d SECONDS | -n REQUESTS
 *     -f N  number of the first question       -k N  questions before they repeat (0: never)
 *     -s    ask for a stream          -p PATH        -H 'Field: value'
 *     -e TEXT  what each reply's head must hold; a reply without it, or with a status other than 200, is an error
 *
 * With a PROGRAM: starts it on core 0 just before and ends it afterwards; `start` is the time from before fork and exec
 * to the last byte of the first answer, in seconds (with -c 1 -n 1).
 *
 * Prints one JSON object. Times are in microseconds, of the steady clock, from the send to the last (first_: the first)
 * byte of the body. The bodies of one size: question numbers have eight digits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 4096,
    REPLY_MAX = 65536,
    REQUEST_MAX = 8192,
    DIGITS = 8,
    STEPS = 64, /* of a histogram: linear parts of each power of two */
    SCALES = 32,
    FIELDS_MAX = 8,
    EVENTS = 128,
    CONNECT_TRIES = 50000,
    CONNECT_PAUSE_US = 100, /* while a started program does not listen yet */
};

struct asker {
    int fd;
    size_t got, head_size, total; /* total: 0 while it is not known (chunked) */
    uint64_t sent_ns, first_ns;
    char tail[7];
};

struct histogram {
    uint64_t cells[SCALES * STEPS], count, max;
};

struct options {
    unsigned connections, port, field_count;
    double seconds;
    uint64_t requests, first, distinct;
    bool stream;
    const char *path, *expect, *fields[FIELDS_MAX];
};

/* The head seen last. Heads of one server have one size mostly, and then only their ends are looked at. */
struct known_head {
    size_t size, length_at, length_size, total;
    char length[64];
};

static struct options options = {.connections = 1, .seconds = 2, .path = "/v1/chat/completions"};
static struct asker askers[CONNECTIONS_MAX];
static struct histogram whole, first;
static struct known_head known;
static char request[REQUEST_MAX];
static size_t request_size, number_at;
static uint64_t asked, answered, errors, bytes_in;
static int loop;
static pid_t program; /* 0: none was started */

static void fail(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- percentiles */

static unsigned cell_of(uint64_t ns)
{
    if (ns < STEPS) return (unsigned)ns;
    unsigned scale = 63u - (unsigned)__builtin_clzll(ns) - 5u;
    unsigned cell = scale * (STEPS / 2) + (unsigned)(ns >> scale);
    return cell < SCALES * STEPS ? cell : SCALES * STEPS - 1;
}

static double cell_ns(unsigned cell)
{
    if (cell < STEPS) return cell;
    unsigned scale = cell / (STEPS / 2) - 1;
    return (double)((uint64_t)(cell - scale * (STEPS / 2)) << scale);
}

static void note(struct histogram *h, uint64_t ns)
{
    h->cells[cell_of(ns)]++;
    h->count++;
    if (ns > h->max) h->max = ns;
}

static double quantile_us(const struct histogram *h, double q)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)h->count * q);
    for (unsigned i = 0; i < SCALES * STEPS; i++) {
        seen += h->cells[i];
        if (seen > wanted) return cell_ns(i) / 1000;
    }
    return (double)h->max / 1000;
}

/* ---- asking */

static void compose(void)
{
    static const char system[] = "You are a careful assistant for the owner of an edge gateway. Answer in one short "
                                 "paragraph, in plain words, and say so when you do not know.";
    char body[2048], fields[2048] = "";
    int size = snprintf(body, sizeof body,
                        "{\"model\":\"gpt-4o-mini\",%s\"messages\":[{\"role\":\"system\",\"content\":\"%s\"},"
                        "{\"role\":\"user\",\"content\":\"Question %0*d: what does the box do?\"}]}",
                        options.stream ? "\"stream\":true," : "", system, DIGITS, 0);
    size_t used = 0;
    for (unsigned i = 0; i < options.field_count; i++)
        used += (size_t)snprintf(fields + used, sizeof fields - used, "%s\r\n", options.fields[i]);
    request_size = (size_t)snprintf(request, sizeof request,
                                    "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: application/json\r\n"
                                    "Content-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.0\r\n"
                                    "Authorization: Bearer sk-bench-0123456789abcdef0123456789\r\n"
                                    "%sContent-Length: %d\r\n\r\n%s",
                                    options.path, options.port, fields, size, body);
    number_at = (size_t)(strstr(request, "Question ") - request) + strlen("Question ");
}

static void put_number(uint64_t number)
{
    for (size_t i = DIGITS; i > 0; i--) {
        request[number_at + i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
}

static void ask(struct asker *a)
{
    put_number(options.first + (options.distinct ? asked % options.distinct : asked));
    asked++;
    a->got = a->head_size = a->total = 0;
    a->first_ns = 0;
    a->sent_ns = clock_ns(CLOCK_MONOTONIC);
    if (send(a->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) fail("send");
}

static int connect_to(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (unsigned tries = 0; tries < (program ? CONNECT_TRIES : 1); tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
        close(fd);
        if (program) usleep(CONNECT_PAUSE_US);
    }
    return -1;
}

static void open_asker(struct asker *a)
{
    int on = 1;
    a->fd = connect_to(options.port);
    if (a->fd < 0) fail("connect");
    setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = a};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, a->fd, &event) != 0) fail("epoll_ctl");
}

/* ---- replies */

static const char *find(const char *in, size_t size, const char *what)
{
    return memmem(in, size, what, strlen(what));
}

static bool as_before(const struct asker *a, const char *bytes, size_t size)
{
    return known.size && size >= known.size && memcmp(bytes + known.size - 4, "\r\n\r\n", 4) == 0 && a->got == 0 &&
           memcmp(bytes + known.length_at, known.length, known.length_size) == 0;
}

static void learn_head(struct asker *a, const char *bytes)
{
    const char *length = find(bytes, a->head_size, "\r\nContent-Length: ");
    known.size = 0;
    a->total = 0;
    if (!length) return;
    a->total = a->head_size + strtoul(length + 18, NULL, 10);
    const char *end = find(length + 2, a->head_size - (size_t)(length - bytes) - 2, "\r\n");
    known = (struct known_head){.size = a->head_size, .total = a->total, .length_at = (size_t)(length - bytes)};
    known.length_size = (size_t)(end + 2 - length);
    memcpy(known.length, length, known.length_size);
}

/* The head has come in one read: replies here are small. */
static void read_head(struct asker *a, const char *bytes, size_t size)
{
    bool fine = size > 12 && memcmp(bytes + 9, "200", 3) == 0;
    if (as_before(a, bytes, size)) {
        a->head_size = known.size;
        a->total = known.total;
    } else {
        const char *end = find(bytes, size, "\r\n\r\n");
        if (!end) fail("a head in pieces");
        a->head_size = (size_t)(end - bytes) + 4;
        learn_head(a, bytes);
    }
    if (!fine || (options.expect && !find(bytes, a->head_size, options.expect))) {
        if (errors++ == 0) fprintf(stderr, "bench_load: not as expected: %.*s\n", (int)size, bytes);
    }
}

static void keep_tail(struct asker *a, const char *bytes, size_t size)
{
    if (size >= sizeof a->tail) {
        memcpy(a->tail, bytes + size - sizeof a->tail, sizeof a->tail);
        return;
    }
    memmove(a->tail, a->tail + size, sizeof a->tail - size);
    memcpy(a->tail + sizeof a->tail - size, bytes, size);
}

static bool is_whole(const struct asker *a)
{
    if (a->total) return a->got >= a->total;
    return memcmp(a->tail, "\r\n0\r\n\r\n", sizeof a->tail) == 0;
}

/* Whether the reply is complete. */
static bool take(struct asker *a)
{
    static char bytes[REPLY_MAX];
    ssize_t size = recv(a->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return false;
    if (size <= 0) fail("the server closed a connection");
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (a->got == 0) read_head(a, bytes, (size_t)size);
    a->got += (size_t)size;
    bytes_in += (size_t)size;
    if (a->first_ns == 0 && a->got > a->head_size) {
        a->first_ns = now;
        note(&first, now - a->sent_ns);
    }
    if (a->total == 0) keep_tail(a, bytes, (size_t)size);
    if (!is_whole(a)) return false;
    note(&whole, now - a->sent_ns);
    answered++;
    return true;
}

/* ---- */

static void read_option(int letter)
{
    switch (letter) {
    case 'c': options.connections = (unsigned)atoi(optarg); break;
    case 'd': options.seconds = atof(optarg); break;
    case 'n': options.requests = strtoull(optarg, NULL, 10); break;
    case 'f': options.first = strtoull(optarg, NULL, 10); break;
    case 'k': options.distinct = strtoull(optarg, NULL, 10); break;
    case 's': options.stream = true; break;
    case 'p': options.path = optarg; break;
    case 'e': options.expect = optarg; break;
    case 'H':
        if (options.field_count < FIELDS_MAX) options.fields[options.field_count++] = optarg;
        break;
    default: exit(2);
    }
}

static void print(double seconds, double cpu)
{
    printf(
        "{\"requests\": %llu, \"errors\": %llu, \"seconds\": %.6f, \"rate\": %.1f, \"own_cpu\": %.3f, \"bytes\": %llu",
        (unsigned long long)answered, (unsigned long long)errors, seconds, (double)answered / seconds, cpu / seconds,
        (unsigned long long)bytes_in);
    printf(", \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"p999\": %.3f, \"max\": %.3f", quantile_us(&whole, 0.5),
           quantile_us(&whole, 0.9), quantile_us(&whole, 0.99), quantile_us(&whole, 0.999), (double)whole.max / 1000);
    printf(", \"first_p50\": %.3f, \"first_p99\": %.3f", quantile_us(&first, 0.5), quantile_us(&first, 0.99));
    printf(", \"start\": %.6f}\n", program ? seconds : 0);
}

/* Until the time is over or all have been asked; then what is under way ends. */
static void run(uint64_t until_ns)
{
    unsigned busy = options.connections;
    struct epoll_event events[EVENTS];
    for (unsigned i = 0; i < options.connections; i++) ask(&askers[i]);
    while (busy > 0) {
        int count = epoll_wait(loop, events, EVENTS, 10000);
        if (count == 0) fail("nothing came for ten seconds");
        for (int i = 0; i < count; i++) {
            struct asker *a = events[i].data.ptr;
            if (!take(a)) continue;
            bool over = options.requests ? asked >= options.requests : clock_ns(CLOCK_MONOTONIC) >= until_ns;
            if (over)
                busy--;
            else
                ask(a);
        }
    }
}

static void start_program(char **arguments)
{
    program = fork();
    if (program < 0) fail("fork");
    if (program > 0) return;
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET(0, &core);
    sched_setaffinity(0, sizeof core, &core);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execv(arguments[0], arguments);
    fail(arguments[0]);
}

static void end_program(void)
{
    if (!program) return;
    kill(program, SIGTERM);
    waitpid(program, NULL, 0);
}

int main(int argc, char **argv)
{
    int letter;
    while ((letter = getopt(argc, argv, "+c:d:n:f:k:sp:e:H:")) != -1) read_option(letter);
    if (optind >= argc || options.connections < 1 || options.connections > CONNECTIONS_MAX) return 2;
    options.port = (unsigned)atoi(argv[optind]);
    if (options.requests && options.connections > options.requests) options.connections = (unsigned)options.requests;
    loop = epoll_create1(0);
    compose();
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    if (optind + 1 < argc) start_program(argv + optind + 1);
    for (unsigned i = 0; i < options.connections; i++) open_asker(&askers[i]);
    if (!program) start = clock_ns(CLOCK_MONOTONIC);
    uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run(start + (uint64_t)(options.seconds * 1e9));
    uint64_t end = clock_ns(CLOCK_MONOTONIC);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    print((double)(end - start) / 1e9, (double)cpu / 1e9);
    end_program();
    return errors ? 3 : 0;
}
