/* SPDX-License-Identifier: Apache-2.0 */
/* hal/watchdog_linux.c — /dev/watchdog (kernel documentation, watchdog-api). */
#include "hal/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hal/small_file.h"
#include "platform/check.h"
#include "platform/rc.h"

static int device = -1;

static int rc_of_open(void)
{
    switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO: return RC_NOT_FOUND;
    case EACCES:
    case EPERM: return RC_DENIED;
    case EBUSY: return RC_EXISTS;
    default: return RC_IO;
    }
}

/* musl and glibc disagree on the type of a request. */
static long control(unsigned long request, void *argument)
{
    return syscall(SYS_ioctl, device, request, argument);
}

int watchdog_arm(unsigned timeout_s)
{
    char path[SMALL_FILE_PATH_MAX];
    int seconds = (int)timeout_s;
    CHECK(device < 0);
    if (small_file_path(path, "/dev/watchdog") != RC_OK) return RC_NOT_FOUND;
    device = open(path, O_WRONLY | O_CLOEXEC);
    if (device < 0) return rc_of_open();
    /* A device with a fixed time refuses this; it is armed all the same. */
    (void)control(WDIOC_SETTIMEOUT, &seconds);
    return RC_OK;
}

int watchdog_kick(void)
{
    if (device < 0) return RC_CLOSED;
    return write(device, "k", 1) == 1 ? RC_OK : RC_IO;
}

/* 'V' right before close says that it is meant; drivers without "magic close" or built with "no way out" ignore it. */
int watchdog_disarm(void)
{
    struct watchdog_info info = {.options = 0};
    if (device < 0) return RC_CLOSED;
    int rc = write(device, "V", 1) == 1 ? RC_OK : RC_IO;
    if (control(WDIOC_GETSUPPORT, &info) == 0 && !(info.options & WDIOF_MAGICCLOSE)) rc = RC_UNSUPPORTED;
    close(device);
    device = -1;
    return rc;
}
