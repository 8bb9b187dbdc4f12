/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic_start.c — boot and end of the semantic tier, erase, figures. */
#include "cache/inner.h"
#include "cache/rotations.h"
#include "cache/semantic.h"
#include "cache/semantic_inner.h"
#include "platform/log.h"
#include "platform/offload.h"
#include "platform/rc.h"
#include "storage/secrets.h"

/* ---- figures */

static uint64_t codes_now(void)
{
    const struct semantic_counts *counts = &semantic_background.counts;
    uint64_t more = writer_codes_stored() - counts->stored, fewer = writer_codes_deleted() - counts->deleted;
    return counts->codes + more > fewer ? counts->codes + more - fewer : 0;
}

void semantic_stats(struct semantic_stats *stats)
{
    const struct semantic_background *background = &semantic_background;
    struct secrets_stats secrets;
    secrets_stats(&secrets);
    *stats = (struct semantic_stats){
        .codes = codes_now(),
        .namespaces = background->counts.namespaces,
        .blocks = background->counts.blocks,
        .dead = background->counts.dead,
        .waiting = atomic_load(&cache_self.pending.count),
        .reembedded = background->reembedded,
        .missing = background->missing,
        .left = background->left,
        .damaged = atomic_load(&cache_self.codes.damaged),
        .dropped = background->dropped,
        .passes = background->passes,
        .tenants = secrets.tenants,
        .tenants_refused = secrets.refused,
    };
}

enum figure {
    FIGURE_CODES,
    FIGURE_NAMESPACES,
    FIGURE_BLOCKS,
    FIGURE_DEAD,
    FIGURE_WAITING,
    FIGURE_MISSING,
    FIGURE_LEFT,
    FIGURE_TENANTS,
    FIGURE_REEMBEDDED,
    FIGURE_DROPPED,
    FIGURE_DAMAGED,
    FIGURE_REFUSED,
    FIGURES
};

static double read_figure(const struct metric *metric);

#define FIGURE(called, of_kind, says)                                                             \
    {                                                                                             \
        .name = "larder_semantic_" called, .kind = (of_kind), .help = (says), .read = read_figure \
    }
static struct metric figures[FIGURES] = {
    [FIGURE_CODES] = FIGURE("codes", METRIC_GAUGE_CALL, "Codes in the index."),
    [FIGURE_NAMESPACES] = FIGURE("namespaces", METRIC_GAUGE_CALL, "Namespaces with codes, as of the last pass."),
    [FIGURE_BLOCKS] = FIGURE("blocks", METRIC_GAUGE_CALL, "Blocks of codes, as of the last pass."),
    [FIGURE_DEAD] = FIGURE("tombstones", METRIC_GAUGE_CALL, "Codes whose entries are gone, as of the last pass."),
    [FIGURE_WAITING] = FIGURE("pending", METRIC_GAUGE_CALL, "Codes that are not committed yet."),
    [FIGURE_MISSING] = FIGURE("missing", METRIC_GAUGE_CALL, "Entries without a code that the last pass found."),
    [FIGURE_LEFT] = FIGURE("codes_left", METRIC_GAUGE_CALL, "Codes that are still to be made in the background."),
    [FIGURE_TENANTS] = FIGURE("rotations", METRIC_GAUGE_CALL, "Tenants with a rotation secret."),
    [FIGURE_REEMBEDDED] = FIGURE("reembedded_total", METRIC_COUNTER_CALL, "Codes made again in the background."),
    [FIGURE_DROPPED] = FIGURE("dropped_total", METRIC_COUNTER_CALL, "Codes dropped because their entries were gone."),
    [FIGURE_DAMAGED] = FIGURE("damaged_total", METRIC_COUNTER_CALL, "Blocks of codes dropped as damaged."),
    [FIGURE_REFUSED] = FIGURE("rotations_refused_total", METRIC_COUNTER_CALL,
                              "Lookups without a rotation secret because the table of tenants was full."),
};

static double read_figure(const struct metric *metric)
{
    struct semantic_stats s;
    semantic_stats(&s);
    const uint64_t values[FIGURES] = {
        [FIGURE_CODES] = s.codes,     [FIGURE_NAMESPACES] = s.namespaces,   [FIGURE_BLOCKS] = s.blocks,
        [FIGURE_DEAD] = s.dead,       [FIGURE_WAITING] = s.waiting,         [FIGURE_MISSING] = s.missing,
        [FIGURE_TENANTS] = s.tenants, [FIGURE_REEMBEDDED] = s.reembedded,   [FIGURE_DROPPED] = s.dropped,
        [FIGURE_DAMAGED] = s.damaged, [FIGURE_REFUSED] = s.tenants_refused, [FIGURE_LEFT] = s.left,
    };
    return (double)values[metric - figures];
}

/* ---- */

int semantic_reserve(void)
{
    int rc = secrets_reserve();
    if (rc == RC_OK) rc = semantic_background_reserve(cache_self.exact.capacity);
    for (unsigned i = 0; i < FIGURES && rc == RC_OK; i++) metric_register(&figures[i]);
    return rc;
}

int semantic_start(const char *data_folder)
{
    struct cache *cache = &cache_self;
    const struct embedder *embedder = embed_current();
    int rc = secrets_open(data_folder, cache->read_only);
    if (rc != RC_OK)
        log_warn("store",
                 "the rotation secrets in %s/keys do not read (%s): tenants without one get no semantic answers",
                 data_folder, rc_name(rc));
    if (embedder->kind == EMBED_NONE || cache->read_only) return rc;
    (void)writer_embedder(&cache->writer, embedder->tag_hash);
    int started = semantic_background_start();
    return rc == RC_OK ? started : rc;
}

void semantic_stop(void)
{
    semantic_background_stop();
    secrets_close();
    rotations_forget(NULL);
}

/* ---- erase */

struct erase_job {
    const uint8_t *tenant;
    int rc;
};

static void erase_job(void *arg)
{
    struct erase_job *job = arg;
    job->rc = secrets_erase(job->tenant);
}

int semantic_erase(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned *removed)
{
    struct erase_job job = {.tenant = tenant};
    int rc = cache_purge(tenant, removed);
    if (rc != RC_OK) return rc;
    rc = offload(erase_job, &job);
    rotations_forget(tenant);
    if (rc != RC_OK) return rc;
    return job.rc == RC_NOT_FOUND ? RC_OK : job.rc;
}
