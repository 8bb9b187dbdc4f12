/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/limits_meter.c — see limits_meter.h. */
#include "app/gateway/limits_meter.h"

#include <stdio.h>

#include "platform/clock.h"

#define MINUTE_US (60 * CLOCK_SECOND)
#define DAY_US (UINT64_C(86400) * CLOCK_SECOND)

double limit_most(const struct config_quota *q, enum limit_kind kind, enum quota_window window)
{
    if (kind == LIMIT_REQUESTS) return q->requests[window];
    return kind == LIMIT_TOKENS ? (double)q->tokens[window] : q->usd[window];
}

static int64_t units_of(const struct config_quota *q, enum limit_kind kind, enum quota_window window)
{
    return (int64_t)(limit_most(q, kind, window) * LIMIT_UNIT);
}

/* ---- the calendar (H. Hinnant, civil_from_days) */

struct civil {
    unsigned year, month, day;
};

static struct civil civil_of(uint64_t days)
{
    uint64_t shifted = days + 719468, era = shifted / 146097, of_era = shifted % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    struct civil c = {.day = (unsigned)(of_year - (153 * month + 2) / 5 + 1)};
    c.month = (unsigned)(month < 10 ? month + 3 : month - 9);
    c.year = (unsigned)(year + era * 400 + (c.month <= 2));
    return c;
}

static uint32_t window_of(enum quota_window window, uint64_t now_us)
{
    uint64_t days = now_us / DAY_US;
    if (window == PER_DAY) return (uint32_t)days;
    struct civil c = civil_of(days);
    return (c.year - 1970) * 12 + c.month - 1;
}

uint64_t limit_window_end_us(enum quota_window window, uint64_t now_us)
{
    uint64_t day = now_us / DAY_US + 1;
    uint32_t month = window_of(PER_MONTH, now_us);
    while (window == PER_MONTH && window_of(PER_MONTH, day * DAY_US) == month) day++;
    return day * DAY_US;
}

void limit_date(uint64_t wall_us, char date[LIMIT_DATE_SIZE + 1])
{
    uint64_t seconds = wall_us / CLOCK_SECOND;
    struct civil c = civil_of(seconds / 86400);
    unsigned of_day = (unsigned)(seconds % 86400);
    snprintf(date, LIMIT_DATE_SIZE + 1, "%04u-%02u-%02uT%02u:%02u:%02uZ", c.year % 10000, c.month % 100, c.day % 100,
             of_day / 3600 % 100, of_day / 60 % 60, of_day % 60);
}

/* ---- one meter */

static void fill(struct limit_meter *m, const struct config_quota *q, enum limit_kind kind, uint64_t passed_us)
{
    double units = (double)units_of(q, kind, PER_MINUTE), filled = units * (double)passed_us / (double)MINUTE_US;
    bool full = units <= 0 || filled >= (double)m->owed[kind];
    m->owed[kind] = full ? 0 : m->owed[kind] - (int64_t)filled;
}

void limit_meter_advance(struct limit_meter *m, const struct config_quota *q, uint64_t now_us)
{
    uint64_t passed = now_us > m->filled_us ? now_us - m->filled_us : 0;
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) fill(m, q, (enum limit_kind)kind, passed);
    m->filled_us = now_us;
    for (unsigned w = PER_DAY; w <= PER_MONTH; w++) {
        uint32_t now = window_of((enum quota_window)w, now_us);
        for (unsigned kind = 0; kind < LIMIT_KINDS && now > m->window[w - 1]; kind++) m->spent[kind][w - 1] = 0;
        m->window[w - 1] = now;
    }
}

static uint64_t wait_for_bucket(int64_t lacking, int64_t units)
{
    return (uint64_t)((double)lacking * (double)MINUTE_US / (double)units) + 1;
}

static void note(struct limit_lack *lack, bool *any, struct limit_lack found)
{
    if (!*any || found.wait_us > lack->wait_us) *lack = found;
    *any = true;
}

static bool lacks_of(const struct limit_meter *m, const struct config_quota *q, enum limit_kind kind, int64_t amount,
                     uint64_t now_us, struct limit_lack *lack)
{
    bool any = false;
    for (unsigned w = 0; w < QUOTA_WINDOWS; w++) {
        int64_t units = units_of(q, kind, (enum quota_window)w), need = amount < units ? amount : units;
        if (units <= 0) continue;
        int64_t used = w == PER_MINUTE ? m->owed[kind] : m->spent[kind][w - 1];
        int64_t over = used + need - units;
        if (over <= 0 && used < units) continue;
        struct limit_lack found = {.kind = kind, .window = (enum quota_window)w};
        found.most = limit_most(q, kind, (enum quota_window)w);
        found.wait_us = w == PER_MINUTE ? wait_for_bucket(over > 0 ? over : 1, units)
                                        : limit_window_end_us((enum quota_window)w, now_us) - now_us;
        note(lack, &any, found);
    }
    return any;
}

bool limit_meter_lacks(const struct limit_meter *m, const struct config_quota *q, const struct limit_amounts *amounts,
                       uint64_t now_us, struct limit_lack *lack)
{
    bool any = false;
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        struct limit_lack found = {0};
        if (lacks_of(m, q, (enum limit_kind)kind, amounts->of[kind], now_us, &found)) note(lack, &any, found);
    }
    return any;
}

void limit_meter_charge(struct limit_meter *m, const struct limit_amounts *amounts)
{
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        m->owed[kind] += amounts->of[kind];
        for (unsigned w = 0; w < 2; w++) {
            m->spent[kind][w] += amounts->of[kind];
            if (m->spent[kind][w] < 0) m->spent[kind][w] = 0; /* reserved before midnight, given back after it */
        }
        if (m->owed[kind] < 0) m->owed[kind] = 0;
    }
}

bool limit_meter_standing(const struct limit_meter *m, const struct config_quota *q, enum limit_kind kind,
                          struct limit_standing *standing)
{
    int64_t units = units_of(q, kind, PER_MINUTE), left = units - m->owed[kind];
    if (units <= 0) return false;
    standing->most = (uint64_t)(units / LIMIT_UNIT);
    standing->left = left > 0 ? (uint64_t)(left / LIMIT_UNIT) : 0;
    standing->reset_us = m->owed[kind] > 0 ? wait_for_bucket(m->owed[kind], units) : 0;
    return true;
}

double limit_used(const struct limit_meter *m, enum limit_kind kind, enum quota_window window)
{
    int64_t used = window == PER_MINUTE ? m->owed[kind] : m->spent[kind][window - 1];
    return (double)used / LIMIT_UNIT;
}
