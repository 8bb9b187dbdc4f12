/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/reply.h — composing reply heads, error replies, and accounting of what was sent.
 *
 * Owner:   the caller owns all buffers.
 * Threads: lane only.
 */
#ifndef GATEWAY_REPLY_H
#define GATEWAY_REPLY_H

#include "app/gateway/gateway.h"

struct reply {
    unsigned status;
    const char *content_type;
    bool chunked;     /* else `length` bytes follow */
    bool until_close; /* HTTP/1.0 without length */
    uint64_t length;
    enum hit_kind hit;
    const char *cache_status; /* after "larder; " */
    const char *miss;         /* text of x-larder-miss, or NULL */
    uint64_t entry;           /* 0: none */
    float similarity;         /* 0: no x-larder-similarity */
    int64_t age_s;            /* -1: no Age */
    int64_t upstream_ms;      /* -1: none */
    int64_t retry_after_s;    /* -1: none */
    const char *should_retry; /* "false", or NULL */
    bool own_request_id;      /* else the provider's is among `extra` */
    struct span extra;        /* whole header lines, each with CRLF */
};

enum { REPLY_DATE_SIZE = 29 };
/* The time as Date has it; made once a second. Valid until the next call. */
const char *reply_date(uint64_t wall_us);

void reply_defaults(struct reply *reply, unsigned status);
/* `keep_alive` decides Connection; `started_us` gives the overhead. */
void reply_head(struct text *out, const struct reply *reply, enum dialect dialect, const char *request_id,
                struct span origin, bool keep_alive, unsigned minor_version, uint64_t overhead_us);

/* "req_" and 32 hex digits, unpredictable enough to be unique across boxes and restarts. */
void request_id_make(char id[REQUEST_ID_SIZE + 1]);

/* Sends a whole reply on an exchange and records it. `code` as dialect_error. */
void reply_error(struct request *r, unsigned status, const char *code, const char *cache_status, struct span message);
void reply_error_with(struct request *r, struct reply *reply, const char *code, struct span message);
void reply_body(struct request *r, struct reply *reply, struct span body);

#endif
