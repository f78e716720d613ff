/* SPDX-License-Identifier: Apache-2.0 */
/* A task's calls: its operation, the polls of what that began, and what their
 * answers mean. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/executor_internal.h"
#include "core/fault.h"
#include "core/log.h"

/* No single call may hold a plugin's worker for longer, however long its step may take. */
enum { CALL_MS = 10000, POLL_PAUSE_MS = 50 };

bool ha_step_is_delicate(enum ha_step_kind kind)
{
    return kind == HA_STEP_MEMBER_ADD || kind == HA_STEP_MEMBER_PROMOTE || kind == HA_STEP_LEADER_MOVE ||
           kind == HA_STEP_MEMBER_REMOVE;
}

bool ha_step_is_release(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_RELEASE || kind == HA_STEP_BALANCER_RELEASE;
}

bool ha_step_is_claim(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_CLAIM || kind == HA_STEP_BALANCER_CLAIM;
}

static bool is_delivery(enum ha_step_kind kind)
{
    return kind == HA_STEP_MEMBER_START || kind == HA_STEP_COMPONENTS_START || kind == HA_STEP_CERTIFICATE_DELIVER;
}

/* A replica that makes its own keys hands out requests first. */
static bool is_certification(const struct ha_execution *x, const struct ha_step *step)
{
    return step->kind == HA_STEP_CERTIFICATE_ISSUE && step->replica >= 0 && x->session->observed.model.replica_keys;
}

static int64_t call_ms(const struct ha_execution *x, const struct ha_task *task)
{
    int64_t left_ms = ha_task_left_ms(x, task);
    return left_ms < CALL_MS ? left_ms : CALL_MS;
}

static void submit(struct ha_execution *x, struct ha_task *task, struct hactl_call *call, const char *intent)
{
    task->phase = HA_CALLING;
    task->unsettled = true;
    call->user = task;
    snprintf(call->intent, sizeof call->intent, "%s", intent);
    x->calls_in_flight++;
    ha_fault_point("call");
    ha_call_submit(call, x->session->completions);
}

void ha_task_call(struct ha_execution *x, struct ha_task *task)
{
    const struct ha_step *step = task->step;
    x->run->dark |= ha_step_is_release(step->kind);
    if (is_delivery(step->kind)) {
        ha_delivery_end(&task->delivery);
        task->delivering = false;
        submit(x, task, ha_delivery_begin(x->session, step, &task->delivery, call_ms(x, task)), task->intent);
        return;
    }
    if (is_certification(x, step)) {
        ha_call_free(task->requests);
        task->requests = NULL;
        task->signing = false;
        submit(x, task, ha_ask_requests(x->session, step->replica, call_ms(x, task)), task->intent);
        return;
    }
    struct hactl_call *call = ha_ask_step(x->session, step, call_ms(x, task));
    if (call)
        submit(x, task, call, task->intent);
    else
        ha_task_look(x, task, false);
}

void ha_task_poll(struct ha_execution *x, struct ha_task *task)
{
    struct hactl_call *call = ha_ask_poll(x->session, task->token_of, task->token, call_ms(x, task));
    call->looks = true;
    submit(x, task, call, task->intent);
}

void ha_task_revive(struct ha_execution *x, struct ha_task *task, int replica)
{
    const struct ha_replica *r = &x->session->observed.model.replicas[replica];
    struct ha_step start = {.kind = HA_STEP_INSTANCE_START, .replica = replica, .group = -1};
    char intent[40] = "";
    snprintf(start.subject, sizeof start.subject, "%s", r->name);
    int seq = ha_execution_write_extra(x, &start, intent);
    if (seq < 0) {
        x->stopping = true;
        return;
    }
    ha_log(HACTL_LOG_INFO, "%s: %s; starting it again", r->name, r->detail);
    task->revivals++;
    task->reviving = seq;
    submit(x, task, ha_ask_step(x->session, &start, call_ms(x, task)), intent);
}

/* ---- answers */

static void drop_token(struct ha_task *task)
{
    free(task->token);
    task->token = NULL;
    task->token_is_old = false;
}

/* What runs is left alone, as if all that changes were read again. Other files would be there then and not be what it
 * runs on, and nobody would know. */
static bool would_change_more(const struct ha_execution *x, const struct ha_task *task)
{
    const char *runs = x->session->private->digests[task->step->replica][task->step->group];
    return task->delivery.keep_running && runs[0] && !ha_delivery_same(runs, task->delivery.digest, HA_DIGEST_FILES);
}

static void went_well(struct ha_execution *x, struct ha_task *task, struct hactl_call *call)
{
    if (is_delivery(task->step->kind) && !task->delivering) {
        struct hactl_call *next =
            ha_delivery_next(x->session, &task->delivery, call, call_ms(x, task), &task->delivering);
        if (next && task->delivering && would_change_more(x, task)) {
            ha_call_free(next);
            ha_task_surprise(x, task, HACTL_E_CONFLICT, "more of it has changed than what is read again");
        } else if (next)
            submit(x, task, next, task->intent);
        else
            ha_task_fail(x, task, HACTL_E_INTERNAL, task->delivery.why);
        return;
    }
    if (is_certification(x, task->step) && !task->signing) {
        task->requests = call;
        task->signing = true;
        submit(x, task, ha_ask_issue(x->session, task->step->replica, call, call_ms(x, task)), task->intent);
        return;
    }
    task->unsettled = false;
    task->delivered = task->delivering;
    if (task->delivering)
        memcpy(x->session->private->wanted[task->step->replica][task->step->group], task->delivery.digest, HA_DIGEST);
    ha_call_free(call);
    task->pause_ms = 0;
    if (ha_step_types[task->step->kind].scope != HA_SCOPE_NONE) {
        ha_task_look(x, task, false);
        return;
    }
    ha_step_apply(&x->session->observed.model, task->step);
    ha_task_end(x, task, HA_FINISHED);
}

/* What was begun has come to nothing without any effect, or an earlier run
 * began it and it has failed since: that is no failure of this one. */
static void start_anew(struct ha_execution *x, struct ha_task *task)
{
    ha_log(HACTL_LOG_INFO, "what was begun has come to nothing: %s; asking for it again", task->failure);
    drop_token(task);
    if (ha_task_renew_intent(x, task)) {
        x->stopping = true;
        task->phase = HA_WAITING;
        return;
    }
    ha_task_look(x, task, true);
}

static void went_wrong(struct ha_execution *x, struct ha_task *task, struct hactl_call *call)
{
    int code = call->code;
    uint32_t retry_after_ms = call->retry_after_ms;
    bool polls = call->polls;
    snprintf(task->failure, sizeof task->failure, "%s", call->text[0] ? call->text : ha_code_name(code));
    task->code = code;
    task->unsettled = !ha_code_settles(code);
    ha_call_free(call);
    bool again = code == HACTL_E_BUSY || code == HACTL_E_UNAVAILABLE || code == HACTL_E_TIMEOUT ||
                 (polls && code == HACTL_E_CANCELLED);
    if (polls && code == HACTL_E_ENDED && ha_task_left_ms(x, task) > 0) {
        start_anew(x, task);
    } else if (!again && polls && task->token_is_old && code != HACTL_E_CANCELLED && code != HACTL_E_INTERNAL) {
        start_anew(x, task);
    } else if (!again) {
        ha_task_fail(x, task, code, task->failure);
    } else if (ha_task_left_ms(x, task) <= 0) {
        ha_task_expire(x, task);
    } else {
        /* It is the poll that failed, not what it asks about. */
        ha_task_wait(x, task, polls ? HA_POLLING : HA_PAUSING, retry_after_ms);
    }
}

/* A pending operation's token, or a poll that says that it still is. */
static void take_token(struct ha_execution *x, struct ha_task *task, struct hactl_call *call)
{
    if (call->token && !call->polls) {
        drop_token(task);
        task->token = call->token;
        task->token_of = call->instance;
        call->token = NULL;
        task->pause_ms = 0;
        ha_task_write_token(x, task);
    }
    ha_task_pause(x, task, HA_POLLING, call->retry_after_ms ? call->retry_after_ms : POLL_PAUSE_MS);
    ha_call_free(call);
}

/* The token has ended, not the operation: that is asked for again. */
static void end_token(struct ha_execution *x, struct ha_task *task, struct hactl_call *call)
{
    ha_call_free(call);
    drop_token(task);
    task->pause_ms = 0;
    if (ha_step_is_delicate(task->step->kind))
        ha_task_look(x, task, true);
    else
        ha_task_call(x, task);
}

/* Whatever came of it: the next look shows. */
static void end_revival(struct ha_execution *x, struct ha_task *task, struct hactl_call *call)
{
    ha_execution_write_extra_result(x, task->reviving, call->code, call->ended_ms - call->started_ms);
    if (call->code < 0)
        ha_log(HACTL_LOG_INFO, "%s: %s", call->what, call->text);
    task->reviving = 0;
    ha_call_free(call);
    ha_task_pause(x, task, HA_RESTING, 0);
}

void ha_execution_take(struct ha_execution *x, struct hactl_call *call)
{
    if (ha_watches_take(&x->watches, call))
        return;
    struct ha_task *task = call->user;
    x->calls_in_flight--;
    ha_fault_point("answer");
    if (task->phase != HA_CALLING)
        ha_call_free(call);
    else if (task->reviving)
        end_revival(x, task, call);
    else if (call->code == HACTL_PENDING)
        take_token(x, task, call);
    else if (call->code < 0)
        went_wrong(x, task, call);
    else if (call->polls)
        end_token(x, task, call);
    else
        went_well(x, task, call);
}
