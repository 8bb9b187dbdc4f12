/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/erase.c — see erase.h. */
#include "app/gateway/erase.h"

#include "app/gateway/deferred.h"
#include "app/gateway/feedback.h"
#include "app/gateway/journal.h"
#include "app/gateway/learn.h"
#include "app/gateway/negative.h"
#include "app/gateway/refresh.h"
#include "app/gateway/tenants.h"
#include "app/ledger/spend.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/offload.h"

static uint8_t unfinished[ERASES_MAX][ENTRY_TENANT_SIZE];
static unsigned count;
static bool busy; /* one at a time */
static char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];

unsigned erase_unfinished(void)
{
    return count;
}

/* ---- the intention */

int erase_open(const char *data_folder)
{
    size_t size = 0;
    count = 0;
    busy = false;
    int rc = file_join(folder, data_folder, ".");
    if (rc == RC_OK) rc = file_join(path, data_folder, "erasing");
    if (rc == RC_OK) rc = file_read(path, unfinished, sizeof unfinished, &size);
    if (rc == RC_NOT_FOUND) return RC_OK;
    if (rc == RC_OK) count = (unsigned)(size / sizeof unfinished[0]);
    return rc;
}

static void save_job(void *arg)
{
    int *rc = arg;
    if (count > 0) {
        *rc = file_replace(path, unfinished, count * sizeof unfinished[0], 0600);
        return;
    }
    *rc = file_remove(path);
    if (*rc == RC_OK) *rc = file_sync_folder(folder);
    if (*rc == RC_NOT_FOUND) *rc = RC_OK;
}

static int save(void)
{
    int done = RC_OK, rc = offload(save_job, &done);
    return rc == RC_OK ? done : rc;
}

static unsigned place_of(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    unsigned i = 0;
    while (i < count && memcmp(unfinished[i], tenant, ENTRY_TENANT_SIZE) != 0) i++;
    return i;
}

static int intend(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    if (place_of(tenant) < count) return RC_OK;
    if (count == ERASES_MAX) return RC_FULL;
    memcpy(unfinished[count++], tenant, ENTRY_TENANT_SIZE);
    int rc = save();
    if (rc != RC_OK) count--;
    return rc;
}

/* An intention that stays on disk only erases again what is not there. */
static int settle(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    unsigned place = place_of(tenant);
    memmove(unfinished[place], unfinished[--count], ENTRY_TENANT_SIZE);
    return save();
}

/* ---- its name */

static bool find_row(const uint8_t tenant[ENTRY_TENANT_SIZE], struct tenant_view *view)
{
    for (unsigned i = 0; tenant_at(i, view); i++)
        if (memcmp(view->tenant.id, tenant, ENTRY_TENANT_SIZE) == 0) return true;
    return false;
}

static int refuse_key(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    struct tenant_view view;
    (void)erased;
    if (!find_row(tenant, &view) || strcmp(view.state, "revoked") == 0) return RC_OK;
    return tenant_revoke(view.name);
}

static int forget_name(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    struct tenant_view view;
    (void)erased;
    return find_row(tenant, &view) ? tenant_forget(view.name) : RC_OK;
}

/* ---- what there is of it */

/* Short cuts lead nowhere, and nothing that is not on disk names it any more. */
static int forget_in_memory(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    (void)erased;
    gateway.epoch++;
    refresh_erase(tenant);
    feedback_erase(tenant);
    journal_erase(tenant);
    return RC_OK;
}

static int erase_answers(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    return semantic_erase(tenant, &erased->answers);
}

static int erase_questions(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    (void)erased;
    return deferred_erase(tenant);
}

static int erase_labels(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    (void)erased;
    return learn_erase(tenant);
}

static int erase_pairs(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    (void)erased;
    return negative_erase(tenant);
}

static int erase_figures(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    struct tenant whose = {.kind = TENANT_VIRTUAL};
    (void)erased;
    memcpy(whose.id, tenant, sizeof whose.id);
    spend_forget(spend_key(&whose));
    return RC_OK;
}

/* A reply that was under way may have come into memory again while answers went: so that is done twice. */
static const struct step {
    const char *what;
    int (*run)(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased);
} steps[] = {
    {"its key", refuse_key},        {"what stands in memory", forget_in_memory},
    {"its answers", erase_answers}, {"its kept questions", erase_questions},
    {"its labels", erase_labels},   {"its rejected pairs", erase_pairs},
    {"its figures", erase_figures}, {"what stands in memory", forget_in_memory},
    {"its name", forget_name},
};

static int run_steps(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    int rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < sizeof steps / sizeof steps[0]; i++) {
        rc = steps[i].run(tenant, erased);
        if (rc != RC_OK) erased->failed = steps[i].what;
    }
    return rc;
}

static int erase(const uint8_t tenant[ENTRY_TENANT_SIZE], struct erased *erased)
{
    int rc = intend(tenant);
    if (rc == RC_OK) rc = run_steps(tenant, erased);
    return rc == RC_OK ? settle(tenant) : rc;
}

int erase_tenant(struct span name, struct erased *erased)
{
    struct tenant_view view;
    *erased = (struct erased){0};
    int rc = tenant_find(name, &view);
    if (rc != RC_OK) return rc;
    if (busy) return RC_AGAIN;
    busy = true;
    rc = erase(view.tenant.id, erased);
    busy = false;
    return rc;
}

void erase_resume(void)
{
    uint8_t tenant[ENTRY_TENANT_SIZE];
    unsigned left = count;
    if (busy) return;
    busy = true;
    while (left-- > 0) {
        struct erased erased = {0};
        memcpy(tenant, unfinished[left], sizeof tenant);
        int rc = erase(tenant, &erased);
        if (rc == RC_OK)
            log_info("gateway", "erasing a tenant was cut short, and is finished now: %u answers", erased.answers);
        else
            log_error("gateway", "a tenant is not erased whole: %s: %s. It is tried again at the next start",
                      erased.failed ? erased.failed : path, rc_name(rc));
    }
    busy = false;
}

/* ---- what remains */

void erase_print_rest(struct text *out)
{
    static const char *const aside[] = {"entries.damaged", "codes.damaged", "labels.damaged"};
    char other[FILE_PATH_MAX];
    text_put_text(out, "Not served and not listed any more, but until other answers are written over them the deleted "
                       "bytes stay in free pages of entries/ and codes/ in the data folder: nothing is sealed.\n");
    for (unsigned i = 0; i < sizeof aside / sizeof aside[0]; i++)
        if (file_join(other, folder, aside[i]) == RC_OK && file_exists(other))
            text_format(out, "%s was set aside as damaged and may hold more of it: remove it by hand\n", aside[i]);
}
