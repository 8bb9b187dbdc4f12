/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_evict.c — sieve and lru against their definitions, worth; of all policies pins, sizes, bounds, ghosts, the
 * walk. */
#include "tests/unit/evict_test.h"

/* ---- sieve */

static void sieve_step_by_step(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++) add(i, 1, false);
    evict_touch(&evict, 0);
    evict_touch(&evict, 2);
    evict_touch(&evict, 2);
    assert_int_equal(evict_hits(&evict, 2), 2);
    assert_int_equal(take(), 1); /* 0 is spared and loses its mark */
    assert_int_equal(evict_hits(&evict, 0), 0);
    add(6, 1, false);
    assert_int_equal(take(), 3); /* the hand goes on from there: 2 is spared */
    assert_int_equal(evict_hits(&evict, 2), 1);
    assert_int_equal(take(), 4);
    assert_int_equal(take(), 5);
    assert_int_equal(take(), 6);
    assert_int_equal(take(), 0); /* round again */
    assert_int_equal(take(), 2);
    uint32_t position;
    assert_int_equal(evict_pick(&evict, &position), RC_EMPTY);
    assert_int_equal(evict.count, 0);
    assert_int_equal(evict_bytes(&evict), 0);
}

static void marks_count_to_three(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) add(i, 1, false);
    for (unsigned i = 0; i < 9; i++) evict_touch(&evict, 0);
    assert_int_equal(evict_hits(&evict, 0), EVICT_MARK_MAX);
    for (uint32_t i = 3; i < 6; i++) {
        assert_int_equal(take(), i - 2); /* 0 stays at the tail; the hand goes on */
        add(i, 1, false);
    }
}

/* A victim that comes back within half a table of victims has a mark; the second time it is forgotten. */
static void who_returns_is_marked(void **state)
{
    (void)state;
    add(0, 1, false);
    leave(0);
    add(0, 1, false);
    assert_int_equal(evict_hits(&evict, 0), 1);
    evict_remove(&evict, 0);
    add(0, 1, false);
    assert_int_equal(evict_hits(&evict, 0), 0);
    leave(0);
    unsigned known = 0;
    uint64_t mixed = 99;
    for (unsigned i = 0; i < 4 * ENTRIES; i++) evict_yield(&evict, 0, next_tag(&mixed)); /* nothing but tags */
    add(1, 1, false);
    for (unsigned i = 0; i < 50; i++) {
        struct evict_new entry = {.bytes = 1, .tag = tag_of(0), .neighbour = EVICT_NONE};
        evict_add(&evict, 2, &entry);
        known += evict_hits(&evict, 2);
        evict_remove(&evict, 2);
    }
    assert_int_equal(known, 0);
}

static void dear_ones_count_twice_and_cheap_ones_are_not_spared(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100; i++) add_costing(i, 1000);
    add_costing(100, 1500);
    add_costing(101, 200);
    add_costing(102, 2500);
    assert_int_equal(evict_class_of(&evict, 99), EVICT_PLAIN);
    assert_int_equal(evict_class_of(&evict, 100), EVICT_PLAIN);
    assert_int_equal(evict_class_of(&evict, 101), EVICT_CHEAP);
    assert_int_equal(evict_class_of(&evict, 102), EVICT_DEAR);
    for (uint32_t i = 100; i < 103; i++) evict_touch(&evict, i);
    assert_int_equal(evict_hits(&evict, 100), 1);
    assert_int_equal(evict_hits(&evict, 101), 1);
    assert_int_equal(evict_hits(&evict, 102), 2);
    for (uint32_t i = 0; i < 100; i++) assert_int_equal(take(), i);
    assert_int_equal(take(), 101); /* before 100, which is older and as often used */
    assert_int_equal(take(), 100);
    assert_int_equal(take(), 102);
}

/* What an entry takes of the bytes counts beside what it takes of the places. */
static void large_ones_are_cheap(void **state)
{
    (void)state;
    struct evict_new entry = {.bytes = 4096, .cost = 1000, .neighbour = EVICT_NONE};
    evict_bounds_set(&evict, 100, 100 * 4096);
    for (uint32_t i = 0; i < 50; i++) evict_add(&evict, i, &entry);
    entry.bytes = 16 * 4096;
    evict_add(&evict, 50, &entry);
    assert_int_equal(evict_class_of(&evict, 50), EVICT_CHEAP);
    evict_bounds_set(&evict, 100, UINT64_C(1) << 40); /* bytes are no bound: only places count */
    entry.bytes = 4096;
    for (uint32_t i = 51; i < 4000; i++) evict_add(&evict, i, &entry);
    entry.bytes = 16 * 4096;
    evict_add(&evict, 4000, &entry);
    assert_int_equal(evict_class_of(&evict, 4000), EVICT_PLAIN);
}

static void cost_is_time_and_tokens(void **state)
{
    (void)state;
    assert_int_equal(evict_cost(0, 0, 0), 0);
    assert_int_equal(evict_cost(1500, 200, 100), 2100);
    assert_true(evict_cost(UINT32_MAX, UINT32_MAX, UINT32_MAX) == UINT64_C(6) * UINT32_MAX);
}

/* ---- lru */

static void lru_step_by_step(void **state)
{
    (void)state;
    evict_policy_set(&evict, EVICT_POLICY_LRU);
    for (uint32_t i = 0; i < 4; i++) add(i, 1, false);
    evict_touch(&evict, 0);
    evict_touch(&evict, 2);
    evict_touch(&evict, 2);
    assert_int_equal(take(), 1);
    assert_int_equal(take(), 3);
    assert_int_equal(take(), 0);
    assert_int_equal(take(), 2);
}

/* The definitions, written plainly. */
enum { MODEL = 256 };
struct model {
    uint32_t order[MODEL]; /* oldest first */
    unsigned marks[MODEL];
    unsigned count;
    uint32_t hand;
};

static unsigned place_of(const struct model *m, uint32_t position)
{
    unsigned i = 0;
    while (i < m->count && m->order[i] != position) i++;
    return i;
}

static void model_remove(struct model *m, unsigned place)
{
    if (m->hand == m->order[place]) m->hand = place + 1 < m->count ? m->order[place + 1] : EVICT_NONE;
    memmove(&m->order[place], &m->order[place + 1], (m->count - place - 1) * sizeof m->order[0]);
    m->count--;
}

static uint32_t model_sieve(struct model *m)
{
    unsigned at = m->hand == EVICT_NONE ? 0 : place_of(m, m->hand);
    for (; m->marks[m->order[at]] > 0; at = (at + 1) % m->count) m->marks[m->order[at]]--;
    m->hand = m->order[at];
    return m->order[at];
}

static void agrees_with(enum evict_policy policy)
{
    static struct model m;
    m = (struct model){.hand = EVICT_NONE};
    evict_policy_set(&evict, policy);
    uint32_t seed = 5;
    for (unsigned step = 0; step < 40000; step++) {
        uint32_t position = (uint32_t)test_random(&seed) % MODEL;
        unsigned place = place_of(&m, position);
        bool there = place < m.count;
        unsigned dice = (unsigned)test_random(&seed) % 64;
        bool calm = step / 4096 % 2; /* few hits: marks that the hand cleared stay cleared */
        switch (dice < 4 ? 0 : dice < (calm ? 24 : 12) ? 1 : 2) {
        case 0:
            if (!there) break;
            evict_remove(&evict, position);
            model_remove(&m, place);
            break;
        case 1:
            if (m.count == 0) break;
            position = policy == EVICT_POLICY_SIEVE ? model_sieve(&m) : m.order[0];
            assert_int_equal(take(), position);
            model_remove(&m, place_of(&m, position));
            break;
        default:
            if (there && calm && dice < 60) break;
            if (there && policy == EVICT_POLICY_LRU) model_remove(&m, place);
            if (there)
                evict_touch(&evict, position);
            else
                add(position, 1, false);
            if (!there || policy == EVICT_POLICY_LRU) m.order[m.count++] = position;
            m.marks[position] = there ? m.marks[position] + (m.marks[position] < EVICT_MARK_MAX) : 0;
        }
        assert_int_equal(evict.count, m.count);
    }
}

static void sieve_agrees_with_its_definition(void **state)
{
    (void)state;
    agrees_with(EVICT_POLICY_SIEVE);
}

static void lru_agrees_with_its_definition(void **state)
{
    (void)state;
    agrees_with(EVICT_POLICY_LRU);
}

/* ---- all */

static void pinned_are_passed_over(void **state)
{
    (void)state;
    for (int policy = 0; policy < 4; policy++) {
        uint32_t position;
        evict_clear(&evict);
        evict_policy_set(&evict, (enum evict_policy)policy);
        add(0, 1, true);
        add(1, 1, false);
        add(2, 1, true);
        assert_int_equal(take(), 1);
        assert_int_equal(evict_pick(&evict, &position), RC_EMPTY);
        assert_int_equal(evict.count, 2);
    }
}

/* Whatever happens: a victim is listed and not pinned, counts and bytes add up, and the work does not grow with the table. */
static void properties(enum evict_policy policy)
{
    static bool listed[ENTRIES], pinned[ENTRIES];
    uint32_t seed = 11, count = 0, pins = 0;
    uint64_t victims = 0;
    evict_clear(&evict);
    evict_policy_set(&evict, policy);
    memset(listed, 0, sizeof listed);
    evict.steps = 0;
    for (unsigned step = 0; step < 60000; step++) {
        uint32_t at = (uint32_t)test_random(&seed) % ENTRIES, other = (uint32_t)test_random(&seed) % ENTRIES;
        if (listed[at] && step % 16 != 0) {
            evict_touch(&evict, at);
        } else if (listed[at]) {
            evict_remove(&evict, at);
            listed[at] = false;
            count--;
            pins -= pinned[at];
        } else {
            struct evict_new entry = {.bytes = at + 1,
                                      .tag = tag_of(at),
                                      .cost = 1 + (uint32_t)test_random(&seed) % 5000,
                                      .neighbour = step % 3 ? other : EVICT_NONE,
                                      .score = 0.5f + (float)(step % 50) / 100,
                                      .pinned = at % 32 == 0};
            evict_add(&evict, at, &entry);
            listed[at] = true;
            pinned[at] = entry.pinned;
            count++;
            pins += entry.pinned;
        }
        while (count > ENTRIES / 2) {
            assert_int_equal(evict_pick(&evict, &at), RC_OK);
            assert_true(listed[at]);
            assert_false(pinned[at]);
            leave(at);
            listed[at] = false;
            count--;
            victims++;
        }
        assert_int_equal(evict.count, count);
        assert_int_equal(evict.pinned, pins);
    }
    uint64_t bytes = 0, sum = 0;
    for (uint32_t at = 0; at < ENTRIES; at++) bytes += listed[at] ? (at + 256) / 256 * 256 : 0;
    for (unsigned i = 0; i < EVICT_CLUSTERS_MAX; i++) sum += evict.cluster_count[i];
    assert_int_equal(evict_bytes(&evict), bytes); /* up to 8 KiB exactly */
    assert_int_equal(sum, evict_samples(&evict) ? count : 0);
    assert_true(victims > 5000);
    assert_true(evict.steps <= victims * EVICT_POOL * 4);
}

static void properties_hold(void **state)
{
    (void)state;
    for (int policy = 0; policy < 4; policy++) properties((enum evict_policy)policy);
}

/* One victim of 64 entries or of 4,096: the pool is the same. */
static void the_pool_does_not_grow(void **state)
{
    (void)state;
    for (uint32_t size = 64; size <= ENTRIES; size *= 64)
        for (int policy = EVICT_POLICY_MMR; policy <= EVICT_POLICY_CLUSTER; policy++) {
            uint32_t position;
            evict_clear(&evict);
            evict_policy_set(&evict, (enum evict_policy)policy);
            for (uint32_t i = 0; i < size; i++) add(i, 1, false);
            evict.steps = 0;
            assert_int_equal(evict_pick(&evict, &position), RC_OK);
            assert_int_equal(evict.steps, EVICT_POOL);
        }
}

/* One that may leave among thousands that may not, or among holes. */
static void the_last_one_is_found(void **state)
{
    (void)state;
    for (int policy = 0; policy < 4; policy++)
        for (int holes = 0; holes < 2; holes++) {
            evict_clear(&evict);
            evict_policy_set(&evict, (enum evict_policy)policy);
            for (uint32_t i = 0; i < ENTRIES; i++) add(i, 1, !holes && i != 1234);
            for (uint32_t i = 0; holes && i < ENTRIES; i++)
                if (i != 1234) evict_remove(&evict, i);
            assert_int_equal(take(), 1234);
            assert_int_equal(evict.count, holes ? 0 : ENTRIES - 1);
        }
}

static void a_policy_takes_over_from_another(void **state)
{
    (void)state;
    for (int from = 0; from < 4; from++)
        for (int to = 0; to < 4; to++) {
            evict_clear(&evict);
            evict_policy_set(&evict, (enum evict_policy)from);
            for (uint32_t i = 0; i < 300; i++) add(i, 100, i % 3 == 0);
            for (uint32_t i = 0; i < 300; i += 2) evict_remove(&evict, i);
            for (uint32_t i = 1; i < 300; i += 4) evict_touch(&evict, i);
            evict_policy_set(&evict, (enum evict_policy)to);
            assert_int_equal(evict.count, 150);
            assert_int_equal(evict_bytes(&evict), 150 * 256);
            for (unsigned i = 0; i < 100; i++) assert_int_equal(take() % 2, 1);
            uint32_t position;
            assert_int_equal(evict_pick(&evict, &position), RC_EMPTY);
        }
    evict_clear(&evict);
    evict_policy_set(&evict, EVICT_POLICY_LRU); /* the order of use becomes ages */
    for (uint32_t i = 0; i < 64; i++) add(i, 1, false);
    evict_policy_set(&evict, EVICT_POLICY_MMR);
    for (uint32_t i = 0; i < 64; i++) assert_int_equal(age_of(i), 63 - i);
}

static void bytes_are_counted_in_units(void **state)
{
    (void)state;
    add(0, 1, false);
    assert_int_equal(evict_bytes(&evict), 256);
    add(1, 257, false);
    assert_int_equal(evict_bytes(&evict), 256 + 512);
    evict_resize(&evict, 1, 8192);
    assert_int_equal(evict_bytes(&evict), 256 + 8192);
    evict_resize(&evict, 1, 8193); /* from here on in sixteenths of an octave, rounded up */
    assert_int_equal(evict_bytes(&evict), 256 + 8704);
    evict_resize(&evict, 1, 16384 - 1);
    assert_int_equal(evict_bytes(&evict), 256 + 16384);
    evict_resize(&evict, 1, 16385);
    assert_int_equal(evict_bytes(&evict), 256 + 17408);
    evict_resize(&evict, 0, UINT64_C(1) << 40); /* as much as can be counted */
    assert_int_equal(evict_bytes(&evict), (UINT64_C(31) << 14) * 256 + 17408);
    evict_remove(&evict, 0);
    evict_remove(&evict, 1);
    assert_int_equal(evict_bytes(&evict), 0);
    for (uint64_t bytes = 1; bytes < UINT64_C(100) << 20; bytes += 1 + bytes / 7) {
        add(0, bytes, false);
        assert_true(evict_bytes(&evict) >= bytes);
        assert_true(evict_bytes(&evict) <= bytes + bytes / 16 + EVICT_UNIT);
        evict_remove(&evict, 0);
    }
}

static void ghosts_are_remembered_for_a_while(void **state)
{
    (void)state;
    uint64_t mixed = 0x123456789ABCDEF;
    unsigned known = 0, mistaken = 0;
    assert_false(evict_ghost_has(&evict, 0x77));
    for (unsigned i = 0; i < EVICT_GHOSTS / 4; i++) evict_ghost_add(&evict, next_tag(&mixed));
    mixed = 0x123456789ABCDEF;
    for (unsigned i = 0; i < EVICT_GHOSTS / 4; i++) known += evict_ghost_has(&evict, next_tag(&mixed));
    assert_true(known > EVICT_GHOSTS / 4 * 9 / 10);
    for (unsigned i = 0; i < 100000; i++) mistaken += evict_ghost_has(&evict, next_tag(&mixed));
    assert_true(mistaken <= 2);
}

static void the_walk_survives_changes(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (uint32_t i = 0; i < 100; i++) add(i, 1, false);
    evict_walk_start(&evict);
    for (uint32_t at; (at = evict_walk_next(&evict)) != EVICT_NONE; seen++) {
        assert_int_equal(at % 3 == 2, false); /* removed before it was reached */
        if (at % 3 == 1) evict_remove(&evict, at + 1 < 100 ? at + 1 : at);
    }
    assert_int_equal(seen, 67);
}

int main(void)
{
    const struct CMUnitTest evict_tests[] = {
        cmocka_unit_test_setup(sieve_step_by_step, setup),
        cmocka_unit_test_setup(marks_count_to_three, setup),
        cmocka_unit_test_setup(who_returns_is_marked, setup),
        cmocka_unit_test_setup(dear_ones_count_twice_and_cheap_ones_are_not_spared, setup),
        cmocka_unit_test_setup(large_ones_are_cheap, setup),
        cmocka_unit_test_setup(cost_is_time_and_tokens, setup),
        cmocka_unit_test_setup(lru_step_by_step, setup),
        cmocka_unit_test_setup(sieve_agrees_with_its_definition, setup),
        cmocka_unit_test_setup(lru_agrees_with_its_definition, setup),
        cmocka_unit_test_setup(pinned_are_passed_over, setup),
        cmocka_unit_test_setup(properties_hold, setup),
        cmocka_unit_test_setup(the_pool_does_not_grow, setup),
        cmocka_unit_test_setup(the_last_one_is_found, setup),
        cmocka_unit_test_setup(a_policy_takes_over_from_another, setup),
        cmocka_unit_test_setup(bytes_are_counted_in_units, setup),
        cmocka_unit_test_setup(ghosts_are_remembered_for_a_while, setup),
        cmocka_unit_test_setup(the_walk_survives_changes, setup),
    };
    return cmocka_run_group_tests_name("evict", evict_tests, group_setup, NULL);
}
