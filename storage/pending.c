/* SPDX-License-Identifier: Apache-2.0 */
/* storage/pending.c — two rings side by side: small arrays that are scanned, and bytes. */
#include "storage/pending.h"

#include "platform/check.h"
#include "platform/plan.h"
#include "platform/rc.h"

struct pending_record {
    uint64_t space;
    uint8_t tenant[ENTRY_TENANT_SIZE];
    uint32_t shared, dim, guard_size, query_size;
};

int pending_reserve(struct pending *pending)
{
    void *memory;
    int rc = plan_take("codes pending", 1, PENDING_BYTES, PLAN_LAZY, 0, NULL, &memory);
    if (rc != RC_OK) return rc;
    pending->bytes = memory;
    pthread_mutex_init(&pending->lock, NULL);
    return RC_OK;
}

void pending_clear(struct pending *pending)
{
    pthread_mutex_lock(&pending->lock);
    pending->head = pending->tail = 0;
    pending->byte_head = pending->byte_tail = 0;
    atomic_store(&pending->count, 0);
    atomic_store(&pending->durable, 0);
    pthread_mutex_unlock(&pending->lock);
}

/* ---- under the lock */

static size_t record_size(const struct entry_vector *vector, struct span query)
{
    size_t size = sizeof(struct pending_record) + vector->dim + vector->guard.size + query.size;
    return (size + 15) & ~(size_t)15;
}

/* Where a record of this size starts: at the beginning again when it does not fit before the end. */
static uint64_t record_start(const struct pending *pending, size_t size)
{
    uint64_t at = pending->head == pending->tail ? 0 : pending->byte_head;
    size_t to_end = PENDING_BYTES - (size_t)(at % PENDING_BYTES);
    return size <= to_end ? at : at + to_end;
}

static struct pending_record *record_at(const struct pending *pending, unsigned index)
{
    return (struct pending_record *)(void *)(pending->bytes + pending->place[index] % PENDING_BYTES);
}

/* Ids grow from the tail to the head. PENDING_MAX: not there. */
static unsigned find(const struct pending *pending, uint64_t id)
{
    unsigned low = pending->tail, high = pending->head;
    while (low != high) {
        unsigned middle = low + (high - low) / 2;
        if (pending->id[middle % PENDING_MAX] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low != pending->head && pending->id[low % PENDING_MAX] == id ? low % PENDING_MAX : PENDING_MAX;
}

static void set_state(struct pending *pending, unsigned index, enum pending_state state)
{
    if (pending->state[index] == PENDING_DURABLE) atomic_fetch_sub(&pending->durable, 1);
    if (state == PENDING_DURABLE) atomic_fetch_add(&pending->durable, 1);
    pending->state[index] = (uint8_t)state;
}

/* The dead at the front leave; one in the middle waits for those before it. */
static void advance(struct pending *pending)
{
    while (pending->tail != pending->head && pending->state[pending->tail % PENDING_MAX] == PENDING_DEAD) {
        pending->tail++;
        atomic_fetch_sub(&pending->count, 1);
    }
    pending->byte_tail = pending->tail == pending->head ? pending->byte_head
                                                        : pending->place[pending->tail % PENDING_MAX];
}

static int add(struct pending *pending, uint64_t id, const uint8_t *tenant, const struct entry_vector *vector,
               struct span query)
{
    size_t size = record_size(vector, query);
    uint64_t start = record_start(pending, size);
    uint64_t tail = pending->head == pending->tail ? start : pending->byte_tail;
    unsigned index = pending->head % PENDING_MAX;
    if (pending->head - pending->tail == PENDING_MAX || start + size - tail > PENDING_BYTES) return RC_FULL;
    pending->place[index] = start;
    pending->byte_head = start + size;
    pending->byte_tail = tail;
    struct pending_record *record = record_at(pending, index);
    *record = (struct pending_record){.space = vector->space,
                                      .shared = vector->shared,
                                      .dim = vector->dim,
                                      .guard_size = (uint32_t)vector->guard.size,
                                      .query_size = (uint32_t)query.size};
    memcpy(record->tenant, tenant, sizeof record->tenant);
    unsigned char *at = (unsigned char *)(record + 1);
    memcpy(at, vector->vector, vector->dim);
    if (vector->guard.size > 0) memcpy(at + vector->dim, vector->guard.data, vector->guard.size);
    if (query.size > 0) memcpy(at + vector->dim + vector->guard.size, query.data, query.size);
    pending->tag[index] = vector->space_tag;
    pending->id[index] = id;
    memcpy(pending->code[index], vector->code, sizeof vector->code);
    pending->state[index] = PENDING_QUEUED;
    pending->head++;
    atomic_fetch_add(&pending->count, 1);
    return RC_OK;
}

static struct pending_text text_of(const struct pending_record *record)
{
    const char *at = (const char *)(record + 1);
    struct pending_text text = {.space = record->space,
                                .shared = record->shared != 0,
                                .dim = record->dim,
                                .vector = (const int8_t *)(const void *)at,
                                .guard = span_of(at + record->dim, record->guard_size),
                                .query = span_of(at + record->dim + record->guard_size, record->query_size)};
    memcpy(text.tenant, record->tenant, sizeof text.tenant);
    return text;
}

/* ---- lane */

int pending_add(struct pending *pending, uint64_t id, const uint8_t tenant[ENTRY_TENANT_SIZE],
                const struct entry_vector *vector, struct span query)
{
    pthread_mutex_lock(&pending->lock);
    int rc = add(pending, id, tenant, vector, query);
    pthread_mutex_unlock(&pending->lock);
    return rc;
}

void pending_kill(struct pending *pending, uint64_t id)
{
    if (atomic_load(&pending->count) == 0) return;
    pthread_mutex_lock(&pending->lock);
    unsigned index = find(pending, id);
    if (index < PENDING_MAX && pending->state[index] != PENDING_TAKEN) set_state(pending, index, PENDING_DEAD);
    if (index < PENDING_MAX) pending->tag[index] = 0; /* not seen by scans any more */
    advance(pending);
    pthread_mutex_unlock(&pending->lock);
}

void pending_kill_tenant(struct pending *pending, const uint8_t *tenant)
{
    pthread_mutex_lock(&pending->lock);
    for (unsigned i = pending->tail; i != pending->head; i++) {
        unsigned index = i % PENDING_MAX;
        if (tenant && memcmp(record_at(pending, index)->tenant, tenant, ENTRY_TENANT_SIZE) != 0) continue;
        if (pending->state[index] != PENDING_TAKEN) set_state(pending, index, PENDING_DEAD);
        pending->tag[index] = 0;
    }
    advance(pending);
    pthread_mutex_unlock(&pending->lock);
}

uint64_t pending_oldest(struct pending *pending)
{
    pthread_mutex_lock(&pending->lock);
    uint64_t id = pending->tail == pending->head ? UINT64_MAX : pending->id[pending->tail % PENDING_MAX];
    pthread_mutex_unlock(&pending->lock);
    return id;
}

/* ---- writer */

void pending_settle(struct pending *pending, uint64_t id, uint32_t random, bool kept)
{
    pthread_mutex_lock(&pending->lock);
    unsigned index = find(pending, id);
    if (index < PENDING_MAX && pending->state[index] == PENDING_QUEUED) {
        pending->random[index] = random;
        set_state(pending, index, kept ? PENDING_DURABLE : PENDING_DEAD);
        advance(pending);
    }
    pthread_mutex_unlock(&pending->lock);
}

static int take(struct pending *pending, uint64_t *id, uint32_t *random, struct entry_vector *vector)
{
    for (unsigned i = pending->tail; i != pending->head; i++) {
        unsigned index = i % PENDING_MAX;
        if (pending->state[index] != PENDING_DURABLE) continue;
        struct pending_text text = text_of(record_at(pending, index));
        set_state(pending, index, PENDING_TAKEN);
        *id = pending->id[index];
        *random = pending->random[index];
        *vector = (struct entry_vector){.space = text.space,
                                        .space_tag = pending->tag[index],
                                        .shared = text.shared,
                                        .dim = text.dim,
                                        .vector = text.vector,
                                        .guard = text.guard};
        memcpy(vector->code, pending->code[index], sizeof vector->code);
        return RC_OK;
    }
    return RC_EMPTY;
}

int pending_take(struct pending *pending, uint64_t *id, uint32_t *random, struct entry_vector *vector)
{
    if (atomic_load(&pending->durable) == 0) return RC_EMPTY;
    pthread_mutex_lock(&pending->lock);
    int rc = take(pending, id, random, vector);
    pthread_mutex_unlock(&pending->lock);
    return rc;
}

static void end_taken(struct pending *pending, enum pending_state state)
{
    pthread_mutex_lock(&pending->lock);
    for (unsigned i = pending->tail; i != pending->head; i++) {
        unsigned index = i % PENDING_MAX;
        if (pending->state[index] != PENDING_TAKEN) continue;
        set_state(pending, index, pending->tag[index] == 0 ? PENDING_DEAD : state); /* died meanwhile */
    }
    advance(pending);
    pthread_mutex_unlock(&pending->lock);
}

void pending_release(struct pending *pending)
{
    end_taken(pending, PENDING_DEAD);
}

void pending_give_back(struct pending *pending)
{
    end_taken(pending, PENDING_DURABLE);
}

/* ---- workers */

unsigned pending_collect(struct pending *pending, uint64_t space_tag, uint64_t *ids, uint64_t (*codes)[4])
{
    unsigned count = 0;
    if (atomic_load(&pending->count) == 0) return 0;
    pthread_mutex_lock(&pending->lock);
    for (unsigned i = pending->tail; i != pending->head; i++) {
        unsigned index = i % PENDING_MAX;
        if (pending->tag[index] != space_tag || pending->state[index] == PENDING_DEAD) continue;
        ids[count] = pending->id[index];
        memcpy(codes[count++], pending->code[index], sizeof pending->code[index]);
    }
    pthread_mutex_unlock(&pending->lock);
    return count;
}

/* PENDING_MAX: not there for scans. */
static unsigned find_living(const struct pending *pending, uint64_t id)
{
    unsigned index = find(pending, id);
    bool living = index < PENDING_MAX && pending->state[index] != PENDING_DEAD && pending->tag[index] != 0;
    return living ? index : PENDING_MAX;
}

int pending_vector(struct pending *pending, uint64_t id, unsigned dim, int8_t *vector)
{
    int rc = RC_NOT_FOUND;
    pthread_mutex_lock(&pending->lock);
    unsigned index = find_living(pending, id);
    if (index < PENDING_MAX) {
        struct pending_text text = text_of(record_at(pending, index));
        rc = text.dim == dim ? RC_OK : RC_NOT_FOUND;
        if (rc == RC_OK) memcpy(vector, text.vector, dim);
    }
    pthread_mutex_unlock(&pending->lock);
    return rc;
}

static int copy_text(const struct pending_text *from, struct arena *arena, struct pending_text *text)
{
    size_t mark = arena_mark(arena);
    struct span vector = arena_copy(arena, span_of((const char *)from->vector, from->dim));
    *text = *from;
    text->vector = (const int8_t *)(const void *)vector.data;
    text->guard = arena_copy(arena, from->guard);
    text->query = arena_copy(arena, from->query);
    if (vector.data && text->guard.data && text->query.data) return RC_OK;
    arena_rewind(arena, mark);
    return RC_FULL;
}

int pending_read(struct pending *pending, uint64_t id, struct arena *arena, struct pending_text *text)
{
    int rc = RC_NOT_FOUND;
    pthread_mutex_lock(&pending->lock);
    unsigned index = find_living(pending, id);
    if (index < PENDING_MAX) {
        struct pending_text found = text_of(record_at(pending, index));
        rc = copy_text(&found, arena, text);
    }
    pthread_mutex_unlock(&pending->lock);
    return rc;
}
