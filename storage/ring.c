/* SPDX-License-Identifier: Apache-2.0 */
/* storage/ring.c — records never wrap: what does not fit before the end starts at the beginning. */
#include "storage/ring.h"

#include "platform/check.h"

void ring_init(struct ring *ring, void *base, size_t capacity)
{
    CHECK(capacity >= 64);
    CHECK((capacity & (capacity - 1)) == 0);
    *ring = (struct ring){.base = base, .capacity = capacity};
}

static size_t ring_place(const struct ring *ring, uint64_t position)
{
    uint64_t bias = atomic_load_explicit(&ring->bias, memory_order_relaxed);
    return (size_t)((position + bias) & (ring->capacity - 1));
}

static struct ring_record *ring_slot(const struct ring *ring, uint64_t position)
{
    return (struct ring_record *)(void *)(ring->base + ring_place(ring, position));
}

size_t ring_used(const struct ring *ring)
{
    return (size_t)(atomic_load(&ring->head) - atomic_load(&ring->released));
}

/* Padding up to the end of the memory; a gap is a multiple of 16, so a header always fits. */
static uint64_t ring_skip_to_start(struct ring *ring, uint64_t head)
{
    size_t gap = ring->capacity - ring_place(ring, head);
    *ring_slot(ring, head) = (struct ring_record){.size = (uint32_t)gap};
    return head + gap;
}

/* What is skipped at the end of the memory is less than the record that did not fit there. */
bool ring_fits(const struct ring *ring, size_t bytes)
{
    return ring_used(ring) + 2 * (bytes + sizeof(struct ring_record) + 16) <= ring->capacity;
}

struct ring_record *ring_reserve(struct ring *ring, size_t payload)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t released = atomic_load_explicit(&ring->released, memory_order_acquire);
    size_t size = (sizeof(struct ring_record) + payload + 15) & ~(size_t)15;
    size_t free = ring->capacity - (size_t)(head - released);
    /* An empty ring starts anew: little traffic touches few of its pages. Publishing orders the change for the consumer,
     * which looks at no place between. */
    if (head == released) atomic_store_explicit(&ring->bias, 0 - head, memory_order_relaxed);
    size_t to_end = ring->capacity - ring_place(ring, head);
    size_t gap = to_end < size ? to_end : 0;
    if (gap + size > free) return NULL;
    if (gap > 0) head = ring_skip_to_start(ring, head);
    struct ring_record *record = ring_slot(ring, head);
    record->size = (uint32_t)size;
    ring->reserved = head + size;
    return record;
}

uint64_t ring_publish(struct ring *ring)
{
    CHECK(ring->reserved > atomic_load_explicit(&ring->head, memory_order_relaxed));
    atomic_store_explicit(&ring->head, ring->reserved, memory_order_release);
    return ring->reserved;
}

struct ring_record *ring_at(const struct ring *ring, uint64_t *position)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    while (*position < head) {
        struct ring_record *record = ring_slot(ring, *position);
        if (record->kind != 0) return record;
        *position += record->size;
    }
    return NULL;
}

uint64_t ring_first(const struct ring *ring)
{
    return atomic_load_explicit(&ring->released, memory_order_acquire);
}

void ring_release(struct ring *ring, uint64_t position)
{
    atomic_store_explicit(&ring->released, position, memory_order_release);
}
