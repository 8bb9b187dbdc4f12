/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot.c — serving, from the first file to the last commit. See boot.h. */
#include "app/boot_private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/admin/admin.h"
#include "app/gateway/embed_remote.h"
#include "app/gateway/erase.h"
#include "app/gateway/flight.h"
#include "app/gateway/later.h"
#include "app/gateway/learn.h"
#include "app/gateway/limits.h"
#include "app/gateway/probe.h"
#include "app/gateway/tenants.h"
#include "app/ledger/spend.h"
#include "cache/semantic.h"
#include "platform/clock.h"
#include "platform/heap.h"
#include "platform/log.h"
#include "platform/offload.h"
#include "platform/plan.h"
#include "platform/start.h"
#include "version.h"

struct boot boot;

uint64_t boot_uptime_us(void)
{
    return clock_monotonic_us() - boot.started_us;
}

bool boot_is_ready(void)
{
    return boot.ready && !boot.draining && cache_is_settled();
}

/* ---- the end */

static void drain_tick(struct loop_timer *timer)
{
    unsigned busy = server_busy(&boot.api) + probe_running() + later_is_busy();
    if (busy == 0 || clock_monotonic_us() >= boot.drain_deadline_us) {
        if (busy) log_warn("boot", "%u requests were still under way at the end", busy);
        loop_stop();
        return;
    }
    (void)loop_timer_set(timer, clock_monotonic_us() + CLOCK_SECOND / 50);
}

void boot_shutdown(void)
{
    if (boot.draining) return;
    boot.draining = true;
    log_info("boot", "draining: %u requests under way", server_busy(&boot.api));
    boot.drain_deadline_us = clock_monotonic_us() + (uint64_t)DRAIN_SECONDS * CLOCK_SECOND;
    server_drain(&boot.api);
    flights_drain();
    probe_stop();
    later_stop();
    boot.drain_timer.fire = drain_tick;
    (void)loop_timer_set(&boot.drain_timer, clock_monotonic_us() + CLOCK_SECOND / 50);
}

/* ---- signals */

static void on_signal(struct loop_source *source, unsigned events)
{
    struct signalfd_siginfo info;
    (void)events;
    if (read(source->fd, &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo == SIGHUP) {
        if (fiber_start(&boot.background, boot_reload_fiber, NULL) != RC_OK)
            log_warn("config", "too much is going on to reload: send SIGHUP again");
        return;
    }
    if (boot.draining) loop_stop(); /* asked twice */
    boot_shutdown();
}

static int block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    return sigprocmask(SIG_BLOCK, set, NULL) == 0 ? RC_OK : RC_IO;
}

static int watch_signals(const sigset_t *set)
{
    boot.signals.fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    boot.signals.ready = on_signal;
    return boot.signals.fd < 0 ? RC_IO : loop_add(&boot.signals, LOOP_READ);
}

/* ---- serving */

static int fail(const char *what, int rc)
{
    fprintf(stderr, "larder: error: %s: %s\n", what, rc_name(rc));
    return 1;
}

static int open_store(const struct config *c)
{
    struct cache_boot found = {0};
    char message[320] = "";
    int rc = file_make_folder(boot.data, 0700);
    if (rc != RC_OK && rc != RC_READ_ONLY) {
        fprintf(stderr, "larder: error: cannot make the data folder %s: %s\n", boot.data, rc_name(rc));
        return rc;
    }
    boot_clock_read();
    rc = cache_open(boot.data, &found);
    if (found.message[0]) log_line(rc == RC_OK ? LOG_WARN : LOG_ERROR, "store", "%s", found.message);
    if (rc != RC_OK) {
        fprintf(stderr, "larder: error: the store in %s cannot be used: %s%s%s\n", boot.data, rc_name(rc),
                found.message[0] ? ": " : "", found.message);
        return rc;
    }
    log_info("store", "%u entries in %s", found.entries, boot.data);
    (void)semantic_start(boot.data); /* it says what is wrong; exact answers need none of it */
    rc = tenants_open(boot.data, message, sizeof message);
    if (rc == RC_OK) rc = gateway_open(boot.data, message, sizeof message);
    if (rc != RC_OK) fprintf(stderr, "larder: error: %s\n", message);
    return rc == RC_OK ? admin_open(boot.data, c->admin_token) : rc;
}

static int listen_all(struct server *server, const struct config_addresses *addresses, struct tls_server *tls,
                      unsigned *port)
{
    for (unsigned i = 0; i < addresses->count; i++) {
        int rc = server_listen(server, addresses->at[i], tls, port);
        if (rc != RC_OK) {
            fprintf(stderr, "larder: error: cannot listen at %.*s: %s%s\n", SPAN_ARG(addresses->at[i]), rc_name(rc),
                    rc == RC_EXISTS ? " (another program has this port: change `listen`)" : "");
            return rc;
        }
    }
    return RC_OK;
}

static int load_certificate(const struct config *c, struct tls_server **tls)
{
    char certificate[FILE_PATH_MAX], key[FILE_PATH_MAX], message[TLS_MESSAGE_MAX] = "";
    *tls = NULL;
    if (c->listen.tls_cert.size == 0) return RC_OK;
    snprintf(certificate, sizeof certificate, "%.*s", SPAN_ARG(c->listen.tls_cert));
    snprintf(key, sizeof key, "%.*s", SPAN_ARG(c->listen.tls_key));
    int rc = tls_server_load(certificate, key, tls, message);
    if (rc != RC_OK) fprintf(stderr, "larder: error: listen.tls: %s\n", message);
    return rc;
}

static int open_doors(const struct config *c)
{
    char path[FILE_PATH_MAX];
    struct tls_server *tls;
    int rc = load_certificate(c, &tls);
    if (rc == RC_OK) rc = listen_all(&boot.api, &c->listen.api, tls, &boot.api_port);
    if (rc == RC_OK) rc = listen_all(&boot.admin, &c->listen.admin, NULL, &boot.admin_port);
    if (rc != RC_OK || c->listen.control.size == 0 || span_equal(c->listen.control, SPAN("none"))) return rc;
    snprintf(path, sizeof path, "%.*s", SPAN_ARG(c->listen.control));
    rc = control_listen(path);
    if (rc != RC_OK)
        fprintf(stderr, "larder: error: cannot open the control socket %s: %s\n", path,
                rc == RC_EXISTS ? "another box answers there" : rc_name(rc));
    return rc;
}

static void put_assumed(struct text *out, const struct config *c)
{
    text_put_text(out, "No larder.yaml here: running on the built-in default (`larder check` prints it).\n");
    for (unsigned i = 0; i < c->provider_count; i++)
        text_format(
            out, "  provider %.*s at %.*s: %s\n", SPAN_ARG(c->providers[i].name), SPAN_ARG(c->providers[i].base_url),
            c->providers[i].key.size ? "the clients' own keys, and the box's key from the environment for virtual keys"
                                     : "the clients' own keys");
    text_put_text(out, embed_current()->kind == EMBED_NONE
                           ? "  no local model: only questions that were asked before are answered from the box\n"
                           : "  questions in other words are answered from the box once it has learnt how near is near "
                             "enough: larder ctl semantic show\n");
}

static void print_banner(const struct config *c)
{
    static char banner[4096];
    struct text out = text_on(banner, sizeof banner);
    const char *scheme = c->listen.tls_cert.size ? "https" : "http";
    text_format(&out, "larder %s\n", LARDER_VERSION);
    if (!boot.config_path[0]) put_assumed(&out, c);
    text_format(&out, "\nServing at  %s://127.0.0.1:%u      admin at http://127.0.0.1:%u/metrics\n\n", scheme,
                boot.api_port, boot.admin_port);
    text_put_text(&out, "Try it, no key and no network needed:\n\n");
    text_format(&out,
                "  curl -s %s://127.0.0.1:%u/v1/chat/completions -H 'content-type: application/json' -d "
                "'{\"model\":\"larder\",\"messages\":[{\"role\":\"user\",\"content\":\"What is Larder?\"}]}'\n\n",
                scheme, boot.api_port);
    text_format(&out,
                "With a real client (Python):\n\n  from openai import OpenAI\n"
                "  client = OpenAI(base_url=\"%s://127.0.0.1:%u/v1\")   # your own OPENAI_API_KEY passes through\n"
                "  print(client.chat.completions.create(model=\"gpt-4o-mini\", messages=[{\"role\": \"user\", "
                "\"content\": \"Hello\"}]).choices[0].message.content)\n\n",
                scheme, boot.api_port);
    fputs(banner, stderr);
}

static void close_all(void)
{
    boot.ready = false;
    server_stop(&boot.api);
    server_stop(&boot.admin);
    control_close();
    gateway_close();
    semantic_stop();
    cache_close();
    offload_stop();
    tenants_close();
    limits_close();
    spend_close();
    learn_close(); /* when nothing else writes its file any more */
    log_info("boot", "stopped");
    log_stop();
}

static void finish_erasing(void *arg)
{
    (void)arg;
    erase_resume();
}

static int serve_loop(void)
{
    boot_clock_start();
    boot_embed_start();
    probe_start(&boot.background);
    later_start(&boot.background);
    if (erase_unfinished() > 0) (void)fiber_start(&boot.background, finish_erasing, NULL);
    boot.ready = true;
    int rc = loop_run();
    close_all();
    return rc == RC_OK ? 0 : fail("the event loop failed", rc);
}

static int start_serving(struct generation *first)
{
    char message[320] = "";
    const struct config *c = first->config;
    int rc = open_store(c);
    if (rc != RC_OK) return 1;
    rc = embed_remote_open(c, message, sizeof message);
    if (rc == RC_OK) rc = gateway_apply(first, message, sizeof message);
    if (rc != RC_OK) {
        fprintf(stderr, "larder: error: %s\n", message);
        return EXIT_USAGE;
    }
    rc = open_doors(c);
    if (rc != RC_OK) {
        cache_close();
        return 1;
    }
    print_banner(c);
    return serve_loop();
}

int boot_serve(const struct boot_options *options)
{
    struct generation *first;
    sigset_t signals;
    int code = boot_begin(options, &first);
    if (code != 0) return code;
    const struct config *c = first->config;
    log_configure((enum log_level)c->log_level, (enum log_format)c->log_format);
    int rc = block_signals(&signals);
    start_faults();
    if (rc == RC_OK) rc = boot_keep_baseline();
    if (rc == RC_OK) rc = boot_reserve_all(c);
    if (rc != RC_OK) return fail("cannot take the planned memory (see `larder plan`)", rc);
    boot_register_metrics();
    rc = watch_signals(&signals);
    if (rc == RC_OK) rc = log_start();
    if (rc != RC_OK) return fail("cannot start", rc);
    plan_measure();
    plan_seal();
    log_info("boot", "board %.*s: %.*s", SPAN_ARG(c->board_name), SPAN_ARG(c->board_why));
    heap_trap_arm(getenv("LARDER_HEAP_TRAP_ABORT") != NULL);
    return start_serving(first);
}
