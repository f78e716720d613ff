/* SPDX-License-Identifier: Apache-2.0 */
#include "core/prober.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/asks.h"
#include "core/log.h"
#include "core/session_internal.h"

enum { INTERVAL_MS = 10, PROBE_TIMEOUT_MS = 1000, LAST_ANSWER_MS = 3000, HANG_MS = 15000 };

struct ha_prober {
    pthread_t thread;
    struct hactl_call *call; /* asked again and again */
    pthread_mutex_t mutex;
    pthread_cond_t changing;
    bool stop, answered, ended;
    int64_t patient_until_ms; /* told to stop, it still waits so long for an answer that is overdue */
    /* the thread's own until it has ended */
    int64_t last_good_ms; /* before the first one: when the first probe began */
    int64_t longest_gap_ms;
    unsigned probes, failed;
};

static bool told_to_stop(struct ha_prober *prober, unsigned failed_in_a_row)
{
    pthread_mutex_lock(&prober->mutex);
    bool stop = prober->stop && (!failed_in_a_row || ha_now_ms() >= prober->patient_until_ms);
    pthread_mutex_unlock(&prober->mutex);
    return stop;
}

static void note_gap(struct ha_prober *prober, int64_t until_ms)
{
    if (until_ms - prober->last_good_ms > prober->longest_gap_ms)
        prober->longest_gap_ms = until_ms - prober->last_good_ms;
}

/* A gap is from the last good answer to the next one, and only where some
 * probe in between failed: a service without a gap measures 0. Where the first
 * probes fail it is from the first of them on: it has lasted so long at least. */
static void note(struct ha_prober *prober, bool good, unsigned failed_in_a_row, int64_t began_ms)
{
    if (prober->probes++ == 0)
        prober->last_good_ms = began_ms;
    if (!good) {
        prober->failed++;
        return;
    }
    if (failed_in_a_row)
        note_gap(prober, began_ms);
    prober->last_good_ms = began_ms;
    pthread_mutex_lock(&prober->mutex);
    prober->answered = true;
    pthread_cond_broadcast(&prober->changing);
    pthread_mutex_unlock(&prober->mutex);
}

static void *knock(void *context)
{
    struct ha_prober *prober = context;
    unsigned failed_in_a_row = 0;
    while (!told_to_stop(prober, failed_in_a_row)) {
        int64_t began_ms = ha_now_ms();
        prober->call->code = HACTL_OK;
        prober->call->text[0] = '\0';
        prober->call->deadline_ms = began_ms + PROBE_TIMEOUT_MS;
        bool good = prober->call->run(prober->call) == HACTL_OK;
        note(prober, good, failed_in_a_row, began_ms);
        failed_in_a_row = good ? 0 : failed_in_a_row + 1;
        nanosleep(&(struct timespec){.tv_nsec = (good ? INTERVAL_MS : 2) * 1000000L}, NULL);
    }
    if (failed_in_a_row) /* it has lasted so long at least */
        note_gap(prober, ha_now_ms());
    pthread_mutex_lock(&prober->mutex);
    prober->ended = true;
    pthread_cond_broadcast(&prober->changing);
    pthread_mutex_unlock(&prober->mutex);
    return NULL;
}

/* Until `*what`, one of the prober's own, is true: whether it is by then. */
static bool wait_until(struct ha_prober *prober, const bool *what, int timeout_ms)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&prober->mutex);
    while (!*what && late == 0)
        late = pthread_cond_clockwait(&prober->changing, &prober->mutex, CLOCK_MONOTONIC, &until);
    bool is = *what;
    pthread_mutex_unlock(&prober->mutex);
    return is;
}

bool ha_prober_await(struct ha_prober *prober, int timeout_ms)
{
    return prober && wait_until(prober, &prober->answered, timeout_ms);
}

struct ha_prober *ha_prober_start_with(struct hactl_call *probe)
{
    struct ha_prober *prober = probe ? calloc(1, sizeof *prober) : NULL;
    if (!prober)
        goto fail;
    prober->call = probe;
    pthread_mutex_init(&prober->mutex, NULL);
    pthread_cond_init(&prober->changing, NULL);
    if (pthread_create(&prober->thread, NULL, knock, prober) == 0)
        return prober;
    pthread_cond_destroy(&prober->changing);
    pthread_mutex_destroy(&prober->mutex);
fail:
    ha_call_free(probe);
    free(prober);
    return NULL;
}

struct ha_prober *ha_prober_start(struct ha_session *session)
{
    struct hactl_call *call = session->private->knocker ? ha_ask_observe(session, HA_SUBJECT_ENDPOINT, 0) : NULL;
    if (call)
        call->instance = session->private->knocker;
    return ha_prober_start_with(call);
}

void ha_prober_stop(struct ha_prober *prober, bool patiently, struct ha_report *report)
{
    if (!prober)
        return;
    pthread_mutex_lock(&prober->mutex);
    prober->stop = true;
    prober->patient_until_ms = patiently ? ha_now_ms() + LAST_ANSWER_MS : 0;
    pthread_mutex_unlock(&prober->mutex);
    if (!wait_until(prober, &prober->ended, HANG_MS)) { /* it is in a plugin that does not come back */
        ha_log(HACTL_LOG_ERROR, "the plugin hangs: instance %s has not returned from a probe, nothing was measured",
               prober->call->instance->conf->instance);
        ha_calls_note_hang();
        return;
    }
    pthread_join(prober->thread, NULL);
    report->probes += prober->probes;
    report->probes_failed += prober->failed;
    report->gap_measured |= prober->answered;
    if (prober->longest_gap_ms > report->endpoint_gap_ms)
        report->endpoint_gap_ms = prober->longest_gap_ms;
    pthread_cond_destroy(&prober->changing);
    pthread_mutex_destroy(&prober->mutex);
    ha_call_free(prober->call);
    free(prober);
}
