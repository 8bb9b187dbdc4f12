/* SPDX-License-Identifier: Apache-2.0 */
/* storage/secrets.h — rotation secrets: 32 random bytes a tenant, from which its codes' rotation is made (cache/rotate.h).
 *
 * File:    <data>/keys/rotation, mode 0600: header, then rows {tenant, secret, CRC-32C}, appended; little endian. A row
 *          whose CRC does not fit (a torn last one) is passed over. A tenant's secret never changes: codes depend on it.
 * Durable: a secret is on disk before it is used. Erase writes the file anew without the row, renames it over the old
 *          one and overwrites the old one's bytes: what flash keeps of them besides is beyond a file's reach.
 * The box: tenant of zeros with SECRETS_BOX: for packs and `share: box`.
 * Table:   in RAM, SECRETS_MAX tenants. When it is full new tenants get none: they are not looked up in other words.
 * Owner:   one a process; memory is taken at boot.
 * Threads: any (a lock); making and erasing wait for the disk, so they are a worker's.
 * Fails:   RC_FULL, RC_READ_ONLY, RC_NO_SPACE, RC_IO; nothing is changed then. RC_VERSION: a newer file.
 */
#ifndef STORAGE_SECRETS_H
#define STORAGE_SECRETS_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/entry.h"

enum { SECRETS_VERSION = 1, SECRETS_MAX = 4096, SECRET_SIZE = 32 };

struct secrets_stats {
    unsigned tenants, refused; /* refused: asked for when the table was full */
};

/* Boot. */
int secrets_reserve(void);
/* The file is made with the first secret. Without a folder (NULL) secrets are fixed by the tenant alone: for golden tests
 * and evaluation. */
int secrets_open(const char *data_folder, bool only_read);
void secrets_close(void);

/* The tenant's (NULL: the box's) secret; made when there is none. */
int secrets_get(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned char secret[SECRET_SIZE]);
/* Never waits for the disk: RC_NOT_FOUND when it is yet to be made. */
int secrets_find(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned char secret[SECRET_SIZE]);
/* RC_NOT_FOUND: it had none. Its codes are noise from then on. */
int secrets_erase(const uint8_t tenant[ENTRY_TENANT_SIZE]);
void secrets_stats(struct secrets_stats *stats);

#endif
