/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_yaml.c — any bytes: a tree within its bounds, or an error that says where. */
#include <stdint.h>

#include "platform/check.h"
#include "platform/heap.h"
#include "platform/rc.h"
#include "platform/yaml.h"

static _Alignas(65536) unsigned char memory[4 << 20];

static unsigned count_nodes(const struct yaml_node *node, unsigned depth)
{
    unsigned count = 0;
    for (; node; node = node->next) {
        CHECK(node->line > 0 && node->column > 0 && depth <= YAML_DEPTH_MAX);
        count += 1 + count_nodes(node->child, depth + 1);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool reserved;
    struct arena arena;
    struct yaml_node *root;
    struct yaml_error error;
    if (!reserved) CHECK(yaml_reserve() == RC_OK);
    reserved = true;
    arena_init(&arena, memory, sizeof memory, NULL);
    size_t before = heap_usage(HEAP_YAML).used;
    int rc = yaml_read(&arena, span_of((const char *)data, size), &root, &error);
    CHECK(heap_usage(HEAP_YAML).used == before);
    if (rc == RC_OK)
        CHECK(count_nodes(root, 0) <= YAML_NODES_MAX);
    else
        CHECK(root == NULL && error.message[0] && error.line > 0);
    arena_reset(&arena, 0);
    return 0;
}
