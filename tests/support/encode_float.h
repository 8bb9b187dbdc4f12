/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/encode_float.h — all-MiniLM-L6-v2 in plain float32 from its published model.safetensors: what the int8
 * encoder is measured against. Slow and simple; one model a process; static memory. */
#ifndef TESTS_SUPPORT_ENCODE_FLOAT_H
#define TESTS_SUPPORT_ENCODE_FLOAT_H

#include "platform/span.h"

enum { ENCODE_FLOAT_DIM = 384 };

/* The file's bytes, 8-aligned; one without one of the tensors is a CHECK failure. */
void encode_float_open(struct span weights);
void encode_float(const uint16_t *ids, unsigned count, float vector[ENCODE_FLOAT_DIM]);

#endif
