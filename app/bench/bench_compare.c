/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_compare.c — two reports of `larder bench --json` side by side. */
#include <stdio.h>
#include <string.h>

#include "app/bench/report.h"
#include "platform/json.h"
#include "platform/rc.h"

struct side {
    const char *path;
    const struct json_value *root, *device, *stages;
};

struct pair {
    struct span stage, detail;
    struct span kernel[2];
    double median_us[2], p99_us[2];
};

static int complain(const char *path, const char *what)
{
    fprintf(stderr, "larder: error: %s %s\n", path, what);
    return BENCH_FAILED;
}

/* ---- reading */

static int read_report(struct side *side)
{
    char *bytes = bench_region(BENCH_REPORT_MAX, false);
    size_t size;
    int rc = file_read(side->path, bytes, BENCH_REPORT_MAX, &size);
    if (rc != RC_OK) return complain(side->path, rc == RC_NOT_FOUND ? "does not exist" : "cannot be read");
    struct json_scratch scratch = {.capacity = JSON_SCRATCH_FACTOR * BENCH_REPORT_MAX + JSON_SCRATCH_EXTRA};
    scratch.memory = bench_region(scratch.capacity, false);
    if (json_parse(&scratch, span_of(bytes, size), &side->root, NULL) != RC_OK)
        return complain(side->path, "is no JSON: compare reads what larder bench --json wrote");
    return BENCH_DONE;
}

static int open_report(struct side *side)
{
    char what[96];
    int64_t version;
    int code = read_report(side);
    if (code != BENCH_DONE) return code;
    side->device = json_get(side->root, "device");
    side->stages = json_get(side->root, "stages");
    if (json_i64(json_get(side->root, "larder_bench"), &version) != RC_OK || json_kind(side->device) != JSON_OBJECT ||
        json_kind(side->stages) != JSON_ARRAY)
        return complain(side->path, "is no report of larder bench --json");
    if (version == BENCH_REPORT_VERSION) return BENCH_DONE;
    snprintf(what, sizeof what, "has version %lld of the report; this larder reads version %d", (long long)version,
             BENCH_REPORT_VERSION);
    return complain(side->path, what);
}

static const struct json_value *stage_of(const struct side *side, struct span stage, struct span detail)
{
    struct json_walk walk = json_walk(side->stages);
    while (json_next(&walk))
        if (span_equal(json_string(json_get(walk.value, "stage")), stage) &&
            span_equal(json_string(json_get(walk.value, "detail")), detail))
            return walk.value;
    return NULL;
}

/* Whether the stage was measured there, and a ratio can be made of it. */
static bool read_times(const struct json_value *stage, struct pair *pair, unsigned side)
{
    pair->kernel[side] = json_string(json_get(stage, "kernel"));
    return json_double(json_get(stage, "median_us"), &pair->median_us[side]) == RC_OK &&
           json_double(json_get(stage, "p99_us"), &pair->p99_us[side]) == RC_OK && pair->median_us[side] > 0;
}

/* ---- printing */

static struct span word_or(const struct json_value *object, const char *name, const char *otherwise)
{
    struct span word = json_string(json_get(object, name));
    return word.size ? word : span_text(otherwise);
}

static void put_degrees(struct text *out, const struct json_value *device, const char *name, const char *when)
{
    double celsius;
    if (json_double(json_get(device, name), &celsius) == RC_OK) text_format(out, ", %.1f C %s", celsius, when);
}

static void put_device(struct text *out, const char *letter, const struct side *side)
{
    const struct json_value *d = side->device;
    struct span board = word_or(d, "board", "an unnamed machine"), cpu = word_or(d, "cpu", "unknown processor"),
                kernel = word_or(d, "kernel", "unknown kernel"), governor = word_or(d, "governor", "unknown"),
                version = word_or(side->root, "version", "?"), cores = json_number_text(json_get(d, "cores"));
    text_format(out, "%s  %s: %.*s, %.*s, %.*s cores, %.*s, governor %.*s", letter, side->path, SPAN_ARG(board),
                SPAN_ARG(cpu), SPAN_ARG(cores), SPAN_ARG(kernel), SPAN_ARG(governor));
    put_degrees(out, d, "celsius_before", "before");
    put_degrees(out, d, "celsius_after", "after");
    text_format(out, ", larder %.*s\n", SPAN_ARG(version));
}

static void put_row(struct text *out, const struct pair *p)
{
    char stage[64];
    snprintf(stage, sizeof stage, "%.*s", SPAN_ARG(p->stage));
    text_format(out, "%-14s %-28.*s %12.3f %12.3f %8.2f", stage, SPAN_ARG(p->detail), p->median_us[0], p->median_us[1],
                p->median_us[1] / p->median_us[0]);
    if (p->kernel[0].size || p->kernel[1].size)
        text_format(out, "  %.*s%s%.*s", SPAN_ARG(p->kernel[0]), span_equal(p->kernel[0], p->kernel[1]) ? "" : " / ",
                    span_equal(p->kernel[0], p->kernel[1]) ? 0 : (int)p->kernel[1].size, p->kernel[1].data);
    text_put_char(out, '\n');
}

static void put_json(struct text *out, const struct pair *p)
{
    text_put_text(out, "{\"stage\":");
    text_put_json(out, p->stage);
    text_put_text(out, ",\"detail\":");
    text_put_json(out, p->detail);
    text_format(out, ",\"a_median_us\":%.4f,\"b_median_us\":%.4f,\"ratio\":%.4f,\"a_p99_us\":%.4f,\"b_p99_us\":%.4f}\n",
                p->median_us[0], p->median_us[1], p->median_us[1] / p->median_us[0], p->p99_us[0], p->p99_us[1]);
}

/* Stages that both have measured, in A's order; how many. */
static unsigned put_pairs(struct text *out, const struct side sides[2], bool json)
{
    unsigned count = 0;
    struct json_walk walk = json_walk(sides[0].stages);
    while (json_next(&walk)) {
        struct pair p = {.stage = json_string(json_get(walk.value, "stage")),
                         .detail = json_string(json_get(walk.value, "detail"))};
        if (!read_times(walk.value, &p, 0) || !read_times(stage_of(&sides[1], p.stage, p.detail), &p, 1)) continue;
        (json ? put_json : put_row)(out, &p);
        count++;
    }
    return count;
}

static unsigned measured(const struct side *side)
{
    struct pair unused;
    unsigned count = 0;
    struct json_walk walk = json_walk(side->stages);
    while (json_next(&walk)) count += read_times(walk.value, &unused, 0);
    return count;
}

static int compare(const struct side sides[2], bool json)
{
    static char printed[BENCH_REPORT_MAX];
    struct text out = text_on(printed, sizeof printed);
    if (!json) {
        put_device(&out, "A", &sides[0]);
        put_device(&out, "B", &sides[1]);
        text_format(&out, "\n%-14s %-28s %12s %12s %8s  kernel\n", "stage", "of", "A us", "B us", "B / A");
    }
    unsigned both = put_pairs(&out, sides, json);
    if (both == 0) {
        fprintf(stderr, "larder: error: %s and %s have no measured stage in common\n", sides[0].path, sides[1].path);
        return BENCH_FAILED;
    }
    unsigned only_a = measured(&sides[0]) - both, only_b = measured(&sides[1]) - both;
    if (!json && only_a + only_b > 0) text_format(&out, "\nMeasured in A only: %u, in B only: %u.\n", only_a, only_b);
    return fputs(printed, stdout) < 0 || fflush(stdout) != 0 || out.truncated ? BENCH_FAILED : BENCH_DONE;
}

int bench_compare_run(const char *const *words, unsigned count)
{
    bool json = false;
    const struct bench_option options[] = {{"--json", BENCH_FLAG, &json}};
    if (count < 2 || words[0][0] == '-' || words[1][0] == '-') {
        fputs("larder: error: larder bench compare needs two files: A.json B.json [--json]\n", stderr);
        return BENCH_USAGE;
    }
    struct side sides[2] = {{.path = words[0]}, {.path = words[1]}};
    int code = bench_options(options, 1, words + 2, count - 2);
    for (unsigned i = 0; code == BENCH_DONE && i < 2; i++) code = open_report(&sides[i]);
    return code == BENCH_DONE ? compare(sides, json) : code;
}
