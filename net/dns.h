/* SPDX-License-Identifier: Apache-2.0 */
/* net/dns.h — names to addresses, asynchronously, with a cache and a memory for when DNS is down (door of c-ares).
 *
 * Owner:   the cache, a fixed table.
 * Threads: lane only. The last-good file is written by an offloaded job.
 * Fails:   RC_NOT_FOUND (the name does not exist), RC_TIMEOUT, RC_UNREACHABLE (no server answers and nothing is known).
 * Sources: IP literals, "localhost", /etc/hosts, the servers of /etc/resolv.conf (read again when it changes), the
 *          answer's TTL (5 s … 1 h), and when no server answers the last good answer, also after a restart.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <sys/socket.h>

#include "platform/span.h"

enum { DNS_ADDRESSES_MAX = 8, DNS_CACHE_MAX = 64 };

struct dns_address {
    struct sockaddr_storage address; /* port not set */
    socklen_t size;
};

/* Boot, after loop_reserve and heap. `last_good_path`: where the last good answers are kept; NULL: nowhere. */
int dns_reserve(const char *last_good_path);
/* For tests and boards without resolv.conf: "127.0.0.1:5353,…"; NULL: back to the system's. */
int dns_servers_set(const char *servers_csv);
/* For tests: other files than /etc/resolv.conf and /etc/hosts. The texts stay the caller's. */
void dns_files_set(const char *resolv_conf, const char *hosts);
/* Fiber. Both families, interleaved, IPv6 first when the machine has a route for it. *stale: from memory, DNS is down. */
int dns_resolve(struct span name, uint64_t deadline_us, struct dns_address addresses[DNS_ADDRESSES_MAX],
                unsigned *count, bool *stale);

#endif
