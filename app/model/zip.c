/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/zip.c — every offset of the archive is checked before it is followed. See zip.h. */
#include "app/model/zip.h"

#include "platform/compress.h"
#include "platform/rc.h"

enum {
    END_SIZE = 22,
    END_COMMENT_MAX = 65535,
    ENTRY_SIZE = 46,
    LOCAL_SIZE = 30,
    METHOD_STORED = 0,
    METHOD_DEFLATE = 8,
    FLAG_ENCRYPTED = 1,
    ZIP64_COUNT = 0xffff,
};

static unsigned u16_at(struct span s, size_t at)
{
    const unsigned char *p = (const unsigned char *)s.data + at;
    return (unsigned)(p[0] | p[1] << 8);
}

static uint32_t u32_at(struct span s, size_t at)
{
    return u16_at(s, at) | (uint32_t)u16_at(s, at + 2) << 16;
}

static struct span part(struct span s, size_t at, size_t size)
{
    if (at > s.size || size > s.size - at) return span_of(NULL, 0);
    return span_of(s.data + at, size);
}

/* The end record stands last, before a comment of any text. */
static struct span find_end(struct span archive)
{
    for (size_t back = END_SIZE; back <= archive.size && back <= END_SIZE + END_COMMENT_MAX; back++) {
        struct span end = part(archive, archive.size - back, back);
        if (memcmp(end.data, "PK\5\6", 4) == 0 && u16_at(end, 20) == back - END_SIZE) return end;
    }
    return span_of(NULL, 0);
}

int zip_open(struct span archive, struct zip *zip)
{
    *zip = (struct zip){.archive = archive};
    struct span end = find_end(archive);
    if (!end.data) return RC_INVALID;
    if (u16_at(end, 4) != 0 || u16_at(end, 6) != 0 || u16_at(end, 8) != u16_at(end, 10)) return RC_UNSUPPORTED;
    if (u16_at(end, 10) == ZIP64_COUNT || u32_at(end, 16) == UINT32_MAX) return RC_UNSUPPORTED;
    zip->count = u16_at(end, 10);
    zip->directory = part(archive, u32_at(end, 16), u32_at(end, 12));
    return zip->directory.data ? RC_OK : RC_INVALID;
}

static int read_entry(struct span directory, size_t *at, struct zip_file *file)
{
    struct span head = part(directory, *at, ENTRY_SIZE);
    if (!head.data || memcmp(head.data, "PK\1\2", 4) != 0) return RC_INVALID;
    *file = (struct zip_file){.flags = u16_at(head, 8),
                              .method = u16_at(head, 10),
                              .packed_size = u32_at(head, 20),
                              .size = u32_at(head, 24),
                              .header_at = u32_at(head, 42)};
    file->name = part(directory, *at + ENTRY_SIZE, u16_at(head, 28));
    if (!file->name.data) return RC_INVALID;
    *at += (size_t)ENTRY_SIZE + u16_at(head, 28) + u16_at(head, 30) + u16_at(head, 32);
    return RC_OK;
}

int zip_find(const struct zip *zip, struct span ending, struct zip_file *file)
{
    size_t at = 0;
    for (unsigned i = 0; i < zip->count; i++) {
        int rc = read_entry(zip->directory, &at, file);
        if (rc != RC_OK) return rc;
        if (span_ends_with(file->name, ending)) return RC_OK;
    }
    return RC_NOT_FOUND;
}

static int inflate_all(struct decoder *decoder, struct span in, unsigned char *out, size_t size)
{
    size_t got = 0;
    bool ended = false;
    unsigned char beyond;
    for (;;) {
        size_t produced, left = in.size;
        bool full = got == size;
        int rc = decoder_run(decoder, &in, full ? &beyond : out + got, full ? 1 : size - got, &produced, &ended);
        if (rc != RC_OK) return rc == RC_CORRUPT ? RC_INVALID : rc;
        if (full && produced > 0) return RC_TOO_LARGE;
        got += produced;
        if (ended) return got == size ? RC_OK : RC_INVALID;
        if (produced == 0 && in.size == left) return RC_INVALID; /* it stops in the middle */
    }
}

int zip_read(const struct zip *zip, const struct zip_file *file, void *out)
{
    struct span head = part(zip->archive, file->header_at, LOCAL_SIZE);
    if (!head.data || memcmp(head.data, "PK\3\4", 4) != 0) return RC_INVALID;
    if (file->flags & FLAG_ENCRYPTED) return RC_UNSUPPORTED;
    if (file->size == UINT32_MAX || file->packed_size == UINT32_MAX) return RC_UNSUPPORTED;
    size_t at = (size_t)file->header_at + LOCAL_SIZE + u16_at(head, 26) + u16_at(head, 28);
    struct span packed = part(zip->archive, at, file->packed_size);
    if (!packed.data) return RC_INVALID;
    if (file->method == METHOD_STORED) {
        if (file->size != packed.size) return RC_INVALID;
        if (packed.size > 0) memcpy(out, packed.data, packed.size);
        return RC_OK;
    }
    if (file->method != METHOD_DEFLATE) return RC_UNSUPPORTED;
    struct decoder *decoder;
    int rc = decoder_open(CODING_DEFLATE, &decoder);
    if (rc != RC_OK) return rc;
    rc = inflate_all(decoder, packed, out, file->size);
    decoder_close(decoder);
    return rc;
}
