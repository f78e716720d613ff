/* SPDX-License-Identifier: Apache-2.0 */
#include "core/executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/delivery.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/prober.h"
#include "core/session_internal.h"
#include "core/watch.h"

enum { FIRST_PAUSE_MS = 4, LONGEST_PAUSE_MS = 500, POLL_PAUSE_MS = 50, REVIVE_EVERY_MS = 400, REVIVALS = 3 };

enum phase {
    WAITING,   /* for the steps it needs */
    CHECKING,  /* is the world still as the plan takes it to be? */
    CALLING,   /* an operation is under way */
    PAUSING,   /* until `next_ms`, then the operation again */
    POLLING,   /* a token is out; until `next_ms`, then poll */
    VERIFYING, /* looking for the expected state */
    RESTING,   /* until `next_ms`, then looking again */
    DONE,
    FAILED
};

struct task {
    const struct ha_step *step;
    enum phase phase;
    int64_t started_ms, deadline_ms, next_ms, pause_ms;
    bool announced; /* its intent is in the journal */
    char intent[40];
    char *token;
    struct ha_instance *token_of;
    struct ha_delivery_work delivery;
    bool delivering;
    uint64_t look; /* tick from which on a look counts */
    int64_t revived_ms;
    int revivals;
    int code; /* of the last failure */
    char failure[640];
};

struct execution {
    struct ha_run *run;
    struct ha_session *session;
    struct ha_watches watches;
    struct task tasks[HA_STEPS];
    int count, calls_in_flight;
    bool stopping, surprised;
    struct ha_error *error;
};

static int64_t left_ms(const struct execution *x, const struct task *task)
{
    int64_t deadline_ms = task->deadline_ms;
    if (x->run->deadline_ms && x->run->deadline_ms < deadline_ms)
        deadline_ms = x->run->deadline_ms;
    return deadline_ms - ha_now_ms();
}

static void pause(struct task *task, enum phase phase, uint32_t at_least_ms)
{
    task->pause_ms = task->pause_ms ? task->pause_ms * 8 / 5 : FIRST_PAUSE_MS;
    if (task->pause_ms > LONGEST_PAUSE_MS)
        task->pause_ms = LONGEST_PAUSE_MS;
    task->phase = phase;
    task->next_ms = ha_now_ms() + (task->pause_ms > at_least_ms ? task->pause_ms : at_least_ms);
}

/* ---- the journal */

static void make_uuid(char out[40])
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != sizeof b)
        abort();
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, 40, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* An intent whose result never came is the same intent when it is repeated. */
static bool find_intent(const json_t *earlier, const struct ha_step *step, char out[40])
{
    bool open = false;
    json_int_t seq = -1;
    size_t index;
    json_t *record;
    json_array_foreach((json_t *)earlier, index, record)
    {
        const char *type = "", *name = "", *subject = "", *intent = "";
        json_int_t at = 0;
        json_unpack(record, "{s?s s?s s?s s?s s?I}", "type", &type, "step", &name, "subject", &subject, "intent",
                    &intent, "seq", &at);
        if (strcmp(type, "intent") == 0 && strcmp(name, ha_step_types[step->kind].name) == 0 &&
            strcmp(subject, step->subject) == 0) {
            snprintf(out, 40, "%s", intent);
            seq = at;
            open = true;
        } else if (strcmp(type, "result") == 0 && at == seq) {
            open = false;
        }
    }
    return open;
}

static int write_intent(struct execution *x, struct task *task, bool sync)
{
    const struct ha_step *step = task->step;
    task->announced = true;
    if (!find_intent(x->run->earlier, step, task->intent))
        make_uuid(task->intent);
    json_t *record =
        json_pack("{ss si ss ss ss}", "type", "intent", "seq", x->run->sequence + (int)(task - x->tasks), "step",
                  ha_step_types[step->kind].name, "subject", step->subject, "intent", task->intent);
    return ha_journal_append(x->run->journal, record, sync, x->error);
}

static void write_result(struct execution *x, struct task *task)
{
    struct ha_error ignored = {0};
    json_t *record = json_pack("{ss si ss sI}", "type", "result", "seq", x->run->sequence + (int)(task - x->tasks),
                               "code", task->phase == DONE ? "ok" : ha_code_name(task->code), "ms",
                               (json_int_t)(ha_now_ms() - task->started_ms));
    if (task->phase == FAILED)
        json_object_set_new(record, "text", json_string(task->failure));
    /* A lost result costs nothing: the next run looks at the world. */
    ha_journal_append(x->run->journal, record, false, &ignored);
}

/* ---- a task's ends */

static void end_task(struct execution *x, struct task *task, enum phase phase)
{
    struct ha_report *report = x->run->report;
    int64_t ms = ha_now_ms() - task->started_ms;
    task->phase = phase;
    ha_delivery_end(&task->delivery);
    free(task->token);
    task->token = NULL;
    if (task->announced)
        write_result(x, task);
    report->steps++;
    if (report->timing_count < HA_STEPS) {
        ha_step_text(task->step, report->timings[report->timing_count].text, sizeof report->timings[0].text);
        report->timings[report->timing_count++].ms = ms;
    }
    if (x->run->listener && x->run->listener->step_ended)
        x->run->listener->step_ended(x->run->listener->context, (int)(task - x->tasks), task->step, ms,
                                     phase == DONE ? NULL : task->failure);
    x->stopping |= phase == FAILED;
}

static void fail_task(struct execution *x, struct task *task, int code, const char *text)
{
    char what[HA_NAME * 4];
    task->code = code;
    if (text != task->failure)
        snprintf(task->failure, sizeof task->failure, "%s", text && text[0] ? text : ha_code_name(code));
    ha_step_text(task->step, what, sizeof what);
    if (code == HACTL_E_NOT_FOUND) {
        x->surprised = true;
    } else {
        if (x->error->status == HA_EXIT_DONE)
            x->run->failed_step = (int)(task - x->tasks);
        ha_fail(x->error, ha_exit_of_code(code), "%s: %s", what, task->failure);
    }
    end_task(x, task, FAILED);
}

static void expire_task(struct execution *x, struct task *task)
{
    char text[900];
    snprintf(text, sizeof text, "not done in %.1f s%s%s", (double)(ha_now_ms() - task->started_ms) / 1000,
             task->failure[0] ? "; last heard: " : "", task->failure);
    fail_task(x, task, HACTL_E_TIMEOUT, text);
}

/* ---- looking */

static bool is_claim(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_CLAIM || kind == HA_STEP_BALANCER_CLAIM;
}

static bool expected_is_seen(struct execution *x, const struct task *task)
{
    const struct ha_model *model = &x->session->observed.model;
    const struct ha_step *step = task->step;
    if (!ha_step_holds(model, step))
        return false;
    if (is_claim(step->kind))
        return model->endpoint_answers == HACTL_YES;
    /* The old one may still run: it is the new payload that has to. */
    const char *digest = task->delivery.digest[0] ? x->session->private->digests[step->replica][step->group] : "";
    return !digest[0] || strcmp(digest, task->delivery.digest) == 0;
}

static void look(struct execution *x, struct task *task, unsigned more_scopes)
{
    struct ha_watch *of[8];
    int count = ha_watches_of(&x->watches, task->step, more_scopes, of);
    task->phase = task->phase == CHECKING ? CHECKING : VERIFYING;
    task->look = ha_watches_want(&x->watches, of, count);
}

static bool has_looked(struct execution *x, const struct task *task)
{
    struct ha_watch *of[8];
    int count = ha_watches_of(&x->watches, task->step, 0, of);
    for (int i = 0; i < count; i++)
        if (of[i]->shown < task->look)
            return false;
    return true;
}

/* A member that joins may lose a race at its start and exit; etcd itself does
 * not try again. So while its group is waited for, what died is started again,
 * a few times. */
static bool awaits_processes(enum ha_step_kind kind)
{
    return kind == HA_STEP_GROUP_AWAIT || kind == HA_STEP_MEMBER_CATCH_UP || kind == HA_STEP_REPLICA_AWAIT;
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

static bool revive(struct execution *x, struct task *task)
{
    const struct ha_model *model = &x->session->observed.model;
    int dead = find_dead(model, task->step);
    if (dead < 0)
        return true;
    if (task->revivals == REVIVALS) {
        snprintf(task->failure, sizeof task->failure, "%s does not stay up: %s", model->replicas[dead].name,
                 model->replicas[dead].detail);
        fail_task(x, task, HACTL_E_FAILED, task->failure);
        return false;
    }
    task->revivals++;
    struct ha_step start = {.kind = HA_STEP_INSTANCE_START, .replica = dead, .group = -1};
    snprintf(start.subject, sizeof start.subject, "%s", model->replicas[dead].name);
    struct hactl_call *call = ha_ask_step(x->session, &start, left_ms(x, task));
    ha_log(HACTL_LOG_INFO, "%s: %s; starting it again", model->replicas[dead].name, model->replicas[dead].detail);
    call->user = NULL; /* nobody waits for it: the next look shows what came of it */
    x->calls_in_flight++;
    ha_call_submit(call, x->session->completions);
    return true;
}

static void judge(struct execution *x, struct task *task)
{
    if (expected_is_seen(x, task)) {
        end_task(x, task, DONE);
        return;
    }
    if (left_ms(x, task) <= 0) {
        expire_task(x, task);
        return;
    }
    if (awaits_processes(task->step->kind) && ha_now_ms() - task->revived_ms > REVIVE_EVERY_MS) {
        if (task->revived_ms && !revive(x, task))
            return;
        task->revived_ms = ha_now_ms();
    }
    pause(task, RESTING, 0);
}

/* ---- calling */

static void submit(struct execution *x, struct task *task, struct hactl_call *call)
{
    task->phase = CALLING;
    call->user = task;
    snprintf(call->intent, sizeof call->intent, "%s", task->intent);
    x->calls_in_flight++;
    ha_fault_point("call");
    ha_call_submit(call, x->session->completions);
}

static bool is_delivery(enum ha_step_kind kind)
{
    return kind == HA_STEP_MEMBER_START || kind == HA_STEP_COMPONENTS_START;
}

static void call_operation(struct execution *x, struct task *task)
{
    const struct ha_step *step = task->step;
    int64_t timeout_ms = left_ms(x, task);
    if (is_delivery(step->kind)) {
        ha_delivery_end(&task->delivery);
        task->delivering = false;
        submit(x, task, ha_delivery_begin(x->session, step->group, step->replica, &task->delivery, timeout_ms));
        return;
    }
    struct hactl_call *call = ha_ask_step(x->session, step, timeout_ms);
    if (call)
        submit(x, task, call);
    else
        look(x, task, 0);
}

static void went_well(struct execution *x, struct task *task, struct hactl_call *call)
{
    if (is_delivery(task->step->kind) && !task->delivering) {
        struct hactl_call *next =
            ha_delivery_next(x->session, &task->delivery, call, left_ms(x, task), &task->delivering);
        if (next)
            submit(x, task, next);
        else
            fail_task(x, task, HACTL_E_INTERNAL, "the issuer gave no content for a credential that the payload names");
        return;
    }
    if (task->delivering) {
        const struct ha_step *step = task->step;
        memcpy(x->session->private->wanted[step->replica][step->group], task->delivery.digest, HA_DIGEST);
    }
    ha_call_free(call);
    task->pause_ms = 0;
    if (ha_step_types[task->step->kind].scope != HA_SCOPE_NONE) {
        look(x, task, 0);
        return;
    }
    ha_step_apply(&x->session->observed.model, task->step);
    end_task(x, task, DONE);
}

static void went_wrong(struct execution *x, struct task *task, struct hactl_call *call)
{
    int code = call->code;
    uint32_t retry_after_ms = call->retry_after_ms;
    snprintf(task->failure, sizeof task->failure, "%s", call->text[0] ? call->text : ha_code_name(code));
    task->code = code;
    ha_call_free(call);
    bool again = code == HACTL_E_BUSY || code == HACTL_E_UNAVAILABLE || code == HACTL_E_TIMEOUT;
    if (!again) {
        fail_task(x, task, code, task->failure);
    } else if (left_ms(x, task) <= 0) {
        expire_task(x, task);
    } else {
        if (x->run->listener && x->run->listener->step_waiting)
            x->run->listener->step_waiting(x->run->listener->context, (int)(task - x->tasks), task->failure);
        pause(task, PAUSING, retry_after_ms);
    }
}

/* A pending operation's token; or a poll that says that it is over. */
static void take_token(struct task *task, struct hactl_call *call)
{
    if (call->token) {
        free(task->token);
        task->token = call->token;
        call->token = NULL;
    }
    task->token_of = call->instance;
    task->phase = POLLING;
    task->next_ms = ha_now_ms() + (call->retry_after_ms ? call->retry_after_ms : POLL_PAUSE_MS);
    ha_call_free(call);
}

static void take_call(struct execution *x, struct hactl_call *call)
{
    int code = HACTL_OK;
    if (ha_watches_take(&x->watches, call, &code))
        return;
    struct task *task = call->user;
    x->calls_in_flight--;
    ha_fault_point("answer");
    if (!task || task->phase != CALLING) {
        ha_call_free(call);
    } else if (call->code == HACTL_PENDING) {
        take_token(task, call);
    } else if (call->code < 0) {
        went_wrong(x, task, call);
    } else if (task->token) {
        /* The token has ended, not the operation: ask for the operation again. */
        free(task->token);
        task->token = NULL;
        ha_call_free(call);
        call_operation(x, task);
    } else {
        went_well(x, task, call);
    }
}

/* ---- starting */

static bool is_startable(const struct execution *x, const struct task *task)
{
    if (task->phase != WAITING || x->stopping)
        return false;
    for (int i = 0; i < (int)(task - x->tasks); i++)
        if (ha_step_needs(task->step, i) && x->tasks[i].phase != DONE)
            return false;
    return true;
}

/* Changes of membership are made only on a fresh look: no more voters may be
 * missing than the plan allowed for. */
static bool is_delicate(enum ha_step_kind kind)
{
    return kind == HA_STEP_MEMBER_ADD || kind == HA_STEP_MEMBER_PROMOTE || kind == HA_STEP_LEADER_MOVE ||
           kind == HA_STEP_MEMBER_REMOVE;
}

static bool is_release(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_RELEASE || kind == HA_STEP_BALANCER_RELEASE;
}

/* With a release goes the intent of the claim after it: nothing is written
 * while the address is dark. */
static int announce(struct execution *x, struct task *task)
{
    if (!ha_step_types[task->step->kind].changes || task->announced)
        return 0;
    if (write_intent(x, task, false))
        return -1;
    for (struct task *next = task + 1; is_release(task->step->kind) && next < x->tasks + x->count; next++)
        if (is_claim(next->step->kind) && !next->announced)
            return write_intent(x, next, false);
    return 0;
}

static void begin_task(struct execution *x, struct task *task)
{
    task->started_ms = ha_now_ms();
    task->deadline_ms = task->started_ms + ha_step_types[task->step->kind].deadline_ms;
    if (x->run->listener && x->run->listener->step_started)
        x->run->listener->step_started(x->run->listener->context, (int)(task - x->tasks), task->step);
}

static bool still_as_planned(const struct execution *x, const struct ha_step *step)
{
    const struct ha_group *group = &x->session->observed.model.groups[step->group];
    struct ha_budget now = ha_group_budget(group);
    return group->quorum == HACTL_YES && !group->alarm[0] && now.tolerates >= step->before.tolerates;
}

static void start_checked(struct execution *x, struct task *task)
{
    if (ha_step_holds(&x->session->observed.model, task->step)) {
        end_task(x, task, DONE);
    } else if (!still_as_planned(x, task->step)) {
        x->surprised = x->stopping = true;
        task->phase = WAITING;
    } else {
        call_operation(x, task);
    }
}

/* One that was taken out of the balancer just now has handshakes under way
 * that no balancer knows to be unfinished; they get the time to end. Longer
 * connections are cut by the restart, and their clients open new ones. */
static bool leaves_service(const struct execution *x, const struct ha_step *step)
{
    const struct ha_model *model = &x->session->observed.model;
    return is_delivery(step->kind) && model->holder == HA_HOLDER_BALANCER &&
           model->replicas[step->replica].backend == HA_BACKEND_NONE &&
           model->replicas[step->replica].deliveries[step->group] != HA_DELIVERY_NONE;
}

/* Announces all that can start now with one fsync, then starts it. */
static void start_tasks(struct execution *x)
{
    struct task *ready[HA_STEPS];
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
        if (is_delicate(ready[i]->step->kind)) {
            ready[i]->phase = CHECKING;
            look(x, ready[i], 0);
        } else if (leaves_service(x, ready[i]->step)) {
            pause(ready[i], PAUSING, (uint32_t)x->session->configuration->endpoint_drain_ms);
        } else if (ha_step_types[ready[i]->step->kind].changes) {
            call_operation(x, ready[i]);
        } else {
            look(x, ready[i], 0);
        }
    }
}

/* ---- the loop */

static void advance(struct execution *x, struct task *task, int64_t now_ms)
{
    bool due = now_ms >= task->next_ms;
    switch (task->phase) {
    case CHECKING:
        if (has_looked(x, task))
            start_checked(x, task);
        break;
    case VERIFYING:
        if (has_looked(x, task))
            judge(x, task);
        break;
    case PAUSING:
        if (due && ha_step_holds(&x->session->observed.model, task->step) && ha_step_types[task->step->kind].scope &&
            task->code == HACTL_E_TIMEOUT)
            look(x, task, 0);
        else if (due)
            call_operation(x, task);
        break;
    case POLLING:
        /* What was begun there may still end: the next run looks. */
        if (due && left_ms(x, task) <= 0) {
            snprintf(task->failure, sizeof task->failure, "begun, and still under way");
            expire_task(x, task);
        } else if (due)
            submit(x, task, ha_ask_poll(x->session, task->token_of, task->token, left_ms(x, task)));
        break;
    case RESTING:
        if (due)
            look(x, task, awaits_processes(task->step->kind) ? HA_SCOPE_CLOUD : 0);
        break;
    case WAITING:
    case CALLING:
    case DONE:
    case FAILED:
        break;
    }
}

static bool is_under_way(const struct task *task)
{
    return task->phase != WAITING && task->phase != DONE && task->phase != FAILED;
}

/* Once the run is stopping, what only waits or looks is given up. */
static bool is_busy(const struct execution *x, const struct task *task)
{
    if (!is_under_way(task))
        return false;
    return !x->stopping || task->phase == CALLING || task->phase == POLLING || task->phase == VERIFYING;
}

static int64_t next_wake_ms(const struct execution *x)
{
    int64_t wake_ms = ha_now_ms() + 200; /* so that an interrupt is heard */
    for (int i = 0; i < x->count; i++) {
        const struct task *task = &x->tasks[i];
        if ((task->phase == PAUSING || task->phase == POLLING || task->phase == RESTING) && task->next_ms < wake_ms)
            wake_ms = task->next_ms;
    }
    return wake_ms;
}

static bool any_busy(const struct execution *x)
{
    for (int i = 0; i < x->count; i++)
        if (is_busy(x, &x->tasks[i]))
            return true;
    return false;
}

static void round_of(struct execution *x)
{
    int64_t now_ms = ha_now_ms();
    if (ha_cancelled())
        x->stopping = true;
    for (int i = 0; i < x->count; i++)
        advance(x, &x->tasks[i], now_ms);
    start_tasks(x);
    ha_watches_submit(&x->watches);
}

static void drain(struct execution *x)
{
    while (x->calls_in_flight > 0 || x->watches.in_flight > 0) {
        struct hactl_call *call = ha_completions_take(x->session->completions, -1);
        if (call)
            take_call(x, call);
    }
    for (int i = 0; i < x->count; i++) {
        ha_delivery_end(&x->tasks[i].delivery);
        free(x->tasks[i].token);
    }
}

static bool hands_over(const struct ha_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        if (is_release(plan->steps[i].kind) || is_claim(plan->steps[i].kind))
            return true;
    return false;
}

static enum ha_outcome outcome(const struct execution *x)
{
    bool all_done = true;
    for (int i = 0; i < x->count; i++)
        all_done &= x->tasks[i].phase == DONE;
    if (x->error->status != HA_EXIT_DONE)
        return HA_OUTCOME_FAILED;
    if (all_done)
        return HA_OUTCOME_DONE;
    return ha_cancelled() ? HA_OUTCOME_CANCELLED : HA_OUTCOME_SURPRISED;
}

enum ha_outcome ha_execute(struct ha_run *run, struct ha_error *error)
{
    struct execution *x = calloc(1, sizeof *x);
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
            take_call(x, call);
        round_of(x);
    }
    drain(x);
    ha_prober_stop(prober, run->report);
    run->sequence += x->count;
    enum ha_outcome result = outcome(x);
    free(x);
    return result;
}
