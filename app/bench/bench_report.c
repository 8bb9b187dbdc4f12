/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_report.c — the report of all stages: sampling, the device, text and JSON. */
#include "app/bench/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "app/model/import.h"
#include "cache/encode.h"
#include "hal/identity.h"
#include "hal/small_file.h"
#include "hal/thermal.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "platform/start.h"
#include "version.h"

#define QUICK_SECONDS 0.02

enum { WARM_NS = 50000000 };

/* ---- sampling */

static struct bench_result *result_add(struct bench_report *report, const char *stage, const char *detail)
{
    CHECK(report->count < BENCH_RESULTS_MAX);
    struct bench_result *result = &report->results[report->count++];
    *result = (struct bench_result){.stage = stage, .detail = detail, .kernel = ""};
    return result;
}

void bench_skip(struct bench_report *report, const char *stage, const char *detail, const char *why)
{
    result_add(report, stage, detail)->skipped = why;
}

static double clock_cost(struct bench_samples *samples)
{
    samples->count = 0;
    for (unsigned i = 0; i < 1001; i++) bench_sample(samples, bench_now_ns());
    return bench_summarise(samples).median_us * 1000;
}

/* Runs until it is warm; how many of the fastest runs take BENCH_BATCH_NS. */
static uint64_t warm_up(bench_body *body, void *context)
{
    uint64_t end = bench_now_ns() + WARM_NS, now = 0, times = 1;
    double least_ns = BENCH_BATCH_NS;
    while (now < end) {
        uint64_t since = bench_now_ns();
        body(context, times);
        now = bench_now_ns();
        double one = (double)(now - since) / (double)times;
        if (one < least_ns) least_ns = one;
        if (now - since < BENCH_BATCH_NS) times *= 2;
    }
    return least_ns < 1 ? BENCH_BATCH_NS : (uint64_t)(BENCH_BATCH_NS / least_ns + 0.999);
}

/* In picoseconds, so that a batch can be divided. */
static void sample_add(struct bench_report *report, uint64_t took_ns, uint64_t batch)
{
    double one = ((double)took_ns - report->clock_cost_ns) * 1000 / (double)batch;
    report->samples.ns[report->samples.count++] = one > 0 ? (uint64_t)one : 0;
}

void bench_time(struct bench_report *report, const char *stage, const char *detail, const char *kernel,
                bench_body *body, void *context)
{
    struct bench_result *result = result_add(report, stage, detail);
    uint64_t batch = warm_up(body, context);
    uint64_t end = bench_now_ns() + (uint64_t)(report->seconds * 1e9);
    report->samples.count = 0;
    while (report->samples.count < BENCH_SAMPLES_MAX) {
        uint64_t since = bench_now_ns();
        if (since >= end && report->samples.count >= BENCH_COUNT_LEAST) break;
        body(context, batch);
        sample_add(report, bench_now_ns() - since, batch);
    }
    result->kernel = kernel;
    result->batch = batch;
    result->count = batch * report->samples.count;
    struct bench_summary summary = bench_summarise(&report->samples);
    result->median_us = summary.median_us / 1000;
    result->p99_us = summary.p99_us / 1000;
}

/* ---- the device */

static void name_clock(struct bench_device *device)
{
    static const char *const trusts[] = {
        [CLOCK_UNSET] = "unset", [CLOCK_PLAUSIBLE] = "plausible", [CLOCK_CONFIRMED] = "confirmed"};
    struct tm tm;
    time_t now = (time_t)(clock_wall_us() / CLOCK_SECOND);
    snprintf(device->clock, sizeof device->clock, "%s", trusts[clock_trust()]);
    (void)strftime(device->time, sizeof device->time, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
}

static bool hottest(int *millidegrees)
{
    struct thermal_zone zone;
    bool known = false;
    for (unsigned i = 0; i < THERMAL_ZONES_MAX; i++) {
        int rc = thermal_read(i, &zone);
        if (rc == RC_NOT_FOUND) break;
        if (rc != RC_OK || (known && zone.millidegrees <= *millidegrees)) continue;
        *millidegrees = zone.millidegrees;
        known = true;
    }
    return known;
}

void bench_device_before(struct bench_device *device)
{
    struct utsname system;
    *device = (struct bench_device){.cores = cpu_features()->cores, .page_size = cpu_features()->page_size};
    (void)identity_model(device->board, sizeof device->board);
    (void)identity_machine(device->machine, sizeof device->machine);
    (void)small_file_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", device->governor,
                          sizeof device->governor);
    snprintf(device->cpu, sizeof device->cpu, "%s", cpu_features()->name);
    CHECK(uname(&system) == 0);
    snprintf(device->kernel, sizeof device->kernel, "%s %s", system.sysname, system.release);
    snprintf(device->arch, sizeof device->arch, "%s", system.machine);
    name_clock(device);
    device->before_known = hottest(&device->before_millidegrees);
}

void bench_device_after(struct bench_device *device)
{
    device->after_known = hottest(&device->after_millidegrees);
}

/* ---- JSON: one object, a stage a line */

static void json_text(struct text *out, const char *name, const char *value)
{
    text_format(out, ",\"%s\":", name);
    if (value[0])
        text_put_json(out, span_text(value));
    else
        text_put_text(out, "null");
}

static void json_degrees(struct text *out, const char *name, bool known, int millidegrees)
{
    if (known)
        text_format(out, ",\"%s\":%.1f", name, millidegrees / 1000.0);
    else
        text_format(out, ",\"%s\":null", name);
}

static void json_device(const struct bench_device *device, struct text *out)
{
    text_format(out, "\"device\":{\"cores\":%u,\"page_size\":%zu", device->cores, device->page_size);
    json_text(out, "board", device->board);
    json_text(out, "machine", device->machine);
    json_text(out, "cpu", device->cpu);
    json_text(out, "arch", device->arch);
    json_text(out, "kernel", device->kernel);
    json_text(out, "governor", device->governor);
    json_text(out, "clock", device->clock);
    json_text(out, "time", device->time);
    json_degrees(out, "celsius_before", device->before_known, device->before_millidegrees);
    json_degrees(out, "celsius_after", device->after_known, device->after_millidegrees);
    text_put_text(out, "}");
}

static void json_result(const struct bench_result *r, struct text *out)
{
    text_put_text(out, "{\"stage\":");
    text_put_json(out, span_text(r->stage));
    text_put_text(out, ",\"detail\":");
    text_put_json(out, span_text(r->detail));
    if (r->skipped) {
        json_text(out, "skipped", r->skipped);
    } else {
        json_text(out, "kernel", r->kernel);
        text_format(out, ",\"median_us\":%.4f,\"p99_us\":%.4f,\"count\":%llu,\"batch\":%llu", r->median_us, r->p99_us,
                    (unsigned long long)r->count, (unsigned long long)r->batch);
    }
    text_put_text(out, "}");
}

void bench_report_json(const struct bench_report *report, const struct bench_device *device, struct text *out)
{
    text_format(out, "{\"larder_bench\":%d,\"version\":\"%s\",\"seconds\":%.3f,\n", BENCH_REPORT_VERSION,
                LARDER_VERSION, report->seconds);
    json_device(device, out);
    text_put_text(out, ",\n\"stages\":[");
    for (unsigned i = 0; i < report->count; i++) {
        text_put_text(out, i ? ",\n" : "\n");
        json_result(&report->results[i], out);
    }
    text_put_text(out, "\n]}\n");
}

/* ---- text */

static void text_degrees(struct text *out, const char *when, bool known, int millidegrees)
{
    if (known)
        text_format(out, ", %.1f C %s", millidegrees / 1000.0, when);
    else
        text_format(out, ", temperature %s unknown", when);
}

static void text_device(const struct bench_device *d, struct text *out)
{
    text_format(out, "larder %s on %s: %s, %u cores, %s, pages of %zu bytes, %s\n", LARDER_VERSION,
                d->board[0] ? d->board : "an unnamed machine", d->cpu, d->cores, d->arch, d->page_size, d->kernel);
    text_format(out, "%s (clock %s), governor %s", d->time, d->clock, d->governor[0] ? d->governor : "unknown");
    text_degrees(out, "before", d->before_known, d->before_millidegrees);
    text_degrees(out, "after", d->after_known, d->after_millidegrees);
    text_put_text(out, "\n\n");
}

void bench_report_text(const struct bench_report *report, const struct bench_device *device, struct text *out)
{
    text_device(device, out);
    text_format(out, "%-14s %-28s %-11s %12s %12s %10s\n", "stage", "of", "kernel", "median us", "p99 us", "runs");
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *r = &report->results[i];
        if (r->skipped)
            text_format(out, "%-14s %-28s skipped: %s\n", r->stage, r->detail, r->skipped);
        else
            text_format(out, "%-14s %-28s %-11s %12.3f %12.3f %10llu\n", r->stage, r->detail, r->kernel, r->median_us,
                        r->p99_us, (unsigned long long)r->count);
    }
    text_put_text(out, "\np99: of single runs from 10 us on, of batches of about 10 us below.\n");
}

/* ---- the command */

static struct bench_report report;
static char printed[BENCH_REPORT_MAX];

static void make_folder(const char *parent)
{
    if (file_join(report.folder, parent, "larder-bench-XXXXXX") == RC_OK && mkdtemp(report.folder)) return;
    report.folder[0] = '\0';
    report.no_folder = "its folder cannot be written: see --folder";
}

static void remove_folder(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "cert.pem", "key.pem"};
    char path[FILE_PATH_MAX];
    for (size_t i = 0; report.folder[0] && i < sizeof files / sizeof files[0]; i++)
        if (file_join(path, report.folder, files[i]) == RC_OK) (void)unlink(path);
    if (report.folder[0]) (void)rmdir(report.folder);
}

static void run_stages(struct bench_device *device)
{
    report.samples = bench_samples_take(BENCH_SAMPLES_MAX);
    report.clock_cost_ns = clock_cost(&report.samples);
    bench_device_before(device);
    bench_model_stages(&report);
    bench_search_stages(&report);
    bench_guard_stages(&report);
    bench_store_stages(&report);
    bench_tls_stages(&report);
    bench_crypto_stages(&report);
    bench_device_after(device);
}

static int write_out(const char *path)
{
    if (!path) return fputs(printed, stdout) < 0 || fflush(stdout) != 0 ? BENCH_FAILED : BENCH_DONE;
    int rc = file_replace(path, printed, strlen(printed), 0644);
    if (rc != RC_OK) fprintf(stderr, "larder: error: cannot write %s: %s\n", path, rc_name(rc));
    return rc == RC_OK ? BENCH_DONE : BENCH_FAILED;
}

int bench_all_run(const char *const *words, unsigned count)
{
    struct bench_device device;
    uint64_t seconds = 0;
    bool json = false, quick = false;
    const char *path = NULL, *folder = ".", *kernel = NULL;
    report.model_path = MODEL_DEFAULT_PATH;
    const struct bench_option options[] = {{"--seconds", BENCH_COUNT, &seconds},
                                           {"--json", BENCH_FLAG, &json},
                                           {"--quick", BENCH_FLAG, &quick},
                                           {"-o", BENCH_TEXT, &path},
                                           {"--folder", BENCH_TEXT, &folder},
                                           {"--kernel", BENCH_TEXT, &kernel},
                                           {"--model", BENCH_TEXT, &report.model_path}};
    int code = bench_options(options, 7, words, count);
    if (code == BENCH_DONE) code = bench_kernel(kernel);
    if (code != BENCH_DONE) return code;
    report.seconds = seconds ? (double)seconds : quick ? QUICK_SECONDS : 0.5;
    log_configure(LOG_WARN, LOG_TEXT);
    clock_floor_set((uint64_t)BUILD_EPOCH * CLOCK_SECOND);
    (void)clock_confirm_from_kernel();
    bench_tls_reserve();
    CHECK(crypto_start() == RC_OK);
    make_folder(folder);
    run_stages(&device);
    remove_folder();
    struct text out = text_on(printed, sizeof printed);
    (json ? bench_report_json : bench_report_text)(&report, &device, &out);
    CHECK(!out.truncated);
    return write_out(path);
}
