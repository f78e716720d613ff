/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers, one thread and one queue each, and the queue of what they have
 * finished.
 *
 * A plugin that does not return must not take hactl with it. It is entered
 * with a copy of the call; when its time and some grace are over, the call comes
 * back as failed, and the copy is left to the thread that still uses it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/call.h"
#include "core/call_internal.h"

/* A busy machine may keep even a good plugin from keeping its deadline. */
enum { GRACE_MS = 10000, LOOK_EVERY_MS = 1000 };

static atomic_int hanging;

struct call_queue {
    struct hactl_call *first, *last;
};

struct ha_completions {
    pthread_mutex_t mutex;
    struct call_queue done;
    int event_fd;        /* readable exactly while `done` is not empty */
    struct job *pending; /* all that will come back through here */
    int references;      /* the owner's, and one for each job */
};

struct job {
    struct hactl_call *call; /* the caller's */
    struct hactl_call inner; /* the one that the plugin is entered with */
    struct ha_completions *completions;
    struct ha_worker *worker;
    struct job *next; /* in the worker's queue */
    /* guarded by the completions' mutex */
    struct job *pending_next;
    int64_t overdue_ms; /* 0: not entered yet */
    bool given_up;      /* `call` has come back without it */
};

struct ha_worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct job *first, **end;
    bool stopping;
    atomic_bool hangs;
    char name[16];
    char hangs_in[96]; /* the main thread's */
};

static void queue_push(struct call_queue *queue, struct hactl_call *call)
{
    call->next = NULL;
    if (queue->last == NULL)
        queue->first = call;
    else
        queue->last->next = call;
    queue->last = call;
}

static struct hactl_call *queue_pop(struct call_queue *queue)
{
    struct hactl_call *call = queue->first;

    if (call == NULL)
        return NULL;
    queue->first = call->next;
    if (queue->first == NULL)
        queue->last = NULL;
    call->next = NULL;
    return call;
}

/* ---- completions */

struct ha_completions *ha_completions_new(void)
{
    struct ha_completions *completions = calloc(1, sizeof *completions);

    if (completions == NULL)
        return NULL;
    completions->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (completions->event_fd < 0) {
        free(completions);
        return NULL;
    }
    pthread_mutex_init(&completions->mutex, NULL);
    completions->references = 1;
    return completions;
}

/* With the mutex held; lets go of it. */
static void completions_leave(struct ha_completions *completions)
{
    bool last = --completions->references == 0;

    pthread_mutex_unlock(&completions->mutex);
    if (!last)
        return;
    close(completions->event_fd);
    pthread_mutex_destroy(&completions->mutex);
    free(completions);
}

void ha_completions_free(struct ha_completions *completions)
{
    if (completions == NULL)
        return;
    pthread_mutex_lock(&completions->mutex);
    completions_leave(completions);
}

int ha_completions_fd(const struct ha_completions *completions)
{
    return completions->event_fd;
}

static void push_locked(struct ha_completions *completions, struct hactl_call *call)
{
    uint64_t one = 1;
    ssize_t written;

    queue_push(&completions->done, call);
    written = write(completions->event_fd, &one, sizeof one);
    (void)written; /* can fail only when the counter is full: then it is readable anyway */
}

static void completions_push(struct ha_completions *completions, struct hactl_call *call)
{
    pthread_mutex_lock(&completions->mutex);
    push_locked(completions, call);
    pthread_mutex_unlock(&completions->mutex);
}

static void pending_remove(struct ha_completions *completions, const struct job *job)
{
    struct job **at = &completions->pending;

    while (*at != job)
        at = &(*at)->pending_next;
    *at = job->pending_next;
}

static const char *instance_name(const struct hactl_call *call)
{
    return call->instance->conf != NULL ? call->instance->conf->instance : "plugin";
}

/* The call comes back without its results; what it was given stays with the copy. */
static void give_up(struct job *job)
{
    struct hactl_call *call = job->call;
    struct ha_worker *worker = job->worker;

    job->given_up = true;
    pending_remove(job->completions, job);
    if (job->overdue_ms != 0) {
        atomic_store(&worker->hangs, true);
        atomic_fetch_add(&hanging, 1);
        snprintf(worker->hangs_in, sizeof worker->hangs_in, "%s", call->what);
        call->code = ha_call_fail(call, HACTL_E_INTERNAL,
                                  "the plugin hangs: instance %s has not returned from \"%s\", %d s after its deadline",
                                  instance_name(call), call->what, GRACE_MS / 1000);
    } else {
        call->code = ha_call_fail(call, HACTL_E_INTERNAL,
                                  "not asked, the plugin hangs: instance %s has not returned from \"%s\"",
                                  instance_name(call), worker->hangs_in);
    }
    call->started_ms = call->ended_ms = ha_now_ms();
    call->context = NULL;
    call->context_free = NULL;
    push_locked(job->completions, call);
}

static void give_up_overdue(struct ha_completions *completions)
{
    int64_t now_ms = ha_now_ms();
    struct job *next;

    pthread_mutex_lock(&completions->mutex);
    for (struct job *job = completions->pending; job != NULL; job = next) {
        next = job->pending_next;
        if (job->overdue_ms != 0 ? now_ms > job->overdue_ms : atomic_load(&job->worker->hangs))
            give_up(job);
    }
    pthread_mutex_unlock(&completions->mutex);
}

bool ha_calls_hang(void)
{
    return atomic_load(&hanging) > 0;
}

void ha_calls_note_hang(void)
{
    atomic_fetch_add(&hanging, 1);
}

static struct hactl_call *completions_pop(struct ha_completions *completions)
{
    struct hactl_call *call;
    uint64_t counter;

    pthread_mutex_lock(&completions->mutex);
    call = queue_pop(&completions->done);
    if (completions->done.first == NULL) {
        ssize_t got = read(completions->event_fd, &counter, sizeof counter);
        (void)got; /* EAGAIN: it was at rest */
    }
    pthread_mutex_unlock(&completions->mutex);
    return call;
}

struct hactl_call *ha_completions_take(struct ha_completions *completions, int64_t timeout_ms)
{
    int64_t until_ms = ha_now_ms() + timeout_ms;

    for (;;) {
        give_up_overdue(completions);
        struct hactl_call *call = completions_pop(completions);
        struct pollfd waited = {.fd = completions->event_fd, .events = POLLIN};
        int64_t left_ms = timeout_ms < 0 ? -1 : until_ms - ha_now_ms();

        if (call != NULL || timeout_ms == 0 || (timeout_ms > 0 && left_ms <= 0))
            return call;
        if (left_ms < 0 || left_ms > LOOK_EVERY_MS)
            left_ms = LOOK_EVERY_MS;
        /* A signal ends the wait, so that an interrupt is seen at once. */
        if (poll(&waited, 1, (int)left_ms) < 0)
            return NULL;
    }
}

/* ---- workers */

static struct job *job_take(struct ha_worker *worker)
{
    struct job *job;

    pthread_mutex_lock(&worker->mutex);
    while (worker->first == NULL && !worker->stopping)
        pthread_cond_wait(&worker->work, &worker->mutex);
    job = worker->first;
    if (job != NULL) {
        worker->first = job->next;
        if (worker->first == NULL)
            worker->end = &worker->first;
    }
    pthread_mutex_unlock(&worker->mutex);
    return job;
}

static bool job_enter(struct job *job)
{
    bool wanted;

    pthread_mutex_lock(&job->completions->mutex);
    wanted = !job->given_up;
    job->overdue_ms = ha_now_ms() + (job->inner.timeout_ms > 0 ? job->inner.timeout_ms : 0) + GRACE_MS;
    pthread_mutex_unlock(&job->completions->mutex);
    return wanted;
}

/* The results go to the caller, unless it has gone on without them. */
static void job_end(struct job *job, bool entered)
{
    struct ha_completions *completions = job->completions;

    pthread_mutex_lock(&completions->mutex);
    if (!job->given_up) {
        pending_remove(completions, job);
        *job->call = job->inner;
        push_locked(completions, job->call);
    } else {
        ha_call_clear(&job->inner);
        if (entered) {
            atomic_store(&job->worker->hangs, false);
            atomic_fetch_sub(&hanging, 1);
        }
    }
    completions_leave(completions);
    free(job);
}

static void *worker_main(void *argument)
{
    struct ha_worker *worker = argument;
    struct job *job;

    pthread_setname_np(pthread_self(), worker->name); /* of another thread it would take a file of /proc */
    while ((job = job_take(worker)) != NULL) {
        bool entered = job_enter(job);

        if (entered)
            ha_call_run(&job->inner);
        job_end(job, entered);
    }
    return NULL;
}

struct ha_worker *ha_worker_start(const char *name)
{
    struct ha_worker *worker = calloc(1, sizeof *worker);
    sigset_t all, before;
    int result;

    if (worker == NULL)
        return NULL;
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->work, NULL);
    worker->end = &worker->first;
    snprintf(worker->name, sizeof worker->name, "%.15s", name);
    /* Signals are the main thread's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        pthread_cond_destroy(&worker->work);
        pthread_mutex_destroy(&worker->mutex);
        free(worker);
        errno = result;
        return NULL;
    }
    return worker;
}

void ha_worker_stop(struct ha_worker *worker)
{
    if (worker == NULL)
        return;
    pthread_mutex_lock(&worker->mutex);
    worker->stopping = true;
    pthread_cond_signal(&worker->work);
    pthread_mutex_unlock(&worker->mutex);
    pthread_join(worker->thread, NULL);
    pthread_cond_destroy(&worker->work);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
}

static void run_here(struct hactl_call *call, struct ha_completions *completions)
{
    ha_call_run(call);
    completions_push(completions, call);
}

void ha_call_submit(struct hactl_call *call, struct ha_completions *completions)
{
    struct ha_worker *worker = call->instance->worker;
    struct job *job;

    if (worker == NULL) {
        run_here(call, completions);
        return;
    }
    job = malloc(sizeof *job);
    if (job == NULL) {
        call->code = ha_call_fail(call, HACTL_E_INTERNAL, "out of memory");
        completions_push(completions, call);
        return;
    }
    *job = (struct job){.call = call, .inner = *call, .completions = completions, .worker = worker};
    pthread_mutex_lock(&completions->mutex);
    job->pending_next = completions->pending;
    completions->pending = job;
    completions->references++;
    pthread_mutex_unlock(&completions->mutex);
    pthread_mutex_lock(&worker->mutex);
    *worker->end = job;
    worker->end = &job->next;
    pthread_cond_signal(&worker->work);
    pthread_mutex_unlock(&worker->mutex);
}

int ha_call_wait(struct hactl_call *call)
{
    struct ha_completions *completions = ha_completions_new();

    if (completions == NULL)
        return call->code = ha_call_fail(call, HACTL_E_INTERNAL, "no file descriptor to wait with");
    ha_call_submit(call, completions);
    while (ha_completions_take(completions, -1) == NULL)
        continue; /* a signal: the call still belongs to its worker */
    ha_completions_free(completions);
    return call->code;
}
