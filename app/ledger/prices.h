/* SPDX-License-Identifier: Apache-2.0 */
/* app/ledger/prices.h — what a call costs: dated rows of prices per model, and one record of usage against them.
 *
 * File:    one row a line, words apart by blanks; '#' begins a comment, '-' is "not said":
 *              model  since  up_to  input  output  cache_read  write_5m  write_30m  write_1h
 *          model: glob over model names, in any case; the first row that matches names the group of rows that counts (all
 *          with the same glob). since: YYYY-MM-DD (UTC): the newest row that has begun counts, before the first one that
 *          one. up_to: input tokens of the whole request, cached ones too, up to which the row's prices hold; the whole
 *          request is paid at that tier. Prices: USD per million tokens, at most six decimals. What is not said costs as
 *          much as input; output must be said.
 * Units:   micro-USD. A price is kept as micro-USD per million tokens.
 * Owner:   rows and texts lie in the arena given to prices_read; nothing is changed afterwards.
 * Threads: any, pure functions.
 * Fails:   RC_INVALID with line and reason, RC_FULL without memory. An unknown model is no failure: it has no price.
 */
#ifndef LEDGER_PRICES_H
#define LEDGER_PRICES_H

#include "app/gateway/dialect.h"

enum {
    PRICE_ROWS_MAX = 1024, /* rows of one file */
    PRICES_TEXT_MAX = 128 << 10,
    PRICES_MESSAGE_MAX = 160,
};

enum price_kind { PRICE_INPUT, PRICE_OUTPUT, PRICE_READ, PRICE_WRITE_5M, PRICE_WRITE_30M, PRICE_WRITE_1H, PRICE_KINDS };

struct price_row {
    struct span model; /* glob, lower case */
    uint64_t since_s;
    uint64_t up_to;                 /* UINT64_MAX: any length */
    uint64_t per_mega[PRICE_KINDS]; /* micro-USD per million tokens */
};

struct prices {
    const struct price_row *rows;
    unsigned count;
};

/* app/ledger/prices.txt, embedded by the build. */
struct span prices_builtin(void);

/* `text` must live as long as the table. */
int prices_read(struct span text, struct arena *arena, struct prices *prices, char message[PRICES_MESSAGE_MAX]);

/* The row that counts for a model at a time and a length of input; NULL: its price is not known. */
const struct price_row *prices_find(const struct prices *prices, struct span model, uint64_t wall_s, uint64_t input);

/* All input of a record: uncached, read and written. */
uint64_t usage_input(const struct usage *usage);
/* Whether a provider said what it used. */
bool usage_is_known(const struct usage *usage);
/* Micro-USD, rounded to the nearest; counts that are not said are none. */
uint64_t price_of_usage(const struct price_row *row, const struct usage *usage);

#endif
