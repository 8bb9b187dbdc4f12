/* SPDX-License-Identifier: Apache-2.0 */
/* storage/ids.h — the durable mark below which every entry id was given away: <data>/ids, outside of the environment.
 *
 * Why:     an environment that is put back from an older copy forgets which ids it gave out; this file does not.
 * Format:  4,096 bytes with two records of 32 bytes at 0 and 2,048, written in turn: "larder i", mark, turn, CRC-32C.
 *          A power cut tears at most the older one. Overwritten in place: no journal, one fdatasync.
 * Owner:   the caller owns struct ids.
 * Threads: one at a time.
 * Fails:   RC_READ_ONLY, RC_NO_SPACE, RC_IO.
 */
#ifndef STORAGE_IDS_H
#define STORAGE_IDS_H

#include <stdint.h>

enum { IDS_BLOCK = 65536, IDS_LOST = 1 << 20 /* skipped when both records are damaged */ };

struct ids {
    int fd;
    uint64_t mark, turn;
};

/* Reads the mark (1 when the file is new; never below `floor`). Makes the file when it can. */
int ids_open(struct ids *ids, const char *data_folder, uint64_t floor);
/* Makes `mark` durable: ids below it may be given away afterwards. */
int ids_save(struct ids *ids, uint64_t mark);
void ids_close(struct ids *ids);

#endif
