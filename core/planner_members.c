/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for the membership of consensus groups. One change at a time: a
 * change is proposed only while the group has its quorum and no learner is
 * on its way. */
#include "core/planner_rules.h"

#include <stdio.h>
#include <string.h>

static bool can_decide(const struct ha_group *group)
{
    return ha_model_is_formed(group) && group->quorum == HACTL_YES && !group->alarm[0];
}

static bool has_learner(const struct ha_group *group)
{
    for (int i = 0; i < group->member_count; i++)
        if (!group->members[i].voter)
            return true;
    return false;
}

static bool all_voters_healthy(const struct ha_group *group)
{
    for (int i = 0; i < group->member_count; i++)
        if (group->members[i].voter && group->members[i].healthy != HACTL_YES)
            return false;
    return group->member_count > 0;
}

static bool can_run(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    return r->instance == HACTL_INSTANCE_RUNNING && r->address == HACTL_YES && r->data != HACTL_NO &&
           (!model->has_issuer || r->certificates == HA_CERTIFICATES_READY);
}

static bool choose(struct ha_step *out, const struct ha_model *model, int group, int member)
{
    const struct ha_member *m = &model->groups[group].members[member];
    out->group = group;
    out->replica = m->replica;
    snprintf(out->member_id, sizeof out->member_id, "%s", m->id);
    if (m->replica < 0)
        snprintf(out->subject, sizeof out->subject, "%s in %s", m->name[0] ? m->name : m->id,
                 model->groups[group].name);
    return true;
}

bool ha_rule_member_add(RULE_ARGUMENTS)
{
    (void)scope;
    for (int g = 0; g < model->group_count && !model->destroy; g++) {
        const struct ha_group *group = &model->groups[g];
        if (!can_decide(group) || has_learner(group) || !all_voters_healthy(group) || group->member_count == HA_MEMBERS)
            continue;
        /* One that has to be made anew for another group's sake is not made a member of this one first. */
        for (int i = 0; i < model->replica_count; i++)
            if (model->replicas[i].wanted && can_run(model, i) && ha_model_member_of(group, i) < 0 &&
                model->replicas[i].deliveries[g] == HA_DELIVERY_NONE && !ha_replica_former(model, i)) {
                out->group = g;
                out->replica = i;
                return true;
            }
    }
    return false;
}

/* Every founder must have its address before the first starts. */
static bool founders_are_known(const struct ha_model *model)
{
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].founding && model->replicas[i].address != HACTL_YES)
            return false;
    return true;
}

/* A member that answers restarts (for a new certificate) only if all others
 * are well; one that does not answer has nothing to lose. */
static bool may_restart(const struct ha_model *model, const struct ha_plan_scope *scope, int g, int m)
{
    const struct ha_group *group = &model->groups[g];
    const struct ha_member *member = &group->members[m];
    struct ha_budget budget = ha_group_budget(group);
    if (!member->voter || member->healthy == HACTL_NO)
        return true;
    return can_decide(group) && !has_learner(group) && all_voters_healthy(group) &&
           (budget.voters < 3 || budget.tolerates > 0) && !ha_service_recovering(model, scope, member->replica);
}

static bool wants_member_start(const struct ha_model *model, const struct ha_plan_scope *scope, int g, int i)
{
    const struct ha_group *group = &model->groups[g];
    const struct ha_replica *r = &model->replicas[i];
    enum ha_delivery delivery = r->deliveries[g];
    if (!can_run(model, i) || !ha_replica_needed(model, i) ||
        (delivery != HA_DELIVERY_NONE && delivery != HA_DELIVERY_STALE))
        return false;
    if (delivery == HA_DELIVERY_NONE && ha_changes_barred(model))
        return false;
    if (!ha_model_is_formed(group))
        return r->founding && founders_are_known(model);
    int m = ha_model_member_of(group, i);
    if (m < 0)
        return false;
    return delivery == HA_DELIVERY_NONE ? group->quorum == HACTL_YES : may_restart(model, scope, g, m);
}

bool ha_member_restart_due(const struct ha_model *model, const struct ha_plan_scope *scope, int replica)
{
    for (int g = 0; g < model->group_count && !model->destroy && scope->enabled[HA_STEP_MEMBER_START]; g++)
        if (model->replicas[replica].deliveries[g] == HA_DELIVERY_STALE && wants_member_start(model, scope, g, replica))
            return true;
    return false;
}

static bool must_drain(const struct ha_model *model, const struct ha_plan_scope *scope, int g, int i)
{
    return model->replicas[i].deliveries[g] == HA_DELIVERY_STALE && ha_drain_first(model, scope, i);
}

bool ha_rule_member_start(RULE_ARGUMENTS)
{
    for (int g = 0; g < model->group_count && !model->destroy; g++)
        for (int i = 0; i < model->replica_count; i++)
            if (wants_member_start(model, scope, g, i) && !must_drain(model, scope, g, i)) {
                out->group = g;
                out->replica = i;
                return true;
            }
    return false;
}

static bool runs_member(const struct ha_model *model, int g, int i)
{
    return model->replicas[i].instance == HACTL_INSTANCE_RUNNING && model->replicas[i].data != HACTL_NO &&
           model->replicas[i].deliveries[g] == HA_DELIVERY_RUNNING;
}

/* Enough of the group's processes run to expect it well. */
static bool forming(const struct ha_model *model, int g)
{
    int founders = 0;
    for (int i = 0; i < model->replica_count; i++) {
        if (!model->replicas[i].founding)
            continue;
        founders++;
        if (!runs_member(model, g, i))
            return false;
    }
    return founders > 0;
}

/* Voters that run, or may be thought to where nobody could name the voters. */
bool ha_quorum_may_return(const struct ha_model *model, int g, bool stale)
{
    const struct ha_group *group = &model->groups[g];
    int running = 0, known = 0;
    bool runs[HA_REPLICAS];
    for (int i = 0; i < model->replica_count; i++)
        runs[i] = runs_member(model, g, i) ||
                  (stale && model->replicas[i].instance == HACTL_INSTANCE_RUNNING &&
                   model->replicas[i].data != HACTL_NO && model->replicas[i].deliveries[g] == HA_DELIVERY_STALE);
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        known += member->voter;
        running += member->voter && (member->healthy == HACTL_YES || (member->replica >= 0 && runs[member->replica]));
    }
    for (int i = 0; i < model->replica_count && group->member_count == 0; i++) {
        known += model->replicas[i].deliveries[g] != HA_DELIVERY_NONE;
        running += runs[i];
    }
    return running > 0 && running >= ha_quorum_of(known);
}

bool ha_group_recovering(const struct ha_model *model, int g)
{
    const struct ha_group *group = &model->groups[g];
    if (group->quorum != HACTL_YES)
        return !group->alarm[0] && ha_quorum_may_return(model, g, false);
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        if (member->voter && member->healthy != HACTL_YES && member->replica >= 0 &&
            model->replicas[member->replica].wanted && model->replicas[member->replica].data != HACTL_NO &&
            runs_member(model, g, member->replica))
            return true;
    }
    return false;
}

bool ha_rule_group_await(RULE_ARGUMENTS)
{
    (void)scope;
    for (int g = 0; g < model->group_count && !model->destroy; g++)
        if (ha_model_is_formed(&model->groups[g]) ? ha_group_recovering(model, g) : forming(model, g)) {
            out->group = g;
            return true;
        }
    return false;
}

/* Learners that are wanted; promoted or waited for. */
static bool learner(const struct ha_model *model, bool caught_up, struct ha_step *out)
{
    for (int g = 0; g < model->group_count && !model->destroy; g++) {
        const struct ha_group *group = &model->groups[g];
        for (int m = 0; can_decide(group) && m < group->member_count; m++) {
            const struct ha_member *member = &group->members[m];
            if (member->voter || member->replica < 0 || !model->replicas[member->replica].wanted ||
                !runs_member(model, g, member->replica) ||
                (member->caught_up == HACTL_YES && member->healthy == HACTL_YES) != caught_up)
                continue;
            return choose(out, model, g, m);
        }
    }
    return false;
}

bool ha_rule_member_catch_up(RULE_ARGUMENTS)
{
    (void)scope;
    return learner(model, false, out);
}

bool ha_rule_member_promote(RULE_ARGUMENTS)
{
    (void)scope;
    return learner(model, true, out);
}

/* Nobody who is to come is still missing: new ones first, then old ones go. */
static bool complete(const struct ha_model *model, int g)
{
    for (int i = 0; i < model->replica_count; i++) {
        int m = ha_model_member_of(&model->groups[g], i);
        if (model->replicas[i].wanted && (m < 0 || !model->groups[g].members[m].voter))
            return false;
    }
    return ha_model_wanted(model) > 0;
}

static bool out_of_service(const struct ha_model *model, int i)
{
    if (i < 0)
        return true;
    return !ha_replica_may_hold(model, i) && !ha_replica_behind(model, i);
}

static bool leads(const struct ha_member *member)
{
    return member->leader && member->healthy == HACTL_YES;
}

static bool has_leader(const struct ha_group *group)
{
    for (int m = 0; m < group->member_count; m++)
        if (leads(&group->members[m]))
            return true;
    return false;
}

static bool may_leave(const struct ha_model *model, const struct ha_plan_scope *scope, int g, int m)
{
    const struct ha_group *group = &model->groups[g];
    const struct ha_member *member = &group->members[m];
    bool wanted = member->replica >= 0 && model->replicas[member->replica].wanted;
    bool dead = member->healthy == HACTL_NO || (!member->voter && member->healthy != HACTL_YES);
    if (wanted && !(dead && ha_replica_lost(model, member->replica)))
        return false;
    if (member->replica < 0 && !model->repair)
        return false;
    if (!out_of_service(model, member->replica))
        return false;
    if (!member->voter || dead)
        return true;
    struct ha_budget budget = ha_group_budget(group);
    return member->healthy == HACTL_YES && complete(model, g) && !has_learner(group) && has_leader(group) &&
           ha_endpoint_settled(model, scope) && budget.healthy > 1 && budget.healthy == budget.voters &&
           (member->replica < 0 || !ha_replica_cut_off(model, scope, member->replica));
}

/* A dead one first, then a learner, then a follower, the leader last. */
static int leaving_order(const struct ha_member *member)
{
    if (member->healthy == HACTL_NO)
        return 0;
    return !member->voter ? 1 : leads(member) ? 3 : 2;
}

static int next_to_leave(const struct ha_model *model, const struct ha_plan_scope *scope, int g)
{
    const struct ha_group *group = &model->groups[g];
    int best = -1;
    for (int m = 0; m < group->member_count; m++)
        if (may_leave(model, scope, g, m) &&
            (best < 0 || leaving_order(&group->members[m]) < leaving_order(&group->members[best])))
            best = m;
    return best;
}

static int best_successor(const struct ha_model *model, int g)
{
    const struct ha_group *group = &model->groups[g];
    int best = -1;
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        if (!member->voter || leads(member) || member->healthy != HACTL_YES || member->replica < 0 ||
            !model->replicas[member->replica].wanted)
            continue;
        if (best < 0 || (member->lag_entries >= 0 && member->lag_entries < group->members[best].lag_entries))
            best = m;
    }
    return best;
}

bool ha_rule_leader_move(RULE_ARGUMENTS)
{
    for (int g = 0; g < model->group_count && !model->destroy; g++) {
        if (!can_decide(&model->groups[g]))
            continue;
        int m = next_to_leave(model, scope, g), successor = best_successor(model, g);
        if (m < 0 || successor < 0 || !leads(&model->groups[g].members[m]))
            continue;
        const struct ha_member *to = &model->groups[g].members[successor];
        choose(out, model, g, m);
        snprintf(out->member_id, sizeof out->member_id, "%s", to->id);
        snprintf(out->to, sizeof out->to, "%s", to->name);
        return true;
    }
    return false;
}

bool ha_rule_member_remove(RULE_ARGUMENTS)
{
    for (int g = 0; g < model->group_count && !model->destroy; g++) {
        if (!can_decide(&model->groups[g]))
            continue;
        int m = next_to_leave(model, scope, g);
        if (m >= 0 && !leads(&model->groups[g].members[m]))
            return choose(out, model, g, m);
    }
    return false;
}
