/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight_call.h — inside of a flight: the chain of providers, the recording, what is kept of it.
 *
 * Owner:   the leader's request arena.
 * Threads: lane only, on the leader's fiber.
 */
#ifndef GATEWAY_FLIGHT_CALL_H
#define GATEWAY_FLIGHT_CALL_H

#include "app/gateway/answer.h"
#include "app/gateway/flight.h"
#include "app/gateway/sink.h"
#include "platform/check.h"

enum {
    FIRST_SEND_MAX = 16384,   /* bytes of a body that leave together with its head */
    STATUS_CLIENT_GONE = 499, /* in the journal, as nginx has it */
    RECORD_START = 8192,      /* first size of a recording of unknown length; it grows by doubling */
    CODE_TEXT_MAX = 512,
};
#define LAGGARD_US \
    (UINT64_C(2) * 1000 * 1000) /* so long may one sink of a stream that is not kept hold up the others */
#define SINK_PATIENCE_US (UINT64_C(5) * 1000 * 1000) /* looks again this often; the connection has its own deadline */

/* What a sink is told that has had no byte yet. */
struct failure {
    unsigned status;
    const char *code, *message;
};
extern const struct failure failure_cut, failure_memory;

struct flight {
    struct flight *next, *previous;
    struct request *leader;
    struct arena *arena;
    struct fiber *fiber;
    struct sink *sinks;
    unsigned sink_count;
    bool bypass, ended, cancelled;
    bool background; /* no client waits: nobody may join */
    bool arena_lent; /* to a job of another thread: nobody else may take from it */
    bool waiting_for_sinks;
    struct loop_timer finish_timer;

    /* the reply */
    bool head_known, complete, overflow;
    bool plain;       /* the same bytes for every sink: an error */
    bool kept;        /* the body comes from the store or a pack: made into each sink's view */
    bool local;       /* made here, not by a provider */
    bool stream;      /* the body is server-sent events */
    bool usage_asked; /* upstream sends the usage chunk */
    bool judged;
    bool storable;  /* judged so */
    bool forbidden; /* the provider said no-store */
    bool composed;  /* some provider could be asked */
    bool crowded;   /* a provider had no place for this call in time */
    unsigned status;
    const char *content_type;
    int64_t length;                       /* -1: not known before the end */
    struct span lines;                    /* provider's header lines, for the leader */
    char request_id[REQUEST_ID_SIZE + 1]; /* the provider's, among `lines`; empty: none, or too long for the journal */
    const char *should_retry;
    int64_t retry_after_s;
    char *data; /* the recording */
    size_t size, capacity;
    struct live_stream live;
    struct span converted[VIEWS];
    struct flight_bridge *bridge; /* its provider speaks the other dialect; NULL: the client's */
    const char *refusal;          /* why a request could not be written in a provider's dialect */

    /* figures */
    uint64_t stored_id;
    uint64_t began_us;    /* monotonic: when the chain of providers was entered */
    uint64_t tried_us;    /* monotonic: when the first try began */
    uint64_t asked_us;    /* monotonic: when the call that answered began */
    uint64_t upstream_us; /* from the first try to the first byte of the answer */
    int64_t upstream_ms;
    unsigned link;      /* of the chain */
    struct usage usage; /* of a whole answer; flight_money.h */
    uint64_t cost;      /* micro-USD of the call */
    bool weighed, priced;
    unsigned followed; /* followers that were sent all of it */
    uint64_t received; /* bytes of the answer, kept or not */
    enum hit_kind local_hit;
    const char *local_status;
    int64_t local_age_s;
    float local_similarity; /* 0: none */
};

/* In its leader's arena, on its fiber; NULL: no memory. */
struct flight *flight_new(struct request *r);
/* Asks the chain of providers; on return the reply is complete, or everyone has been told of its failure. */
void flight_call(struct flight *f);
/* More of the reply, in the client's dialect. */
int flight_record(struct flight *f, struct span piece);
/* Judges and stores a complete reply; once. */
void flight_store(struct flight *f);
/* Makes the reply here: stored and stale, from a pack, or an error that says what is wrong. */
void flight_answer_offline(struct flight *f, bool payable);
/* RC_NOT_FOUND: none, or it is too old. */
int flight_answer_stale(struct flight *f);
void flight_error(struct flight *f, unsigned status, const char *code, const char *message);

void flight_pump(struct flight *f);
void flight_abort(struct flight *f, const struct failure *failure);
/* Aborts the sinks that have not had the first `most` bytes. */
void flight_drop_laggards(struct flight *f, size_t most);
/* Tells the sinks that asked for the other form that it cannot be made. */
void flight_drop_other_form(struct flight *f);

#endif
