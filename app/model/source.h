/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/source.h — the published files in memory, from a folder or from a package, and what is known about them.
 *
 * Owner:   mapped, or unpacked into a region, until the process ends.
 * Fails:   says why on stderr.
 */
#ifndef APP_MODEL_SOURCE_H
#define APP_MODEL_SOURCE_H

#include "platform/crypto.h"

struct model_source {
    struct span weights, vocabulary, config;
};

struct model_digests {
    unsigned char weights[SHA256_SIZE], vocabulary[SHA256_SIZE];
};

int model_source_open(const char *path, struct model_source *source);

void model_source_digests(const struct model_source *source, struct model_digests *digests);
/* Whether they are those of all-MiniLM-L6-v2; when `say`, stderr hears which are not. */
bool model_source_known(const struct model_digests *digests, bool say);

#endif
