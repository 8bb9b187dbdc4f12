/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/evict_sim.c — see evict_sim.h. */
#include "app/bench/evict_sim.h"

#include <string.h>

#include "app/bench/bench.h"
#include "app/bench/flights.h"
#include "platform/check.h"
#include "platform/rc.h"

enum { ROW_BYTES = 512 /* of a row besides its texts, about */ };

static struct {
    struct evict evict;
    uint32_t *slot_of;   /* item → position + 1 */
    uint32_t *item_at;   /* position → item */
    uint32_t *free;      /* positions */
    uint32_t *asked;     /* item → how often */
    unsigned char *away; /* item → is being fetched */
    unsigned free_count, entries_max;
} sim;

void sim_reserve(unsigned entries_max)
{
    sim.entries_max = entries_max;
    CHECK(evict_reserve(&sim.evict, entries_max) == RC_OK);
    sim.slot_of = bench_region(ITEMS_MAX * sizeof sim.slot_of[0], false);
    sim.asked = bench_region(ITEMS_MAX * sizeof sim.asked[0], false);
    sim.away = bench_region(ITEMS_MAX, false);
    sim.item_at = bench_region(entries_max * sizeof sim.item_at[0], false);
    sim.free = bench_region(entries_max * sizeof sim.free[0], false);
    bench_flights_reserve();
}

static void start(const struct sim_setting *setting, unsigned item_count)
{
    CHECK(setting->entries <= sim.entries_max);
    memset(sim.slot_of, 0, item_count * sizeof sim.slot_of[0]);
    memset(sim.asked, 0, item_count * sizeof sim.asked[0]);
    memset(sim.away, 0, item_count);
    evict_clear(&sim.evict);
    memset(sim.evict.returns, 0, (size_t)sim.evict.return_sets_max * EVICT_RETURN_WAYS * sizeof(uint16_t));
    evict_policy_set(&sim.evict,
                     setting->policy == EVICT_SIM_KEEP ? EVICT_POLICY_LRU : (enum evict_policy)setting->policy);
    evict_bounds_set(&sim.evict, setting->entries, setting->bytes);
    evict_tune(&sim.evict, setting->lambda, setting->clusters);
    sim.evict.steps = 0;
    sim.free_count = 0;
    bench_flights_clear();
    for (unsigned i = setting->entries; i > 0; i--) sim.free[sim.free_count++] = i - 1;
}

/* ---- storing */

static int pick_seldomest(uint32_t *position)
{
    uint32_t found = EVICT_NONE;
    for (uint32_t at = 0; at < sim.evict.span; at++) {
        if (sim.slot_of[sim.item_at[at]] != at + 1) continue;
        if (found == EVICT_NONE || sim.asked[sim.item_at[at]] < sim.asked[sim.item_at[found]]) found = at;
    }
    *position = found;
    return found == EVICT_NONE ? RC_EMPTY : RC_OK;
}

static void evict_one(const struct sim_setting *setting, const struct items *items, struct sim_result *result)
{
    uint32_t at;
    int rc = setting->policy == EVICT_SIM_KEEP ? pick_seldomest(&at) : evict_pick(&sim.evict, &at);
    CHECK(rc == RC_OK);
    evict_yield(&sim.evict, at, items->items[sim.item_at[at]].tag);
    evict_remove(&sim.evict, at);
    sim.slot_of[sim.item_at[at]] = 0;
    sim.free[sim.free_count++] = at;
    result->victims++;
}

static uint64_t bytes_of(const struct bench_request *request)
{
    size_t answer = request->answer.size > 0 ? request->answer.size : (size_t)request->tokens_out * BENCH_TOKEN_BYTES;
    return ROW_BYTES + request->text.size + answer;
}

static void store(const struct sim_setting *setting, const struct items *items, const struct bench_request *request,
                  const struct bench_flight *flight, struct sim_result *result)
{
    uint64_t bytes = bytes_of(request);
    unsigned wanted = evict_wanted(&sim.evict, bytes);
    for (unsigned i = 0; i < wanted || (wanted > 0 && evict_heavy(&sim.evict, bytes)); i++)
        evict_one(setting, items, result);
    uint32_t at = sim.free[--sim.free_count];
    struct evict_new entry = {
        .bytes = bytes,
        .tag = items->items[flight->item].tag,
        .cost = evict_cost(request->upstream_ms, request->tokens_in, request->tokens_out),
        .neighbour = flight->nearest != EVICT_NONE ? sim.slot_of[flight->nearest] - 1 : EVICT_NONE,
        .score = flight->score,
    };
    if (entry.neighbour == UINT32_MAX) entry.neighbour = EVICT_NONE; /* it left meanwhile */
    evict_add(&sim.evict, at, &entry);
    sim.item_at[at] = flight->item;
    sim.slot_of[flight->item] = at + 1;
    result->stored++;
}

static void land(const struct sim_setting *setting, const struct bench_log *log, const struct items *items,
                 double until_s, struct sim_result *result)
{
    struct bench_flight flight;
    while (bench_flights_take(until_s, &flight)) {
        sim.away[flight.item] = 0;
        store(setting, items, &log->requests[flight.request], &flight, result);
    }
}

/* ---- asking */

/* The nearest that is stored, as one of the item's neighbours; neighbour_count: none. */
static unsigned nearest_stored(const struct item *asked)
{
    unsigned i = 0;
    while (i < asked->neighbour_count && sim.slot_of[asked->neighbours[i].item] == 0) i++;
    return i;
}

static void hit(const struct bench_request *request, uint32_t item, struct sim_result *result)
{
    evict_touch(&sim.evict, sim.slot_of[item] - 1);
    result->saved_ms += request->upstream_ms;
    result->saved_cost += evict_cost(request->upstream_ms, request->tokens_in, request->tokens_out);
}

static void ask(const struct sim_setting *setting, const struct bench_log *log, struct items *items,
                const uint32_t *of_request, unsigned number, struct sim_result *result)
{
    const struct bench_request *request = &log->requests[number];
    uint32_t item = of_request[number];
    sim.asked[item]++;
    result->requests++;
    result->all_cost += evict_cost(request->upstream_ms, request->tokens_in, request->tokens_out);
    if (sim.slot_of[item] > 0) {
        result->exact++;
        hit(request, item, result);
        return;
    }
    if (sim.away[item]) {
        result->followed++;
        return;
    }
    struct bench_flight flight = {request->at_s + request->upstream_ms / 1000.0, item, number, EVICT_NONE, 0};
    unsigned near = nearest_stored(&items->items[item]);
    if (near < items->items[item].neighbour_count) {
        flight.nearest = items->items[item].neighbours[near].item;
        flight.score = items->items[item].neighbours[near].score;
    }
    if (flight.score >= setting->threshold && !items_vetoed(items, item, near)) {
        result->semantic++;
        sim.asked[flight.nearest]++;
        hit(request, flight.nearest, result);
        return;
    }
    result->spent_ms += request->upstream_ms;
    sim.away[item] = 1;
    bench_flights_add(flight);
}

void sim_run(const struct sim_setting *setting, const struct bench_log *log, struct items *items,
             const uint32_t *of_request, struct sim_result *result)
{
    *result = (struct sim_result){0};
    start(setting, items->count);
    for (unsigned i = 0; i < log->count; i++) {
        land(setting, log, items, log->requests[i].at_s, result);
        ask(setting, log, items, of_request, i, result);
    }
    result->kept = sim.evict.count;
    result->kept_bytes = evict_bytes(&sim.evict);
    result->steps = sim.evict.steps;
}
