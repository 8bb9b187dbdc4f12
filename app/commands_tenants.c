/* SPDX-License-Identifier: Apache-2.0 */
/* app/commands_tenants.c — see commands_tenants.h. */
#include "app/commands_tenants.h"

#include "app/config_table.h"
#include "app/gateway/erase.h"
#include "app/gateway/limits.h"
#include "app/gateway/tenants.h"
#include "app/ledger/spend.h"
#include "platform/clock.h"
#include "platform/rc.h"

enum { USD_DECIMALS_DIVISOR = 1000000, TERMS_MOST_S = 3650 * 86400 };

static int say(struct command_call *call, int rc)
{
    struct span name = call->words[0];
    switch (rc) {
    case RC_OK: break;
    case RC_EXISTS:
        text_format(call->out, "%.*s exists already: tenant rotate %.*s makes it a new key\n", SPAN_ARG(name),
                    SPAN_ARG(name));
        break;
    case RC_NOT_FOUND: text_format(call->out, "there is no tenant %.*s: see `tenant list`\n", SPAN_ARG(name)); break;
    case RC_INVALID:
        text_format(call->out, "a name has 1 to %d letters, digits, '-', '_' or '.'\n", TENANT_NAME_MAX);
        break;
    case RC_FULL: text_format(call->out, "the box keeps at most %d tenants\n", TENANTS_MAX); break;
    case RC_AGAIN: text_put_text(call->out, "another change is being written: try again\n"); break;
    default: text_format(call->out, "the change could not be kept (%s): nothing changed\n", rc_name(rc));
    }
    return rc;
}

static int say_key(struct command_call *call, int rc, const char *key)
{
    if (rc != RC_OK) return say(call, rc);
    text_format(call->out, "%s\nThis key is shown once; clients send it as their API key.\n", key);
    return rc;
}

/* ---- terms */

static int read_seconds(struct command_call *call, struct span option, struct span word, uint64_t *seconds)
{
    uint64_t us;
    bool fine = config_value_duration(word, &us) == RC_OK && us >= CLOCK_SECOND && us / CLOCK_SECOND <= TERMS_MOST_S;
    if (!fine) {
        text_format(call->out, "%.*s takes a time like 30m, 12h or 90d\n", SPAN_ARG(option));
        return RC_INVALID;
    }
    *seconds = us / CLOCK_SECOND;
    return RC_OK;
}

/* Words behind the name, in pairs. */
static int read_terms(struct command_call *call, bool grace, struct tenant_terms *terms)
{
    int rc = RC_OK;
    *terms = (struct tenant_terms){0};
    for (unsigned i = 1; rc == RC_OK && i < call->count; i += 2) {
        struct span option = call->words[i], word = i + 1 < call->count ? call->words[i + 1] : (struct span){0};
        if (span_equal(option, SPAN("--expires"))) {
            rc = read_seconds(call, option, word, &terms->expires_s);
        } else if (grace && span_equal(option, SPAN("--grace"))) {
            rc = read_seconds(call, option, word, &terms->grace_s);
        } else {
            text_format(call->out, "unknown option %.*s: %s\n", SPAN_ARG(option),
                        grace ? "--expires TIME and --grace TIME are known" : "--expires TIME is known");
            rc = RC_INVALID;
        }
    }
    return rc;
}

int command_tenant_add(struct command_call *call)
{
    char key[TENANT_KEY_SIZE + 1];
    struct tenant_terms terms;
    if (read_terms(call, false, &terms) != RC_OK) return RC_INVALID;
    return say_key(call, tenant_issue(call->words[0], &terms, key), key);
}

int command_tenant_rotate(struct command_call *call)
{
    char key[TENANT_KEY_SIZE + 1];
    struct tenant_terms terms;
    if (read_terms(call, true, &terms) != RC_OK) return RC_INVALID;
    int rc = say_key(call, tenant_rotate(call->words[0], &terms, key), key);
    if (rc == RC_OK)
        text_put_text(call->out, terms.grace_s ? "The old key is taken until the grace time is over.\n"
                                               : "The old key is refused from now on.\n");
    return rc;
}

int command_tenant_revoke(struct command_call *call)
{
    int rc = tenant_revoke(call->words[0]);
    if (rc == RC_OK) text_put_text(call->out, "revoked: its key is refused from now on\n");
    return say(call, rc);
}

int command_tenant_erase(struct command_call *call)
{
    struct erased erased;
    int rc = erase_tenant(call->words[0], &erased);
    if (rc == RC_NOT_FOUND) return say(call, rc);
    if (rc != RC_OK) {
        text_format(call->out,
                    "not all could be removed: %s: %s. Try again; after a restart it is tried again by itself\n",
                    erased.failed ? erased.failed : "the note that it is to be erased", rc_name(rc));
        return rc;
    }
    text_format(
        call->out,
        "erased: its key, %u stored answers, kept questions, what was learnt from it, its figures and the secret of "
        "its codes\n",
        erased.answers);
    erase_print_rest(call->out);
    return RC_OK;
}

/* ---- showing */

static void put_time(struct text *out, uint64_t seconds)
{
    char date[30];
    http_date(seconds * CLOCK_SECOND, date);
    text_put_text(out, date);
}

static void put_money(struct text *out, uint64_t micro)
{
    text_format(out, "%llu.%06llu USD", (unsigned long long)(micro / USD_DECIMALS_DIVISOR),
                (unsigned long long)(micro % USD_DECIMALS_DIVISOR));
}

static void list_one(struct text *out, const struct tenant_view *view)
{
    const struct spend_row *row = spend_find(spend_key(&view->tenant));
    text_format(out, "%-24.*s %-8s spent ", SPAN_ARG(view->name), view->state);
    put_money(out, row ? row->cost : 0);
    text_put_text(out, ", saved ");
    put_money(out, row ? row->saved : 0);
    text_put_text(out, ", last use ");
    if (row)
        put_time(out, row->used_s);
    else
        text_put_text(out, "never");
    if (view->expires_s) {
        text_put_text(out, ", expires ");
        put_time(out, view->expires_s);
    }
    text_put_char(out, '\n');
}

int command_tenant_list(struct command_call *call)
{
    struct tenant_view view;
    unsigned count = 0;
    for (; tenant_at(count, &view); count++) list_one(call->out, &view);
    if (count == 0) text_put_text(call->out, "no virtual keys yet: larder ctl tenant add NAME\n");
    return RC_OK;
}

static void show_spend(struct text *out, const struct spend_row *row)
{
    bool today = row->today == clock_wall_us() / CLOCK_SECOND / 86400;
    text_put_text(out, "last use   ");
    put_time(out, row->used_s);
    text_format(out, "\nupstream   %llu calls, %llu tokens in, %llu out", (unsigned long long)row->calls,
                (unsigned long long)row->tokens_in, (unsigned long long)row->tokens_out);
    if (row->unpriced) text_format(out, ", %llu of models without a price", (unsigned long long)row->unpriced);
    text_put_text(out, "\nspent      ");
    put_money(out, row->cost);
    text_put_text(out, ", today ");
    put_money(out, today ? row->today_cost : 0);
    text_format(out, "\nhits       %llu, saved ", (unsigned long long)row->hits);
    put_money(out, row->saved);
    text_put_char(out, '\n');
}

int command_tenant_show(struct command_call *call)
{
    struct tenant_view view;
    int rc = tenant_find(call->words[0], &view);
    if (rc != RC_OK) return say(call, rc);
    text_format(call->out, "tenant     %.*s, %s, made ", SPAN_ARG(view.name), view.state);
    put_time(call->out, view.created_s);
    if (view.expires_s) {
        text_put_text(call->out, ", expires ");
        put_time(call->out, view.expires_s);
    }
    text_put_char(call->out, '\n');
    const struct spend_row *row = spend_find(spend_key(&view.tenant));
    if (row)
        show_spend(call->out, row);
    else
        text_put_text(call->out, "last use   never\n");
    limits_print(gateway.current->config, view.name, call->out);
    return RC_OK;
}
