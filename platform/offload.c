/* SPDX-License-Identifier: Apache-2.0 */
/* platform/offload.c — a bounded queue, some threads, and the way back through loop_post. */
#include "platform/offload.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "platform/check.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/fiber_sanitizer.h"
#include "platform/loop.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "platform/start.h"

enum {
    WORKERS_MAX = 64,
    WORKER_STACK = 256 * 1024 * FIBER_STACK_SCALE,
    JOB_DONE = 1, /* no result of anybody else's: tells the job's own wake from others */
};

/* On the stack of the fiber that waits for it. */
struct job {
    struct loop_call done_call; /* first: the call is the job */
    struct job *next;
    void (*run)(void *arg);
    void *arg;
    struct fiber *fiber;
    bool done;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t filled; /* as many as there are jobs, and one a thread when the pool stops: a wake is one system call */
static struct job *first, *last;
static unsigned waiting_max;
static _Atomic unsigned waiting, waiting_high;
static bool stopping;
static pthread_t threads[WORKERS_MAX];
static unsigned thread_count;

/* On the lane. */
static void job_done(struct loop_call *call)
{
    struct job *job = (struct job *)(void *)call;
    job->done = true;
    fiber_wake(job->fiber, JOB_DONE);
}

/* The next job, or NULL when the pool stops and none is left. */
static struct job *job_take(void)
{
    while (sem_wait(&filled) != 0) continue;
    pthread_mutex_lock(&lock);
    struct job *job = first;
    if (job) {
        first = job->next;
        if (!first) last = NULL;
        waiting--;
    }
    CHECK(job || stopping);
    pthread_mutex_unlock(&lock);
    return job;
}

static void *worker_main(void *unused)
{
    struct job *job;
    while ((job = job_take()) != NULL) {
        job->run(job->arg);
        loop_post(&job->done_call);
    }
    return unused;
}

int offload_start(unsigned workers, unsigned queue_max)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    CHECK(thread_count == 0);
    CHECK(workers > 0);
    if (workers > WORKERS_MAX) workers = WORKERS_MAX;
    waiting_max = queue_max;
    stopping = false;
    CHECK(sem_init(&filled, 0, 0) == 0);
    plan_note("offload stacks", workers, WORKER_STACK, 0, (size_t)workers * WORKER_STACK);
    start_thread_mask(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (thread_count < workers && pthread_create(&threads[thread_count], &attributes, worker_main, NULL) == 0)
        thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (thread_count == workers) return RC_OK;
    offload_stop();
    return RC_FULL;
}

void offload_stop(void)
{
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < thread_count; i++) sem_post(&filled);
    for (unsigned i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
    thread_count = 0;
}

static int job_put(struct job *job)
{
    int rc = RC_FULL;
    pthread_mutex_lock(&lock);
    if (thread_count > 0 && !stopping && waiting < waiting_max) {
        if (last)
            last->next = job;
        else
            first = job;
        last = job;
        if (++waiting > waiting_high) waiting_high = waiting;
        rc = RC_OK;
    }
    pthread_mutex_unlock(&lock);
    if (rc == RC_OK) sem_post(&filled);
    return rc;
}

/* Cancellation and wakes that are not the job's own wait until it is done, then take effect. */
static void job_wait(struct job *job)
{
    struct fiber *self = job->fiber;
    bool cancelled = fiber_cancelled();
    bool stray = false;
    int stray_rc = RC_OK;
    fiber_cancel_clear(self);
    while (!job->done) {
        int rc = fiber_park(CLOCK_NEVER);
        if (rc == RC_CANCELLED && fiber_cancelled()) {
            cancelled = true;
            fiber_cancel_clear(self);
        } else if (rc != JOB_DONE) {
            stray = true;
            stray_rc = rc;
        }
    }
    if (stray) fiber_wake(self, stray_rc);
    if (cancelled || fiber_cancelled()) fiber_cancel(self);
}

int offload(void (*run)(void *arg), void *arg)
{
    struct job job = {.done_call.run = job_done, .run = run, .arg = arg, .fiber = fiber_self()};
    CHECK(job.fiber);
    int rc = job_put(&job);
    if (rc == RC_OK) job_wait(&job);
    return rc;
}

unsigned offload_waiting(void)
{
    return waiting;
}

unsigned offload_waiting_high(void)
{
    return waiting_high;
}
