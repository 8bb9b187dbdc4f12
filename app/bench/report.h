/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/report.h — `larder bench` without a stage: every stage of the product on this device, one report.
 *
 * Samples: a stage runs warm, in batches of at least BENCH_BATCH_NS so that reading the clock costs nothing beside them
 *          (what it costs is taken off); a sample is a batch's time by its count. So p99 is of batches, and of single runs
 *          where `batch` is 1.
 * Owner:   static; one report a process.
 * Threads: main thread; the TLS handshake's steps run on one worker, as in the product.
 * Fails:   a stage that cannot run here is in the report as skipped, with the reason.
 */
#ifndef APP_BENCH_REPORT_H
#define APP_BENCH_REPORT_H

#include "app/bench/bench.h"
#include "platform/file.h"
#include "platform/text.h"

enum {
    BENCH_REPORT_VERSION = 1,
    BENCH_RESULTS_MAX = 64,
    BENCH_SAMPLES_MAX = 200000,
    BENCH_COUNT_LEAST = 5,
    BENCH_BATCH_NS = 10000,
    BENCH_REPORT_MAX = 64 << 10, /* bytes of a report as JSON */
};

struct bench_result {
    const char *stage, *detail, *kernel;
    const char *skipped; /* why, or NULL */
    uint64_t count;      /* of runs that were timed */
    uint64_t batch;
    double median_us, p99_us;
};

struct bench_report {
    double seconds; /* a stage */
    const char *model_path;
    char folder[FILE_PATH_MAX]; /* for the store's and the certificate's files; "" when there is none */
    const char *no_folder;      /* why */
    struct bench_samples samples;
    double clock_cost_ns;
    unsigned count;
    struct bench_result results[BENCH_RESULTS_MAX];
};

typedef void bench_body(void *context, uint64_t times);

void bench_time(struct bench_report *report, const char *stage, const char *detail, const char *kernel,
                bench_body *body, void *context);
void bench_skip(struct bench_report *report, const char *stage, const char *detail, const char *why);

/* ---- the stages */
void bench_model_stages(struct bench_report *report);  /* tokenize, encode */
void bench_search_stages(struct bench_report *report); /* code, scan, rescore */
void bench_guard_stages(struct bench_report *report);
void bench_store_stages(struct bench_report *report);  /* store read, commit */
void bench_tls_reserve(void);                          /* before crypto_start */
void bench_tls_stages(struct bench_report *report);    /* TLS handshake */
void bench_crypto_stages(struct bench_report *report); /* AEAD, SHA-256 */

/* ---- the device, as the report names it */
struct bench_device {
    char board[128], machine[64], cpu[64], kernel[192], arch[32], governor[64], clock[16], time[32];
    unsigned cores;
    size_t page_size;
    bool before_known, after_known;
    int before_millidegrees, after_millidegrees; /* of the hottest zone */
};

void bench_device_before(struct bench_device *device);
void bench_device_after(struct bench_device *device);

void bench_report_json(const struct bench_report *report, const struct bench_device *device, struct text *out);
void bench_report_text(const struct bench_report *report, const struct bench_device *device, struct text *out);

#endif
