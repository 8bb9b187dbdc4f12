/* SPDX-License-Identifier: Apache-2.0 */
/* storage/ring.h — a ring of records from one thread to another, whose records stay readable until they are released.
 *
 * Owner:   the caller gives the memory (a power of two).
 * Threads: one producer, one consumer. The producer may also read what is not released yet (ring_first, ring_next).
 * Order:   the producer's; positions only grow, a record's is its name.
 */
#ifndef STORAGE_RING_H
#define STORAGE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    unsigned char *base;
    size_t capacity;
    _Atomic uint64_t head;     /* published up to here */
    _Atomic uint64_t released; /* free again up to here */
    _Atomic uint64_t bias;     /* position + bias is the place; changed only while the ring is empty */
    uint64_t reserved;         /* producer: where the record that is being written ends */
};

struct ring_record { /* 16 bytes, the payload follows */
    uint32_t size;   /* with this header, a multiple of 16 */
    uint32_t kind;   /* 0: padding */
    uint64_t id;
};

void ring_init(struct ring *ring, void *base, size_t capacity);
/* Whether records of `bytes` together, heads and rounding included, fit now in any order. */
bool ring_fits(const struct ring *ring, size_t bytes);
/* Room for a payload, or NULL. Not visible until published. */
struct ring_record *ring_reserve(struct ring *ring, size_t payload);
/* Position behind the record: what ring_released must reach for it to be done. */
uint64_t ring_publish(struct ring *ring);
/* Bytes in use. */
size_t ring_used(const struct ring *ring);

/* The record at *position, padding skipped (*position moves to it); NULL at the head. */
struct ring_record *ring_at(const struct ring *ring, uint64_t *position);
static inline uint64_t ring_after(uint64_t position, const struct ring_record *record)
{
    return position + record->size;
}
uint64_t ring_first(const struct ring *ring); /* the oldest record not released */
void ring_release(struct ring *ring, uint64_t position);

static inline void *ring_payload(struct ring_record *record)
{
    return record + 1;
}

#endif
