/* SPDX-License-Identifier: Apache-2.0 */
/* Workers, one thread and one queue each, and the queue of what they have
 * finished. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/call.h"
#include "core/call_internal.h"

struct call_queue {
    struct hactl_call *first, *last;
};

struct ha_completions {
    pthread_mutex_t mutex;
    struct call_queue done;
    int event_fd; /* readable exactly while `done` is not empty */
};

struct job {
    struct hactl_call *call;
    struct ha_completions *completions;
    struct job *next;
};

struct ha_worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct job *first, **end;
    bool stopping;
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
    return completions;
}

void ha_completions_free(struct ha_completions *completions)
{
    if (completions == NULL)
        return;
    close(completions->event_fd);
    pthread_mutex_destroy(&completions->mutex);
    free(completions);
}

int ha_completions_fd(const struct ha_completions *completions)
{
    return completions->event_fd;
}

static void completions_push(struct ha_completions *completions, struct hactl_call *call)
{
    uint64_t one = 1;
    ssize_t written;

    pthread_mutex_lock(&completions->mutex);
    queue_push(&completions->done, call);
    written = write(completions->event_fd, &one, sizeof one);
    (void)written; /* can fail only when the counter is full: then it is readable anyway */
    pthread_mutex_unlock(&completions->mutex);
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
        struct hactl_call *call = completions_pop(completions);
        struct pollfd waited = {.fd = completions->event_fd, .events = POLLIN};
        int64_t left_ms = timeout_ms < 0 ? -1 : until_ms - ha_now_ms();

        if (call != NULL || timeout_ms == 0 || (timeout_ms > 0 && left_ms <= 0))
            return call;
        if (left_ms > 60000)
            left_ms = 60000;
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

static void *worker_main(void *argument)
{
    struct ha_worker *worker = argument;
    struct job *job;

    while ((job = job_take(worker)) != NULL) {
        ha_call_run(job->call);
        completions_push(job->completions, job->call);
        free(job);
    }
    return NULL;
}

struct ha_worker *ha_worker_start(const char *name)
{
    struct ha_worker *worker = calloc(1, sizeof *worker);
    char thread_name[16];
    sigset_t all, before;
    int result;

    if (worker == NULL)
        return NULL;
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->work, NULL);
    worker->end = &worker->first;
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
    snprintf(thread_name, sizeof thread_name, "%.15s", name);
    pthread_setname_np(worker->thread, thread_name);
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
    *job = (struct job){.call = call, .completions = completions};
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
