/* SPDX-License-Identifier: Apache-2.0 */
/* platform/rc.h — the one vocabulary of results.
 *
 * A function that can fail returns an int: RC_OK or one of these negative values. They name whose fault it is not:
 * a peer, a disk or an operator did something; our own faults are CHECKs (platform/check.h).
 */
#ifndef PLATFORM_RC_H
#define PLATFORM_RC_H

enum rc {
    RC_OK = 0,
    RC_AGAIN = -1, /* nothing to do just now; wait and call again */
    RC_FULL = -2,  /* a named bound is reached */
    RC_EMPTY = -3, /* nothing there to take */
    RC_NOT_FOUND = -4,
    RC_INVALID = -5,      /* the input breaks its format or its rules */
    RC_CORRUPT = -6,      /* stored data fails its own check */
    RC_TIMEOUT = -7,      /* the deadline passed */
    RC_CLOSED = -8,       /* the peer ended the exchange */
    RC_DENIED = -9,       /* not allowed: credential, origin, privilege */
    RC_CANCELLED = -10,   /* whoever wanted the result no longer does */
    RC_TOO_LARGE = -11,   /* over a size limit */
    RC_UNSUPPORTED = -12, /* understood, and not offered */
    RC_IO = -13,          /* the operating system refused; errno tells more where it is logged */
    RC_NO_SPACE = -14,    /* disk or map is full */
    RC_VERSION = -15,     /* written by a newer version */
    RC_READ_ONLY = -16,
    RC_UNREACHABLE = -17, /* no address, no route, no listener */
    RC_UNTRUSTED = -18,   /* a certificate or a pin does not verify */
    RC_EXISTS = -19,
};

/* The value's name in lower case with underscores ("not_found"); "unknown" for anything else. Static text. */
const char *rc_name(int rc);

#endif
