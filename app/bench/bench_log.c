/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_log.c — see bench_log.h. */
#include "app/bench/bench_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/bench/bench.h"
#include "app/gateway/dialect.h"
#include "platform/check.h"
#include "platform/rc.h"

enum {
    LINE_MOST = 1 << 20,
    BODY_MOST = LINE_MOST + 4096,
    SCRATCH = JSON_SCRATCH_FACTOR * BODY_MOST + JSON_SCRATCH_EXTRA,
    ARENA = 4 << 20,
    LINE_LEAST = 16, /* bytes: {"t":0,"text":""} */
    NOT_SEMANTIC = QUESTION_TOOLS | QUESTION_MEDIA | QUESTION_MANY | QUESTION_SCHEMA | QUESTION_HISTORY | QUESTION_CUT,
};

static struct json_scratch line_scratch = {.capacity = SCRATCH}, body_scratch = {.capacity = SCRATCH};
static struct arena arena;
static char *body_text;
static const struct hash_key box_key = {1, 2};

void bench_log_reserve(void)
{
    line_scratch.memory = bench_region(SCRATCH, false);
    body_scratch.memory = bench_region(SCRATCH, false);
    body_text = bench_region(BODY_MOST, false);
    arena_init(&arena, bench_region(ARENA, false), ARENA, NULL);
}

static int complain(const struct bench_log *log, unsigned line, const char *what)
{
    fprintf(stderr, "larder: error: %s:%u: %s\n", log->path, line, what);
    return RC_INVALID;
}

static uint32_t number_of(const struct json_value *object, const char *name, double otherwise)
{
    double value;
    if (json_double(json_get(object, name), &value) != RC_OK || value < 0 || value > 1e9) value = otherwise;
    return (uint32_t)value;
}

/* The request itself, or one around the text. */
static struct span body_of(const struct json_value *line)
{
    struct text out = text_on(body_text, BODY_MOST);
    const struct json_value *request = json_get(line, "request");
    if (json_kind(request) == JSON_OBJECT) {
        json_write(&out, request);
        return text_span(&out);
    }
    struct span model = json_string(json_get(line, "model"));
    text_put_text(&out, "{\"model\":");
    text_put_json(&out, model.size > 0 ? model : SPAN("model"));
    text_put_text(&out, ",\"messages\":[{\"role\":\"user\",\"content\":");
    text_put_json(&out, json_string(json_get(line, "text")));
    text_put_text(&out, "}]}");
    return text_span(&out);
}

/* Texts of the log stay: they are copied once, behind each other. */
struct keeper {
    char *at, *end;
};

static struct span keep(struct keeper *keeper, struct span text)
{
    CHECK((size_t)(keeper->end - keeper->at) >= text.size);
    if (text.size > 0) memcpy(keeper->at, text.data, text.size);
    keeper->at += text.size;
    return span_of(keeper->at - text.size, text.size);
}

static const char *read_line(struct span text, struct keeper *keeper, struct bench_request *request)
{
    const struct json_value *line;
    struct question question;
    struct span error;
    if (json_parse(&line_scratch, text, &line, NULL) != RC_OK || json_kind(line) != JSON_OBJECT)
        return "not a JSON object";
    if (json_double(json_get(line, "t"), &request->at_s) != RC_OK) return "\"t\" is not a number of seconds";
    if (json_kind(json_get(line, "request")) != JSON_OBJECT && json_kind(json_get(line, "text")) != JSON_STRING)
        return "neither \"text\" nor a \"request\" with a model and messages";
    struct span tenant = json_string(json_get(line, "tenant"));
    struct question_context context = {.dialect = DIALECT_OPENAI, .scope = tenant, .key = &box_key};
    arena_reset(&arena, ARENA);
    if (question_read(body_of(line), &context, &body_scratch, &arena, &question, &error) != RC_OK)
        return "\"request\" has no model or no messages";
    struct hash128 whose = hash_of(&box_key, tenant.data, tenant.size);
    memcpy(request->tenant, &whose, sizeof request->tenant);
    request->digest = question.digest;
    request->space = question.flags & NOT_SEMANTIC || question.bypass ? 0 : question.apart.low | 1;
    request->text = keep(keeper, question.query);
    request->answer = keep(keeper, json_string(json_get(line, "answer")));
    request->tokens_in = number_of(line, "prompt_tokens", (double)question.query.size / BENCH_TOKEN_BYTES);
    request->tokens_out =
        number_of(line, "answer_tokens",
                  request->answer.size > 0 ? (double)request->answer.size / BENCH_TOKEN_BYTES : BENCH_ANSWER_TOKENS);
    request->upstream_ms =
        number_of(line, "upstream_ms", BENCH_FIRST_TOKEN_MS + (double)BENCH_TOKEN_MS * request->tokens_out);
    return NULL;
}

static int read_lines(struct bench_log *log, struct span file)
{
    struct keeper keeper = {.at = bench_region(file.size + 1, false)};
    unsigned number = 0;
    double first = 0, last = 0;
    keeper.end = keeper.at + file.size;
    log->requests = bench_region((file.size / LINE_LEAST + 1) * sizeof log->requests[0], false);
    while (file.size > 0) {
        const char *newline = memchr(file.data, '\n', file.size);
        struct span line = span_of(file.data, newline ? (size_t)(newline - file.data) : file.size);
        file = span_of(file.data + line.size + (newline != NULL), file.size - line.size - (newline != NULL));
        number++;
        if (line.size == 0) continue;
        if (line.size > LINE_MOST) return complain(log, number, "longer than 1 MiB");
        struct bench_request *request = &log->requests[log->count];
        const char *wrong = read_line(line, &keeper, request);
        if (wrong) return complain(log, number, wrong);
        if (log->count == 0) first = last = request->at_s;
        if (request->at_s < last) return complain(log, number, "earlier than the line before");
        last = request->at_s;
        request->at_s -= first;
        log->count++;
    }
    return log->count > 0 ? RC_OK : complain(log, number, "there is no request in it");
}

int bench_log_read(const char *path, struct bench_log *log)
{
    struct stat about;
    *log = (struct bench_log){.path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        if (fd >= 0) close(fd);
        fprintf(stderr, "larder: error: cannot read the log %s\n", path);
        return RC_NOT_FOUND;
    }
    size_t size = (size_t)about.st_size;
    void *base = size > 0 ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (size > 0 && base == MAP_FAILED) return RC_IO;
    return read_lines(log, span_of(base, size));
}
