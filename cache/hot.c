/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hot.c — decoded replies: a table by id, SIEVE's list, one region. */
#include "cache/hot.h"

#include "cache/space.h"
#include "platform/check.h"
#include "platform/metric.h"
#include "platform/plan.h"
#include "platform/rc.h"

struct hot_object {
    struct hot_reply reply; /* first: a reply is its object */
    struct hot_object *chain, *newer, *older;
    unsigned variant, pins;
    bool used, gone; /* hit since the hand passed; dropped, and waits for its last unpin */
    struct entry_meta meta;
};

static struct space space;
static struct hot_object **table;
static unsigned buckets, objects;
static struct hot_object *newest, *oldest, *hand;

static struct metric hits = {
    .name = "larder_store_hot_hits_total", .help = "Replies found in Hot.", .kind = METRIC_COUNTER};
static struct metric misses = {
    .name = "larder_store_hot_misses_total", .help = "Replies looked for in Hot in vain.", .kind = METRIC_COUNTER};

static double read_used(const struct metric *metric)
{
    (void)metric;
    return (double)space.used;
}

static double read_objects(const struct metric *metric)
{
    (void)metric;
    return objects;
}

static struct metric bytes_gauge = {
    .name = "larder_store_hot_bytes", .help = "Bytes used in Hot.", .kind = METRIC_GAUGE_CALL, .read = read_used};
static struct metric objects_gauge = {
    .name = "larder_store_hot_replies", .help = "Replies in Hot.", .kind = METRIC_GAUGE_CALL, .read = read_objects};

int hot_reserve(size_t bytes)
{
    void *region, *cells;
    unsigned count = 256;
    while (count < bytes / 1024) count *= 2;
    int rc = plan_take("cache hot", 1, bytes < 65536 ? 65536 : bytes, PLAN_TOUCHED, 0, "storage.hot", &region);
    if (rc == RC_OK)
        rc = plan_take("cache hot table", count, sizeof(struct hot_object *), PLAN_TOUCHED, 0, "storage.hot", &cells);
    if (rc != RC_OK) return rc;
    space_init(&space, region, bytes < 65536 ? 65536 : bytes);
    table = cells;
    buckets = count;
    objects = 0;
    newest = oldest = hand = NULL;
    metric_register(&hits);
    metric_register(&misses);
    metric_register(&bytes_gauge);
    metric_register(&objects_gauge);
    return RC_OK;
}

static struct hot_object **bucket_of(uint64_t id)
{
    uint64_t h = id * UINT64_C(0x9E3779B97F4A7C15);
    return &table[(h >> 32) & (buckets - 1)];
}

static struct hot_object *object_of(struct hot_reply *reply)
{
    return (struct hot_object *)reply;
}

/* ---- leaving */

static void unlink_object(struct hot_object *o)
{
    struct hot_object **link = bucket_of(o->meta.id);
    while (*link != o) link = &(*link)->chain;
    *link = o->chain;
    if (hand == o) hand = o->newer;
    if (o->newer)
        o->newer->older = o->older;
    else
        newest = o->older;
    if (o->older)
        o->older->newer = o->newer;
    else
        oldest = o->newer;
    objects--;
}

static void remove_object(struct hot_object *o)
{
    unlink_object(o);
    o->gone = true;
    if (o->pins == 0) space_give(&space, o);
}

static struct hot_object *pick_victim(void)
{
    struct hot_object *o = hand ? hand : oldest;
    for (unsigned step = 0; o && step < 2 * objects; step++) {
        if (o->pins == 0 && !o->used) {
            hand = o;
            return o;
        }
        o->used = false;
        o = o->newer ? o->newer : oldest;
    }
    return NULL;
}

/* Makes one hole of `need` bytes: the first run of pieces, by address, in which nothing is pinned. */
static void clear_run(size_t need)
{
    struct space_piece *from = NULL, *piece = NULL;
    size_t run = 0;
    while (run < need && (piece = space_next(&space, piece))) {
        struct hot_object *o = space_is_used(piece) ? space_memory(piece) : NULL;
        bool held = o && o->pins > 0;
        if (held)
            from = NULL;
        else if (!from)
            from = piece;
        run = held ? 0 : (from == piece ? 0 : run) + space_piece_size(piece);
    }
    if (run < need) return;
    /* Giving a piece joins it with free neighbours; the heads inside of it keep their sizes, so walking on works. */
    for (unsigned char *end = (unsigned char *)space_memory(from) + need;
         from && (unsigned char *)space_memory(from) < end;) {
        piece = from;
        from = space_next(&space, piece);
        if (space_is_used(piece)) remove_object(space_memory(piece));
    }
}

static struct hot_object *take(size_t size)
{
    struct hot_object *o = space_take(&space, size);
    for (unsigned i = 0; !o && i < HOT_VICTIMS; i++) {
        struct hot_object *victim = pick_victim();
        if (!victim) break;
        remove_object(victim);
        o = space_take(&space, size);
    }
    if (o) return o;
    clear_run(space_need(size));
    return space_take(&space, size);
}

/* ---- */

struct hot_reply *hot_find(uint64_t id, unsigned variant)
{
    struct hot_object *o = *bucket_of(id);
    while (o && !(o->meta.id == id && o->variant == variant)) o = o->chain;
    metric_add(o ? &hits : &misses, 1);
    if (!o) return NULL;
    o->used = true;
    return &o->reply;
}

static void drop_variant(uint64_t id, unsigned variant)
{
    struct hot_object *o = *bucket_of(id);
    while (o && !(o->meta.id == id && o->variant == variant)) o = o->chain;
    if (o) remove_object(o);
}

int hot_put(const struct entry_meta *meta, unsigned variant, size_t head_room, struct span body,
            struct hot_reply **reply)
{
    size_t size = sizeof(struct hot_object) + head_room + body.size;
    if (head_room > space.size || body.size > space.size || size > space.size / HOT_SHARE) return RC_FULL;
    drop_variant(meta->id, variant);
    struct hot_object *o = take(size);
    if (!o) return RC_FULL;
    *o = (struct hot_object){.variant = variant, .meta = *meta, .older = newest, .chain = *bucket_of(meta->id)};
    o->reply = (struct hot_reply){
        .body = (unsigned char *)(o + 1) + head_room, .body_size = body.size, .head_room = head_room, .meta = &o->meta};
    if (body.size > 0) memcpy(o->reply.body, body.data, body.size);
    *bucket_of(meta->id) = o;
    if (newest)
        newest->newer = o;
    else
        oldest = o;
    newest = o;
    objects++;
    *reply = &o->reply;
    return RC_OK;
}

void hot_pin(struct hot_reply *reply)
{
    object_of(reply)->pins++;
}

void hot_unpin(struct hot_reply *reply)
{
    struct hot_object *o = object_of(reply);
    CHECK(o->pins > 0);
    o->pins--;
    if (o->pins == 0 && o->gone) space_give(&space, o);
}

void hot_drop(uint64_t id)
{
    struct hot_object *next;
    for (struct hot_object *o = *bucket_of(id); o; o = next) {
        next = o->chain;
        if (o->meta.id == id) remove_object(o);
    }
}

void hot_drop_tenant(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    struct hot_object *next;
    for (struct hot_object *o = oldest; o; o = next) {
        next = o->newer;
        if (memcmp(o->meta.tenant, tenant, ENTRY_TENANT_SIZE) == 0) remove_object(o);
    }
}

void hot_clear(void)
{
    while (oldest) remove_object(oldest);
}

unsigned hot_count(void)
{
    return objects;
}

size_t hot_used(void)
{
    return space.used;
}
