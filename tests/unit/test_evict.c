/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_evict.c — both policies against their definitions on plain lists, pins, sizes, ghosts, the walk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cache/evict.h"
#include "platform/rc.h"
#include "tests/support/random.h"

enum { ENTRIES = 256 };
static struct evict evict;

static int group_setup(void **state)
{
    (void)state;
    return evict_reserve(&evict, ENTRIES);
}

static int setup(void **state)
{
    (void)state;
    evict_clear(&evict);
    evict_policy_set(&evict, EVICT_POLICY_SIEVE);
    return 0;
}

static uint32_t take(void)
{
    uint32_t position = EVICT_NONE;
    assert_int_equal(evict_pick(&evict, &position), RC_OK);
    evict_remove(&evict, position);
    return position;
}

static void sieve_step_by_step(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++) evict_add(&evict, i, 1, false);
    evict_touch(&evict, 0);
    evict_touch(&evict, 2);
    assert_int_equal(take(), 1); /* 0 is spared and loses its mark */
    evict_add(&evict, 6, 1, false);
    assert_int_equal(take(), 3); /* the hand goes on from there: 2 is spared */
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

static void lru_step_by_step(void **state)
{
    (void)state;
    evict_policy_set(&evict, EVICT_POLICY_LRU);
    for (uint32_t i = 0; i < 4; i++) evict_add(&evict, i, 1, false);
    evict_touch(&evict, 0);
    evict_touch(&evict, 2);
    evict_touch(&evict, 2);
    assert_int_equal(take(), 1);
    assert_int_equal(take(), 3);
    assert_int_equal(take(), 0);
    assert_int_equal(take(), 2);
}

/* The papers' definitions, written plainly. */
struct model {
    uint32_t order[ENTRIES]; /* oldest first */
    bool marked[ENTRIES];
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
    for (; m->marked[m->order[at]]; at = (at + 1) % m->count) m->marked[m->order[at]] = false;
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
        uint32_t position = (uint32_t)test_random(&seed) % ENTRIES;
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
                evict_add(&evict, position, 1, false);
            if (!there || policy == EVICT_POLICY_LRU) m.order[m.count++] = position;
            m.marked[position] = there;
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

static void pinned_are_passed_over(void **state)
{
    (void)state;
    for (int policy = 0; policy < 2; policy++) {
        uint32_t position;
        evict_clear(&evict);
        evict_policy_set(&evict, policy == 0 ? EVICT_POLICY_SIEVE : EVICT_POLICY_LRU);
        evict_add(&evict, 0, 1, true);
        evict_add(&evict, 1, 1, false);
        evict_add(&evict, 2, 1, true);
        assert_int_equal(take(), 1);
        assert_int_equal(evict_pick(&evict, &position), RC_EMPTY);
        assert_int_equal(evict.count, 2);
    }
}

static void bytes_are_counted_in_units(void **state)
{
    (void)state;
    evict_add(&evict, 0, 1, false);
    assert_int_equal(evict_bytes(&evict), 256);
    evict_add(&evict, 1, 257, false);
    assert_int_equal(evict_bytes(&evict), 256 + 512);
    evict_resize(&evict, 1, 100000);
    assert_int_equal(evict_bytes(&evict), 256 + 100096);
    evict_resize(&evict, 0, UINT64_C(1) << 40); /* as much as can be counted */
    assert_int_equal(evict_bytes(&evict), 65535 * 256 + 100096);
    evict_remove(&evict, 0);
    evict_remove(&evict, 1);
    assert_int_equal(evict_bytes(&evict), 0);
}

static uint64_t next_tag(uint64_t *mixed)
{
    *mixed += UINT64_C(0x9E3779B97F4A7C15);
    return (*mixed ^ *mixed >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
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
    for (uint32_t i = 0; i < 100; i++) evict_add(&evict, i, 1, false);
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
        cmocka_unit_test_setup(lru_step_by_step, setup),
        cmocka_unit_test_setup(sieve_agrees_with_its_definition, setup),
        cmocka_unit_test_setup(lru_agrees_with_its_definition, setup),
        cmocka_unit_test_setup(pinned_are_passed_over, setup),
        cmocka_unit_test_setup(bytes_are_counted_in_units, setup),
        cmocka_unit_test_setup(ghosts_are_remembered_for_a_while, setup),
        cmocka_unit_test_setup(the_walk_survives_changes, setup),
    };
    return cmocka_run_group_tests_name("evict", evict_tests, group_setup, NULL);
}
