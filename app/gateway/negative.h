/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/negative.h — pairs of entry and question that were reported as wrong, and will not be served again.
 *
 * Effect:  the pair is never served; of its entry only what scores higher than the worst reported score, by
 *          NEGATIVE_MARGIN. It only tightens.
 * File:    <data>/negatives: 40-byte records, each with a CRC, appended and synced one by one; a torn or damaged one is
 *          left out at boot. Written anew when half of it is out of date.
 * Owner:   a table of NEGATIVES_MAX; the oldest leaves for a new one.
 * Threads: lane; adding waits for the disk (fiber).
 * Fails:   adding: what the disk said; the pair is in force all the same, until the process ends.
 */
#ifndef GATEWAY_NEGATIVE_H
#define GATEWAY_NEGATIVE_H

#include "app/gateway/gateway.h"

enum { NEGATIVES_MAX = 4096 };
#define NEGATIVE_MARGIN 0.005f /* above the error of int8 scores, 0.0016 */
#define NEGATIVE_ALWAYS 2.0f   /* as score: the entry is served to exact requests only */

int negative_reserve(void);
int negative_open(const char *data_folder, char *message, size_t message_size);

int negative_add(uint64_t entry, uint64_t query, const uint8_t tenant[ENTRY_TENANT_SIZE], float score);
bool negative_allows(uint64_t entry, uint64_t query, float score);
/* A tenant's are forgotten, on disk too (fiber). */
int negative_erase(const uint8_t tenant[ENTRY_TENANT_SIZE]);
unsigned negative_count(void);

#endif
