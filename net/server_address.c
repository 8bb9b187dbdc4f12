/* SPDX-License-Identifier: Apache-2.0 */
/* net/server_address.c — connections of each address, in a table that is never more than half full.
 *
 * IPv4 counts whole, IPv6 by its /64: that is what one subscriber has. Linear probing, deletion by moving back, so that
 * there are no tombstones. The hash is keyed: addresses are the clients' choice.
 */
#include <sys/random.h>

#include "net/server_private.h"
#include "platform/check.h"
#include "platform/hash.h"

uint64_t server_address_key(const struct in6_addr *address)
{
    uint64_t key = 0;
    if (IN6_IS_ADDR_V4MAPPED(address))
        memcpy((unsigned char *)&key + 2, address->s6_addr + 10, 6); /* ffff + IPv4 */
    else
        memcpy(&key, address->s6_addr, 8);
    return key;
}

size_t server_address_places(unsigned connections)
{
    size_t places = 16;
    while (places < 2 * (size_t)connections) places *= 2;
    return places;
}

void server_address_init(struct address_table *t, struct address_count *places, size_t count)
{
    CHECK((count & (count - 1)) == 0);
    *t = (struct address_table){.places = places, .mask = (unsigned)(count - 1)};
}

static unsigned home_of(const struct address_table *t, uint64_t key)
{
    static struct hash_key secret;
    while (secret.k0 == 0) CHECK(getrandom(&secret, sizeof secret, 0) == sizeof secret);
    return (unsigned)hash_of(&secret, &key, sizeof key).low & t->mask;
}

/* Its place, or the free one where it would go. */
static unsigned place_of(const struct address_table *t, uint64_t key)
{
    unsigned at = home_of(t, key);
    while (t->places[at].count != 0 && t->places[at].key != key) at = (at + 1) & t->mask;
    return at;
}

unsigned server_address_count(const struct address_table *t, uint64_t key)
{
    return t->places[place_of(t, key)].count;
}

void server_address_add(struct address_table *t, uint64_t key)
{
    struct address_count *place = &t->places[place_of(t, key)];
    place->key = key;
    place->count++;
}

void server_address_remove(struct address_table *t, uint64_t key)
{
    unsigned hole = place_of(t, key);
    CHECK(t->places[hole].count > 0);
    if (--t->places[hole].count > 0) return;
    for (unsigned at = (hole + 1) & t->mask; t->places[at].count != 0; at = (at + 1) & t->mask) {
        unsigned home = home_of(t, t->places[at].key);
        if (((at - home) & t->mask) < ((at - hole) & t->mask)) continue; /* it would move before its home */
        t->places[hole] = t->places[at];
        t->places[at].count = 0;
        hole = at;
    }
}
