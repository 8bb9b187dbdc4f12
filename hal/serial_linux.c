/* SPDX-License-Identifier: Apache-2.0 */
/* hal/serial_linux.c — termios. */
#include "hal/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "platform/rc.h"

static const struct {
    unsigned baud;
    speed_t speed;
} speeds[] = {
    {1200, B1200},   {2400, B2400},     {4800, B4800},     {9600, B9600},     {19200, B19200},   {38400, B38400},
    {57600, B57600}, {115200, B115200}, {230400, B230400}, {460800, B460800}, {921600, B921600},
};

static int find_speed(unsigned baud, speed_t *speed)
{
    for (size_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
        if (speeds[i].baud == baud) {
            *speed = speeds[i].speed;
            return RC_OK;
        }
    }
    return RC_INVALID;
}

static int set_raw(int fd, speed_t speed)
{
    struct termios line;
    if (tcgetattr(fd, &line) != 0) return errno == ENOTTY ? RC_INVALID : RC_IO;
    cfmakeraw(&line);
    line.c_cflag &= ~(tcflag_t)(CSTOPB | CRTSCTS);
    line.c_cflag |= CLOCAL | CREAD;
    if (cfsetispeed(&line, speed) != 0 || cfsetospeed(&line, speed) != 0) return RC_INVALID;
    if (tcsetattr(fd, TCSANOW, &line) != 0) return RC_IO;
    /* What came in at another speed is noise. */
    tcflush(fd, TCIOFLUSH);
    return ioctl(fd, TIOCEXCL) == 0 ? RC_OK : RC_IO;
}

int serial_open(const char *device, unsigned baud, int *fd)
{
    speed_t speed;
    int rc = find_speed(baud, &speed);
    if (rc != RC_OK) return rc;
    int opened = open(device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0 && errno == EBUSY) return RC_EXISTS;
    if (opened < 0 && (errno == EACCES || errno == EPERM)) return RC_DENIED;
    if (opened < 0) return errno == ENOENT || errno == ENXIO || errno == ENODEV ? RC_NOT_FOUND : RC_IO;
    rc = set_raw(opened, speed);
    if (rc != RC_OK) {
        close(opened);
        return rc;
    }
    *fd = opened;
    return RC_OK;
}

void serial_close(int fd)
{
    (void)ioctl(fd, TIOCNXCL);
    close(fd);
}
