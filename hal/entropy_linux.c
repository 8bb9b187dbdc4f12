/* SPDX-License-Identifier: Apache-2.0 */
/* hal/entropy_linux.c — getrandom, which waits for the kernel's first seed and then never again. */
#include "hal/entropy.h"

#include <errno.h>
#include <sys/random.h>

#include "platform/rc.h"

int entropy_read(void *bytes, size_t size)
{
    unsigned char *at = bytes;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return RC_IO;
        at += got;
        size -= (size_t)got;
    }
    return RC_OK;
}
