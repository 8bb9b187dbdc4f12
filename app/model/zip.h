/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/zip.h — files of a zip archive that lies in memory (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4).
 *
 * Owner:   the caller owns the archive; names point into it.
 * Threads: any; pure but for the decoder (platform/compress.h).
 * Fails:   RC_INVALID: no zip, or one whose parts do not fit together; RC_UNSUPPORTED: zip64, several discs, encryption,
 *          or a method other than stored and deflate; RC_TOO_LARGE: it holds more bytes than it says.
 */
#ifndef APP_MODEL_ZIP_H
#define APP_MODEL_ZIP_H

#include "platform/span.h"

struct zip {
    struct span archive, directory;
    unsigned count;
};

struct zip_file {
    struct span name;
    unsigned method, flags;
    uint32_t packed_size, size, header_at;
};

int zip_open(struct span archive, struct zip *zip);
/* The first file whose name ends with `ending`; RC_NOT_FOUND. */
int zip_find(const struct zip *zip, struct span ending, struct zip_file *file);
/* Exactly file->size bytes to `out`. */
int zip_read(const struct zip *zip, const struct zip_file *file, void *out);

#endif
