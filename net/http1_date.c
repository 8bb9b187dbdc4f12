/* SPDX-License-Identifier: Apache-2.0 */
/* net/http1_date.c — HTTP dates (RFC 9110 section 5.6.7): one form is written, all three are read. */
#include "net/http1.h"
#include "platform/clock.h"
#include "platform/rc.h"

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct date {
    unsigned year, month, day, hour, minute, second; /* month and day from 1 */
};

/* Days since 1970-01-01 of the proleptic Gregorian calendar, years from 1970 on: counted in years that begin in
 * March, so that the leap day comes last. */
static uint64_t days_from_date(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month <= 2 ? year - 1 : year;
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return (uint64_t)y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static struct date date_from_seconds(uint64_t seconds)
{
    uint64_t z = seconds / 86400 + 719468;
    unsigned era = (unsigned)(z / 146097), day_of_era = (unsigned)(z % 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted = (5 * day_of_year + 2) / 153;
    unsigned rest = (unsigned)(seconds % 86400);
    struct date d = {.day = day_of_year - (153 * shifted + 2) / 5 + 1,
                     .month = shifted < 10 ? shifted + 3 : shifted - 9,
                     .hour = rest / 3600,
                     .minute = rest / 60 % 60,
                     .second = rest % 60};
    d.year = year_of_era + era * 400 + (d.month <= 2);
    return d;
}

static char *put_digits(char *out, unsigned value, unsigned count)
{
    for (unsigned i = count; i-- > 0; value /= 10) out[i] = (char)('0' + value % 10);
    return out + count;
}

static char *put_bytes(char *out, const char *bytes, size_t count)
{
    memcpy(out, bytes, count);
    return out + count;
}

void http_date(uint64_t wall_us, char out[30])
{
    uint64_t seconds = wall_us / CLOCK_SECOND;
    struct date d = date_from_seconds(seconds);
    d.year %= 10000;
    out = put_bytes(out, day_names + (seconds / 86400 + 4) % 7 * 3, 3);
    out = put_bytes(out, ", ", 2);
    out = put_digits(out, d.day, 2);
    *out++ = ' ';
    out = put_bytes(out, month_names + (size_t)(d.month - 1) * 3, 3);
    *out++ = ' ';
    out = put_digits(out, d.year, 4);
    *out++ = ' ';
    out = put_digits(out, d.hour, 2);
    *out++ = ':';
    out = put_digits(out, d.minute, 2);
    *out++ = ':';
    out = put_digits(out, d.second, 2);
    put_bytes(out, " GMT", 5);
}

/* ---- reading: a pattern is matched byte by byte. D, Y, h, m, s take digits, "bbb" a month's name, '_' a blank or the
 * first digit of the day, anything else itself. */

static bool take_digit(unsigned *value, char c)
{
    if (c < '0' || c > '9') return false;
    *value = *value * 10 + (unsigned)(c - '0');
    return true;
}

static bool take_month(unsigned *month, const char *name)
{
    for (unsigned i = 0; i < 12; i++)
        if (memcmp(name, month_names + (size_t)i * 3, 3) == 0) *month = i + 1;
    return *month != 0;
}

static unsigned *field_of(struct date *d, char letter)
{
    switch (letter) {
    case 'D': return &d->day;
    case 'Y': return &d->year;
    case 'h': return &d->hour;
    case 'm': return &d->minute;
    case 's': return &d->second;
    default: return NULL;
    }
}

static bool match(const char *pattern, struct span s, struct date *d)
{
    *d = (struct date){0};
    if (s.size != strlen(pattern)) return false;
    for (size_t i = 0; i < s.size; i++) {
        unsigned *field = field_of(d, pattern[i]);
        if (field) {
            if (!take_digit(field, s.data[i])) return false;
        } else if (pattern[i] == 'b') {
            if (!take_month(&d->month, s.data + i)) return false;
            i += 2;
        } else if (pattern[i] == '_') {
            if (s.data[i] != ' ' && !take_digit(&d->day, s.data[i])) return false;
        } else if (s.data[i] != pattern[i]) {
            return false;
        }
    }
    return true;
}

static bool is_valid(const struct date *d)
{
    return d->year >= 1970 && d->month >= 1 && d->day >= 1 && d->day <= 31 && d->hour < 24 && d->minute < 60 &&
           d->second <= 60;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool read_imf(struct span day, struct span rest, struct date *d)
{
    return day.size == 4 && day.data[3] == ',' && match("DD bbb YYYY hh:mm:ss GMT", rest, d);
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" (RFC 850) */
static bool read_rfc850(struct span day, struct span rest, struct date *d)
{
    if (day.size < 7 || day.data[day.size - 1] != ',' || !match("DD-bbb-YY hh:mm:ss GMT", rest, d)) return false;
    d->year += d->year < 70 ? 2000 : 1900;
    return true;
}

/* "Sun Nov  6 08:49:37 1994" (asctime) */
static bool read_asctime(struct span day, struct span rest, struct date *d)
{
    return day.size == 3 && match("bbb _D hh:mm:ss YYYY", rest, d);
}

int http_date_parse(struct span value, uint64_t *wall_us)
{
    struct date d;
    struct span day, rest = span_cut(value, ' ', &day);
    if (!read_imf(day, rest, &d) && !read_rfc850(day, rest, &d) && !read_asctime(day, rest, &d)) return RC_INVALID;
    if (!is_valid(&d)) return RC_INVALID;
    uint64_t days = days_from_date(d.year, d.month, d.day);
    *wall_us = (days * 86400 + d.hour * 3600 + d.minute * 60 + d.second) * CLOCK_SECOND;
    return RC_OK;
}
