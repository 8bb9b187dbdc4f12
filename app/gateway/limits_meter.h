/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/limits_meter.h — the counters of one scope of limits: a bucket a minute, calendar days and months.
 *
 * Units:   millionths: of a request, of a token, of a dollar.
 * Owner:   the caller; fixed widths, as it lies in the file too.
 * Threads: any; pure functions of their arguments.
 */
#ifndef GATEWAY_LIMITS_METER_H
#define GATEWAY_LIMITS_METER_H

#include "app/config.h"

enum limit_kind { LIMIT_REQUESTS, LIMIT_TOKENS, LIMIT_MONEY, LIMIT_KINDS };
enum { LIMIT_UNIT = 1000000, LIMIT_DATE_SIZE = 20 };

struct limit_meter {
    uint64_t key;                  /* 0: free */
    uint64_t used_us;              /* wall: taken from last */
    uint64_t filled_us;            /* wall: when the buckets were filled up to `owed` */
    int64_t owed[LIMIT_KINDS];     /* what is missing in the minute's bucket; above the limit: debt */
    int64_t spent[LIMIT_KINDS][2]; /* of this day, of this month */
    uint32_t window[2];            /* days since 1970; months since then */
};

struct limit_amounts {
    int64_t of[LIMIT_KINDS];
};

/* What is lacking for a call: the one with the longest wait. */
struct limit_lack {
    enum limit_kind kind;
    enum quota_window window;
    bool at_once; /* the caller's: too many calls at once */
    double most;
    uint64_t wait_us;
};

struct limit_standing {
    uint64_t most, left, reset_us; /* reset: until the bucket is full */
};

double limit_most(const struct config_quota *quota, enum limit_kind kind, enum quota_window window);
/* Fills buckets and starts windows as time has passed. A clock that went back does neither. */
void limit_meter_advance(struct limit_meter *meter, const struct config_quota *quota, uint64_t now_us);
/* After an advance. A call larger than a limit needs all of it, and no more. */
bool limit_meter_lacks(const struct limit_meter *meter, const struct config_quota *quota,
                       const struct limit_amounts *amounts, uint64_t now_us, struct limit_lack *lack);
/* Below zero: gives back. */
void limit_meter_charge(struct limit_meter *meter, const struct limit_amounts *amounts);
/* The minute's bucket, whole requests or tokens; false without such a limit. */
bool limit_meter_standing(const struct limit_meter *meter, const struct config_quota *quota, enum limit_kind kind,
                          struct limit_standing *standing);
double limit_used(const struct limit_meter *meter, enum limit_kind kind, enum quota_window window);

/* When a day or a month ends. */
uint64_t limit_window_end_us(enum quota_window window, uint64_t now_us);
/* RFC 3339 in UTC, whole seconds: "2026-11-21T19:25:00Z". */
void limit_date(uint64_t wall_us, char date[LIMIT_DATE_SIZE + 1]);

#endif
