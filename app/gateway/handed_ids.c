/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/handed_ids.c — see handed_ids.h. */
#include "app/gateway/handed_ids.h"

#include "app/gateway/dialect_events.h"
#include "platform/hash.h"

enum { WAYS = 8, SETS = HANDED_IDS_MAX / WAYS };

static uint64_t table[SETS][WAYS]; /* the newest first; 0: free */

static uint64_t mark_of(const struct tenant *tenant, struct span id)
{
    struct hash_state h;
    hash_start(&h, &gateway.space_key);
    hash_add(&h, "handed", 6);
    hash_add(&h, tenant->id, sizeof tenant->id);
    hash_add(&h, id.data, id.size);
    uint64_t value = hash_finish(&h).low;
    return value ? value : 1;
}

bool handed_ids_known(const struct tenant *tenant, struct span id)
{
    uint64_t wanted = mark_of(tenant, id);
    const uint64_t *set = table[wanted % SETS];
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i] == wanted) return true;
    return false;
}

void handed_ids_note(const struct tenant *tenant, struct span id)
{
    if (id.size == 0 || handed_ids_known(tenant, id)) return;
    uint64_t wanted = mark_of(tenant, id);
    uint64_t *set = table[wanted % SETS];
    memmove(set + 1, set, (WAYS - 1) * sizeof *set);
    set[0] = wanted;
}

/* Of the object, or of the first event that holds a response. */
static struct span id_in(const struct flight *f)
{
    const struct json_value *root = NULL;
    struct span body = span_of(f->data, f->size);
    if (!f->stream) {
        (void)json_parse(&gateway.scratch, body, &root, NULL);
        return json_string(json_get(root, "id"));
    }
    struct event_walk walk = event_walk(body, &gateway.scratch);
    struct event event;
    if (!event_next(&walk, &event) || json_parse(&walk.rest, event.data, &root, NULL) != RC_OK) return (struct span){0};
    return json_string(json_get(json_get(root, "response"), "id"));
}

void handed_ids_take(const struct flight *f)
{
    const struct request *r = f->leader;
    if (request_wire(r) != WIRE_RESPONSES || r->tenant.kind == TENANT_PASSTHROUGH) return;
    if (f->head_known && f->status == 200 && !f->local && !f->overflow && f->size)
        handed_ids_note(&r->tenant, id_in(f));
}

bool handed_ids_foreign(const struct request *r)
{
    return r->tenant.kind != TENANT_PASSTHROUGH && r->question.previous.size > 0 &&
           !handed_ids_known(&r->tenant, r->question.previous);
}

bool handed_ids_path(const struct request *r)
{
    static const struct span prefix = SPAN_ROW("/v1/responses/");
    struct span id = r->x->head.path;
    if (!span_starts_with(id, prefix)) return false;
    id = span_of(id.data + prefix.size, id.size - prefix.size);
    const char *slash = id.size ? memchr(id.data, '/', id.size) : NULL;
    if (slash) id.size = (size_t)(slash - id.data);
    return id.size > 0 && handed_ids_known(&r->tenant, id);
}
