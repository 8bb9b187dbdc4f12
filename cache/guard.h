/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard.h — lexical guards: reasons why two questions with near vectors do not have one answer.
 *
 * Read:    a text becomes sorted sets and short lists of hashes (numbers, units, ordinals, stems, entities, code, quotes,
 *          negation, question word) once; two of them are compared in microseconds. The stored side is packed at put.
 * Lists:   words are data, generated into cache/guard_tables.c with a version; a packed text of an older version is read
 *          again from its words.
 * Owner:   the caller owns struct guard_text (fixed size, from an arena: it is too large for a fiber's stack).
 * Threads: any; pure.
 * Fails:   a text with more words than GUARD_WORDS_MAX is `long_text`: it never matches (GUARD_LONG).
 */
#ifndef CACHE_GUARD_H
#define CACHE_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/span.h"

enum guard { /* bits of a veto mask; in this order they are named */
             GUARD_NUM,
             GUARD_NUM1,
             GUARD_UNIT,
             GUARD_ORD,
             GUARD_NEG,
             GUARD_ANT,
             GUARD_AFFIX,
             GUARD_ENT_SUB,
             GUARD_TRANSP,
             GUARD_CODE,
             GUARD_QUOT,
             GUARD_WHS,
             GUARD_STRICT, /* strict routes: an unmatched content word on either side */
             GUARD_LONG,
             GUARDS,
};

enum { GUARD_VERSION = 1 };

struct guard_text;

const char *guard_name(enum guard guard); /* "num", "ent_sub" … */

/* Bytes of a struct guard_text. */
size_t guard_text_size(void);
void guard_read(struct span text, struct guard_text *read);
/* The stored side; RC_FULL when `room` is too small: then it is read again from the text when needed. */
int guard_pack(const struct guard_text *read, unsigned char *bytes, size_t room, size_t *size);
int guard_unpack(struct span packed, struct guard_text *read); /* RC_VERSION, RC_CORRUPT */
/* Bits 1 << enum guard; 0: nothing speaks against. */
uint32_t guard_vetoes(const struct guard_text *asked, const struct guard_text *stored, bool strict);

#endif
