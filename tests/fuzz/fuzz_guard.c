/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_guard.c — the guards on any bytes: a text never differs from itself, its stored form is itself, and a
 * stored form that is accepted can be compared. */
#include <stdint.h>

#include "cache/guard_inner.h"
#include "platform/check.h"
#include "platform/rc.h"

static struct guard_text a, b, c;
static unsigned char packed[1 << 16], again[1 << 16];

static void stored_form_is_itself(void)
{
    size_t size, size_again;
    if (guard_pack(&a, packed, sizeof packed, &size) != RC_OK) return;
    CHECK(guard_unpack(span_of((char *)packed, size), &c) == RC_OK);
    CHECK(guard_pack(&c, again, sizeof again, &size_again) == RC_OK);
    CHECK(size_again == size && memcmp(packed, again, size) == 0);
    CHECK(guard_vetoes(&b, &c, true) == guard_vetoes(&b, &a, true));
    CHECK(guard_vetoes(&c, &b, true) == guard_vetoes(&a, &b, true));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of((const char *)data, size), first;
    struct span second = span_cut(text, '\n', &first);
    guard_read(first, &a);
    guard_read(second, &b);
    /* a unit's name with a capital is an entity that its one name does not stand for: also against itself */
    uint32_t self = guard_vetoes(&a, &a, true) & ~(1u << GUARD_ENT_SUB);
    CHECK(self == (a.long_text ? 1u << GUARD_LONG : 0));
    stored_form_is_itself();
    memcpy(packed, &(uint8_t){GUARD_VERSION}, 1);
    memcpy(packed + 1, &guard_tables_version, 4);
    size_t rest = size < sizeof packed - 5 ? size : sizeof packed - 5;
    memcpy(packed + 5, data, rest);
    if (guard_unpack(span_of((char *)packed, rest + 5), &c) == RC_OK) (void)guard_vetoes(&c, &b, true);
    return 0;
}
