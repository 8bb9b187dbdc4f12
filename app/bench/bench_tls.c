/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_tls.c — a full TLS handshake, both ends on this machine, as the product does it: fibers on the lane, the
 * steps on one worker. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "app/bench/report.h"
#include "net/tls.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/offload.h"
#include "platform/rc.h"

enum { PATIENCE_US = 10000000, FIBERS = 4, STACK = 65536, TIMERS = 16, QUEUE = 16 };

/* Made for this measurement, and published with it: it protects nothing. ECDSA P-256, valid 2020 to 2120. */
static const char certificate[] = "-----BEGIN CERTIFICATE-----\n"
                                  "MIIBcjCCARegAwIBAgIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxsYXJkZXIg\n"
                                  "YmVuY2gwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBcxFTATBgNV\n"
                                  "BAMMDGxhcmRlciBiZW5jaDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGEiVoQ9\n"
                                  "9qUr3HyRXjKdku4txnw4FY3lbUMLA4rpasNrh8cn/eJO58ucjWQkKSsuzHjDw295\n"
                                  "XnciysVgBX/m6kmjUjBQMA8GA1UdEwEB/wQFMAMBAf8wHgYDVR0RBBcwFYITKi5i\n"
                                  "ZW5jaC5sYXJkZXIudGVzdDAdBgNVHQ4EFgQUMKWjWFXOQXmE+o1x5KIvcuo8nJcw\n"
                                  "CgYIKoZIzj0EAwIDSQAwRgIhAKAMyKPUjb6sfOODy9qle2wexsGLTfJ4z1zjnw4B\n"
                                  "PzvEAiEAwNe8k356Q1ymkrUveGn4zEo2pQlqOpoaqPU/6Z93UHo=\n"
                                  "-----END CERTIFICATE-----\n";
static const char private_key[] = "-----BEGIN PRIVATE KEY-----\n"
                                  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKdYx3wA03G0EgChB\n"
                                  "i/egp/5Qf5+s14uidE6fwhBLjqmhRANCAARhIlaEPfalK9x8kV4ynZLuLcZ8OBWN\n"
                                  "5W1DCwOK6WrDa4fHJ/3iTufLnI1kJCkrLsx4w8NveV53IsrFYAV/5upJ\n"
                                  "-----END PRIVATE KEY-----\n";

static struct fiber_pool fibers;
static struct tls_server *server;
static struct tls_trust *trust;

void bench_tls_reserve(void)
{
    static const struct tls_limits limits = {.sessions_client = 2, .sessions_server = 2, .resumptions = 0};
    CHECK(tls_reserve(&limits) == RC_OK);
}

struct end {
    struct stream stream;
    int rc;
    bool done;
};

static void run_client(void *arg)
{
    char message[TLS_MESSAGE_MAX];
    struct end *end = arg;
    end->rc =
        tls_connect(&end->stream, trust, SPAN("box.bench.larder.test"), clock_monotonic_us() + PATIENCE_US, message);
    end->done = true;
}

static void run_server(void *arg)
{
    struct end *end = arg;
    end->rc = tls_accept(&end->stream, server, clock_monotonic_us() + PATIENCE_US);
    end->done = true;
}

static int handshake(void)
{
    struct end ends[2] = {0};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return RC_IO;
    for (unsigned i = 0; i < 2; i++) stream_init(&ends[i].stream, pair[i]);
    CHECK(fiber_start(&fibers, run_server, &ends[0]) == RC_OK);
    CHECK(fiber_start(&fibers, run_client, &ends[1]) == RC_OK);
    while (!ends[0].done || !ends[1].done) CHECK(loop_turn(PATIENCE_US) == RC_OK);
    for (unsigned i = 0; i < 2; i++) stream_close(&ends[i].stream, true);
    return ends[0].rc != RC_OK ? ends[0].rc : ends[1].rc;
}

static void run_handshake(void *context, uint64_t times)
{
    int *rc = context;
    for (uint64_t i = 0; i < times && *rc == RC_OK; i++) *rc = handshake();
}

static int write_identity(const struct bench_report *report, char certificate_path[FILE_PATH_MAX],
                          char key_path[FILE_PATH_MAX])
{
    int rc = file_join(certificate_path, report->folder, "cert.pem");
    if (rc == RC_OK) rc = file_join(key_path, report->folder, "key.pem");
    if (rc == RC_OK) rc = file_replace(certificate_path, certificate, sizeof certificate - 1, 0600);
    return rc == RC_OK ? file_replace(key_path, private_key, sizeof private_key - 1, 0600) : rc;
}

static int open_identity(const struct bench_report *report)
{
    static char paths[2][FILE_PATH_MAX], source[FILE_PATH_MAX + 8];
    char message[TLS_MESSAGE_MAX];
    int rc = write_identity(report, paths[0], paths[1]);
    snprintf(source, sizeof source, "file:%s", paths[0]);
    if (rc == RC_OK) rc = tls_server_load(paths[0], paths[1], &server, message);
    if (rc == RC_OK) rc = tls_trust_load(span_text(source), SPAN(""), &trust, message);
    return rc;
}

void bench_tls_stages(struct bench_report *report)
{
    const char *why = report->no_folder;
    int rc = loop_reserve(TIMERS);
    if (rc == RC_OK) rc = fiber_pool_reserve(&fibers, "bench", FIBERS, STACK, NULL);
    if (rc == RC_OK) rc = offload_start(1, QUEUE);
    CHECK(rc == RC_OK);
    if (!why && open_identity(report) != RC_OK) why = "its certificate does not load";
    if (why) {
        bench_skip(report, "TLS handshake", "", why);
        return;
    }
    bench_time(report, "TLS handshake", "full, P-256, both ends here", "", run_handshake, &rc);
    if (rc != RC_OK) report->results[report->count - 1].skipped = rc_name(rc);
    tls_trust_release(trust);
    tls_server_release(server);
    offload_stop();
}
