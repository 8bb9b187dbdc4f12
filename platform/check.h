/* SPDX-License-Identifier: Apache-2.0 */
/* platform/check.h — our own faults: a broken CHECK writes one line with write(2) and aborts.
 *
 * On in release as well. The supervisor restarts the process; the line is the reason it keeps.
 * Never used for input of a peer, a disk or an operator: those are results (platform/rc.h).
 */
#ifndef PLATFORM_CHECK_H
#define PLATFORM_CHECK_H

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

_Noreturn void check_failed(const char *condition, const char *file, int line);

#endif
