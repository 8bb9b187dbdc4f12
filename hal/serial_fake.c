/* SPDX-License-Identifier: Apache-2.0 */
/* hal/serial_fake.c — one end of a socket pair; the test has the other. */
#include "hal/serial.h"

#include <sys/socket.h>
#include <unistd.h>

#include "hal/fake.h"
#include "platform/rc.h"

static int peer = -1;
static unsigned last_baud;
static int failure = RC_OK;

int serial_fake_peer(void)
{
    return peer;
}

unsigned serial_fake_baud(void)
{
    return last_baud;
}

void serial_fake_fail(int rc)
{
    failure = rc;
}

int serial_open(const char *device, unsigned baud, int *fd)
{
    int pair[2];
    (void)device;
    if (failure != RC_OK) return failure;
    if (peer >= 0) return RC_EXISTS;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return RC_IO;
    *fd = pair[0];
    peer = pair[1];
    last_baud = baud;
    return RC_OK;
}

void serial_close(int fd)
{
    close(fd);
    close(peer);
    peer = -1;
}
