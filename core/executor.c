/* SPDX-License-Identifier: Apache-2.0 */
#include "core/executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/executor_internal.h"
#include "core/fault.h"
#include "core/prober.h"

enum { FIRST_PAUSE_MS = 4, LONGEST_PAUSE_MS = 500, REVIVE_EVERY_MS = 400, REVIVALS = 3, ISSUER_LOOKS = 4 };

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

static bool is_claim(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_CLAIM || kind == HA_STEP_BALANCER_CLAIM;
}

void ha_task_end(struct ha_execution *x, struct ha_task *task, enum ha_phase phase)
{
    struct ha_report *report = x->run->report;
    int64_t ms = ha_now_ms() - task->started_ms;
    task->phase = phase;
    task->unsettled &= phase == HA_FAILED;
    if (is_claim(task->step->kind) && phase == HA_FINISHED)
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

/* ---- looking */

static bool expected_is_seen(struct ha_execution *x, const struct ha_task *task)
{
    const struct ha_model *model = &x->session->observed.model;
    const struct ha_step *step = task->step;
    if (!ha_step_holds(model, step))
        return false;
    if (is_claim(step->kind))
        return model->endpoint_answers == HACTL_YES;
    /* The old one may still run: it is the new payload that has to. */
    if (!task->delivering)
        return true;
    const char *digest = x->session->private->digests[step->replica][step->group];
    return (!digest[0] && task->delivered) || strcmp(digest, task->delivery.digest) == 0;
}

/* A release is not looked at after it, but its outcome may have to be. */
static unsigned more_scopes(const struct ha_task *task)
{
    bool none = ha_step_types[task->step->kind].scope == HA_SCOPE_NONE;
    return task->checks && none ? HA_SCOPE_CLOUD | HA_SCOPE_BALANCER : 0;
}

static void look(struct ha_execution *x, struct ha_task *task, unsigned along)
{
    struct ha_watch *of[8];
    int count = ha_watches_of(&x->watches, task->step, more_scopes(task) | along, of);
    task->phase = task->checks ? HA_CHECKING : HA_VERIFYING;
    task->look = ha_watches_want(&x->watches, of, count);
}

void ha_task_look(struct ha_execution *x, struct ha_task *task, bool before)
{
    task->checks = before;
    look(x, task, 0);
}

/* Everything was looked at; what could not be seen is in `*blind`. */
static bool has_looked(struct ha_execution *x, const struct ha_task *task, const struct ha_watch **blind)
{
    struct ha_watch *of[8];
    int count = ha_watches_of(&x->watches, task->step, more_scopes(task), of);
    *blind = NULL;
    for (int i = 0; i < count; i++) {
        if (of[i]->ended < task->look)
            return false;
        if (of[i]->shown < task->look)
            *blind = of[i];
    }
    return true;
}

/* A member that joins may lose a race at its start and exit; etcd itself does
 * not try again. So while its group is waited for, what died is started again,
 * a few times. */
static bool awaits_processes(enum ha_step_kind kind)
{
    return kind == HA_STEP_GROUP_AWAIT || kind == HA_STEP_MEMBER_CATCH_UP || kind == HA_STEP_REPLICA_AWAIT;
}

static int64_t rest_ms(struct ha_execution *x, const struct ha_task *task)
{
    struct ha_watch *of[8];
    unsigned along = awaits_processes(task->step->kind) ? HA_SCOPE_CLOUD : 0;
    int count = ha_watches_of(&x->watches, task->step, more_scopes(task) | along, of);
    int64_t longest_ms = 0;
    for (int i = 0; i < count; i++)
        if (of[i]->rest_ms > longest_ms)
            longest_ms = of[i]->rest_ms;
    return longest_ms;
}

/* A look that failed shows nothing, least of all that all is as it was. */
static void judge_blind(struct ha_execution *x, struct ha_task *task, const struct ha_watch *blind)
{
    int code = blind->code;
    bool stops = code == HACTL_E_DENIED || code == HACTL_E_INVALID || code == HACTL_E_CONFLICT ||
                 code == HACTL_E_INTERNAL || code == HACTL_E_UNSUPPORTED;
    snprintf(task->failure, sizeof task->failure, "%s", blind->why);
    if (stops)
        ha_task_fail(x, task, code, task->failure);
    else if (ha_task_left_ms(x, task) <= 0)
        ha_task_expire(x, task);
    else
        ha_task_wait(x, task, HA_RESTING, rest_ms(x, task));
}

static int find_dead(const struct ha_model *model, const struct ha_step *step)
{
    for (int i = 0; i < model->replica_count; i++)
        for (int p = 0; p < model->payload_count; p++)
            if ((step->replica < 0 || step->replica == i) && model->replicas[i].deliveries[p] == HA_DELIVERY_DEAD &&
                ha_replica_needed(model, i))
                return i;
    return -1;
}

/* Whether the task waits on without. */
static bool revive(struct ha_execution *x, struct ha_task *task)
{
    const struct ha_model *model = &x->session->observed.model;
    int dead = find_dead(model, task->step);
    if (dead < 0)
        return true;
    if (task->revivals == REVIVALS) {
        snprintf(task->failure, sizeof task->failure, "%s does not stay up: %s", model->replicas[dead].name,
                 model->replicas[dead].detail);
        ha_task_fail(x, task, HACTL_E_FAILED, task->failure);
        return false;
    }
    ha_task_revive(x, task, dead);
    return false;
}

/* Who is waited for, and what is known of him. */
static void name_absent(struct ha_execution *x, struct ha_task *task)
{
    const struct ha_model *model = &x->session->observed.model;
    const struct ha_step *step = task->step;
    int absent = step->kind == HA_STEP_REPLICA_AWAIT ? step->replica : -1;

    for (int m = 0; step->kind == HA_STEP_GROUP_AWAIT && m < model->groups[step->group].member_count; m++) {
        const struct ha_member *member = &model->groups[step->group].members[m];
        if (absent < 0 && member->voter && member->healthy != HACTL_YES && member->replica >= 0 &&
            model->replicas[member->replica].wanted)
            absent = member->replica;
    }
    if (absent < 0)
        return;
    const struct ha_replica *r = &model->replicas[absent];
    snprintf(task->failure, sizeof task->failure, "%s does not answer%s%.500s", r->name, r->detail[0] ? ": " : "",
             r->detail);
}

/* What an issuer has made is there when it says so; nothing that is waited for would bring it. */
static bool issuer_errs(const struct ha_execution *x, struct ha_task *task)
{
    const struct ha_observation *observed = &x->session->observed;
    const char *of = task->step->replica >= 0 ? observed->model.replicas[task->step->replica].name : "";
    if (ha_step_types[task->step->kind].scope != HA_SCOPE_ISSUER || ++task->unseen < ISSUER_LOOKS)
        return false;
    snprintf(task->failure, sizeof task->failure, "the issuer says that it is done, and it is not to be seen");
    for (size_t i = 0; i < observed->certificate_count; i++) {
        const struct ha_certificate *one = &observed->certificates[i];
        if (one->ready == HACTL_YES || (of[0] && strcmp(one->replica, of) != 0))
            continue;
        snprintf(task->failure, sizeof task->failure, "the issuer says that it is done, and %s%s%s is not: %.400s",
                 one->purpose, one->replica[0] ? " of " : "", one->replica, one->reason);
        break;
    }
    return true;
}

static void judge(struct ha_execution *x, struct ha_task *task)
{
    if (expected_is_seen(x, task)) {
        ha_task_end(x, task, HA_FINISHED);
        return;
    }
    if (ha_task_left_ms(x, task) <= 0) {
        name_absent(x, task);
        ha_task_expire(x, task);
        return;
    }
    if (issuer_errs(x, task)) {
        ha_task_fail(x, task, HACTL_E_FAILED, task->failure);
        return;
    }
    if (awaits_processes(task->step->kind) && !x->stopping && ha_now_ms() - task->revived_ms > REVIVE_EVERY_MS) {
        bool first = !task->revived_ms;
        task->revived_ms = ha_now_ms();
        if (!first && !revive(x, task))
            return;
    }
    ha_task_pause(x, task, HA_RESTING, rest_ms(x, task));
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
        if (is_claim(next->step->kind) && !next->announced)
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

static void start_checked(struct ha_execution *x, struct ha_task *task)
{
    if (expected_is_seen(x, task)) {
        ha_task_end(x, task, HA_FINISHED);
    } else if (ha_step_is_delicate(task->step->kind) &&
               !ha_step_still_planned(&x->session->observed.model, task->step)) {
        x->surprised = x->stopping = true;
        task->phase = HA_WAITING;
    } else {
        ha_task_call(x, task);
    }
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
    return ha_cancelled() && !x->run->dark && !is_claim(task->step->kind) && !ha_step_is_release(task->step->kind);
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

static void judge_look(struct ha_execution *x, struct ha_task *task)
{
    const struct ha_watch *blind;
    if (!has_looked(x, task, &blind))
        return;
    if (blind)
        judge_blind(x, task, blind);
    else if (task->checks)
        start_checked(x, task);
    else
        judge(x, task);
}

static void advance(struct ha_execution *x, struct ha_task *task, int64_t now_ms)
{
    if (!is_busy(x, task) || (is_waiting(task) && now_ms < task->next_ms))
        return;
    switch (task->phase) {
    case HA_CHECKING:
    case HA_VERIFYING:
        judge_look(x, task);
        break;
    case HA_PAUSING:
        call_again(x, task);
        break;
    case HA_POLLING:
        poll_again(x, task);
        break;
    case HA_RESTING:
        look(x, task, awaits_processes(task->step->kind) ? HA_SCOPE_CLOUD : 0);
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
        if (ha_step_is_release(plan->steps[i].kind) || is_claim(plan->steps[i].kind))
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
