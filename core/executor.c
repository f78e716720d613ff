/* SPDX-License-Identifier: Apache-2.0 */
#include "core/executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/executor_internal.h"
#include "core/fault.h"
#include "core/prober.h"

enum { FIRST_PAUSE_MS = 4, LONGEST_PAUSE_MS = 500, FIRST_ANSWER_MS = 500 };

int64_t ha_task_left_ms(const struct ha_execution *x, const struct ha_task *task)
{
    int64_t deadline_ms = task->deadline_ms;
    if (x->run->deadline_ms && x->run->deadline_ms < deadline_ms)
        deadline_ms = x->run->deadline_ms;
    return deadline_ms - ha_now_ms();
}

void ha_task_pause(const struct ha_execution *x, struct ha_task *task, enum ha_phase phase, int64_t at_least_ms)
{
    int64_t left_ms = ha_task_left_ms(x, task);
    task->pause_ms = task->pause_ms ? task->pause_ms * 8 / 5 : FIRST_PAUSE_MS;
    if (task->pause_ms > LONGEST_PAUSE_MS)
        task->pause_ms = LONGEST_PAUSE_MS;
    int64_t pause_ms = task->pause_ms > at_least_ms ? task->pause_ms : at_least_ms;
    task->phase = phase;
    task->next_ms = ha_now_ms() + (pause_ms < left_ms ? pause_ms : left_ms > 0 ? left_ms : 0);
}

void ha_task_wait(struct ha_execution *x, struct ha_task *task, enum ha_phase phase, int64_t at_least_ms)
{
    if (x->run->listener && x->run->listener->step_waiting)
        x->run->listener->step_waiting(x->run->listener->context, (int)(task - x->tasks), task->failure);
    ha_task_pause(x, task, phase, at_least_ms);
}

/* ---- a task's ends */

void ha_task_end(struct ha_execution *x, struct ha_task *task, enum ha_phase phase)
{
    struct ha_report *report = x->run->report;
    int64_t ms = ha_now_ms() - task->started_ms;
    task->phase = phase;
    task->unsettled &= phase == HA_FAILED;
    if (ha_step_is_claim(task->step->kind) && phase == HA_FINISHED)
        x->run->dark = false;
    ha_delivery_end(&task->delivery);
    ha_call_free(task->requests);
    task->requests = NULL;
    free(task->token);
    task->token = NULL;
    if (task->announced)
        ha_task_write_result(x, task, phase == HA_FINISHED ? HACTL_OK : task->code);
    report->steps++;
    if (report->timing_count < HA_STEPS) {
        ha_step_text(task->step, report->timings[report->timing_count].text, sizeof report->timings[0].text);
        report->timings[report->timing_count++].ms = ms;
    }
    if (x->run->listener && x->run->listener->step_ended)
        x->run->listener->step_ended(x->run->listener->context, (int)(task - x->tasks), task->step, ms,
                                     phase == HA_FINISHED ? NULL : task->failure);
    x->stopping |= phase == HA_FAILED;
}

/* What is kept of it for the result and for whoever waits. */
static void note_failure(struct ha_task *task, int code, const char *text)
{
    task->code = code;
    if (text != task->failure)
        snprintf(task->failure, sizeof task->failure, "%s", text && text[0] ? text : ha_code_name(code));
}

void ha_task_surprise(struct ha_execution *x, struct ha_task *task, int code, const char *text)
{
    note_failure(task, code, text);
    x->surprised = true;
    ha_task_end(x, task, HA_FAILED);
}

void ha_task_fail(struct ha_execution *x, struct ha_task *task, int code, const char *text)
{
    char what[HA_NAME * 4];
    /* What a plugin says is missing was there when it was planned. */
    if (code == HACTL_E_NOT_FOUND) {
        ha_task_surprise(x, task, code, text);
        return;
    }
    note_failure(task, code, text);
    ha_step_text(task->step, what, sizeof what);
    if (x->error->status == HA_EXIT_DONE)
        x->run->failed_step = (int)(task - x->tasks);
    ha_fail(x->error, ha_exit_of_code(code), "%s: %s", what, task->failure);
    ha_task_end(x, task, HA_FAILED);
}

/* The address is where it was to be, and that is not enough. */
static void blame_endpoint(const struct ha_execution *x, struct ha_task *task)
{
    const struct ha_model *model = &x->session->observed.model;
    if (task->failure[0] || !(ha_step_types[task->step->kind].scope & HA_SCOPE_ENDPOINT) ||
        model->endpoint_answers != HACTL_NO || !x->session->private->endpoint_words[0])
        return;
    snprintf(task->failure, sizeof task->failure, "asked from here, %s", x->session->private->endpoint_words);
}

void ha_task_expire(struct ha_execution *x, struct ha_task *task)
{
    char text[900], time[64] = "no time was left for it";
    int64_t ms = ha_now_ms() - task->started_ms;
    const char *whose = x->run->deadline_ms && x->run->deadline_ms < task->deadline_ms ? " (--timeout)" : "";
    blame_endpoint(x, task);
    if (ms >= 100)
        snprintf(time, sizeof time, "not done in %.1f s", (double)ms / 1000);
    snprintf(text, sizeof text, "%s%s%s%s", time, whose, task->failure[0] ? "; last heard: " : "", task->failure);
    ha_task_fail(x, task, HACTL_E_TIMEOUT, text);
}

/* ---- starting */

static bool is_startable(const struct ha_execution *x, const struct ha_task *task)
{
    if (task->phase != HA_WAITING || x->stopping)
        return false;
    for (int i = 0; i < (int)(task - x->tasks); i++)
        if (ha_step_needs(task->step, i) && x->tasks[i].phase != HA_FINISHED)
            return false;
    return true;
}

/* With a release goes the intent of the claim after it: nothing is written
 * while the address is dark. */
static int announce(struct ha_execution *x, struct ha_task *task)
{
    if (!ha_step_types[task->step->kind].changes || task->announced)
        return 0;
    if (ha_task_write_intent(x, task))
        return -1;
    for (struct ha_task *next = task + 1; ha_step_is_release(task->step->kind) && next < x->tasks + x->count; next++)
        if (ha_step_is_claim(next->step->kind) && !next->announced)
            return ha_task_write_intent(x, next);
    return 0;
}

static void begin_task(struct ha_execution *x, struct ha_task *task)
{
    task->started_ms = ha_now_ms();
    task->deadline_ms = task->started_ms + ha_step_limit_ms(&x->session->observed.model, task->step);
    if (x->run->listener && x->run->listener->step_started)
        x->run->listener->step_started(x->run->listener->context, (int)(task - x->tasks), task->step);
}

/* One that was taken out of the balancer just now has handshakes under way
 * that no balancer knows to be unfinished; they get the time to end. Longer
 * connections are cut by the restart, and their clients open new ones. */
static bool leaves_service(const struct ha_execution *x, const struct ha_step *step)
{
    const struct ha_model *model = &x->session->observed.model;
    return (step->kind == HA_STEP_MEMBER_START || step->kind == HA_STEP_COMPONENTS_START ||
            step->kind == HA_STEP_CERTIFICATE_DELIVER) &&
           model->holder == HA_HOLDER_BALANCER && model->replicas[step->replica].backend == HA_BACKEND_NONE &&
           model->replicas[step->replica].deliveries[step->group] != HA_DELIVERY_NONE;
}

/* Announces all that can start now with one fsync, then starts it. */
static void start_tasks(struct ha_execution *x)
{
    struct ha_task *ready[HA_STEPS];
    int count = 0;
    bool changes = false;
    for (int i = 0; i < x->count; i++) {
        if (!is_startable(x, &x->tasks[i]))
            continue;
        changes |= ha_step_types[x->tasks[i].step->kind].changes && !x->tasks[i].announced;
        if (announce(x, &x->tasks[i])) {
            x->stopping = true;
            return;
        }
        ready[count++] = &x->tasks[i];
    }
    if (changes && ha_journal_sync(x->run->journal, x->error)) {
        x->stopping = true;
        return;
    }
    if (changes)
        ha_fault_point("sync");
    for (int i = 0; i < count; i++) {
        begin_task(x, ready[i]);
        if (ready[i]->token)
            ha_task_pause(x, ready[i], HA_POLLING, 0); /* it was begun by an earlier run */
        else if (ha_step_is_delicate(ready[i]->step->kind))
            ha_task_look(x, ready[i], true);
        else if (leaves_service(x, ready[i]->step))
            ha_task_pause(x, ready[i], HA_PAUSING, x->session->configuration->endpoint_drain_ms);
        else if (ha_step_types[ready[i]->step->kind].changes)
            ha_task_call(x, ready[i]);
        else
            ha_task_look(x, ready[i], false);
    }
}

/* ---- the loop */

/* Work that goes on elsewhere is left to it on an interrupt: its token is in
 * the journal, and the next run asks what has become of it. But not while the
 * address is on its way. */
static bool may_leave(const struct ha_execution *x, const struct ha_task *task)
{
    return ha_cancelled() && !x->run->dark && !ha_step_is_claim(task->step->kind) &&
           !ha_step_is_release(task->step->kind);
}

/* Once the run is stopping, what only waits or looks is given up. */
static bool is_busy(const struct ha_execution *x, const struct ha_task *task)
{
    switch (task->phase) {
    case HA_CALLING:
    case HA_VERIFYING:
        return true;
    case HA_POLLING:
        return !may_leave(x, task);
    case HA_CHECKING:
    case HA_PAUSING:
    case HA_RESTING:
        return !x->stopping;
    case HA_WAITING:
    case HA_FINISHED:
    case HA_FAILED:
        break;
    }
    return false;
}

static bool is_waiting(const struct ha_task *task)
{
    return task->phase == HA_PAUSING || task->phase == HA_POLLING || task->phase == HA_RESTING;
}

static void call_again(struct ha_execution *x, struct ha_task *task)
{
    if (ha_task_left_ms(x, task) <= 0)
        ha_task_expire(x, task);
    else if (task->code == HACTL_E_TIMEOUT || ha_step_is_delicate(task->step->kind))
        ha_task_look(x, task, true);
    else
        ha_task_call(x, task);
}

static void poll_again(struct ha_execution *x, struct ha_task *task)
{
    if (ha_task_left_ms(x, task) > 0) {
        ha_task_poll(x, task);
        return;
    }
    /* What was begun there may still end: the next run asks. */
    char heard[sizeof task->failure];
    snprintf(heard, sizeof heard, "begun, and still under way%s%.500s", task->failure[0] ? "; " : "", task->failure);
    memcpy(task->failure, heard, sizeof heard);
    ha_task_expire(x, task);
}

static void advance(struct ha_execution *x, struct ha_task *task, int64_t now_ms)
{
    if (!is_busy(x, task) || (is_waiting(task) && now_ms < task->next_ms))
        return;
    switch (task->phase) {
    case HA_CHECKING:
    case HA_VERIFYING:
        ha_task_judge(x, task);
        break;
    case HA_PAUSING:
        call_again(x, task);
        break;
    case HA_POLLING:
        poll_again(x, task);
        break;
    case HA_RESTING:
        ha_task_look_again(x, task);
        break;
    case HA_WAITING:
    case HA_CALLING:
    case HA_FINISHED:
    case HA_FAILED:
        break;
    }
}

static int64_t next_wake_ms(const struct ha_execution *x)
{
    int64_t wake_ms = ha_now_ms() + 200; /* so that an interrupt is heard */
    for (int i = 0; i < x->count; i++) {
        const struct ha_task *task = &x->tasks[i];
        if (is_busy(x, task) && is_waiting(task) && task->next_ms < wake_ms)
            wake_ms = task->next_ms;
    }
    return wake_ms;
}

static bool any_busy(const struct ha_execution *x)
{
    for (int i = 0; i < x->count; i++)
        if (is_busy(x, &x->tasks[i]))
            return true;
    return false;
}

static void round_of(struct ha_execution *x)
{
    int64_t now_ms = ha_now_ms();
    if (ha_cancelled())
        x->stopping = true;
    for (int i = 0; i < x->count; i++)
        advance(x, &x->tasks[i], now_ms);
    start_tasks(x);
    ha_watches_submit(&x->watches);
}

static void drain(struct ha_execution *x)
{
    while (x->calls_in_flight > 0 || x->watches.in_flight > 0) {
        struct hactl_call *call = ha_completions_take(x->session->completions, -1);
        if (call)
            ha_execution_take(x, call);
    }
    for (int i = 0; i < x->count; i++) {
        ha_delivery_end(&x->tasks[i].delivery);
        free(x->tasks[i].token);
    }
}

static bool hands_over(const struct ha_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        if (ha_step_is_release(plan->steps[i].kind) || ha_step_is_claim(plan->steps[i].kind))
            return true;
    return false;
}

static enum ha_outcome outcome(const struct ha_execution *x)
{
    bool all_done = true;
    for (int i = 0; i < x->count; i++)
        all_done &= x->tasks[i].phase == HA_FINISHED;
    if (x->error->status != HA_EXIT_DONE)
        return HA_OUTCOME_FAILED;
    if (all_done)
        return HA_OUTCOME_DONE;
    return ha_cancelled() ? HA_OUTCOME_CANCELLED : HA_OUTCOME_SURPRISED;
}

/* Every step that finished was looked at after its operation. Where an issuer is all that there is, the last of these
 * looks has shown all of it. */
static bool has_seen_all(const struct ha_execution *x)
{
    const struct ha_session *session = x->session;
    if (session->cloud || session->balancer || session->payload_count > 0)
        return false;
    for (int i = 0; i < x->count; i++)
        if (ha_step_types[x->tasks[i].step->kind].scope != HA_SCOPE_ISSUER)
            return false;
    return x->count > 0;
}

enum ha_outcome ha_execute(struct ha_run *run, struct ha_error *error)
{
    struct ha_execution *x = calloc(1, sizeof *x);
    if (!x) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        return HA_OUTCOME_FAILED;
    }
    x->run = run;
    x->session = run->session;
    x->error = error;
    x->count = run->plan->count;
    run->failed_step = -1;
    for (int i = 0; i < x->count; i++)
        x->tasks[i].step = &run->plan->steps[i];
    ha_watches_init(&x->watches, run->session);
    bool measures = !run->session->observed.model.destroy && run->session->observed.model.holder != HA_HOLDER_NONE &&
                    hands_over(run->plan);
    struct ha_prober *prober = measures ? ha_prober_start(run->session) : NULL;
    /* Before it is released; an address that does not answer is moved all the same. */
    ha_prober_await(prober, FIRST_ANSWER_MS);
    round_of(x);
    while (any_busy(x) || x->watches.in_flight > 0 || x->calls_in_flight > 0) {
        int64_t wait_ms = next_wake_ms(x) - ha_now_ms();
        struct hactl_call *call = ha_completions_take(run->session->completions, wait_ms > 0 ? wait_ms : 0);
        for (; call; call = ha_completions_take(run->session->completions, 0))
            ha_execution_take(x, call);
        round_of(x);
    }
    drain(x);
    enum ha_outcome result = outcome(x);
    ha_prober_stop(prober, result == HA_OUTCOME_DONE, run->report); /* a failure is not kept waiting */
    run->seen_all = result == HA_OUTCOME_DONE && has_seen_all(x);
    run->sequence += x->count + x->extra;
    free(x);
    return result;
}
