/* SPDX-License-Identifier: Apache-2.0 */
/* platform/rc.c — names of the results. */
#include "platform/rc.h"

#include <stddef.h>

static const char *const names[] = {
    [-RC_OK] = "ok",
    [-RC_AGAIN] = "again",
    [-RC_FULL] = "full",
    [-RC_EMPTY] = "empty",
    [-RC_NOT_FOUND] = "not_found",
    [-RC_INVALID] = "invalid",
    [-RC_CORRUPT] = "corrupt",
    [-RC_TIMEOUT] = "timeout",
    [-RC_CLOSED] = "closed",
    [-RC_DENIED] = "denied",
    [-RC_CANCELLED] = "cancelled",
    [-RC_TOO_LARGE] = "too_large",
    [-RC_UNSUPPORTED] = "unsupported",
    [-RC_IO] = "io",
    [-RC_NO_SPACE] = "no_space",
    [-RC_VERSION] = "version",
    [-RC_READ_ONLY] = "read_only",
    [-RC_UNREACHABLE] = "unreachable",
    [-RC_UNTRUSTED] = "untrusted",
    [-RC_EXISTS] = "exists",
};

const char *rc_name(int rc)
{
    const int count = (int)(sizeof names / sizeof names[0]);
    if (rc > 0 || rc <= -count) return "unknown";
    return names[-rc];
}
