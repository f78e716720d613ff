/* SPDX-License-Identifier: Apache-2.0 */
/* Of a plan as a whole, and of what must come to its end. */
#include <stdio.h>
#include <string.h>

#include "core/request.h"
#include "tests/plan/laws.h"

static bool is_release(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_RELEASE || kind == HA_STEP_BALANCER_RELEASE;
}
bool step_is_claim(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_CLAIM || kind == HA_STEP_BALANCER_CLAIM;
}

/* An address that answers nowhere can wait for its claim. */
bool step_makes_dark(const struct ha_model *model, const struct ha_step *step)
{
    if (!is_release(step->kind) || model->holder == HA_HOLDER_BOTH)
        return false;
    const struct ha_replica *r = &model->replicas[step->replica < 0 ? 0 : step->replica];
    return step->kind == HA_STEP_BALANCER_RELEASE || r->ready != HACTL_NO ||
           (r->wanted && !ha_replica_lost(model, step->replica));
}

static const char *releases_are_claimed(const struct ha_model *model, const struct ha_plan *plan)
{
    static struct ha_model now;
    bool released = false;
    now = *model;
    for (int i = 0; i < plan->count; i++) {
        if (released && !step_is_claim(plan->steps[i].kind))
            return "something else between release and claim";
        released = step_makes_dark(&now, &plan->steps[i]);
        ha_step_apply(&now, &plan->steps[i]);
    }
    return released ? "released and never claimed" : NULL;
}

/* ---- what must come to its end */

static bool replica_is_known(const struct ha_replica *r, int payloads)
{
    for (int p = 0; p < payloads; p++)
        if (r->deliveries[p] == HA_DELIVERY_UNKNOWN)
            return false;
    return r->address != HACTL_UNKNOWN && r->certificates != HA_CERTIFICATES_UNKNOWN &&
           r->instance != HACTL_INSTANCE_UNKNOWN && r->data != HACTL_UNKNOWN && r->ready != HACTL_UNKNOWN &&
           r->backend != HA_BACKEND_UNKNOWN;
}

static bool group_is_fit(const struct ha_model *model, const struct ha_group *group)
{
    for (int m = 0; m < group->member_count; m++)
        if (group->members[m].healthy == HACTL_UNKNOWN || (group->members[m].replica < 0 && !model->repair))
            return false;
    return group->formed == HACTL_YES && group->quorum == HACTL_YES && !group->alarm[0];
}

/* It has what a member left behind that is no more, or nothing any more. */
static bool is_worthless(const struct ha_model *model, int i)
{
    bool worthless = model->replicas[i].data == HACTL_NO;
    for (int g = 0; g < model->group_count; g++)
        worthless |=
            model->replicas[i].deliveries[g] != HA_DELIVERY_NONE && ha_model_member_of(&model->groups[g], i) < 0;
    return worthless;
}

/* The address and a place behind the balancer are given to voters; a learner that has one is no work of ours. */
static bool learner_serves(const struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++)
        for (int m = 0; m < model->groups[g].member_count; m++) {
            const struct ha_member *member = &model->groups[g].members[m];
            if (member->replica >= 0 && !member->voter &&
                (member->replica == model->holder_replica ||
                 model->replicas[member->replica].backend != HA_BACKEND_NONE))
                return true;
        }
    return false;
}

/* A rotation waits for whoever does not tell what he runs on, and until tokens of
 * the old key have expired; it begins with the first phase, and ends from the third on. */
static bool rotation_can_end(const struct ha_model *model)
{
    int found = (int)model->rotation_found;
    if (model->rotation[0] == '\0' || found == HACTL_ROTATION_NONE)
        return model->rotation[0] == '\0' || model->rotation_goal <= HA_ROTATE_PREPARE;
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].unproved & model->rotation_payloads)
            return false;
    return model->rotation_goal == HA_ROTATE_RETIRE ? found >= HACTL_ROTATION_SWITCH && !model->rotation_early
                                                    : (int)model->rotation_goal <= found + 1;
}

bool must_converge(const struct ha_model *model)
{
    bool some = false;
    if (learner_serves(model) && !model->destroy)
        return false;
    if (!model->destroy && !rotation_can_end(model))
        return false;
    if (model->holder == HA_HOLDER_UNKNOWN || model->balancer == HACTL_UNKNOWN || model->address == HACTL_UNKNOWN ||
        model->authority == HACTL_UNKNOWN)
        return false;
    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *r = &model->replicas[i];
        some |= r->wanted;
        if (!replica_is_known(r, model->payload_count) ||
            (r->wanted && !model->repair && !model->destroy && is_worthless(model, i)))
            return false;
    }
    for (int g = 0; g < model->group_count && !model->destroy; g++)
        if (!group_is_fit(model, &model->groups[g]))
            return false;
    return some || model->destroy;
}

/* What people are told about the cluster that they are to get. */
const char *law_of_warnings(const struct ha_model *end)
{
    char warnings[HA_WARNINGS][256];
    int count = 0, wanted = 0;
    bool shared = false, even = false, said_shared = false, said_even = false;
    ha_request_warn(end, warnings, &count);
    for (int i = 0; i < end->replica_count; i++) {
        wanted += end->replicas[i].wanted;
        for (int j = 0; j < i; j++)
            shared |= end->replicas[i].wanted && end->replicas[j].wanted &&
                      strcmp(end->replicas[i].zone, end->replicas[j].zone) == 0;
    }
    even = wanted > 0 && wanted % 2 == 0;
    for (int w = 0; w < count; w++) {
        said_shared |= strstr(warnings[w], "in zone") != NULL;
        said_even |= strstr(warnings[w], "no more than") != NULL;
    }
    if (end->destroy)
        return count ? "warns of what is going to be gone" : NULL;
    return said_shared != shared ? "the warning about zones is wrong"
           : said_even != even   ? "the warning about an even count is wrong"
                                 : NULL;
}

const char *law_of_plan(const struct ha_model *model, const struct ha_plan_scope *scope, const struct ha_plan *plan)
{
    if (plan->count == HA_STEPS)
        return "the plan does not end";
    if (plan->converged != ha_model_converged(&plan->end, scope))
        return "converged is not what the end says";
    if (!plan->converged && (plan->blocked_count < 1 || !plan->blocked[0][0]))
        return "neither converged nor blocked";
    if (!plan->converged && must_converge(model))
        return "nothing is in the way, and still it is not reached";
    const char *wrong = law_of_warnings(&plan->end);
    if (wrong)
        return wrong;
    return model->destroy ? NULL : releases_are_claimed(model, plan);
}
