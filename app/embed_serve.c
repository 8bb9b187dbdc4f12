/* SPDX-License-Identifier: Apache-2.0 */
/* app/embed_serve.c — see embed_serve.h. */
#include "app/embed_serve.h"

#include <stdio.h>
#include <unistd.h>

#include "app/lines.h"
#include "app/model/import.h"
#include "cache/embed.h"
#include "platform/cpu.h"
#include "platform/hash.h"
#include "platform/json.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "platform/start.h"
#include "platform/text.h"

enum {
    EXIT_USAGE = 2,
    LINE_MAX_SIZE = 256 << 10,
    REPLY_MAX = 64 << 10,
    SCRATCH_SIZE = JSON_SCRATCH_FACTOR * LINE_MAX_SIZE + JSON_SCRATCH_EXTRA,
};

struct options {
    const char *model;
    enum embed_kind kind;
};

static const char usage[] = "larder embed-serve [--model FILE] [--embedder minilm-int8|ngram]\n";

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "larder embed-serve: error: %s%s%s\n\n%s", what, which ? ": " : "", which ? which : "", usage);
    return EXIT_USAGE;
}

static int read_options(int argc, char **argv, struct options *options)
{
    for (int i = 0; i < argc; i += 2) {
        if (i + 1 == argc) return complain("this option needs a value, or is none", argv[i]);
        if (strcmp(argv[i], "--model") == 0)
            options->model = argv[i + 1];
        else if (strcmp(argv[i], "--embedder") != 0)
            return complain("unknown option", argv[i]);
        else if (strcmp(argv[i + 1], "minilm-int8") == 0)
            options->kind = EMBED_MINILM;
        else if (strcmp(argv[i + 1], "ngram") == 0)
            options->kind = EMBED_NGRAM;
        else
            return complain("no such embedder", argv[i + 1]);
    }
    return 0;
}

static void put_error(struct text *out, const char *what)
{
    text_put_text(out, "{\"error\":");
    text_put_json(out, span_text(what));
    text_put_text(out, "}\n");
}

static void put_vector(struct text *out, const uint16_t *ids, unsigned count, const float *vector)
{
    text_put_text(out, "{\"ids\":[");
    for (unsigned i = 0; ids && i < count; i++) {
        if (i > 0) text_put_char(out, ',');
        text_put_u64(out, ids[i]);
    }
    text_put_text(out, "],\"vector\":[");
    for (unsigned i = 0; i < embed_current()->dim; i++) text_format(out, i > 0 ? ",%.7g" : "%.7g", (double)vector[i]);
    text_put_text(out, "]}\n");
}

static void answer(struct json_scratch *scratch, struct span line, struct text *out)
{
    static float vector[EMBED_DIM_MAX];
    static uint16_t ids[MODEL_PIECES_MAX];
    const struct json_value *request;
    unsigned count;
    if (json_parse(scratch, line, &request, NULL) != RC_OK) {
        put_error(out, "not JSON");
        return;
    }
    const struct json_value *text = json_get(request, "text");
    if (!span_equal(json_string(json_get(request, "op")), SPAN("embed")) || json_kind(text) != JSON_STRING) {
        put_error(out, "expected {\"op\":\"embed\",\"text\":\"...\"}");
        return;
    }
    int rc = embed_text_pieces(json_string(text), true, vector, ids, &count);
    if (rc == RC_OK)
        put_vector(out, embed_current()->kind == EMBED_MINILM ? ids : NULL, count, vector);
    else
        put_error(out, rc_name(rc));
}

static int serve(struct lines *lines, struct json_scratch *scratch)
{
    static char reply[REPLY_MAX];
    struct span line;
    int rc;
    while ((rc = lines_next(lines, STDIN_FILENO, &line)) == RC_OK) {
        struct text out = text_on(reply, sizeof reply);
        answer(scratch, line, &out);
        if (lines_write(STDOUT_FILENO, text_span(&out)) != RC_OK) return 1;
    }
    if (rc == RC_EMPTY) return 0;
    fprintf(stderr, "larder embed-serve: error: cannot read a line: %s\n", rc_name(rc));
    return 1;
}

static int open_embedder(const struct options *options)
{
    char message[640] = "";
    int rc = embed_reserve(1);
    if (rc == RC_OK) rc = embed_open(options->kind, options->model, 0, message, sizeof message);
    if (rc == RC_OK && embed_check() != RC_OK) {
        snprintf(message, sizeof message, "%s is damaged: import it anew", options->model);
        rc = RC_CORRUPT;
    }
    if (rc != RC_OK) fprintf(stderr, "larder embed-serve: error: %s\n", message[0] ? message : rc_name(rc));
    return rc;
}

int embed_serve(int argc, char **argv)
{
    struct options options = {.model = MODEL_DEFAULT_PATH, .kind = EMBED_MINILM};
    struct lines lines = {.capacity = LINE_MAX_SIZE};
    struct json_scratch scratch = {.capacity = SCRATCH_SIZE};
    void *buffer;
    int code = read_options(argc, argv, &options);
    if (code != 0) return code;
    if (start_process() != RC_OK) return 1;
    cpu_detect();
    hash_select(cpu_features());
    int rc = plan_take("embed-serve lines", 1, LINE_MAX_SIZE, PLAN_LAZY, 0, NULL, &buffer);
    lines.buffer = buffer;
    if (rc == RC_OK) rc = plan_take("embed-serve JSON", 1, SCRATCH_SIZE, PLAN_LAZY, 0, NULL, &scratch.memory);
    if (rc == RC_OK) rc = open_embedder(&options);
    return rc == RC_OK ? serve(&lines, &scratch) : 1;
}
