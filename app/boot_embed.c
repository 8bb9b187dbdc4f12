/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot_embed.c — the embedder of the configuration: opened at boot, its model's bytes read on a worker afterwards. */
#include <stdio.h>

#include "app/boot.h"
#include "app/boot_private.h"
#include "cache/embed.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/offload.h"

static enum embed_kind kind_of(struct span name)
{
    static const struct span names[EMBED_KINDS] = {
        [EMBED_NONE] = SPAN_ROW("none"),
        [EMBED_MINILM] = SPAN_ROW("minilm-int8"),
        [EMBED_NGRAM] = SPAN_ROW("ngram"),
        [EMBED_REMOTE] = SPAN_ROW("remote"),
    };
    for (unsigned i = 0; i < EMBED_KINDS; i++)
        if (span_equal(name, names[i])) return (enum embed_kind)i;
    return EMBED_NONE;
}

const char *boot_embedder_state(void)
{
    if (boot.embedder_message[0]) return boot.embedder_message;
    if (embed_current()->kind == EMBED_NONE) return "none is configured: only the same questions are answered";
    return embed_ready() ? "ready" : "its model is being read";
}

static double read_ready(const struct metric *metric)
{
    (void)metric;
    return embed_current()->kind != EMBED_NONE && embed_ready() ? 1 : 0;
}

/* The name of the embedder in force stands in a label, so that a change shows. */
static void register_ready(void)
{
    static char label[MODEL_TAG_SIZE + 16];
    static struct metric ready = {.name = "larder_semantic_ready",
                                  .help = "Whether questions in other words can be looked up, by embedder",
                                  .kind = METRIC_GAUGE_CALL,
                                  .labels = label,
                                  .read = read_ready};
    const struct embedder *embedder = embed_current();
    snprintf(label, sizeof label, "embedder=\"%s\"", embedder->kind == EMBED_NONE ? "none" : embedder->tag);
    metric_register(&ready);
}

int boot_embed_open(const struct config *c, unsigned workers)
{
    char model[FILE_PATH_MAX];
    enum embed_kind kind = kind_of(c->embedder);
    struct span name = kind == EMBED_REMOTE ? c->remote_model : c->embedder_model;
    snprintf(model, sizeof model, "%.*s", SPAN_ARG(name));
    int rc = embed_reserve(workers);
    if (rc == RC_OK) rc = embed_open(kind, model, c->remote_dim, boot.embedder_message, sizeof boot.embedder_message);
    register_ready();
    return rc == RC_FULL ? rc : RC_OK; /* without a model the box answers what is asked again, as it was asked */
}

static void check_job(void *arg)
{
    *(int *)arg = embed_check();
}

static void damaged(void)
{
    snprintf(boot.embedder_message, sizeof boot.embedder_message, "%s",
             "the local model is damaged: nothing similar is found. Import it anew and restart");
    log_error("embed", "%s", boot.embedder_message);
}

static void check_fiber(void *arg)
{
    int rc = RC_OK;
    (void)arg;
    if (offload(check_job, &rc) != RC_OK)
        log_warn("embed", "too much is going on to read the local model: nothing similar is found until a restart");
    else if (rc != RC_OK)
        damaged();
    else
        log_info("embed", "%s is ready", embed_current()->tag);
}

void boot_embed_start(void)
{
    if (boot.embedder_message[0])
        log_warn("embed", "%s. Only the same questions are answered from the box, not similar ones",
                 boot.embedder_message);
    if (embed_current()->kind == EMBED_NONE) return;
    if (fiber_start(&boot.background, check_fiber, NULL) != RC_OK)
        log_warn("embed", "no place to read the local model: nothing similar is found until a restart");
}
