/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/semantic_test.h — an embedder of the tests' own, and questions for it.
 *
 * A program that uses it links with --wrap=embed_text, --wrap=embed_current, --wrap=embed_ready. "topic 12 way 3" lies near
 * every other way of topic 12, the nearer the closer the ways' numbers; topics are far from one another.
 */
#ifndef TESTS_SEMANTIC_TEST_H
#define TESTS_SEMANTIC_TEST_H

#include "cache/semantic.h"

extern struct embedder semantic_test_embedder;
extern int semantic_test_rc; /* what embed_text says instead, when not RC_OK */
struct span semantic_test_text(unsigned topic, unsigned way);
void semantic_test_vector(unsigned topic, unsigned way, unsigned dim, float *vector);
/* As a fiber. */
int semantic_test_lookup(const struct semantic_question *question, struct semantic_found *found);
/* Asks, and stores what was asked under number n's digest and body. 0: refused. */
uint64_t semantic_test_put(const struct semantic_question *question, unsigned n, size_t body_size);
struct semantic_question semantic_test_question(unsigned topic, unsigned way, uint64_t space, uint8_t tenant);

#endif
