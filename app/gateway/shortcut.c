/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/shortcut.c — see shortcut.h. */
#include "app/gateway/shortcut.h"

#include "platform/plan.h"

enum { WAYS = 2, SETS = SHORTCUT_SLOTS / WAYS };
_Static_assert((SETS & (SETS - 1)) == 0, "sets are chosen by a mask");

static struct shortcut *slots;
static uint32_t tick;

/* Fields that make a request another one; the credential is hashed apart. */
static const char *const counting_fields[] = {"openai-organization", "openai-project",    "openai-beta",
                                              "anthropic-beta",      "anthropic-version", "x-larder-namespace"};

int shortcut_reserve(void)
{
    void *region;
    int rc = plan_take("gateway short cuts", SHORTCUT_SLOTS, sizeof(struct shortcut), PLAN_TOUCHED, 0, NULL, &region);
    slots = region;
    return rc;
}

static void add_span(struct hash_state *h, struct span s)
{
    uint32_t size = (uint32_t)s.size;
    hash_add(h, &size, sizeof size);
    if (s.size) hash_add(h, s.data, s.size);
}

static bool counts(struct span name, unsigned *which)
{
    for (unsigned i = 0; i < sizeof counting_fields / sizeof counting_fields[0]; i++)
        if (span_equal_nocase(name, span_text(counting_fields[i]))) {
            *which = i;
            return true;
        }
    return false;
}

/* Cheap refusal by length and first letter before the comparison of names. */
static bool may_count(struct span name)
{
    char first = (char)(name.data[0] | 0x20);
    return name.size >= 11 && (first == 'o' || first == 'a' || first == 'x');
}

struct hash128 shortcut_hash(const struct request *r)
{
    struct hash_state h;
    hash_start(&h, &gateway.shortcut_key);
    unsigned char flags = r->anonymous_allowed ? 1 : 0;
    hash_add(&h, &flags, 1);
    add_span(&h, r->x->head.target);
    add_span(&h, r->credential);
    for (unsigned i = 0; i < r->x->head.field_count; i++) {
        const struct http_field *f = &r->x->head.fields[i];
        unsigned which;
        if (may_count(f->name) && counts(f->name, &which)) {
            hash_add(&h, &which, sizeof which);
            add_span(&h, f->value);
        }
    }
    add_span(&h, r->body);
    return hash_finish(&h);
}

static struct shortcut *set_of(struct hash128 key)
{
    return &slots[(key.low & (SETS - 1)) * WAYS];
}

const struct shortcut *shortcut_find(struct hash128 key)
{
    struct shortcut *set = set_of(key);
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].low == key.low && set[i].high == key.high && set[i].entry &&
            set[i].epoch == (uint32_t)gateway.epoch) {
            set[i].used = ++tick;
            return &set[i];
        }
    return NULL;
}

void shortcut_put(struct hash128 key, uint64_t entry, unsigned variant, uint64_t expires_s, enum dialect dialect,
                  const struct tenant *tenant)
{
    struct shortcut *set = set_of(key);
    struct shortcut *slot = &set[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].low == key.low && set[i].high == key.high) {
            slot = &set[i];
            break;
        }
        if (set[i].epoch != (uint32_t)gateway.epoch || set[i].used < slot->used) slot = &set[i];
    }
    *slot = (struct shortcut){.low = key.low,
                              .high = key.high,
                              .entry = entry,
                              .epoch = (uint32_t)gateway.epoch,
                              .used = ++tick,
                              .expires_s = expires_s > UINT32_MAX ? UINT32_MAX : (uint32_t)expires_s,
                              .variant = (uint8_t)variant,
                              .dialect = (uint8_t)dialect,
                              .tenant_kind = (uint8_t)tenant->kind};
    memcpy(&slot->tenant, tenant->id, sizeof slot->tenant);
}
