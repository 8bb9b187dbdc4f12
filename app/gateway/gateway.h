/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/gateway.h — what every part of the gateway shares: the configuration in force, providers, one request.
 *
 * A request's way through these files: serve.c (the story), access.c (who may ask), tenants.c (whose it is),
 * directives.c (what the client allows), answer.c (from the store), semantic.c (in other words), flight.c (one upstream call and everyone who waits
 * for it), upstream_call.c (how a call is composed and retried), forward.c (what passes unparsed), model_list.c, reply.c.
 *
 * Owner:   one gateway a process, on the lane.
 * Threads: lane only.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "app/config.h"
#include "app/gateway/breaker.h"
#include "app/ledger/prices.h"
#include "cache/miss.h"
#include "cache/semantic.h"
#include "net/server.h"
#include "net/upstream.h"
#include "platform/hash.h"
#include "platform/rc.h"
#include "storage/pack.h"

enum {
    GENERATIONS_MAX = 3, /* configurations that may be in use at once: today's, and those of unfinished requests */
    CONFIG_ARENA_SIZE = 1 << 20, /* one configuration: the file's text and its structs */
    REQUEST_ID_SIZE = 36,        /* "req_" and 32 hex digits */
    REPLY_HEAD_MAX = 2048,       /* our own head; a provider's header lines come on top */
    HOT_HEAD_ROOM = 640,         /* a hit's head, right before its body */
};

/* One configuration and what was made from it; kept until its last request has ended. */
struct generation {
    struct arena arena;
    struct config *config;
    unsigned references;
    bool current;
    struct upstream *upstreams[CONFIG_PROVIDERS_MAX];
    struct tls_trust *trusts[CONFIG_PROVIDERS_MAX];
    struct provider_health health[CONFIG_PROVIDERS_MAX];
    struct pack *packs[CONFIG_PACKS_MAX];
    struct prices prices;
};

struct gateway {
    struct generation generations[GENERATIONS_MAX];
    struct generation *current;
    uint64_t epoch; /* bumped by reload, purge and key changes: short cuts of an older one are void */
    struct hash_key shortcut_key;
    struct hash_key space_key; /* of semantic namespaces, queries and units; made from the box secret, so they last */
    unsigned char box_secret[32]; /* tenants' ids and virtual keys are HMACs under it; <data>/keys/box */
    struct json_scratch scratch;  /* the lane's; nothing in it survives a wait */
    unsigned in_flight;           /* requests in or waiting for a flight */
    unsigned requests_max;        /* reserved at boot */
    uint64_t parse_max;           /* likewise */
    unsigned flights_high;
    uint64_t request_counter;
    char own_name[64]; /* the machine's host name */
};

extern struct gateway gateway;

enum endpoint { ENDPOINT_CHAT, ENDPOINT_EMBEDDINGS, ENDPOINT_MODELS, ENDPOINT_PASS, ENDPOINT_OWN, ENDPOINT_UNKNOWN };

enum tenant_kind { TENANT_LOCAL, TENANT_VIRTUAL, TENANT_PASSTHROUGH };

struct tenant {
    enum tenant_kind kind;
    uint8_t id[ENTRY_TENANT_SIZE];
    uint32_t expires_s; /* wall: the virtual key that came is refused from then on; 0: never */
};

enum hit_kind { HIT_NONE, HIT_EXACT, HIT_SEMANTIC, HIT_COALESCED, HIT_STALE, HIT_PACK, HIT_KINDS };

/* What the client allows (RFC 9111 section 5.2.1, RFC 5861, x-larder-cache). Seconds; -1: not said. */
struct directives {
    bool no_cache, no_store, only_if_cached;
    int64_t max_age, max_stale, stale_if_error;
    bool any_stale; /* max-stale without a value */
    bool present;   /* any of them, or another x-larder- request field: no short cut */
};

/* What the semantic step knows of a request (app/gateway/semantic.h). */
struct request_semantic {
    uint64_t space; /* 0: its answer is found by exact requests only */
    uint64_t query; /* keyed hash of the query's text */
    uint64_t unit;  /* key of its unit of labels (app/gateway/learn.h) */
    bool looked;    /* `found` is filled; its vector lies in the request's arena */
    struct semantic_found found;
};

/* What a call upstream holds of its tenant's limits (app/gateway/limits.h). */
enum { LIMIT_SCOPES_MAX = 4 };
struct limit_ticket {
    uint16_t scopes[LIMIT_SCOPES_MAX];
    uint8_t count;
    bool held;
    uint64_t tokens, cost; /* reserved; micro-USD */
};

struct request {
    struct exchange *x;
    struct generation *generation;
    const struct config *config;
    enum endpoint endpoint;
    enum dialect dialect;   /* whose endpoint it is */
    enum dialect wire;      /* the form at this endpoint; 0: that of the dialect's chat endpoint (see request_wire) */
    struct span origin;     /* allowed browser origin, to be echoed; empty: none */
    struct span credential; /* as sent, without "Bearer "; empty: none */
    struct tenant tenant;
    const struct config_tenant *rules[2]; /* of a virtual key's tenant: its own entry and its group's; NULL: none */
    struct limit_ticket ticket;
    struct directives directives;
    bool anonymous_allowed;
    struct span body;
    struct question question;
    const struct config_route *route;
    struct cache_found found; /* a stored answer past its TTL, when have_stale */
    bool have_stale;
    bool bypass; /* neither looked up nor stored */
    bool shared; /* its identity holds the box and not the tenant; stays, should the tenant be proven meanwhile */
    struct request_semantic semantic;
    uint64_t hit_entry; /* of the hit that was sent, for the journal */
    float similarity;   /* of a semantic one */
    enum miss_reason miss;
    enum request_part miss_part;
    struct hash128 shortcut;
    char id[REQUEST_ID_SIZE + 1];
};

static inline enum dialect request_wire(const struct request *r)
{
    return r->wire ? r->wire : r->dialect;
}

/* Boot, before there is a configuration: where configurations are loaded. */
int gateway_reserve_configurations(void);
/* Boot. Takes every other region of the gateway's plan. */
int gateway_reserve(const struct config *config);
/* Boot, after tenants_open: reads what was learnt. */
int gateway_open(const char *data_folder, char *message, size_t message_size);
/* Takes a configuration into force: opens providers, loads packs. On failure the old one stays and `message` says why. */
int gateway_apply(struct generation *next, char *message, size_t message_size);
/* A free slot to load the next configuration into; NULL while requests of too many old ones are still running. */
struct generation *gateway_next_generation(void);
/* The end: gives back what no request uses any more. */
void gateway_close(void);
void generation_hold(struct generation *generation);
void generation_release(struct generation *generation);

/* Bytes that count besides the body: whose answer it is, the endpoint, the headers that change answers. Sets r->shared by
 * the route. Empty: no memory. */
struct span gateway_scope(struct request *r);

/* The handler of the API server. */
void gateway_serve(struct exchange *x);
void gateway_refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out);

const struct config_route *gateway_route(const struct config *config, enum dialect dialect, struct span model);

#endif
