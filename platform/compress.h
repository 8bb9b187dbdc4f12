/* SPDX-License-Identifier: Apache-2.0 */
/* platform/compress.h — zstd for what is stored; zstd and gzip streams for what an upstream sends (doors of zstd, zlib).
 *
 * Owner:   fixed contexts reserved at boot: one compressor (writer thread), COMPRESS_READERS one-shot decompressors
 *          (compute pool and lane), COMPRESS_STREAMS stream decoders (flights whose upstream compresses).
 * Threads: compress_block: the writer only. decompress_block: any (takes a context under a lock). Streams: lane.
 * Fails:   RC_CORRUPT, RC_TOO_LARGE (more than `capacity`), RC_FULL (no stream decoder free).
 */
#ifndef PLATFORM_COMPRESS_H
#define PLATFORM_COMPRESS_H

#include "platform/span.h"

enum { COMPRESS_READERS = 2, COMPRESS_STREAMS = 8 };

int compress_reserve(size_t block_max); /* largest block ever compressed, for the static context's window */
size_t compress_bound(size_t size);
int compress_block(struct span in, void *out, size_t capacity, size_t *size);
int decompress_block(struct span in, void *out, size_t capacity, size_t *size);

enum compress_coding { CODING_IDENTITY, CODING_GZIP, CODING_ZSTD, CODING_UNKNOWN };
enum compress_coding compress_coding_of(struct span content_encoding);

struct decoder;
int decoder_open(enum compress_coding coding, struct decoder **decoder); /* gzip also takes zlib "deflate" framing off */
/* Consumes from *in, fills out; RC_OK with *produced > 0 or input used up; *ended when the stream is complete.
 * Window of zstd frames is bounded (1 MiB): larger is RC_TOO_LARGE. */
int decoder_run(struct decoder *decoder, struct span *in, void *out, size_t capacity, size_t *produced, bool *ended);
void decoder_close(struct decoder *decoder);

#endif
