/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/import.h — published model files to one `.lmodel` (its form: cache/model.h, cache/model_layout.h).
 *
 * Takes:   model.safetensors, vocab.txt and config.json of an uncased BERT encoder with mean pooling, from a folder or from
 *          a package (zip). Pooler and position ids are left out.
 * Owner:   a process of its own: the package is unpacked into one region, the file is made in another.
 * Fails:   says why on stderr; the old file stays as it was.
 */
#ifndef APP_MODEL_IMPORT_H
#define APP_MODEL_IMPORT_H

#include <stdbool.h>

#include "app/model/source.h"

#define MODEL_DEFAULT_PATH "models/all-MiniLM-L6-v2.lmodel"

struct model_import {
    const char *source; /* folder or package */
    const char *output;
    bool any; /* files with other digests than the known ones too */
};

int model_import(const struct model_import *import);

/* The steps, for tests. */
int model_import_bytes(const struct model_source *source, const struct model_digests *digests, const char *licence,
                       struct span *file);

#endif
