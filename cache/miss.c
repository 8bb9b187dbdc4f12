/* SPDX-License-Identifier: Apache-2.0 */
/* cache/miss.c — recent requests, found by all of their parts and by all parts but one.
 *
 * Each request has eight keys: one for the whole, and one for each part left out. A key leads to the newest request that
 * has it and to no other, so a chain holds as many links as different keys share its bucket, however alike requests are.
 */
#include "cache/miss.h"

#include "platform/check.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    KEYS = PARTS + 1, /* by the part left out; PARTS: none */
    LINKS = MISS_RECENT * KEYS,
    BUCKETS = 32768,
};

_Static_assert((BUCKETS & (BUCKETS - 1)) == 0, "buckets are chosen by a mask");
_Static_assert(LINKS < UINT16_MAX, "a link is named by 16 bits, 0 means none");
_Static_assert((MISS_RECENT & (MISS_RECENT - 1)) == 0, "the ring turns by a mask");

enum { SETTLED = 1, STORABLE = 2 };

struct recent {
    struct request_parts parts;
    uint64_t serial;      /* 0: empty; larger is newer */
    uint16_t next[KEYS];  /* the link behind each of this request's, in its bucket */
    unsigned char linked; /* bit k: key k leads here */
    unsigned char state;
};

static struct {
    struct recent *ring;
    uint16_t *buckets; /* the first link: 1 + request × KEYS + key; 0: none */
    uint64_t serial;
} table;

_Static_assert(KEYS <= 8, "`linked` has a bit a key");

int miss_reserve(void)
{
    void *ring, *buckets;
    int rc = plan_take("cache recent requests", MISS_RECENT, sizeof(struct recent), PLAN_TOUCHED, 0, NULL, &ring);
    if (rc == RC_OK) rc = plan_take("cache recent index", BUCKETS, sizeof(uint16_t), PLAN_TOUCHED, 0, NULL, &buckets);
    if (rc != RC_OK) return rc;
    table.ring = ring;
    table.buckets = buckets;
    table.serial = 0;
    return RC_OK;
}

/* The parts are keyed hashes already; they only must not cancel each other out. */
static unsigned bucket_of(const struct request_parts *parts, unsigned left_out)
{
    uint64_t mixed = left_out;
    for (unsigned i = 0; i < PARTS; i++) {
        if (i == left_out) continue;
        mixed = (mixed ^ parts->digest[i]) * UINT64_C(0x9e3779b97f4a7c15);
        mixed ^= mixed >> 32;
    }
    return (unsigned)(mixed & (BUCKETS - 1));
}

static bool agree(const struct request_parts *a, const struct request_parts *b, unsigned left_out)
{
    for (unsigned i = 0; i < PARTS; i++)
        if (i != left_out && a->digest[i] != b->digest[i]) return false;
    return true;
}

static struct recent *request_of(uint16_t link)
{
    return &table.ring[(link - 1) / KEYS];
}

/* Where the link that holds this key stands: a bucket or another link's `next`; points to 0 when there is none. */
static uint16_t *find_link(const struct request_parts *parts, unsigned key)
{
    uint16_t *at = &table.buckets[bucket_of(parts, key)];
    while (*at) {
        struct recent *r = request_of(*at);
        unsigned its_key = (unsigned)(*at - 1) % KEYS;
        if (its_key == key && agree(&r->parts, parts, key)) break;
        at = &r->next[its_key];
    }
    return at;
}

static void unlink_at(uint16_t *at)
{
    struct recent *r = request_of(*at);
    unsigned key = (unsigned)(*at - 1) % KEYS;
    *at = r->next[key];
    r->linked &= (unsigned char)~(1u << key);
}

static void forget(struct recent *r)
{
    for (unsigned key = 0; key < KEYS; key++) {
        if (!(r->linked & 1u << key)) continue;
        uint16_t *at = find_link(&r->parts, key);
        CHECK(*at && request_of(*at) == r);
        unlink_at(at);
    }
    r->serial = 0;
}

/* Takes the key over from an older request; one of the same parts loses all of its keys so. */
static void link_key(struct recent *r, unsigned key)
{
    uint16_t *older = find_link(&r->parts, key);
    if (*older) unlink_at(older);
    uint16_t *bucket = &table.buckets[bucket_of(&r->parts, key)];
    r->next[key] = *bucket;
    r->linked |= (unsigned char)(1u << key);
    *bucket = (uint16_t)(1 + (size_t)(r - table.ring) * KEYS + key);
}

static struct recent *find(const struct request_parts *parts, unsigned left_out)
{
    uint16_t link = *find_link(parts, left_out);
    return link ? request_of(link) : NULL;
}

void miss_remember(const struct request_parts *parts)
{
    struct recent *r = &table.ring[table.serial++ & (MISS_RECENT - 1)];
    if (r->serial) forget(r);
    *r = (struct recent){.parts = *parts, .serial = table.serial};
    for (unsigned key = 0; key < KEYS; key++) link_key(r, key);
}

void miss_settle(const struct request_parts *parts, bool storable)
{
    struct recent *r = find(parts, PARTS);
    if (r) r->state = SETTLED | (storable ? STORABLE : 0);
}

static enum miss_reason reason_of_same(const struct recent *r)
{
    if (!(r->state & SETTLED)) return MISS_NEVER_SEEN;
    return r->state & STORABLE ? MISS_EVICTED : MISS_NOT_STORABLE;
}

void miss_explain(const struct request_parts *parts, enum miss_reason *reason, enum request_part *part)
{
    const struct recent *same = find(parts, PARTS), *nearest = NULL;
    *part = PARTS;
    *reason = same ? reason_of_same(same) : MISS_NEVER_SEEN;
    for (unsigned left_out = 0; !same && left_out < PARTS; left_out++) {
        const struct recent *r = find(parts, left_out);
        if (!r || (nearest && nearest->serial > r->serial)) continue;
        nearest = r;
        *reason = MISS_DIFFERS;
        *part = (enum request_part)left_out;
    }
}

const char *miss_text(enum miss_reason reason, enum request_part part)
{
    static const char *const reasons[] = {
        [MISS_NONE] = "none",
        [MISS_NEVER_SEEN] = "never_seen",
        [MISS_EXPIRED] = "expired",
        [MISS_EVICTED] = "evicted",
        [MISS_DIFFERS] = "differs",
        [MISS_BYPASS] = "bypass",
        [MISS_NOT_STORABLE] = "not_storable",
    };
    static const char *const differs[PARTS] = {
        [PART_ROUTE] = "differs:route", [PART_MODEL] = "differs:model",           [PART_SYSTEM] = "differs:system",
        [PART_TOOLS] = "differs:tools", [PART_PARAMETERS] = "differs:parameters", [PART_HISTORY] = "differs:history",
        [PART_QUERY] = "differs:query",
    };
    if (reason == MISS_DIFFERS && part < PARTS) return differs[part];
    CHECK(reason <= MISS_NOT_STORABLE);
    return reasons[reason];
}
