/* SPDX-License-Identifier: Apache-2.0 */
/* net/http1_syntax.h — character classes and lists of HTTP fields (RFC 9110 section 5.6), for net/http1*.c.
 *
 * Threads: any; pure functions.
 */
#ifndef NET_HTTP1_SYNTAX_H
#define NET_HTTP1_SYNTAX_H

#include "platform/span.h"

static inline bool http_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool http_is_token_char(char c); /* tchar */
bool http_is_host_char(char c);  /* uri-host [":" port], RFC 3986 section 3.2.2 */

/* Whether a comma separated list holds the token (case ignored). */
bool http_list_has(struct span list, struct span token);

#endif
