/* SPDX-License-Identifier: Apache-2.0 */
/* app/eval/serve.c — the protocol of eval.h: namespaces, decisions, labels. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/eval/box.h"
#include "app/eval/eval.h"
#include "app/gateway/semantic.h"
#include "app/gateway/shadow.h"
#include "app/lines.h"
#include "app/model/import.h"
#include "cache/encode.h"
#include "cache/hamming.h"
#include "cache/rescore.h"
#include "cache/threshold.h"
#include "platform/cpu.h"
#include "platform/fiber.h"
#include "platform/json.h"
#include "platform/loop.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "platform/start.h"
#include "platform/text.h"

enum {
    EXIT_USAGE = 2,
    LINE_SIZE = 256 << 10,
    REPLY_SIZE = 70 << 10, /* a key is echoed */
    SCRATCH_SIZE = JSON_SCRATCH_FACTOR * LINE_SIZE + JSON_SCRATCH_EXTRA,
    NAMESPACES_MAX = 4096,
    STACK_SIZE = 64 << 10,
    DRAWS = 1 << 24,
    NGRAM_PERCENT = 97, /* near-exact matches only */
};

static const char usage[] =
    "larder eval-serve [--model FILE] [--embedder minilm-int8|ngram] [--threshold X] [--guards standard|strict]\n"
    "                  [--no-guards] [--mode preset|learn] [--delta X] [--shadow-rate X] [--vectors FILE]\n"
    "                  [--kernel NAME]\n";

/* A namespace is a learning unit too. */
struct space {
    uint64_t name;
    uint64_t generation; /* a reset begins a new one */
    uint64_t hits;
    struct threshold_unit unit;
};

static struct {
    struct eval_box_options box;
    struct lines lines;
    struct json_scratch scratch;
    struct space *spaces;
    unsigned space_count;
    double threshold, delta, shadow_rate;
    bool guards, learn;
    enum cpu_level kernel;
    uint32_t draws;
    int code;
} eval = {.box = {.kind = EMBED_MINILM},
          .threshold = -1,
          .delta = 0.05,
          .shadow_rate = 0.02,
          .guards = true,
          .kernel = CPU_LEVELS /* the best */};

/* ---- options */

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "larder eval-serve: error: %s%s%s\n\n%s", what, which ? ": " : "", which ? which : "", usage);
    return EXIT_USAGE;
}

static int read_ratio(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 0 && *value <= 2 ? 0 : complain("not a ratio", text);
}

/* One of two words. */
static int read_choice(const char *text, const char *no, const char *yes, bool *value)
{
    *value = strcmp(text, yes) == 0;
    return *value || strcmp(text, no) == 0 ? 0 : complain("no such choice", text);
}

static int read_kernel(const char *name)
{
    return cpu_level_find(name, &eval.kernel) == RC_OK ? 0 : complain("no such kernel", name);
}

static int read_option(const char *name, const char *value)
{
    bool ngram;
    int code = 0;
    if (strcmp(name, "--model") == 0)
        eval.box.model = value;
    else if (strcmp(name, "--vectors") == 0)
        eval.box.vectors = value;
    else if (strcmp(name, "--threshold") == 0)
        code = read_ratio(value, &eval.threshold);
    else if (strcmp(name, "--delta") == 0)
        code = read_ratio(value, &eval.delta);
    else if (strcmp(name, "--shadow-rate") == 0)
        code = read_ratio(value, &eval.shadow_rate);
    else if (strcmp(name, "--guards") == 0)
        code = read_choice(value, "standard", "strict", &eval.box.strict);
    else if (strcmp(name, "--kernel") == 0)
        code = read_kernel(value);
    else if (strcmp(name, "--mode") == 0)
        code = read_choice(value, "preset", "learn", &eval.learn);
    else if (strcmp(name, "--embedder") == 0) {
        code = read_choice(value, "minilm-int8", "ngram", &ngram);
        eval.box.kind = ngram ? EMBED_NGRAM : EMBED_MINILM;
    } else
        code = complain("unknown option", name);
    return code;
}

static int read_options(int argc, char **argv)
{
    eval.box.model = MODEL_DEFAULT_PATH;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--no-guards") == 0) {
            eval.guards = false;
            continue;
        }
        if (strcmp(argv[i], "--seal") == 0) return complain("the store cannot be sealed yet", NULL);
        if (i + 1 == argc) return complain("this option needs a value, or is none", argv[i]);
        int code = read_option(argv[i], argv[i + 1]);
        if (code != 0) return code;
        i++;
    }
    if (eval.threshold < 0)
        eval.threshold = eval.box.kind == EMBED_NGRAM ? NGRAM_PERCENT / 100.0 : (double)SEMANTIC_PRESET_STANDARD;
    return 0;
}

/* ---- namespaces */

static struct span name_of(const struct json_value *value)
{
    return json_kind(value) == JSON_STRING ? json_string(value) : json_number_text(value);
}

static uint64_t hash(struct span text)
{
    static const struct hash_key key = {0};
    return hash_of(&key, text.data, text.size).low;
}

static struct space *space_of(const struct json_value *value)
{
    uint64_t name = hash(name_of(value));
    for (unsigned i = eval.space_count; i-- > 0;) /* the newest is the likeliest */
        if (eval.spaces[i].name == name) return &eval.spaces[i];
    if (eval.space_count == NAMESPACES_MAX) return NULL;
    struct space *space = &eval.spaces[eval.space_count++];
    space->name = name;
    return space;
}

static uint64_t number_of(const struct space *space)
{
    uint64_t both[2] = {space->name, space->generation};
    return hash(span_of((const char *)both, sizeof both));
}

/* ---- deciding */

static bool is_drawn(double share)
{
    eval.draws = eval.draws * 1664525u + 1013904223u;
    return (double)(eval.draws >> 8) < share * DRAWS;
}

struct decision {
    bool hit, label;
    float threshold;
};

static struct decision decide_preset(const struct semantic_found *found)
{
    bool allowed = found->id && (found->vetoes == 0 || !eval.guards);
    return (struct decision){.hit = allowed && found->score >= (float)eval.threshold,
                             .threshold = (float)eval.threshold};
}

/* A miss with a fair candidate brings a label for nothing, a hit when it is drawn for a check. */
static struct decision decide_learnt(struct space *space, const struct semantic_found *found)
{
    struct threshold_decision decision;
    bool fair = found->id && (found->vetoes == 0 || !eval.guards) && found->score >= THRESHOLD_FLOOR;
    if (fair) threshold_seen(&space->unit, found->score);
    threshold_decide(&space->unit, eval.delta, false, &decision);
    struct decision decided = {.hit = fair && found->score >= decision.threshold, .threshold = decision.threshold};
    decided.label = fair;
    if (decided.hit) decided.label = is_drawn(shadow_share(true, ++space->hits, eval.shadow_rate));
    return decided;
}

/* ---- replies */

static void put_error(struct text *out, const char *what)
{
    text_put_text(out, "{\"error\":");
    text_put_json(out, span_text(what));
    text_put_text(out, "}\n");
}

static void put_bool(struct text *out, const char *name, bool value)
{
    text_format(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static void put_vetoes(struct text *out, uint32_t vetoes)
{
    const char *border = "";
    text_put_text(out, ",\"veto\":[");
    for (unsigned i = 0; i < GUARDS; i++) {
        if (!(vetoes >> i & 1)) continue;
        text_format(out, "%s\"%s\"", border, guard_name((enum guard)i));
        border = ",";
    }
    text_put_char(out, ']');
}

static void put_found(struct text *out, const struct eval_found *f, const struct decision *decided)
{
    text_format(out, "{\"hit\":%s,\"key\":", decided->hit ? "true" : "false");
    text_put_span(out, f->key);
    if (f->found.id)
        text_format(out, ",\"score\":%.9g", (double)f->found.score);
    else
        text_put_text(out, ",\"score\":null");
    put_vetoes(out, eval.guards ? f->found.vetoes : 0);
    if (eval.learn) {
        put_bool(out, "label", decided->label);
        text_format(out, ",\"threshold\":%.4f", (double)decided->threshold);
    }
    text_put_text(out, "}\n");
}

/* ---- requests; a failure of the box ends the program, one of the asker is answered */

static int flush(struct text *out)
{
    int rc = lines_write(STDOUT_FILENO, text_span(out));
    text_clear(out);
    return rc;
}

static int fail(const char *what, int rc)
{
    fprintf(stderr, "larder eval-serve: error: %s: %s\n", what, rc_name(rc));
    return rc;
}

/* The reply goes first: the asker writes the next line while this text is embedded. */
static int do_put(struct space *space, const struct json_value *request, struct text *out)
{
    static char key_text[64 << 10];
    struct text key = text_on(key_text, sizeof key_text);
    json_write(&key, json_get(request, "key"));
    if (key.truncated || key.size == 0) {
        put_error(out, "a key is needed, of at most 64 KiB");
        return RC_OK;
    }
    text_put_text(out, "{\"ok\":true}\n");
    int rc = flush(out);
    if (rc != RC_OK) return rc;
    rc = eval_box_put(number_of(space), text_span(&key), json_string(json_get(request, "text")));
    return rc == RC_OK || rc == RC_EMPTY ? RC_OK : fail("put", rc);
}

static int do_get(struct space *space, const struct json_value *request, struct text *out)
{
    static struct eval_found found;
    int rc = eval_box_get(number_of(space), json_string(json_get(request, "text")), &found);
    if (rc != RC_OK && rc != RC_EMPTY && rc != RC_TOO_LARGE) return fail("get", rc);
    struct decision decided = eval.learn ? decide_learnt(space, &found.found) : decide_preset(&found.found);
    put_found(out, &found, &decided);
    return RC_OK;
}

static int do_label(struct space *space, const struct json_value *request, struct text *out)
{
    double score;
    if (json_double(json_get(request, "score"), &score) != RC_OK) {
        put_error(out, "a label needs a score");
        return RC_OK;
    }
    threshold_label(&space->unit, (float)score, json_is_true(json_get(request, "right")));
    text_put_text(out, "{\"ok\":true}\n");
    return RC_OK;
}

static int do_reset(struct space *space, const struct json_value *request, struct text *out)
{
    (void)request;
    uint64_t name = space->name, generation = space->generation + 1;
    *space = (struct space){.name = name, .generation = generation};
    text_put_text(out, "{\"ok\":true}\n");
    return RC_OK;
}

static int do_about(struct text *out)
{
    const struct embedder *embedder = embed_current();
    text_put_text(out, "{\"embedder\":");
    text_put_json(out, span_text(embedder->tag));
    text_format(out, ",\"dim\":%u,\"threshold\":%.4f", embedder->dim, eval.threshold);
    text_format(out, ",\"guards\":\"%s\"", !eval.guards ? "none" : eval.box.strict ? "strict" : "standard");
    text_format(out, ",\"encode\":\"%s\",\"scan\":\"%s\",\"rescore\":\"%s\"}\n", encode_variant(), hamming_variant(),
                rescore_variant());
    return RC_OK;
}

static const struct op {
    const char *name;
    bool text;
    int (*run)(struct space *space, const struct json_value *request, struct text *out);
} ops[] = {{"put", true, do_put}, {"get", true, do_get}, {"label", false, do_label}, {"reset", false, do_reset}};

static int answer(struct span line, struct text *out)
{
    const struct json_value *request;
    if (json_parse(&eval.scratch, line, &request, NULL) != RC_OK) {
        put_error(out, "not JSON");
        return RC_OK;
    }
    struct span name = json_string(json_get(request, "op"));
    if (span_equal(name, SPAN("about"))) return do_about(out);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (!span_equal(name, span_text(ops[i].name))) continue;
        struct space *space = space_of(json_get(request, "ns"));
        if (space && (!ops[i].text || json_kind(json_get(request, "text")) == JSON_STRING))
            return ops[i].run(space, request, out);
        put_error(out, space ? "a text is needed" : "too many namespaces");
        return RC_OK;
    }
    put_error(out, "no such op");
    return RC_OK;
}

/* ---- the process */

static void serve(void *arg)
{
    static char reply[REPLY_SIZE];
    struct text out = text_on(reply, sizeof reply);
    struct span line;
    int rc;
    (void)arg;
    int answered = RC_OK;
    while (answered == RC_OK && (rc = lines_next(&eval.lines, STDIN_FILENO, &line)) == RC_OK) {
        answered = answer(line, &out);
        if (answered == RC_OK) answered = flush(&out);
    }
    if (rc != RC_OK && rc != RC_EMPTY) (void)fail("cannot read a line", rc);
    eval.code = rc == RC_EMPTY ? 0 : 1;
    loop_stop();
}

static int take_memory(struct fiber_pool *fibers)
{
    void *memory = NULL, *spaces = NULL;
    int rc = plan_take("eval lines", 1, LINE_SIZE, PLAN_LAZY, 0, NULL, &memory);
    eval.lines = (struct lines){.buffer = memory, .capacity = LINE_SIZE};
    if (rc == RC_OK) rc = plan_take("eval JSON", 1, SCRATCH_SIZE, PLAN_LAZY, 0, NULL, &eval.scratch.memory);
    eval.scratch.capacity = SCRATCH_SIZE;
    if (rc == RC_OK)
        rc = plan_take("eval namespaces", NAMESPACES_MAX, sizeof(struct space), PLAN_LAZY, 0, NULL, &spaces);
    eval.spaces = spaces;
    return rc == RC_OK ? fiber_pool_reserve(fibers, "eval", 2, STACK_SIZE, NULL) : rc;
}

static void select_kernels(void)
{
    hash_select(cpu_features());
    hamming_select(cpu_features());
    rescore_select(cpu_features());
    rotate_select(cpu_features());
}

int eval_serve(int argc, char **argv)
{
    static struct fiber_pool fibers;
    char message[640] = "";
    int code = read_options(argc, argv);
    if (code != 0) return code;
    if (start_process() != RC_OK) return 1;
    cpu_detect();
    if (eval.kernel != CPU_LEVELS && cpu_limit(eval.kernel) != RC_OK)
        return complain("this processor cannot run the kernel", cpu_level_name(eval.kernel));
    select_kernels();
    int rc = take_memory(&fibers);
    if (rc == RC_OK) rc = eval_box_open(&eval.box, message, sizeof message);
    eval.code = 1;
    if (rc != RC_OK) {
        fprintf(stderr, "larder eval-serve: error: %s\n", message[0] ? message : rc_name(rc));
    } else {
        rc = fiber_start(&fibers, serve, NULL);
        if (rc == RC_OK) rc = loop_run();
        if (rc != RC_OK) (void)fail("the lane", rc);
    }
    eval_box_close();
    return rc == RC_OK ? eval.code : 1;
}
