/* SPDX-License-Identifier: Apache-2.0 */
/* app/admin/admin.h — the admin port: /metrics, /healthz, /readyz. The page and the admin API have their own floor.
 *
 * Threads: lane only.
 * Rules:   Host must be one of the box's names, a foreign Origin is refused; reading needs no token from loopback, and from
 *          elsewhere only with the admin token as `Authorization: Bearer`.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "net/server.h"

void admin_serve(struct exchange *x);
void admin_refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out);

/* Boot: the token of the configuration, or the one kept in <data>/keys/admin-token, made when there is none. */
int admin_open(const char *data_folder, struct span configured);

#endif
