/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_stages.c — the stages that compute: tokenize, encode, code, scan, rescore, guards, AEAD, SHA-256. */
#include <stdio.h>
#include <string.h>

#include "app/bench/report.h"
#include "cache/encode.h"
#include "cache/guard.h"
#include "cache/hamming.h"
#include "cache/rescore.h"
#include "cache/rotate.h"
#include "cache/tokenize.h"
#include "platform/check.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/rc.h"

/* ---- tokenize, encode: of ordinary English, so that the pieces are those of questions */

static const char prose[] =
    "How do I reset the password of the router in the meeting room when the administrator is on holiday? "
    "Please explain which valve closes the water supply of the second floor, and how long the pressure takes to fall. "
    "What is the difference between a fixed mortgage and a variable one if interest rates rise by half a percent? "
    "Our delivery from Hamburg was announced for Tuesday, but the tracking page still shows the warehouse. "
    "Can the thermostat be programmed so that the heating starts an hour before sunrise on working days only? "
    "Which documents do I need to renew a residence permit, and may my neighbour hand them in for me? "
    "The conveyor stops after three minutes with error code E14 although the sensor was cleaned this morning.";

struct model_case {
    const struct model *model;
    struct span text;
    unsigned pieces, count;
    uint16_t ids[MODEL_PIECES_MAX];
    void *work;
    float vector[1536];
};

static void run_tokenize(void *context, uint64_t times)
{
    struct model_case *c = context;
    for (uint64_t i = 0; i < times; i++) {
        (void)tokenize(c->model, c->text, c->ids, c->pieces, &c->count);
        bench_use(c->count);
    }
}

static void run_encode(void *context, uint64_t times)
{
    struct model_case *c = context;
    for (uint64_t i = 0; i < times; i++) {
        encode(c->model, c->ids, c->pieces, c->work, c->vector);
        bench_use((uint64_t)(c->vector[0] > 0));
    }
}

static const struct {
    unsigned pieces;
    const char *detail;
} lengths[] = {{8, "8 pieces"}, {16, "16 pieces"}, {32, "32 pieces"}, {64, "64 pieces"}, {128, "128 pieces"}};

enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

/* The longest beginning of the prose that is no more than these pieces. */
static struct span prose_of(struct model_case *c, unsigned pieces)
{
    size_t size = 1;
    while (size + 1 < sizeof prose && tokenize(c->model, span_of(prose, size + 1), c->ids, pieces, &c->count) == RC_OK)
        size++;
    return span_of(prose, size);
}

static void time_tokenize(struct bench_report *report, struct model_case *c, unsigned length)
{
    c->text = prose_of(c, lengths[length].pieces);
    c->pieces = MODEL_PIECES_MAX;
    bench_time(report, "tokenize", lengths[length].detail, "scalar", run_tokenize, c);
}

static void time_encode(struct bench_report *report, struct model_case *c, unsigned length)
{
    c->pieces = lengths[length].pieces;
    (void)tokenize(c->model, span_of(prose, sizeof prose - 1), c->ids, c->pieces, &c->count);
    CHECK(c->count == c->pieces);
    bench_time(report, "encode", lengths[length].detail, encode_variant(), run_encode, c);
}

void bench_model_stages(struct bench_report *report)
{
    static struct model model;
    static struct model_case c;
    static char why[FILE_PATH_MAX + 80];
    int rc = model_open(report->model_path, &model);
    if (rc != RC_OK) {
        snprintf(why, sizeof why, "no model at %s (%s): see larder model, or --model FILE", report->model_path,
                 rc_name(rc));
        bench_skip(report, "tokenize", "", why);
        bench_skip(report, "encode", "", why);
        return;
    }
    c.model = &model;
    c.work = bench_region(encode_work_size(&model), false);
    CHECK(model.dim <= sizeof c.vector / sizeof c.vector[0]);
    for (unsigned i = 0; i < LENGTHS; i++) time_tokenize(report, &c, i);
    for (unsigned i = 0; i < LENGTHS; i++) time_encode(report, &c, i);
    model_close(&model);
}

/* ---- code, scan, rescore */

enum { DIM = 384, CODES = 100000, TOP = 32, TURNS = 16 /* different inputs, one after another */ };

static struct {
    _Alignas(64) float vectors[TURNS][DIM];
    _Alignas(64) float work[1024];
    _Alignas(64) int8_t quantised[TOP][DIM];
    const int8_t *rows[TOP];
    struct rotation rotation;
    struct hamming_top top;
    uint64_t queries[TURNS][CODE_WORDS];
    unsigned char *codes;
} search;

static void fill_search(void)
{
    unsigned char secret[ROTATION_SECRET_SIZE] = {1};
    uint64_t seed = 1;
    for (unsigned i = 0; i < TURNS * DIM; i++)
        search.vectors[i / DIM][i % DIM] = (float)(int64_t)bench_random(&seed) / 9.3e18f;
    CHECK(rotation_make(&search.rotation, secret, DIM) == RC_OK);
    for (unsigned i = 0; i < TURNS; i++)
        rotate_code(&search.rotation, search.vectors[i], NULL, search.work, search.queries[i]);
    for (unsigned i = 0; i < TOP; i++) {
        (void)vector_quantise(search.vectors[i % TURNS], DIM, search.quantised[i]);
        search.rows[i] = search.quantised[i];
    }
    search.codes = bench_region((size_t)CODES * HAMMING_CODE_SIZE, false);
    for (size_t i = 0; i < (size_t)CODES * HAMMING_CODE_SIZE; i += sizeof seed) {
        uint64_t word = bench_random(&seed);
        memcpy(search.codes + i, &word, sizeof word);
    }
}

static void run_code(void *context, uint64_t times)
{
    uint64_t code[CODE_WORDS];
    (void)context;
    for (uint64_t i = 0; i < times; i++) {
        rotate_code(&search.rotation, search.vectors[i % TURNS], NULL, search.work, code);
        bench_use(code[0]);
    }
}

static void run_scan(void *context, uint64_t times)
{
    (void)context;
    for (uint64_t i = 0; i < times; i++) {
        hamming_top_start(&search.top, TOP);
        hamming_scan(search.queries[i % TURNS], search.codes, CODES, &search.top);
        hamming_top_finish(&search.top);
        bench_use(search.top.hits[0].place);
    }
}

static void run_rescore(void *context, uint64_t times)
{
    int32_t dots[TOP];
    (void)context;
    for (uint64_t i = 0; i < times; i++) {
        rescore_dots(search.quantised[i % TOP], search.rows, TOP, DIM, dots);
        bench_use((uint64_t)(uint32_t)dots[0]);
    }
}

void bench_search_stages(struct bench_report *report)
{
    fill_search();
    bench_time(report, "code", "384 dimensions to 256 bits", rotate_variant(), run_code, NULL);
    bench_time(report, "scan", "100,000 codes, best 32", hamming_variant(), run_scan, NULL);
    bench_time(report, "rescore", "32 vectors of 384", rescore_variant(), run_rescore, NULL);
}

/* ---- guards: a question is read, a stored one unpacked, the two compared */

enum { PAIRS = 8, PACKED_MAX = 1024 };

static const char *const pairs[PAIRS][2] = {
    {"How do I reset the water pump in the Hamburg office?", "How can I reset the water pump of the Lisbon plant?"},
    {"What is the limit for transfers above 500 euros?", "What is the limit of transfers over 5,000 euros?"},
    {"Why was my card declined at the petrol station?", "Why has my card not been declined at the petrol station?"},
    {"Convert 20 pounds to kilograms", "Convert 20 kilograms to pounds"},
    {"Is the back door locked before 10 pm on Sundays?", "Is the back door locked after 10 pm on Sundays?"},
    {"How do I call `open()` with O_CLOEXEC in C?", "How do I call `fopen()` with a mode in C++?"},
    {"Who changed the third entry of the delivery schedule?", "When did somebody change the 3rd delivery schedule?"},
    {"please tell me how to activate my new card", "how do i activate the card i got today"},
};

static struct {
    unsigned char packed[PAIRS][PACKED_MAX];
    struct span stored[PAIRS];
    struct guard_text *asked, *other;
} guarded;

static void run_guards(void *context, uint64_t times)
{
    (void)context;
    for (uint64_t i = 0; i < times; i++) {
        guard_read(span_text(pairs[i % PAIRS][0]), guarded.asked);
        CHECK(guard_unpack(guarded.stored[i % PAIRS], guarded.other) == RC_OK);
        bench_use(guard_vetoes(guarded.asked, guarded.other, false));
    }
}

void bench_guard_stages(struct bench_report *report)
{
    guarded.asked = bench_region(guard_text_size(), false);
    guarded.other = bench_region(guard_text_size(), false);
    for (unsigned i = 0; i < PAIRS; i++) {
        size_t size;
        guard_read(span_text(pairs[i][1]), guarded.other);
        CHECK(guard_pack(guarded.other, guarded.packed[i], PACKED_MAX, &size) == RC_OK);
        guarded.stored[i] = span_of((const char *)guarded.packed[i], size);
    }
    bench_time(report, "guards", "a pair of questions", "scalar", run_guards, NULL);
}

/* ---- sealing and hashing */

enum { SEALED = 16 << 10 };

static char plain[SEALED];
static unsigned char sealed[SEALED + AEAD_TAG_SIZE];

static void run_seal(void *context, uint64_t times)
{
    static const unsigned char key[AEAD_KEY_SIZE] = {7};
    unsigned char nonce[AEAD_NONCE_SIZE] = {0};
    (void)context;
    for (uint64_t i = 0; i < times; i++) {
        memcpy(nonce, &i, sizeof i);
        CHECK(aead_seal(key, nonce, (struct span){"", 0}, span_of(plain, SEALED), sealed) == RC_OK);
    }
}

static void run_hash(void *context, uint64_t times)
{
    unsigned char digest[SHA256_SIZE];
    (void)context;
    for (uint64_t i = 0; i < times; i++) {
        sha256_of(plain, SEALED, digest);
        bench_use(digest[0]);
    }
}

void bench_crypto_stages(struct bench_report *report)
{
    const char *instructions = cpu_features()->aes ? "aes" : "software";
    aead_select(true);
    bench_time(report, "AEAD", "AES-256-GCM, 16 KiB", instructions, run_seal, NULL);
    aead_select(false);
    bench_time(report, "AEAD", "ChaCha20-Poly1305, 16 KiB", "software", run_seal, NULL);
    aead_select(cpu_features()->aes);
    bench_time(report, "SHA-256", "16 KiB", sha256_variant(), run_hash, NULL);
}
