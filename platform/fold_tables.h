/* SPDX-License-Identifier: Apache-2.0 */
/* platform/fold_tables.h — the tables of tools/fold-tables, for platform/fold.c only. All sorted by their first field. */
#ifndef PLATFORM_FOLD_TABLES_H
#define PLATFORM_FOLD_TABLES_H

#include <stdint.h>

/* One step of canonical decomposition; b is 0 for a singleton. */
struct fold_decomposition16 {
    uint16_t point, a, b;
};
struct fold_decomposition32 {
    uint32_t point, a, b;
};
/* `more` code points behind `first` have the same combining class. */
struct fold_class {
    uint32_t first : 24, combining : 8;
    uint16_t more;
};
/* Every `step`-th code point from `first` on, up to first + span, folds to itself + delta. */
struct fold_case {
    uint32_t first;
    uint16_t span, step;
    int32_t delta;
};

extern const struct fold_decomposition16 fold_decompositions16[];
extern const unsigned fold_decompositions16_count;
extern const struct fold_decomposition32 fold_decompositions32[];
extern const unsigned fold_decompositions32_count;
extern const uint16_t fold_compositions[]; /* indices into both, 16 first, sorted by (a, b) */
extern const unsigned fold_compositions_count;
extern const struct fold_class fold_classes[];
extern const unsigned fold_classes_count;
extern const struct fold_case fold_cases[];
extern const unsigned fold_cases_count;

#endif
