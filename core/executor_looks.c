/* SPDX-License-Identifier: Apache-2.0 */
/* What a step is to lead to, looked for: before its operation is called, after it, and while something is waited for.
 */
#include <stdio.h>
#include <string.h>

#include "core/executor_internal.h"

enum { REVIVE_EVERY_MS = 400, REVIVALS = 3, ISSUER_LOOKS = 4 };

static bool expected_is_seen(struct ha_execution *x, const struct ha_task *task)
{
    const struct ha_model *model = &x->session->observed.model;
    const struct ha_step *step = task->step;
    if (!ha_step_holds(model, step))
        return false;
    if (ha_step_is_claim(step->kind))
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

/* A member that joins may lose a race at its start and exit; etcd itself does
 * not try again. So while its group is waited for, what died is started again,
 * a few times. */
static bool awaits_processes(enum ha_step_kind kind)
{
    return kind == HA_STEP_GROUP_AWAIT || kind == HA_STEP_MEMBER_CATCH_UP || kind == HA_STEP_REPLICA_AWAIT;
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

void ha_task_look_again(struct ha_execution *x, struct ha_task *task)
{
    look(x, task, awaits_processes(task->step->kind) ? HA_SCOPE_CLOUD : 0);
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

static void judge_after(struct ha_execution *x, struct ha_task *task)
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

static void judge_before(struct ha_execution *x, struct ha_task *task)
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

void ha_task_judge(struct ha_execution *x, struct ha_task *task)
{
    const struct ha_watch *blind;
    if (!has_looked(x, task, &blind))
        return;
    if (blind)
        judge_blind(x, task, blind);
    else if (task->checks)
        judge_before(x, task);
    else
        judge_after(x, task);
}
