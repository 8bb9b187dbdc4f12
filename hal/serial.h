/* SPDX-License-Identifier: Apache-2.0 */
/* hal/serial.h — a serial line as a descriptor: 8 data bits, no parity, one stop bit, nothing translated.
 *
 * Owner:   the caller owns the descriptor.
 * Threads: any.
 * Fails:   RC_NOT_FOUND, RC_DENIED, RC_INVALID for a baud rate that is not standard or a device that is no terminal, RC_EXISTS
 *          when another process holds the line, RC_IO.
 * Who calls: the admin console.
 */
#ifndef HAL_SERIAL_H
#define HAL_SERIAL_H

/* Opens for reading and writing, never blocking. `baud`: 1200 … 921600. */
int serial_open(const char *device, unsigned baud, int *fd);
void serial_close(int fd);

#endif
