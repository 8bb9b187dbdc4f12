/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/tenants_guess.c — who tries virtual keys: wrong ones by address, in windows. See tenants.h.
 *
 * 160 random bits cannot be guessed at any rate; this keeps trying from being free, and says so in a metric.
 */
#include "app/gateway/tenants.h"

#include <arpa/inet.h>

#include "platform/clock.h"

enum { WAYS = 4, SETS = TENANT_GUESSERS / WAYS };
#define WINDOW_US (TENANT_GUESS_WINDOW_S * CLOCK_SECOND)

struct guesser {
    uint64_t prefix; /* 0: free */
    uint64_t since_us;
    unsigned wrong;
};

static struct guesser guessers[TENANT_GUESSERS];

/* One host has a whole /64 of IPv6 to itself. */
struct tenant_address tenant_address_of(struct span address)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char bytes[16] = {0};
    struct tenant_address of = {0};
    if (address.size == 0 || address.size >= sizeof text) return of;
    memcpy(text, address.data, address.size);
    text[address.size] = 0;
    if (inet_pton(AF_INET, text, bytes + 4) == 1)
        bytes[0] = 4;
    else if (inet_pton(AF_INET6, text, bytes) != 1)
        return of;
    memcpy(&of.prefix, bytes, sizeof of.prefix);
    if (of.prefix == 0) of.prefix = 1; /* ::/64, where loopback is */
    return of;
}

static struct guesser *set_of(uint64_t prefix)
{
    uint64_t mixed = hash_of(&gateway.shortcut_key, &prefix, sizeof prefix).low;
    return &guessers[mixed % SETS * WAYS];
}

static struct guesser *find(uint64_t prefix)
{
    struct guesser *set = set_of(prefix);
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].prefix == prefix) return &set[i];
    return NULL;
}

static struct guesser *oldest(uint64_t prefix)
{
    struct guesser *set = set_of(prefix), *found = &set[0];
    for (unsigned i = 1; i < WAYS; i++)
        if (set[i].since_us < found->since_us) found = &set[i];
    return found;
}

void tenant_guess_wrong(struct tenant_address address, uint64_t now_us)
{
    if (!address.prefix) return;
    struct guesser *g = find(address.prefix);
    if (!g) g = oldest(address.prefix);
    if (g->prefix != address.prefix || now_us - g->since_us >= WINDOW_US)
        *g = (struct guesser){.prefix = address.prefix, .since_us = now_us};
    g->wrong++;
}

uint64_t tenant_guess_wait_us(struct tenant_address address, uint64_t now_us)
{
    const struct guesser *g = address.prefix ? find(address.prefix) : NULL;
    if (!g || g->wrong < TENANT_GUESSES || now_us - g->since_us >= WINDOW_US) return 0;
    return WINDOW_US - (now_us - g->since_us);
}
