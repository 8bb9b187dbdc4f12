/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/retry.c — see retry.h. */
#include "app/gateway/retry.h"

#include "platform/clock.h"
#include "platform/rc.h"

#define DAY_MS INT64_C(86400000)

bool retry_is_worth(unsigned status)
{
    return status == 408 || status == 409 || status == 429 || status >= 500;
}

/* Whole units; what follows a point is left out. */
static int64_t number_of(struct span value)
{
    struct span whole;
    uint64_t number;
    (void)span_cut(span_trim(value), '.', &whole);
    return span_to_u64(whole, UINT32_MAX, &number) == RC_OK ? (int64_t)number : -1;
}

static int64_t capped(int64_t ms)
{
    return ms > DAY_MS ? DAY_MS : ms;
}

int64_t retry_after_ms(const struct http_head *head, uint64_t wall_us)
{
    uint64_t until_us;
    struct span ms = http_field(head, "retry-after-ms"), after = http_field(head, "retry-after");
    if (ms.size && number_of(ms) >= 0) return capped(number_of(ms));
    if (after.size == 0) return -1;
    int64_t seconds = number_of(after);
    if (seconds >= 0) return capped(seconds * 1000);
    if (http_date_parse(after, &until_us) != RC_OK) return -1;
    return until_us > wall_us ? capped((int64_t)((until_us - wall_us) / 1000)) : 0;
}

uint64_t retry_pause_us(const struct config_provider *p, unsigned attempt, int64_t after_ms, uint32_t chance)
{
    uint64_t pause = p->retry_base_us << (attempt < 8 ? attempt : 8);
    if (pause > p->retry_max_us) pause = p->retry_max_us;
    pause = pause / 2 + (pause / 2) * (chance % 1024) / 1024;
    uint64_t asked = after_ms > 0 ? (uint64_t)after_ms * 1000 : 0;
    return asked > pause ? asked : pause;
}
