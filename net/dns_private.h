/* SPDX-License-Identifier: Apache-2.0 */
/* net/dns_private.h — what the files of the DNS door share; nobody else includes it. Threads: lane only. */
#ifndef NET_DNS_PRIVATE_H
#define NET_DNS_PRIVATE_H

#include "net/dns.h"
#include "platform/text.h"

enum {
    DNS_NAME_MAX = 253 + 1, /* RFC 1035, with terminator */
    DNS_SERVERS_TEXT = 512, /* "a,b,c" for the library */
    DNS_DOMAINS_MAX = 6,    /* of a search list */
};

/* One address without port, as compared and kept. */
struct dns_raw {
    unsigned char family; /* 4 or 6 */
    unsigned char bytes[16];
};

struct dns_answer {
    unsigned count;
    struct dns_raw addresses[DNS_ADDRESSES_MAX];
};

bool dns_raw_parse(struct span text, struct dns_raw *raw);
void dns_answer_add(struct dns_answer *answer,
                    const struct dns_raw *raw); /* no doubles; what is too many is left out */

/* dns_files.c */
struct dns_settings {
    char servers[DNS_SERVERS_TEXT];
    char domains[DNS_DOMAINS_MAX][DNS_NAME_MAX];
    unsigned domain_count;
    int ndots;
};
int dns_files_reserve(void);
/* Whether resolv.conf is another file than at the last dns_settings_read. */
bool dns_settings_changed(void);
void dns_settings_read(struct dns_settings *settings);
bool dns_hosts_find(struct span name, struct dns_answer *answer);

/* dns_memory.c */
int dns_memory_reserve(const char *path);
/* Calls `each` for every answer of the file. */
void dns_memory_load(void (*each)(struct span name, const struct dns_answer *answer));
/* A good answer is new or has changed: saves within a minute. `write` puts all of them down by dns_memory_line. */
void dns_memory_changed(void (*write)(struct text *out));
void dns_memory_line(struct text *out, const char *name, const struct dns_answer *answer);

#endif
