/* SPDX-License-Identifier: Apache-2.0 */
/* hal/entropy.h — random bytes that nobody can guess.
 *
 * Threads: any.
 * Fails:   RC_IO when the kernel has none to give: the caller stops, it never goes on with less. Blocks only until the kernel
 *          has gathered its first seed, early in a boot.
 * Who calls: platform/crypto, to seed its generator, and boot, for keys of hash tables.
 */
#ifndef HAL_ENTROPY_H
#define HAL_ENTROPY_H

#include <stddef.h>

int entropy_read(void *bytes, size_t size);

#endif
