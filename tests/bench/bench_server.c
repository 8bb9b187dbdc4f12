/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/bench_server.c — the bare server: every request gets the same 0.9 KB reply (bench_server.sh compares it
 * with nginx `return 200`). Prints the CPU time a request when it is stopped. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/server.h"
#include "platform/clock.h"
#include "platform/loop.h"
#include "platform/rc.h"
#include "platform/text.h"

enum { BODY_SIZE = 900 };

static char reply[2048];
static size_t reply_size;
static unsigned long requests;

static void serve(struct exchange *x)
{
    struct span body;
    requests++;
    if (exchange_body(x, 1 << 20, &body) != RC_OK) return;
    x->close_after = !exchange_keep_alive(x);
    (void)exchange_send(x, reply, reply_size);
}

static void refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out)
{
    (void)head;
    text_format(out, "HTTP/1.1 %u %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status, reason);
}

static void stop(int signal)
{
    (void)signal;
    loop_stop();
}

int main(int argc, char **argv)
{
    static struct arena_budget budget = {.limit = 32 << 20};
    static struct server server = {.name = "bench",
                                   .serve = serve,
                                   .refuse = refuse,
                                   .budget = &budget,
                                   .limits = {.connections = 2048,
                                              .connections_per_address = 2048,
                                              .exchanges = 256,
                                              .head_readers = 64,
                                              .header = 32768,
                                              .arena_reserve = 1 << 21,
                                              .header_us = 10 * CLOCK_SECOND,
                                              .body_us = 60 * CLOCK_SECOND,
                                              .idle_us = 120 * CLOCK_SECOND}};
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:8098";
    char body[BODY_SIZE + 1];
    for (int i = 0; i < BODY_SIZE; i++) body[i] = 'x';
    body[BODY_SIZE] = '\0';
    reply_size =
        (size_t)snprintf(reply, sizeof reply,
                         "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                         "Content-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%s",
                         BODY_SIZE, body);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    if (loop_reserve(4096) != RC_OK || server_reserve(&server) != RC_OK) return 1;
    if (server_listen(&server, span_text(address), NULL, NULL) != RC_OK) return 1;
    uint64_t cpu = clock_cpu_us();
    int rc = loop_run();
    cpu = clock_cpu_us() - cpu;
    printf("requests=%lu cpu_us_per_request=%.3f\n", requests, requests ? (double)cpu / (double)requests : 0.0);
    return rc == RC_OK ? 0 : 1;
}
