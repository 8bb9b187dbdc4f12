/* SPDX-License-Identifier: Apache-2.0 */
/* platform/compress.h — zstd for what is stored; zstd and gzip streams of upstreams (doors of zstd, zlib).
 *
 * Owner:   fixed contexts reserved at boot: one compressor (writer thread), COMPRESS_READERS one-shot decompressors
 *          (compute pool and lane), stream decoders of both codings (flights whose upstream compresses).
 * Threads: compress_block: the writer only. decompress_block: any (takes a context under a lock). Streams: lane.
 * Fails:   RC_CORRUPT, RC_TOO_LARGE (more than `capacity`), RC_FULL (no stream decoder free).
 */
#ifndef PLATFORM_COMPRESS_H
#define PLATFORM_COMPRESS_H

#include "platform/span.h"

enum {
    COMPRESS_READERS = 2,
    /* The box asks for identity, so these are for servers that compress unasked; whoever finds none free waits its turn. */
    COMPRESS_STREAMS_GZIP = 16, /* 48 KiB each */
    COMPRESS_STREAMS_ZSTD = 2,  /* 2.4 MiB each once a frame has filled its window */
    COMPRESS_WINDOW_LOG = 21,   /* 2 MiB: what zstd's default level announces when it does not know the size */
};

/* Before anything below. `block_max`: largest block ever compressed, for the static context's window. */
int compress_reserve(size_t block_max);
size_t compress_bound(size_t size);
int compress_block(struct span in, void *out, size_t capacity, size_t *size);
int decompress_block(struct span in, void *out, size_t capacity, size_t *size);

/* deflate: without any framing, as in a zip archive; no content-encoding is that. */
enum compress_coding { CODING_IDENTITY, CODING_GZIP, CODING_ZSTD, CODING_UNKNOWN, CODING_DEFLATE };
enum compress_coding
compress_coding_of(struct span content_encoding); /* of a list: unknown, unless it has one member */

struct decoder;
/* gzip also takes zlib "deflate" framing off. RC_UNSUPPORTED for identity and unknown. */
int decoder_open(enum compress_coding coding, struct decoder **decoder);
/* Consumes from *in, fills out; RC_OK with *produced > 0 or input used up; *ended when the stream is complete (further
 * members or frames that follow in the input are taken too, at the next call).
 * Window of zstd frames is bounded (COMPRESS_WINDOW_LOG): larger is RC_TOO_LARGE. */
int decoder_run(struct decoder *decoder, struct span *in, void *out, size_t capacity, size_t *produced, bool *ended);
void decoder_close(struct decoder *decoder);

#endif
