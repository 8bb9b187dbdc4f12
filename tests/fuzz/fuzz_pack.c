/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_pack.c — a pack's lines, and folding: what loads is found again by its own questions. */
#include <stdint.h>

#include "platform/check.h"
#include "platform/fold.h"
#include "platform/rc.h"
#include "storage/pack.h"

static void fold_is_stable(struct span text)
{
    static char once[3 * 65536], twice[9 * 65536];
    size_t size, again;
    if (text.size > 65536) return;
    CHECK(fold_nfc(text, once, sizeof once, &size) == RC_OK);
    CHECK(size <= 3 * text.size);
    CHECK(fold_nfc(span_of(once, size), twice, sizeof twice, &again) == RC_OK);
    CHECK(span_equal(span_of(once, size), span_of(twice, again)) || text.size > 2 * FOLD_MARKS_MAX);
    CHECK(fold_question(text, once, sizeof once, &size) == RC_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    char error[PACK_ERROR_MAX];
    struct span text = span_of((const char *)data, size), answer;
    struct pack *pack;
    unsigned number;
    if (!ready) CHECK(pack_reserve() == RC_OK);
    ready = true;
    fold_is_stable(text);
    int rc = pack_load(SPAN("fuzz"), text, &pack, error);
    if (rc != RC_OK) {
        CHECK(error[0] != '\0');
        return 0;
    }
    (void)pack_find(pack, text, &answer, &number);
    (void)pack_find(pack, SPAN("what is larder"), &answer, &number);
    pack_release(pack);
    return 0;
}
