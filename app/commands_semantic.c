/* SPDX-License-Identifier: Apache-2.0 */
/* app/commands_semantic.c — commands of the semantic tier: what it has learnt, and taking back what it served. */
#include "app/commands_semantic.h"

#include "app/boot.h"
#include "app/gateway/feedback.h"
#include "app/gateway/learn.h"
#include "app/gateway/negative.h"
#include "app/gateway/pack_words.h"
#include "app/gateway/semantic.h"
#include "platform/rc.h"

/* ---- semantic show */

static void put_embedder(struct text *out)
{
    const struct embedder *embedder = embed_current();
    text_format(out, "embedder  %s (%s)\n", embedder->kind == EMBED_NONE ? "none" : embedder->tag,
                boot_embedder_state());
    text_format(out, "packs     %u questions found in other words\nrejected  %u pairs\n", pack_words_ready(),
                negative_count());
}

static void put_routes(struct text *out)
{
    static const char *const modes[] = {"off", "learn", "preset"};
    const struct config *config = gateway.current->config;
    for (unsigned i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        text_format(out, "route %s%s%.*s: %s", route->any_dialect ? "" : dialect_name(route->dialect),
                    route->any_dialect ? "" : ":", SPAN_ARG(route->model), modes[route->semantic]);
        if (route->semantic == SEMANTIC_PRESET)
            text_format(out, " %.2f (unproven: a figure from public data, not from this box's answers)",
                        route->threshold);
        if (route->semantic == SEMANTIC_LEARN)
            text_format(out, ", at most %.1f %% of hits wrong", config->semantic_delta * 100);
        if (route->offline_threshold > 0) text_format(out, ", offline %.2f", route->offline_threshold);
        text_put_char(out, '\n');
    }
}

static void put_threshold(struct text *out, const struct learn_unit *unit, double delta)
{
    struct threshold_decision d;
    learn_decide(unit, delta, false, &d);
    if (d.threshold < THRESHOLD_NEVER) {
        text_format(out,
                    "  threshold %.2f: serves %.1f %% of the candidates, of these %.1f %% wrong (at most %.1f %%)\n",
                    (double)d.threshold, (double)d.share * 100, (double)d.error * 100, (double)d.error_high * 100);
        return;
    }
    text_format(out, "  threshold none: %s\n",
                d.labels < THRESHOLD_LABELS_MIN ? "too few labels yet" : "the labels do not keep within the bound");
    learn_decide(unit, delta, true, &d);
    if (d.threshold < THRESHOLD_NEVER)
        text_format(out, "  with the labels so far it would be %.2f and serve %.1f %% of the candidates\n",
                    (double)d.threshold, (double)d.share * 100);
}

static void put_unit(struct text *out, const struct learn_unit *unit, double delta)
{
    double low, high;
    text_put_text(out, "\nunit ");
    text_put_hex(out, unit->tenant, 4);
    text_format(out, " %s, %s\n  labels    %u that count, %u ever; %d are needed\n", unit->route, unit->tag,
                unit->labels.filled, unit->labels.labels, THRESHOLD_LABELS_MIN);
    put_threshold(out, unit, delta);
    text_format(out, "  asked     %llu, served %llu, would have served %llu with the labels of then\n",
                (unsigned long long)unit->asked, (unsigned long long)unit->hits, (unsigned long long)unit->would);
    wilson_interval(unit->wrong, unit->checked, &low, &high);
    text_format(out, "  checked   %llu hits, %llu wrong", (unsigned long long)unit->checked,
                (unsigned long long)unit->wrong);
    if (unit->checked) text_format(out, ": %.1f to %.1f %% (95 %%)", low * 100, high * 100);
    text_format(out, "\n  reported  %llu wrong, %llu right\n", (unsigned long long)unit->reported_wrong,
                (unsigned long long)unit->reported_right);
}

static void put_index(struct text *out)
{
    struct semantic_stats s;
    semantic_stats(&s);
    text_format(out, "index     %llu codes, %llu not committed yet, %llu made again since boot",
                (unsigned long long)s.codes, (unsigned long long)s.waiting, (unsigned long long)s.reembedded);
    if (s.left) text_format(out, ", %llu still to be made", (unsigned long long)s.left);
    if (s.passes)
        text_format(out, "\n          %llu namespaces, %llu blocks, %llu tombstones, as last counted",
                    (unsigned long long)s.namespaces, (unsigned long long)s.blocks, (unsigned long long)s.dead);
    if (s.damaged) text_format(out, "\n          %llu damaged blocks dropped", (unsigned long long)s.damaged);
    text_put_char(out, '\n');
}

static void put_skipped(struct text *out)
{
    text_put_text(out, "\nnot looked up:");
    unsigned any = 0;
    for (unsigned i = 0; i < SKIPS; i++) {
        uint64_t count = semantic_skipped((enum semantic_skip)i);
        if (count)
            text_format(out, "%s %s %llu", any++ ? "," : "", semantic_skip_name((enum semantic_skip)i),
                        (unsigned long long)count);
    }
    text_put_text(out, any ? "\n" : " nothing\n");
}

int command_semantic_show(struct command_call *call)
{
    const struct learn_unit *unit;
    unsigned shown = 0;
    put_embedder(call->out);
    put_index(call->out);
    put_routes(call->out);
    for (unsigned i = 0; (unit = learn_at(i)); i++) {
        if (!unit->key) continue;
        put_unit(call->out, unit, gateway.current->config->semantic_delta);
        shown++;
    }
    if (shown == 0) text_put_text(call->out, "\nno labels yet: they come with questions that are like stored ones\n");
    put_skipped(call->out);
    return RC_OK;
}

void command_semantic_status(struct text *out)
{
    const struct embedder *embedder = embed_current();
    struct semantic_stats s;
    semantic_stats(&s);
    text_format(out, "semantic %s (%s), %llu codes", embedder->kind == EMBED_NONE ? "none" : embedder->tag,
                boot_embedder_state(), (unsigned long long)s.codes);
    if (s.left) text_format(out, ", %llu still to be made in the background", (unsigned long long)s.left);
    text_put_char(out, '\n');
}

/* ---- semantic refresh */

int command_semantic_refresh(struct command_call *call)
{
    struct semantic_stats before, s;
    semantic_stats(&before);
    int rc = semantic_refresh();
    semantic_stats(&s);
    if (rc == RC_AGAIN)
        text_put_text(call->out, "the index is being gone over already: see larder ctl semantic show\n");
    else if (rc == RC_EMPTY)
        text_format(call->out, "there is nothing to go over: %s\n", boot_embedder_state());
    else if (rc != RC_OK)
        text_format(call->out, "not finished (%s): it is tried again in the background\n", rc_name(rc));
    else
        text_format(call->out, "%llu codes made again, %llu dropped, %llu now\n",
                    (unsigned long long)(s.reembedded - before.reembedded),
                    (unsigned long long)(s.dropped - before.dropped), (unsigned long long)s.codes);
    return rc;
}

/* ---- cache reject */

static int say(struct command_call *call, int rc, const char *done)
{
    if (rc == RC_OK)
        text_format(call->out, "%s\n", done);
    else if (rc == RC_NOT_FOUND)
        text_format(
            call->out,
            "%.*s is none of the last %d semantic hits: give the id in x-request-id or request-id of the reply, or "
            "an entry's number\n",
            SPAN_ARG(call->words[0]), FEEDBACK_HITS);
    else
        text_format(call->out, "in force, but not on disk (%s): after a restart it is forgotten\n", rc_name(rc));
    return rc;
}

int command_cache_reject(struct command_call *call)
{
    uint64_t entry;
    if (span_to_u64(call->words[0], UINT64_MAX - 1, &entry) == RC_OK) {
        if (!cache_has(entry)) {
            text_put_text(call->out, "there is no such entry\n");
            return RC_NOT_FOUND;
        }
        return say(call, feedback_reject_entry(entry), "this entry answers only the same request from now on");
    }
    return say(call, feedback_apply(call->words[0], NULL, true),
               "rejected: this question is not answered with that entry again, nor are questions as far from it");
}
