/* SPDX-License-Identifier: Apache-2.0 */
/* app/commands.c — the command table and the commands themselves. See command.h. */
#include "app/command.h"

#include <stdio.h>

#include "app/boot.h"
#include "app/commands_semantic.h"
#include "app/commands_tenants.h"
#include "app/gateway/deferred.h"
#include "app/gateway/flight.h"
#include "app/gateway/journal.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "version.h"

enum { LIST_MOST = 100, LIST_DEFAULT = 20, QUERY_SHOWN = 120 };

static const char *const hit_names[HIT_KINDS] = {"none", "exact", "semantic", "coalesced", "stale", "pack"};

static void put_time(struct text *out, uint64_t wall_us)
{
    char date[30];
    http_date(wall_us, date);
    text_put_text(out, date);
}

/* ---- status */

static int run_status(struct command_call *call)
{
    static const char *const trust[] = {"unset: before the build date, waiting for a trustworthy time", "plausible",
                                        "confirmed"};
    struct cache_stats stats;
    cache_stats(&stats);
    text_format(call->out, "larder %s, configuration %.*s\n", LARDER_VERSION, SPAN_ARG(gateway.current->config->file));
    text_put_text(call->out, "clock    ");
    put_time(call->out, clock_wall_us());
    text_format(call->out, " (%s)\n", trust[clock_trust()]);
    text_format(call->out, "uptime   %llu s, %llu requests, %u flights now\n",
                (unsigned long long)(boot_uptime_us() / CLOCK_SECOND), (unsigned long long)gateway.request_counter,
                flights_now());
    text_format(call->out, "store    %u of %u entries, %llu bytes%s\n", stats.entries, stats.entries_max,
                (unsigned long long)stats.bytes, stats.read_only ? ", READ ONLY: nothing new is kept" : "");
    command_semantic_status(call->out);
    text_format(call->out, "memory   %zu KiB private now, %zu KiB planned at boot, %zu KiB at most\n",
                boot_private_measure() / 1024, plan_total().committed / 1024, plan_total().ceiling / 1024);
    health_print(gateway.current, call->out);
    return RC_OK;
}

/* ---- cache */

static int run_cache_stats(struct command_call *call)
{
    struct cache_stats s;
    cache_stats(&s);
    text_format(call->out, "entries        %u of %u\nbytes          %llu of %llu\n", s.entries, s.entries_max,
                (unsigned long long)s.bytes, (unsigned long long)s.bytes_max);
    text_format(call->out, "hot            %u replies, %llu bytes\nwaiting        %u\n", s.hot_entries,
                (unsigned long long)s.hot_bytes, s.waiting);
    text_format(call->out, "stored         %llu\ndropped        %llu\nevicted        %llu\ncorrupt        %llu\n",
                (unsigned long long)s.stored, (unsigned long long)s.dropped, (unsigned long long)s.evicted,
                (unsigned long long)s.corrupt);
    text_format(call->out, "commits        %llu\nbytes written  %llu\n", (unsigned long long)s.commits,
                (unsigned long long)s.bytes_written);
    return RC_OK;
}

static void put_query(struct text *out, struct span query)
{
    size_t size = query.size < QUERY_SHOWN ? query.size : QUERY_SHOWN;
    while (size > 0 && size < query.size && ((unsigned char)query.data[size] & 0xc0) == 0x80)
        size--; /* not in the middle of a character */
    text_put_json(out, span_of(query.data, size));
}

static void put_entry(struct text *out, const struct entry_meta *m, struct span query)
{
    text_format(out, "%-12llu ", (unsigned long long)m->id);
    put_time(out, m->created_us);
    text_format(out, "  %-10s %-24s ", m->provider, m->model);
    put_query(out, query);
    text_put_char(out, '\n');
}

static int run_cache_list(struct command_call *call)
{
    uint64_t count = LIST_DEFAULT;
    unsigned listed = 0;
    if (call->count && span_to_u64(call->words[0], LIST_MOST, &count) != RC_OK) {
        text_format(call->out, "the count is a number from 0 to %d\n", LIST_MOST);
        return RC_INVALID;
    }
    struct entry_meta *metas = arena_take(call->arena, LIST_MOST * sizeof *metas, 16);
    struct span *queries = arena_take(call->arena, LIST_MOST * sizeof *queries, 16);
    if (!metas || !queries) return RC_FULL;
    int rc = cache_list(UINT64_MAX, (unsigned)count, call->arena, metas, queries, &listed);
    for (unsigned i = 0; rc == RC_OK && i < listed; i++) put_entry(call->out, &metas[i], queries[i]);
    if (rc == RC_OK && listed == 0) text_put_text(call->out, "nothing is stored\n");
    return rc;
}

static int entry_id(struct command_call *call, uint64_t *id)
{
    if (span_to_u64(call->words[0], UINT64_MAX - 1, id) == RC_OK) return RC_OK;
    text_format(call->out, "%.*s is not an entry's number: see `cache list` or the x-larder-entry field of a reply\n",
                SPAN_ARG(call->words[0]));
    return RC_INVALID;
}

static int run_cache_show(struct command_call *call)
{
    uint64_t id;
    struct cache_answer answer;
    int rc = entry_id(call, &id);
    if (rc != RC_OK) return rc;
    rc = cache_read(id, NULL, call->arena, &answer);
    if (rc != RC_OK) {
        text_format(call->out, "there is no entry %llu\n", (unsigned long long)id);
        return rc;
    }
    const struct entry_meta *m = &answer.meta;
    text_format(call->out, "entry %llu\nstored ", (unsigned long long)m->id);
    put_time(call->out, m->created_us);
    text_format(
        call->out,
        ", time to live %u s\nfrom %s, model %s, in %u ms, tokens %u in, %u out\nrecorded as %s%s\nasked: ", m->ttl_s,
        m->provider, m->model, m->upstream_ms, m->tokens_in, m->tokens_out,
        m->form == ENTRY_STREAM ? "a stream" : "an object", m->flags & ENTRY_TOOL_CALLS ? ", with tool calls" : "");
    text_put_span(call->out, answer.query);
    text_put_text(call->out, "\n\n");
    text_put_span(call->out, answer.body);
    text_put_char(call->out, '\n');
    return RC_OK;
}

static int run_cache_purge(struct command_call *call)
{
    unsigned removed = 0;
    uint64_t id;
    int rc;
    if (span_equal(call->words[0], SPAN("all"))) {
        rc = cache_purge(NULL, &removed);
    } else if ((rc = entry_id(call, &id)) == RC_OK) {
        rc = cache_remove(id);
        removed = rc == RC_OK;
    }
    gateway.epoch++;
    if (rc == RC_OK)
        text_format(call->out, "removed %u\n", removed);
    else if (rc == RC_NOT_FOUND)
        text_put_text(call->out, "there is no such entry\n");
    return rc;
}

/* ---- ask later */

static int run_deferred_list(struct command_call *call)
{
    deferred_list(call->out);
    return RC_OK;
}

/* ---- requests */

static void put_row(struct text *out, const struct journal_row *row)
{
    put_time(out, row->wall_us);
    text_format(out, "  %s  %u  hit=%s", row->id, row->status, hit_names[row->hit]);
    if (row->miss) text_format(out, " miss=%s", row->miss);
    if (row->entry) text_format(out, " entry=%llu", (unsigned long long)row->entry);
    if (row->similarity > 0) text_format(out, " similarity=%.4f", (double)row->similarity);
    if (row->upstream_ms >= 0) text_format(out, " upstream_ms=%d", row->upstream_ms);
    text_format(out, " overhead_us=%u model=%s\n", row->overhead_us, row->model);
}

static const char *explain(const struct journal_row *row)
{
    if (row->hit != HIT_NONE) return "It was answered from the box.";
    if (!row->miss) return "It did not ask the store.";
    if (strcmp(row->miss, "never_seen") == 0) return "No recent request was like it, or it differs in several parts.";
    if (strcmp(row->miss, "expired") == 0) return "An answer is stored, and is past its time to live.";
    if (strcmp(row->miss, "evicted") == 0)
        return "An answer was stored and had to leave: the store is full. Raise storage.entries_max or bytes_max.";
    if (strcmp(row->miss, "bypass") == 0)
        return "The request or its route forbids the store: see no-store, no-cache, server state, duplicate names.";
    if (strcmp(row->miss, "not_storable") == 0)
        return "It was asked before, and that answer could not be kept: cut, refused, too long or empty.";
    return "A recent request was the same but for this one part: look for a date, an id, an order or a number that "
           "changes.";
}

static int run_why(struct command_call *call)
{
    const struct journal_row *row = journal_find(call->words[0]);
    if (!row) {
        text_format(call->out,
                    "request %.*s is not among the last %d: the id is in x-request-id or request-id of the reply\n",
                    SPAN_ARG(call->words[0]), JOURNAL_SIZE);
        return RC_NOT_FOUND;
    }
    put_row(call->out, row);
    text_format(call->out, "%s\n", explain(row));
    return RC_OK;
}

static int run_requests(struct command_call *call)
{
    uint64_t count = LIST_DEFAULT;
    const struct journal_row *row;
    if (call->count && span_to_u64(call->words[0], JOURNAL_SIZE, &count) != RC_OK) return RC_INVALID;
    for (unsigned i = 0; i < count && (row = journal_at(i)); i++) put_row(call->out, row);
    return RC_OK;
}

/* ---- the box */

static int run_plan(struct command_call *call)
{
    boot_print_plan(call->out);
    text_format(call->out, "private memory now: %zu KiB\n", boot_private_measure() / 1024);
    return RC_OK;
}

static int run_metrics(struct command_call *call)
{
    (void)boot_private_measure();
    (void)metric_render(call->out, 0);
    return RC_OK;
}

static int run_log(struct command_call *call)
{
    log_tail(call->out, 100);
    return RC_OK;
}

static int run_config_show(struct command_call *call)
{
    config_print(gateway.current->config, call->out);
    return RC_OK;
}

static int run_config_reload(struct command_call *call)
{
    return boot_reload(call->out);
}

static int run_shutdown(struct command_call *call)
{
    text_put_text(call->out, "draining: requests under way end first\n");
    boot_shutdown();
    return RC_OK;
}

static int run_help(struct command_call *call)
{
    for (size_t i = 0; i < command_count(); i++) {
        const struct command *c = command_at(i);
        text_format(call->out, "%-15s %-8s %s\n", c->name, c->arguments, c->help);
    }
    return RC_OK;
}

static const struct command commands[] = {
    {"status", "", "clock, store, memory, providers", PRIVILEGE_READ, 0, 0, run_status},
    {"cache stats", "", "what the store holds and did", PRIVILEGE_READ, 0, 0, run_cache_stats},
    {"cache list", "[COUNT]", "newest entries", PRIVILEGE_READ, 0, 1, run_cache_list},
    {"cache show", "ID", "one entry with question and answer", PRIVILEGE_READ, 1, 1, run_cache_show},
    {"cache purge", "all|ID", "remove entries", PRIVILEGE_CHANGE, 1, 1, run_cache_purge},
    {"cache reject", "REQUEST|ID", "take back a semantic hit, or let an entry answer exact requests only",
     PRIVILEGE_CHANGE, 1, 1, command_cache_reject},
    {"semantic show", "", "what the semantic tier has learnt, serves and skips", PRIVILEGE_READ, 0, 0,
     command_semantic_show},
    {"semantic refresh", "", "go over the index of other words now: make what is missing, drop what is gone",
     PRIVILEGE_CHANGE, 0, 0, command_semantic_refresh},
    {"tenant list", "", "virtual keys by name: state, money, last use", PRIVILEGE_READ, 0, 0, command_tenant_list},
    {"tenant show", "NAME", "one tenant with its use and its limits", PRIVILEGE_READ, 1, 1, command_tenant_show},
    {"tenant add", "NAME [--expires TIME]", "make a virtual key, shown once", PRIVILEGE_CHANGE, 1, 3,
     command_tenant_add},
    {"tenant rotate", "NAME [--grace TIME] [--expires TIME]", "give a tenant a new key; the old one is refused",
     PRIVILEGE_CHANGE, 1, 5, command_tenant_rotate},
    {"tenant revoke", "NAME", "refuse a tenant's key from now on", PRIVILEGE_CHANGE, 1, 1, command_tenant_revoke},
    {"tenant erase", "NAME", "revoke it and remove all that is stored for it", PRIVILEGE_CHANGE, 1, 1,
     command_tenant_erase},
    {"deferred list", "", "questions kept for when the line is back", PRIVILEGE_READ, 0, 0, run_deferred_list},
    {"why", "REQUEST", "how a recent request was answered, and why it missed", PRIVILEGE_READ, 1, 1, run_why},
    {"requests", "[COUNT]", "the newest requests", PRIVILEGE_READ, 0, 1, run_requests},
    {"plan", "", "the memory plan against use", PRIVILEGE_READ, 0, 0, run_plan},
    {"metrics", "", "all figures, as /metrics has them", PRIVILEGE_READ, 0, 0, run_metrics},
    {"log", "", "the newest log lines", PRIVILEGE_READ, 0, 0, run_log},
    {"config show", "", "the configuration in force, secrets masked", PRIVILEGE_READ, 0, 0, run_config_show},
    {"config reload", "", "read the configuration again, as SIGHUP does", PRIVILEGE_CHANGE, 0, 0, run_config_reload},
    {"shutdown", "", "drain and stop", PRIVILEGE_CHANGE, 0, 0, run_shutdown},
    {"help", "", "this list", PRIVILEGE_READ, 0, 0, run_help},
};

size_t command_count(void)
{
    return sizeof commands / sizeof commands[0];
}

const struct command *command_at(size_t index)
{
    return &commands[index];
}

/* How many words of `words` the name takes; 0: it is another command. */
static unsigned matches(const char *name, const struct span *words, unsigned count)
{
    struct span rest = span_text(name);
    unsigned used = 0;
    while (rest.size) {
        struct span word;
        rest = span_cut(rest, ' ', &word);
        if (used == count || !span_equal(word, words[used])) return 0;
        used++;
    }
    return used;
}

static int run_one(const struct command *command, const struct span *words, unsigned count, struct arena *arena,
                   struct text *out)
{
    struct command_call call = {.count = count, .arena = arena, .out = out};
    if (count < command->least || count > command->most) {
        text_format(out, "usage: %s %s — %s\n", command->name, command->arguments, command->help);
        return RC_INVALID;
    }
    memcpy(call.words, words, count * sizeof words[0]);
    return command->run(&call);
}

int command_run(const struct span *words, unsigned count, struct arena *arena, struct text *out)
{
    for (size_t i = 0; i < command_count(); i++) {
        unsigned used = matches(commands[i].name, words, count);
        if (used) return run_one(&commands[i], words + used, count - used, arena, out);
    }
    text_put_text(out, "unknown command");
    if (count) text_format(out, " %.*s", SPAN_ARG(words[0]));
    text_put_text(out, ": `help` lists them\n");
    return RC_INVALID;
}
