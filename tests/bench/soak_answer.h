/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/soak_answer.h — what the soak's provider answers to a question, and whether a reply is that answer.
 *
 * Every byte of an answer follows from the question's number and from five figures that stand in it: when the provider
 * had the question, when it began and ended to answer (wall clock, ns), how often it was asked this, how many events. The
 * text ends with a sum over all before, so that two answers mixed cannot pass.
 */
#ifndef SOAK_ANSWER_H
#define SOAK_ANSWER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    SOAK_TEXT_MAX = 32768,
    SOAK_BODY_MAX = 65536,
    SOAK_EVENTS_MAX = 200,
    SOAK_HEAD = 64, /* sizes of the text's ends */
    SOAK_TAIL = 39,
};

struct soak_stamp {
    uint64_t had_ns, began_ns, ended_ns;
    unsigned number, call, events;
};

static inline uint64_t soak_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t soak_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t soak_sum(const char *bytes, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) sum = (sum ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return sum;
}

static inline size_t soak_head(const struct soak_stamp *s, char *out)
{
    return (size_t)sprintf(out, "Q%08u H%019llu B%019llu C%06u N%03u", s->number, (unsigned long long)s->had_ns,
                           (unsigned long long)s->began_ns, s->call, s->events);
}

/* Piece i of an answer's middle; its words follow from the number alone. */
static inline size_t soak_piece(unsigned number, unsigned i, char *out)
{
    static const char *const words[] = {"valve",  "größer", "日本語", "line", "edge",   "box",   "été", "stored",
                                        "answer", "tide",   "ferry",  "Öl",   "signal", "north", "😀",   "copper"};
    uint64_t dice = soak_mix(((uint64_t)number << 16) + i);
    size_t size = (size_t)sprintf(out, " %u", i);
    for (unsigned n = 0; n < 3 + number % 5; n++, dice >>= 4)
        size += (size_t)sprintf(out + size, " %s", words[dice % 16]);
    return size;
}

/* The end: when, and the sum over all before it. */
static inline size_t soak_tail(uint64_t ended_ns, char *text, size_t size)
{
    size_t at = size + (size_t)sprintf(text + size, " E%019llu", (unsigned long long)ended_ns);
    return at + (size_t)sprintf(text + at, " S%016llx", (unsigned long long)soak_sum(text, at)) - size;
}

static inline size_t soak_text(const struct soak_stamp *s, char *out)
{
    size_t size = soak_head(s, out);
    for (unsigned i = 0; i < s->events; i++) size += soak_piece(s->number, i, out + size);
    return size + soak_tail(s->ended_ns, out, size);
}

static inline size_t soak_object(const struct soak_stamp *s, char *out)
{
    static char text[SOAK_TEXT_MAX];
    size_t size = soak_text(s, text);
    return (size_t)sprintf(
        out,
        "{\"id\":\"chatcmpl-%08u%06u\",\"object\":\"chat.completion\",\"created\":1793000000,"
        "\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"%.*s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":58,\"completion_tokens\":%u,\"total_tokens\":%u}}",
        s->number, s->call, (int)size, text, s->events, 58 + s->events);
}

static inline size_t soak_event(const struct soak_stamp *s, const char *delta, const char *finish, char *out)
{
    return (size_t)sprintf(out,
                           "data: {\"id\":\"chatcmpl-%08u%06u\",\"object\":\"chat.completion.chunk\","
                           "\"created\":1793000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,"
                           "\"delta\":{%s},\"finish_reason\":%s}]}\n\n",
                           s->number, s->call, delta, finish);
}

static inline size_t soak_content(const struct soak_stamp *s, const char *text, size_t size, char *out)
{
    static char delta[1024];
    snprintf(delta, sizeof delta, "\"content\":\"%.*s\"", (int)size, text);
    return soak_event(s, delta, "null", out);
}

/* Event i of the stream: 0 the role, 1 the head, then the pieces, the tail, and the end. 0 behind it. `text` gathers
 * what has been said. */
static inline size_t soak_stream_event(const struct soak_stamp *s, unsigned i, bool usage, char *text, size_t *said,
                                       char *out)
{
    size_t size = 0;
    if (i == 0) return soak_event(s, "\"role\":\"assistant\",\"content\":\"\"", "null", out);
    if (i == 1)
        size = soak_head(s, text + *said);
    else if (i < s->events + 2)
        size = soak_piece(s->number, i - 2, text + *said);
    else if (i == s->events + 2)
        size = soak_tail(s->ended_ns, text, *said);
    if (size) {
        *said += size;
        return soak_content(s, text + *said - size, size, out);
    }
    if (i == s->events + 3) return soak_event(s, "", "\"stop\"", out);
    if (i == s->events + 4 && usage)
        return (size_t)sprintf(out,
                               "data: {\"id\":\"chatcmpl-%08u%06u\",\"object\":\"chat.completion.chunk\","
                               "\"created\":1793000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[],"
                               "\"usage\":{\"prompt_tokens\":58,\"completion_tokens\":%u,\"total_tokens\":%u}}\n\n",
                               s->number, s->call, s->events, 58 + s->events);
    if (i == s->events + 4 + (usage ? 1 : 0)) return (size_t)sprintf(out, "data: [DONE]\n\n");
    return 0;
}

/* The whole stream as a client sees it that asked for no usage. */
static inline size_t soak_stream(const struct soak_stamp *s, char *out)
{
    static char text[SOAK_TEXT_MAX];
    size_t said = 0, size = 0, more;
    for (unsigned i = 0; (more = soak_stream_event(s, i, false, text, &said, out + size)) > 0; i++) size += more;
    return size;
}

/* ---- judging */

/* All that is said: every "content" joined. Our answers need no escapes, and the box makes none for them. */
static inline size_t soak_said(const char *body, size_t size, char *out)
{
    static const char mark[] = "\"content\":\"";
    const char *at = body, *end = body + size, *close;
    size_t said = 0;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL) {
        at += sizeof mark - 1;
        close = memchr(at, '"', (size_t)(end - at));
        if (!close) close = end; /* cut here */
        if (said + (size_t)(close - at) >= SOAK_TEXT_MAX) return said;
        memcpy(out + said, at, (size_t)(close - at));
        said += (size_t)(close - at);
        at = close;
    }
    out[said] = 0;
    return said;
}

static inline bool soak_stamp_read(const char *said, size_t size, struct soak_stamp *s)
{
    unsigned long long had, began, ended = 0;
    if (sscanf(said, "Q%8u H%19llu B%19llu C%6u N%3u", &s->number, &had, &began, &s->call, &s->events) != 5)
        return false;
    if (s->events > SOAK_EVENTS_MAX) return false;
    if (size > SOAK_TAIL) sscanf(said + size - SOAK_TAIL, " E%19llu", &ended);
    s->had_ns = had;
    s->began_ns = began;
    s->ended_ns = ended;
    return true;
}

enum soak_verdict { SOAK_WRONG, SOAK_SAME, SOAK_CONVERTED };

/* A complete answer to question `number`: byte for byte the provider's, or (`convertible`) the same words in the other
 * form. */
static inline enum soak_verdict soak_judge(const char *body, size_t size, unsigned number, bool stream,
                                           bool convertible, struct soak_stamp *s)
{
    static char said[SOAK_TEXT_MAX + 1], whole[SOAK_BODY_MAX];
    size_t length = soak_said(body, size, said);
    if (!soak_stamp_read(said, length, s) || s->number != number) return SOAK_WRONG;
    size_t wanted = stream ? soak_stream(s, whole) : soak_object(s, whole);
    if (wanted == size && memcmp(whole, body, size) == 0) return SOAK_SAME;
    if (!convertible) return SOAK_WRONG;
    wanted = soak_text(s, whole);
    return wanted == length && memcmp(whole, said, length) == 0 ? SOAK_CONVERTED : SOAK_WRONG;
}

/* Whether what came before a cut is the beginning of the answer. */
static inline bool soak_is_beginning(const char *body, size_t size, unsigned number)
{
    static char said[SOAK_TEXT_MAX + 1], whole[SOAK_TEXT_MAX];
    struct soak_stamp s;
    size_t length = soak_said(body, size, said);
    if (length < SOAK_HEAD) return true; /* which answer it is has not been said yet */
    if (!soak_stamp_read(said, length, &s)) return false;
    s.ended_ns = 0;
    size_t known = soak_text(&s, whole) - SOAK_TAIL;
    if (length < known) known = length;
    return s.number == number && memcmp(whole, said, known) == 0;
}

#endif
