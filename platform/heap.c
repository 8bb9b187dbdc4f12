/* SPDX-License-Identifier: Apache-2.0 */
/* platform/heap.c — good fit with boundary tags in a fixed region.
 *
 * Free pieces hang in lists by size: 16-byte steps up to 512 bytes, then eight lists an octave. The list that surely fits is
 * searched first, so a take costs two bit scans; a region that is nearly full is searched once more in the list below.
 * Above `top` nothing is in use; above `fresh` nothing has ever been touched: what comes from there is zero and costs
 * no page until its taker writes to it. Tags lie in front of a piece, so that a take never touches its far end.
 */
#include "platform/heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/heap_shim.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    HEAP_ALIGN = 16,
    TAG_SIZE = 16,
    PIECE_MIN = 32,   /* tags and two links */
    SMALL_LISTS = 32, /* exact: 16-byte steps below 512 */
    OCTAVE_LISTS = 8,
    LISTS = SMALL_LISTS + OCTAVE_LISTS * 40,
    GIVE_BACK = 1 << 20, /* this much untouched-again space goes back to the system */
};

#define PIECE_USED UINT64_C(1)
#define PIECE_BEFORE_USED UINT64_C(2)
#define PIECE_FLAGS UINT64_C(15)

/* A piece of `size` bytes with its tags; `before` is the size of the piece in front, valid while that one is free. */
struct piece {
    uint64_t before;
    uint64_t size_and_flags;
    struct piece *next, *previous; /* while free */
};

struct region {
    pthread_mutex_t lock;
    unsigned char *base, *end, *top, *fresh;
    uint64_t list_bits[(LISTS + 63) / 64];
    struct piece *lists[LISTS];
    struct heap_usage usage;
};

static struct region regions[HEAP_REGIONS] = {
    [HEAP_LMDB] = {.lock = PTHREAD_MUTEX_INITIALIZER},  [HEAP_YAML] = {.lock = PTHREAD_MUTEX_INITIALIZER},
    [HEAP_CARES] = {.lock = PTHREAD_MUTEX_INITIALIZER}, [HEAP_MBEDTLS] = {.lock = PTHREAD_MUTEX_INITIALIZER},
    [HEAP_ZSTD] = {.lock = PTHREAD_MUTEX_INITIALIZER},  [HEAP_YYJSON] = {.lock = PTHREAD_MUTEX_INITIALIZER},
    [HEAP_ZLIB] = {.lock = PTHREAD_MUTEX_INITIALIZER},  [HEAP_SQLITE] = {.lock = PTHREAD_MUTEX_INITIALIZER},
};

static const char *const plan_names[HEAP_REGIONS] = {
    [HEAP_LMDB] = "heap lmdb",       [HEAP_YAML] = "heap yaml",     [HEAP_CARES] = "heap cares",
    [HEAP_MBEDTLS] = "heap mbedtls", [HEAP_ZSTD] = "heap zstd",     [HEAP_YYJSON] = "heap yyjson",
    [HEAP_ZLIB] = "heap zlib",       [HEAP_SQLITE] = "heap sqlite",
};

const char *heap_name(enum heap_region region)
{
    return plan_names[region] + sizeof "heap " - 1;
}

static size_t size_of(const struct piece *p)
{
    return (size_t)(p->size_and_flags & ~PIECE_FLAGS);
}

static struct piece *piece_at(unsigned char *address)
{
    return (struct piece *)(void *)address;
}

static unsigned char *address_of(struct piece *p)
{
    return (unsigned char *)p;
}

static struct piece *piece_of(void *user)
{
    return piece_at((unsigned char *)user - TAG_SIZE);
}

static void *user_of(struct piece *p)
{
    return address_of(p) + TAG_SIZE;
}

/* The list that holds free pieces of this size. */
static unsigned list_of(size_t size)
{
    if (size < SMALL_LISTS * HEAP_ALIGN) return (unsigned)(size / HEAP_ALIGN);
    unsigned octave = 63 - (unsigned)__builtin_clzll((unsigned long long)size);
    unsigned step = (unsigned)(size >> (octave - 3)) & (OCTAVE_LISTS - 1);
    return SMALL_LISTS + (octave - 9) * OCTAVE_LISTS + step;
}

/* The first list in which every piece has at least this size. */
static unsigned list_that_fits(size_t size)
{
    unsigned list = list_of(size);
    if (size < SMALL_LISTS * HEAP_ALIGN) return list;
    unsigned octave = 63 - (unsigned)__builtin_clzll((unsigned long long)size);
    size_t step = (size_t)1 << (octave - 3);
    return (size & (step - 1)) == 0 ? list : list + 1;
}

static void list_put(struct region *r, struct piece *p)
{
    unsigned list = list_of(size_of(p));
    p->previous = NULL;
    p->next = r->lists[list];
    if (p->next) p->next->previous = p;
    r->lists[list] = p;
    r->list_bits[list / 64] |= UINT64_C(1) << (list % 64);
}

static void list_remove(struct region *r, struct piece *p)
{
    unsigned list = list_of(size_of(p));
    if (p->next) p->next->previous = p->previous;
    if (p->previous)
        p->previous->next = p->next;
    else
        r->lists[list] = p->next;
    if (!r->lists[list]) r->list_bits[list / 64] &= ~(UINT64_C(1) << (list % 64));
}

static struct piece *list_first_from(const struct region *r, unsigned list)
{
    if (list >= LISTS) return NULL;
    unsigned word = list / 64;
    uint64_t bits = r->list_bits[word] & (UINT64_MAX << (list % 64));
    while (bits == 0) {
        if (++word == sizeof r->list_bits / sizeof r->list_bits[0]) return NULL;
        bits = r->list_bits[word];
    }
    return r->lists[word * 64 + (unsigned)__builtin_ctzll(bits)];
}

/* A nearly full region: a piece of the size's own list may fit by chance. Bounded, a long list is not walked. */
static struct piece *list_search_slow(const struct region *r, size_t size)
{
    struct piece *p = r->lists[list_of(size)];
    for (unsigned tries = 0; p && tries < 32; tries++, p = p->next) {
        if (size_of(p) >= size) return p;
    }
    return NULL;
}

static void mark_after(struct region *r, struct piece *p, bool used)
{
    unsigned char *after = address_of(p) + size_of(p);
    if (after == r->top) return;
    struct piece *next = piece_at(after);
    if (used) {
        next->size_and_flags |= PIECE_BEFORE_USED;
    } else {
        next->size_and_flags &= ~PIECE_BEFORE_USED;
        next->before = size_of(p);
    }
}

/* Cuts `p` (in use) to `size`; the rest becomes free, joined with what follows. */
static void piece_free(struct region *r, struct piece *p);
static void piece_trim(struct region *r, struct piece *p, size_t size)
{
    size_t rest = size_of(p) - size;
    if (rest < PIECE_MIN) return;
    p->size_and_flags = size | (p->size_and_flags & PIECE_FLAGS);
    struct piece *tail = piece_at(address_of(p) + size);
    tail->size_and_flags = rest | PIECE_USED | PIECE_BEFORE_USED;
    piece_free(r, tail);
}

static void fresh_raise(struct region *r, unsigned char *to)
{
    if (to > r->fresh) r->fresh = to;
}

static struct piece *top_take(struct region *r, size_t size)
{
    if (size > (size_t)(r->end - r->top)) return NULL;
    struct piece *p = piece_at(r->top);
    p->size_and_flags = size | PIECE_USED | PIECE_BEFORE_USED;
    r->top += size;
    return p;
}

/* The piece in front of top is never free: it becomes part of it. */
static void top_recede(struct region *r, struct piece *p)
{
    r->top = address_of(p);
    if (r->fresh - r->top < GIVE_BACK) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    unsigned char *from = r->top + (-(uintptr_t)r->top & (page - 1));
    unsigned char *to = r->fresh + (-(uintptr_t)r->fresh & (page - 1));
    CHECK(madvise(from, (size_t)(to - from), MADV_DONTNEED) == 0);
    r->fresh = from;
}

static void piece_free(struct region *r, struct piece *p)
{
    size_t size = size_of(p);
    if (!(p->size_and_flags & PIECE_BEFORE_USED)) {
        p = piece_at(address_of(p) - p->before);
        list_remove(r, p);
        size += size_of(p);
    }
    unsigned char *after = address_of(p) + size;
    if (after < r->top && !(piece_at(after)->size_and_flags & PIECE_USED)) {
        list_remove(r, piece_at(after));
        size += size_of(piece_at(after));
        after = address_of(p) + size;
    }
    p->size_and_flags = size | PIECE_BEFORE_USED;
    if (after == r->top) {
        top_recede(r, p);
        return;
    }
    mark_after(r, p, false);
    list_put(r, p);
}

static size_t piece_size_for(size_t size)
{
    size_t whole = (size + TAG_SIZE + HEAP_ALIGN - 1) & ~(size_t)(HEAP_ALIGN - 1);
    return whole < PIECE_MIN ? PIECE_MIN : whole;
}

static void usage_add(struct region *r, const struct piece *p)
{
    r->usage.used += size_of(p);
    if (r->usage.used > r->usage.high) r->usage.high = r->usage.used;
}

/* With the lock held. *fresh_from: bytes from there on are known to be zero. */
static struct piece *take_locked(struct region *r, size_t size, unsigned char **fresh_from)
{
    r->usage.calls++;
    if (size > r->usage.capacity) {
        r->usage.refused++;
        return NULL;
    }
    size_t wanted = piece_size_for(size);
    struct piece *p = list_first_from(r, list_that_fits(wanted));
    if (!p) p = list_search_slow(r, wanted);
    if (p) {
        list_remove(r, p);
        p->size_and_flags |= PIECE_USED;
        mark_after(r, p, true);
        piece_trim(r, p, wanted);
    } else {
        p = top_take(r, wanted);
    }
    if (!p) {
        r->usage.refused++;
        return NULL;
    }
    *fresh_from = r->fresh;
    fresh_raise(r, address_of(p) + size_of(p));
    usage_add(r, p);
    return p;
}

int heap_reserve(enum heap_region region, size_t bytes, const char *lower)
{
    return heap_reserve_sparse(region, bytes, bytes, lower);
}

int heap_reserve_sparse(enum heap_region region, size_t bytes, size_t ceiling, const char *lower)
{
    struct region *r = &regions[region];
    CHECK(!r->base);
    if (bytes == 0) return RC_OK;
    void *base;
    int rc = plan_take(plan_names[region], 1, bytes, PLAN_LAZY, ceiling, lower, &base);
    if (rc != RC_OK) return rc;
    size_t capacity = bytes & ~(size_t)(HEAP_ALIGN - 1);
    pthread_mutex_lock(&r->lock);
    r->base = r->top = r->fresh = base;
    r->end = r->base + capacity;
    r->usage.capacity = capacity;
    pthread_mutex_unlock(&r->lock);
    return RC_OK;
}

void *heap_take(enum heap_region region, size_t size)
{
    struct region *r = &regions[region];
    unsigned char *fresh_from;
    pthread_mutex_lock(&r->lock);
    struct piece *p = take_locked(r, size, &fresh_from);
    pthread_mutex_unlock(&r->lock);
    return p ? user_of(p) : NULL;
}

void *heap_take_zeroed(enum heap_region region, size_t count, size_t size)
{
    struct region *r = &regions[region];
    unsigned char *fresh_from;
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) return NULL;
    pthread_mutex_lock(&r->lock);
    struct piece *p = take_locked(r, whole, &fresh_from);
    pthread_mutex_unlock(&r->lock);
    if (!p) return NULL;
    unsigned char *user = user_of(p);
    size_t stale = fresh_from > user ? (size_t)(fresh_from - user) : 0;
    memset(user, 0, stale < whole ? stale : whole);
    return user;
}

/* Space of `align` more is taken, and what is too much in front and behind given back. */
void *heap_take_aligned(enum heap_region region, size_t align, size_t size)
{
    struct region *r = &regions[region];
    unsigned char *fresh_from;
    CHECK((align & (align - 1)) == 0);
    if (align <= HEAP_ALIGN) return heap_take(region, size);
    if (size > SIZE_MAX - align - PIECE_MIN) return NULL;
    pthread_mutex_lock(&r->lock);
    struct piece *p = take_locked(r, size + align + PIECE_MIN, &fresh_from);
    if (p) {
        r->usage.used -= size_of(p);
        uintptr_t user = (uintptr_t)user_of(p);
        size_t skip = (size_t)(-user & (align - 1));
        if (skip > 0 && skip < PIECE_MIN) skip += align;
        if (skip > 0) {
            struct piece *front = p;
            p = piece_at(address_of(front) + skip);
            p->size_and_flags = (size_of(front) - skip) | PIECE_USED | PIECE_BEFORE_USED;
            front->size_and_flags = skip | (front->size_and_flags & PIECE_FLAGS);
            piece_free(r, front);
        }
        piece_trim(r, p, piece_size_for(size));
        usage_add(r, p);
    }
    pthread_mutex_unlock(&r->lock);
    return p ? user_of(p) : NULL;
}

static struct piece *piece_checked(struct region *r, void *user)
{
    struct piece *p = piece_of(user);
    CHECK(address_of(p) >= r->base);
    CHECK(address_of(p) < r->top);
    CHECK(p->size_and_flags & PIECE_USED);
    return p;
}

/* Shrinks, or grows into what is free behind; false when there is not enough. */
static bool resize_in_place(struct region *r, struct piece *p, size_t wanted)
{
    unsigned char *after = address_of(p) + size_of(p);
    size_t flags = (size_t)(p->size_and_flags & PIECE_FLAGS);
    if (wanted > size_of(p) && after == r->top) {
        size_t more = wanted - size_of(p);
        if (more > (size_t)(r->end - r->top)) return false;
        r->top += more;
        p->size_and_flags = wanted | flags;
        fresh_raise(r, r->top);
        return true;
    }
    if (wanted > size_of(p)) {
        struct piece *next = piece_at(after);
        if ((next->size_and_flags & PIECE_USED) || size_of(p) + size_of(next) < wanted) return false;
        list_remove(r, next);
        p->size_and_flags = (size_of(p) + size_of(next)) | flags;
        mark_after(r, p, true);
    }
    piece_trim(r, p, wanted);
    return true;
}

void *heap_resize(enum heap_region region, void *piece, size_t size)
{
    struct region *r = &regions[region];
    if (!piece) return heap_take(region, size);
    pthread_mutex_lock(&r->lock);
    struct piece *p = piece_checked(r, piece);
    size_t held = size_of(p);
    bool done = size <= r->usage.capacity && resize_in_place(r, p, piece_size_for(size));
    if (done) {
        r->usage.used -= held;
        usage_add(r, p);
    }
    pthread_mutex_unlock(&r->lock);
    if (done) return piece;
    void *moved = heap_take(region, size);
    if (!moved) return NULL;
    memcpy(moved, piece, held - TAG_SIZE < size ? held - TAG_SIZE : size);
    heap_give(region, piece);
    return moved;
}

void heap_give(enum heap_region region, void *piece)
{
    struct region *r = &regions[region];
    if (!piece) return;
    pthread_mutex_lock(&r->lock);
    struct piece *p = piece_checked(r, piece);
    r->usage.used -= size_of(p);
    piece_free(r, p);
    pthread_mutex_unlock(&r->lock);
}

struct heap_usage heap_usage(enum heap_region region)
{
    struct region *r = &regions[region];
    pthread_mutex_lock(&r->lock);
    struct heap_usage usage = r->usage;
    pthread_mutex_unlock(&r->lock);
    return usage;
}
