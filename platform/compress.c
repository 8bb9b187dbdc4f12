/* SPDX-License-Identifier: Apache-2.0 */
/* platform/compress.c — door of zstd and zlib, in static contexts. */
#define ZSTD_STATIC_LINKING_ONLY
#define ZLIB_CONST
#include "platform/compress.h"

#include <pthread.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "platform/check.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    LEVEL = 3, /* above it a board pays twice the time for 3 % */
    /* inflate's state (7,160 bytes on 64-bit) and its window of 32 KiB, each rounded up */
    GZIP_REGION = 48 * 1024,
    STREAMS = COMPRESS_STREAMS_GZIP + COMPRESS_STREAMS_ZSTD,
};

struct reader {
    pthread_mutex_t lock;
    ZSTD_DCtx *context;
};

struct decoder {
    enum compress_coding coding;
    bool used, ended;
    unsigned char *region;
    size_t region_size, region_taken;
    z_stream gzip;
    ZSTD_DStream *zstd;
};

static ZSTD_CCtx *compressor;
static size_t compressor_block_max;
static struct reader readers[COMPRESS_READERS] = {{.lock = PTHREAD_MUTEX_INITIALIZER},
                                                  {.lock = PTHREAD_MUTEX_INITIALIZER}};
static struct decoder decoders[STREAMS];

/* zstd chooses its tables by the size of the input, in steps; a smaller step can need the larger tables. */
static size_t compressor_size(size_t block_max)
{
    static const size_t steps[] = {16 * 1024, 128 * 1024, 256 * 1024};
    size_t most = ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(LEVEL, block_max, 0));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        size_t size = ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(LEVEL, steps[i], 0));
        if (steps[i] < block_max && size > most) most = size;
    }
    return most;
}

static int reserve_compressor(size_t block_max)
{
    size_t size = compressor_size(block_max);
    void *region;
    int rc = plan_take("compress writer", 1, size, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    compressor = ZSTD_initStaticCCtx(region, size);
    compressor_block_max = block_max;
    CHECK(compressor != NULL);
    return RC_OK;
}

static int reserve_readers(void)
{
    size_t size = (ZSTD_estimateDCtxSize() + 63) & ~(size_t)63;
    void *region;
    int rc = plan_take("compress readers", COMPRESS_READERS, size, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    for (unsigned i = 0; i < COMPRESS_READERS; i++) {
        readers[i].context = ZSTD_initStaticDCtx((char *)region + i * size, size);
        CHECK(readers[i].context != NULL);
    }
    return RC_OK;
}

static int reserve_streams(const char *name, enum compress_coding coding, struct decoder *first, unsigned count,
                           size_t size)
{
    void *region;
    /* Whole pages each, so that a closed one can give its pages back (64 KiB: the largest pages there are). */
    size = (size + 0xffff) & ~(size_t)0xffff;
    int rc = plan_take(name, count, size, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    for (unsigned i = 0; i < count; i++)
        first[i] =
            (struct decoder){.coding = coding, .region = (unsigned char *)region + i * size, .region_size = size};
    return RC_OK;
}

int compress_reserve(size_t block_max)
{
    int rc = reserve_compressor(block_max);
    if (rc == RC_OK) rc = reserve_readers();
    if (rc == RC_OK)
        rc = reserve_streams("compress gzip streams", CODING_GZIP, decoders, COMPRESS_STREAMS_GZIP, GZIP_REGION);
    if (rc == RC_OK)
        rc = reserve_streams("compress zstd streams", CODING_ZSTD, decoders + COMPRESS_STREAMS_GZIP,
                             COMPRESS_STREAMS_ZSTD, ZSTD_estimateDStreamSize((size_t)1 << COMPRESS_WINDOW_LOG));
    return rc;
}

static int from_zstd(size_t result)
{
    if (!ZSTD_isError(result)) return RC_OK;
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_dstSize_tooSmall:
    case ZSTD_error_frameParameter_windowTooLarge: return RC_TOO_LARGE;
    default: return RC_CORRUPT;
    }
}

size_t compress_bound(size_t size)
{
    return ZSTD_compressBound(size);
}

int compress_block(struct span in, void *out, size_t capacity, size_t *size)
{
    CHECK(compressor != NULL);
    *size = 0;
    if (in.size > compressor_block_max) return RC_TOO_LARGE;
    size_t result = ZSTD_compressCCtx(compressor, out, capacity, in.data, in.size, LEVEL);
    int rc = from_zstd(result);
    CHECK(rc != RC_CORRUPT); /* only room can be wanting: the context was sized for this */
    if (rc == RC_OK) *size = result;
    return rc;
}

/* Any free one; when all are at work, the first: a block takes at most some milliseconds. */
static struct reader *reader_take(void)
{
    for (unsigned i = 0; i < COMPRESS_READERS; i++)
        if (pthread_mutex_trylock(&readers[i].lock) == 0) return &readers[i];
    CHECK(pthread_mutex_lock(&readers[0].lock) == 0);
    return &readers[0];
}

int decompress_block(struct span in, void *out, size_t capacity, size_t *size)
{
    *size = 0;
    unsigned long long claimed = ZSTD_getFrameContentSize(in.data, in.size);
    if (claimed == ZSTD_CONTENTSIZE_ERROR || claimed == ZSTD_CONTENTSIZE_UNKNOWN) return RC_CORRUPT;
    if (claimed > capacity) return RC_TOO_LARGE;
    struct reader *reader = reader_take();
    CHECK(reader->context != NULL);
    size_t result = ZSTD_decompressDCtx(reader->context, out, capacity, in.data, in.size);
    CHECK(pthread_mutex_unlock(&reader->lock) == 0);
    if (!ZSTD_isError(result)) *size = result;
    return from_zstd(result);
}

enum compress_coding compress_coding_of(struct span content_encoding)
{
    struct span name = span_trim(content_encoding);
    if (name.size == 0 || span_equal_nocase(name, SPAN("identity"))) return CODING_IDENTITY;
    if (span_equal_nocase(name, SPAN("zstd"))) return CODING_ZSTD;
    if (span_equal_nocase(name, SPAN("gzip")) || span_equal_nocase(name, SPAN("x-gzip"))) return CODING_GZIP;
    return span_equal_nocase(name, SPAN("deflate")) ? CODING_GZIP : CODING_UNKNOWN;
}

static void *gzip_take(void *opaque, unsigned count, unsigned size)
{
    struct decoder *d = opaque;
    size_t bytes = ((size_t)count * size + 15) & ~(size_t)15;
    if (bytes > d->region_size - d->region_taken) return NULL;
    void *piece = d->region + d->region_taken;
    d->region_taken += bytes;
    return piece;
}

static void gzip_give(void *opaque, void *piece)
{
    (void)opaque;
    (void)piece; /* the whole region is taken back at closing */
}

static void open_gzip(struct decoder *d, bool framed)
{
    enum { WINDOW_BITS = 15, EITHER_HEADER = 32 };
    d->gzip = (z_stream){.zalloc = gzip_take, .zfree = gzip_give, .opaque = d};
    CHECK(inflateInit2(&d->gzip, framed ? WINDOW_BITS + EITHER_HEADER : -WINDOW_BITS) == Z_OK);
}

static void open_zstd(struct decoder *d)
{
    d->zstd = ZSTD_initStaticDStream(d->region, d->region_size);
    CHECK(d->zstd != NULL);
    CHECK(!ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, COMPRESS_WINDOW_LOG)));
}

int decoder_open(enum compress_coding coding, struct decoder **decoder)
{
    *decoder = NULL;
    if (coding != CODING_GZIP && coding != CODING_ZSTD && coding != CODING_DEFLATE) return RC_UNSUPPORTED;
    enum compress_coding library = coding == CODING_ZSTD ? CODING_ZSTD : CODING_GZIP;
    for (unsigned i = 0; i < STREAMS && !*decoder; i++)
        if (decoders[i].coding == library && !decoders[i].used) *decoder = &decoders[i];
    if (!*decoder) return RC_FULL;
    struct decoder *d = *decoder;
    CHECK(d->region != NULL);
    d->used = true;
    d->ended = false;
    d->region_taken = 0;
    if (library == CODING_GZIP)
        open_gzip(d, coding == CODING_GZIP);
    else
        open_zstd(d);
    return RC_OK;
}

static int run_gzip(struct decoder *d, struct span *in, unsigned char *out, size_t capacity, size_t *produced)
{
    enum { TURN = 1 << 30 };                             /* zlib counts in unsigned int */
    if (d->ended) CHECK(inflateReset(&d->gzip) == Z_OK); /* a further member follows */
    d->gzip.next_in = (const unsigned char *)in->data;
    d->gzip.avail_in = in->size < TURN ? (unsigned)in->size : TURN;
    d->gzip.next_out = out;
    d->gzip.avail_out = capacity < TURN ? (unsigned)capacity : TURN;
    int result = inflate(&d->gzip, Z_NO_FLUSH);
    size_t taken = (size_t)(d->gzip.next_in - (const unsigned char *)in->data);
    *in = span_of(in->data + taken, in->size - taken);
    *produced = (size_t)(d->gzip.next_out - out);
    d->ended = result == Z_STREAM_END;
    return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR ? RC_OK : RC_CORRUPT;
}

static int run_zstd(struct decoder *d, struct span *in, unsigned char *out, size_t capacity, size_t *produced)
{
    ZSTD_inBuffer input = {in->data, in->size, 0};
    ZSTD_outBuffer output = {out, capacity, 0};
    size_t result = ZSTD_decompressStream(d->zstd, &output, &input);
    *in = span_of(in->data + input.pos, in->size - input.pos);
    *produced = output.pos;
    d->ended = result == 0;
    return from_zstd(result);
}

int decoder_run(struct decoder *decoder, struct span *in, void *out, size_t capacity, size_t *produced, bool *ended)
{
    CHECK(decoder->used && capacity > 0);
    int rc = RC_OK;
    *produced = 0;
    /* Decoded bytes may still wait inside, so it runs once even without input. */
    if (in->size > 0 || !decoder->ended) {
        bool gzip = decoder->coding == CODING_GZIP;
        rc = gzip ? run_gzip(decoder, in, out, capacity, produced) : run_zstd(decoder, in, out, capacity, produced);
    }
    *ended = decoder->ended;
    return rc;
}

void decoder_close(struct decoder *decoder)
{
    CHECK(decoder->used);
    decoder->used = false;
    /* Its pages go back: between two compressing upstreams hours may pass. */
    (void)madvise(decoder->region, decoder->region_size, MADV_DONTNEED);
}
