/* SPDX-License-Identifier: Apache-2.0 */
/* hal/identity.h — which board this is and which of its kind.
 *
 * Owner:   the caller owns the texts it hands in; always terminated.
 * Threads: any; these read small files and may block for some microseconds.
 * Fails:   RC_NOT_FOUND when the system does not say, RC_TOO_LARGE when the text does not fit (it is cut). The text is
 *          empty with RC_NOT_FOUND.
 * Who calls: boot, to choose a board profile; status and reports.
 */
#ifndef HAL_IDENTITY_H
#define HAL_IDENTITY_H

#include <stddef.h>

enum { IDENTITY_TEXT_MAX = 128 };

/* As the device tree or DMI names it: "Raspberry Pi 5 Model B Rev 1.0". */
int identity_model(char *text, size_t capacity);

/* The maker's serial number; often not readable without root, or absent. */
int identity_serial(char *text, size_t capacity);

/* 32 lower case hex digits that tell this installation from others. Derived one way from the system's machine id, which
 * itself is not to be shown to anybody. */
int identity_machine(char *text, size_t capacity);

#endif
