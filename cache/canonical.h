/* SPDX-License-Identifier: Apache-2.0 */
/* cache/canonical.h — identity of a request: SHA-256 over a lossless canonical form of its JSON.
 *
 * White space goes; members are sorted only in objects that the dialect's table knows (envelope, message, content part);
 * elsewhere (schemas, tool parameters, arguments, unknown fields) order counts, since it changes answers; numbers count
 * as their text; strings as their decoded bytes, untouched. Every value is written with a type tag and a length, so
 * that no two different trees give the same bytes. The table also names the fields that do not count.
 *
 * Owner:   pure; tables are the caller's (app/gateway/dialect_*.c).
 * Threads: any.
 */
#ifndef CACHE_CANONICAL_H
#define CACHE_CANONICAL_H

#include "cache/cache.h"
#include "platform/crypto.h"
#include "platform/json.h"

enum request_part {
    PART_ROUTE,      /* scope: tenant, endpoint, headers that count, namespace */
    PART_MODEL,
    PART_SYSTEM,
    PART_TOOLS,
    PART_PARAMETERS, /* every other field that counts */
    PART_HISTORY,    /* messages before the last user message */
    PART_QUERY,      /* the last user message */
    PARTS,
};

struct request_parts {
    uint64_t digest[PARTS]; /* first 8 bytes of each part's SHA-256 */
};

#endif
