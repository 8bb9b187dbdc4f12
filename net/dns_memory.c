/* SPDX-License-Identifier: Apache-2.0 */
/* net/dns_memory.c — the last good answers in a file, for the day on which no name server answers.
 *
 * One line a name: "api.example.com 192.0.2.1 2001:db8::1". Replaced whole by an offloaded job, at most once a minute.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "net/dns_private.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/offload.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    FILE_MAX = DNS_CACHE_MAX * (DNS_NAME_MAX + DNS_ADDRESSES_MAX * (INET6_ADDRSTRLEN + 1)),
    SAVER_STACK = 64 * 1024,
};

static const uint64_t save_soon_us = 1 * CLOCK_SECOND;
static const uint64_t save_every_us = 60 * CLOCK_SECOND;

static struct {
    char path[FILE_PATH_MAX]; /* empty: nothing is kept */
    char *text;
    struct text out;
    int result; /* of the job */
    bool saving, dirty;
    uint64_t saved_us;
    struct loop_timer timer;
    struct fiber_pool fibers;
    void (*write)(struct text *out);
} memory;

static void save_due(struct loop_timer *timer);

int dns_memory_reserve(const char *path)
{
    void *region = NULL;
    memory.timer.fire = save_due;
    memory.path[0] = 0;
    if (!path) return RC_OK;
    if (strlen(path) >= sizeof memory.path) return RC_TOO_LARGE;
    memcpy(memory.path, path, strlen(path) + 1);
    int rc = plan_take("dns last good answers", 1, FILE_MAX, PLAN_LAZY, 0, NULL, &region);
    memory.text = region;
    if (rc == RC_OK) rc = fiber_pool_reserve(&memory.fibers, "dns", 1, SAVER_STACK, NULL);
    return rc;
}

void dns_memory_load(void (*each)(struct span name, const struct dns_answer *answer))
{
    size_t size = 0;
    if (!memory.path[0]) return;
    int rc = file_read(memory.path, memory.text, FILE_MAX, &size);
    if (rc != RC_OK && rc != RC_NOT_FOUND) log_warn("dns", "%s cannot be read: %s", memory.path, rc_name(rc));
    struct span text = span_of(memory.text, rc == RC_OK ? size : 0);
    while (text.size > 0) {
        struct span line, name, word;
        struct dns_answer answer = {0};
        struct dns_raw raw;
        text = span_cut(text, '\n', &line);
        line = span_cut(line, ' ', &name);
        while (line.size > 0) {
            line = span_cut(line, ' ', &word);
            if (dns_raw_parse(word, &raw)) dns_answer_add(&answer, &raw);
        }
        if (name.size > 0 && name.size < DNS_NAME_MAX && answer.count > 0) each(name, &answer);
    }
}

void dns_memory_line(struct text *out, const char *name, const struct dns_answer *answer)
{
    text_put_text(out, name);
    for (unsigned i = 0; i < answer->count; i++) {
        char address[INET6_ADDRSTRLEN] = "";
        const struct dns_raw *raw = &answer->addresses[i];
        inet_ntop(raw->family == 4 ? AF_INET : AF_INET6, raw->bytes, address, sizeof address);
        text_put_char(out, ' ');
        text_put_text(out, address);
    }
    text_put_char(out, '\n');
}

static void save_job(void *unused)
{
    (void)unused;
    memory.result = file_replace(memory.path, memory.out.data, memory.out.size, 0600);
}

static void timer_arm(uint64_t in_us)
{
    (void)loop_timer_set(&memory.timer, loop_now_us() + in_us);
}

static void save_run(void *unused)
{
    (void)unused;
    memory.out = text_on(memory.text, FILE_MAX);
    memory.dirty = false;
    memory.write(&memory.out);
    int rc = offload(save_job, NULL);
    if (rc == RC_OK) rc = memory.result;
    if (rc != RC_OK) log_warn("dns", "%s cannot be written: %s", memory.path, rc_name(rc));
    memory.saving = false;
    memory.saved_us = loop_now_us();
    if (memory.dirty || rc == RC_FULL) timer_arm(save_every_us);
}

static void save_due(struct loop_timer *timer)
{
    (void)timer;
    memory.saving = true;
    if (fiber_start(&memory.fibers, save_run, NULL) != RC_OK) memory.saving = false;
}

void dns_memory_changed(void (*write)(struct text *out))
{
    memory.write = write;
    memory.dirty = true;
    if (!memory.path[0] || memory.saving || memory.timer.place != 0) return;
    uint64_t since = loop_now_us() - memory.saved_us;
    timer_arm(memory.saved_us == 0 || since >= save_every_us ? save_soon_us : save_every_us - since);
}
