/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/plan/laws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/request.h"

typedef const char *law(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after);

static bool restarts_small_group(const struct ha_model *before, const struct ha_step *step)
{
    return step->kind == HA_STEP_MEMBER_START && ha_group_budget(&before->groups[step->group]).voters < 3;
}

/* It has lost its quorum, or cannot be trusted to keep what it decides. */
static bool cannot_decide(const struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++)
        if ((model->groups[g].formed_before || model->groups[g].formed == HACTL_YES) &&
            (model->groups[g].quorum != HACTL_YES || model->groups[g].alarm[0]))
            return true;
    return false;
}

static bool has_delivery(const struct ha_model *model, int replica)
{
    for (int g = 0; g < model->group_count; g++)
        if (model->replicas[replica].deliveries[g] != HA_DELIVERY_NONE)
            return true;
    return false;
}

/* Lost quorum: what has stopped is started and waited for, on new certificates
 * if need be, the ways to it are opened, and an address that nobody has goes to
 * somebody who answers. */
static const char *without_quorum(const struct ha_model *before, const struct ha_step *step,
                                  const struct ha_model *after)
{
    (void)after;
    if (before->destroy || !cannot_decide(before))
        return NULL;
    switch (step->kind) {
    case HA_STEP_INSTANCE_START:
    case HA_STEP_GROUP_AWAIT:
    case HA_STEP_REPLICA_CLAIM:
    case HA_STEP_BALANCER_CLAIM:
    case HA_STEP_TEMPORARY_ADDRESS_ATTACH:
    case HA_STEP_FIREWALL_ENSURE:
        return NULL;
    case HA_STEP_TEMPORARY_ADDRESS_DETACH:
        return before->holder == HA_HOLDER_NONE ? NULL : "takes an address away without a quorum";
    case HA_STEP_CERTIFICATE_ISSUE:
        return step->replica < 0 || has_delivery(before, step->replica) ? NULL : "builds something without a quorum";
    case HA_STEP_CERTIFICATE_DELIVER:
        return NULL;
    case HA_STEP_MEMBER_START:
        return before->replicas[step->replica].deliveries[step->group] == HA_DELIVERY_STALE
                   ? NULL
                   : "starts a new member without a quorum";
    default:
        return "changes something without a quorum";
    }
}

static const char *quorum_is_kept(const struct ha_model *before, const struct ha_step *step,
                                  const struct ha_model *after)
{
    for (int g = 0; g < before->group_count && !before->destroy; g++) {
        struct ha_budget b = ha_group_budget(&before->groups[g]), a = ha_group_budget(&after->groups[g]);
        if (before->groups[g].quorum == HACTL_YES && after->groups[g].quorum != HACTL_YES)
            return "a group that had its quorum has lost it";
        if (b.quorum && b.healthy >= b.quorum && a.healthy < a.quorum && !restarts_small_group(before, step))
            return "healthy voters fell below the quorum";
        if (b.voters && !a.voters)
            return "a group has no voter any more";
    }
    return NULL;
}

static int learners(const struct ha_group *group)
{
    int count = 0;
    for (int m = 0; m < group->member_count; m++)
        count += !group->members[m].voter;
    return count;
}

static const char *one_learner(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    (void)step;
    for (int g = 0; g < before->group_count; g++)
        if (learners(&after->groups[g]) > 1 && learners(&after->groups[g]) > learners(&before->groups[g]))
            return "two learners at once";
    return NULL;
}

static bool takes_last_tolerance(const struct ha_group *before, const struct ha_group *after)
{
    return ha_group_budget(before).tolerates > 0 && ha_group_budget(after).tolerates < 1;
}

static const char *guards(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    bool takes = false;
    for (int g = 0; g < before->group_count; g++)
        takes |= takes_last_tolerance(&before->groups[g], &after->groups[g]);
    if (before->destroy)
        return step->guarded ? "a step of `down` is guarded" : NULL;
    if (takes && !step->guarded)
        return "tolerance falls to zero without a guard";
    return step->guarded && !takes ? "guarded without reason" : NULL;
}

static const struct ha_member *member_of_step(const struct ha_model *model, const struct ha_step *step)
{
    const struct ha_group *group = &model->groups[step->group];
    for (int m = 0; m < group->member_count; m++)
        if (step->replica >= 0 ? group->members[m].replica == step->replica
                               : strcmp(group->members[m].id, step->member_id) == 0)
            return &group->members[m];
    return NULL;
}

static bool holds(const struct ha_model *model, int replica)
{
    return model->holder == HA_HOLDER_UNKNOWN ||
           ((model->holder == HA_HOLDER_REPLICA || model->holder == HA_HOLDER_BOTH) &&
            model->holder_replica == replica);
}

static const char *removal(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    (void)after;
    if (step->kind != HA_STEP_MEMBER_REMOVE)
        return NULL;
    const struct ha_member *member = member_of_step(before, step);
    if (!member)
        return "removes a member that is not there";
    struct ha_budget budget = ha_group_budget(&before->groups[step->group]);
    if (before->groups[step->group].quorum != HACTL_YES)
        return "removes a member without a quorum";
    if (member->voter && member->healthy == HACTL_UNKNOWN)
        return "removes a voter that could not be asked";
    if (member->voter && member->healthy == HACTL_YES && budget.healthy <= 1)
        return "removes the last healthy voter";
    if (member->voter && member->healthy == HACTL_YES && member->leader)
        return "removes the healthy leader";
    if (step->replica < 0)
        return before->repair ? NULL : "removes a member of no replica unasked";
    const struct ha_replica *r = &before->replicas[step->replica];
    if (member->voter && member->healthy == HACTL_YES && before->holder == HA_HOLDER_NONE)
        return "removes a member that answers while nobody holds the address";
    if (r->backend != HA_BACKEND_NONE &&
        (before->balancer != HACTL_NO || ha_endpoint_target(before) == HA_TARGET_BALANCER))
        return "removes a member that is still behind the balancer";
    if (holds(before, step->replica))
        return "removes a member whose replica may hold the address";
    if (r->wanted && member->healthy == HACTL_YES)
        return "removes a healthy member that is wanted";
    return r->wanted && r->instance != HACTL_INSTANCE_ABSENT && !before->repair ? "removes a wanted member unasked"
                                                                                : NULL;
}

static const char *deletion(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    (void)after;
    if (step->kind != HA_STEP_INSTANCE_DELETE)
        return NULL;
    const struct ha_replica *r = &before->replicas[step->replica];
    if (r->instance == HACTL_INSTANCE_UNKNOWN || r->instance == HACTL_INSTANCE_ABSENT)
        return "deletes an instance that is not known to be there";
    if (holds(before, step->replica))
        return "deletes an instance that may hold the address";
    if (before->destroy)
        return before->balancer_present ? "deletes an instance under the balancer" : NULL;
    for (int g = 0; g < before->group_count; g++)
        if (ha_model_member_of(&before->groups[g], step->replica) >= 0)
            return "deletes an instance with a member";
        else if (ha_model_is_formed(&before->groups[g]) && before->groups[g].quorum != HACTL_YES)
            return "deletes an instance while its group cannot be asked";
    if (r->backend != HA_BACKEND_NONE &&
        (before->balancer != HACTL_NO || ha_endpoint_target(before) == HA_TARGET_BALANCER))
        return "deletes an instance behind the balancer";
    return r->wanted && !before->repair ? "deletes a wanted instance unasked" : NULL;
}

static const char *changes_of_members(const struct ha_model *before, const struct ha_step *step,
                                      const struct ha_model *after)
{
    (void)after;
    if (step->kind != HA_STEP_MEMBER_ADD && step->kind != HA_STEP_MEMBER_PROMOTE && step->kind != HA_STEP_LEADER_MOVE)
        return NULL;
    const struct ha_group *group = &before->groups[step->group];
    const struct ha_member *member = member_of_step(before, step);
    if (group->quorum != HACTL_YES || group->alarm[0])
        return "changes a group without a quorum or with an alarm";
    if (step->kind == HA_STEP_MEMBER_ADD && before->replicas[step->replica].instance != HACTL_INSTANCE_RUNNING)
        return "adds a member that cannot run";
    for (int m = 0; step->kind == HA_STEP_MEMBER_ADD && m < group->member_count; m++)
        if (group->members[m].voter && group->members[m].healthy != HACTL_YES)
            return "adds a learner while a voter is not well";
    if (step->kind == HA_STEP_MEMBER_ADD && (member || before->replicas[step->replica].deliveries[step->group]))
        return "adds a member that is or was there";
    if (step->kind == HA_STEP_MEMBER_PROMOTE &&
        (!member || member->caught_up != HACTL_YES || member->healthy != HACTL_YES))
        return "promotes a learner that has not caught up";
    return NULL;
}

static const char *starts(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    (void)after;
    if (step->kind != HA_STEP_MEMBER_START)
        return NULL;
    const struct ha_replica *r = &before->replicas[step->replica];
    if (r->instance != HACTL_INSTANCE_RUNNING || (before->has_issuer && r->certificates != HA_CERTIFICATES_READY))
        return "starts a member without instance or certificates";
    if (r->deliveries[step->group] != HA_DELIVERY_NONE && r->deliveries[step->group] != HA_DELIVERY_STALE)
        return "starts a member that needs no start";
    if (ha_model_is_formed(&before->groups[step->group]))
        return member_of_step(before, step) ? NULL : "starts a member that is not listed";
    for (int i = 0; i < before->replica_count; i++)
        if (before->replicas[i].founding && before->replicas[i].address != HACTL_YES)
            return "starts a founder before all have addresses";
    return r->founding ? NULL : "starts one that is no founder";
}

/* What reads its files again is given them as it runs: nothing is restarted, and
 * the failure budget stays what it is. */
static const char *deliveries(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    if (step->kind != HA_STEP_CERTIFICATE_DELIVER)
        return NULL;
    const struct ha_replica *r = &before->replicas[step->replica];
    if (r->instance != HACTL_INSTANCE_RUNNING || r->deliveries[step->group] != HA_DELIVERY_RUNNING)
        return "delivers certificates to what does not run";
    if (r->certificates != HA_CERTIFICATES_READY)
        return "delivers certificates that are to be issued anew";
    if (!(r->outdated >> step->group & 1))
        return "delivers certificates that are there";
    for (int g = 0; g < before->group_count; g++)
        if (ha_group_budget(&before->groups[g]).healthy != ha_group_budget(&after->groups[g]).healthy)
            return "delivering certificates took a member";
    return NULL;
}

static int serving(const struct ha_model *model)
{
    int count = 0;
    for (int i = 0; i < model->replica_count; i++)
        count += model->replicas[i].backend == HA_BACKEND_SERVING;
    return count;
}

static const char *endpoint(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    int was = serving(before), is = serving(after);
    switch (step->kind) {
    case HA_STEP_REPLICA_CLAIM:
        if (before->replicas[step->replica].ready != HACTL_YES || !before->replicas[step->replica].wanted)
            return "gives the address to a replica that is not ready";
        if (before->balancer == HACTL_UNKNOWN)
            return "gives away an address that a balancer may have";
        return before->holder != HA_HOLDER_NONE ? "two holders" : NULL;
    case HA_STEP_BALANCER_CLAIM:
        if (before->balancer != HACTL_YES || was < 1 || before->balancer_proved != HACTL_YES)
            return "gives the address to a balancer that does not serve";
        return before->holder != HA_HOLDER_NONE ? "two holders" : NULL;
    case HA_STEP_REPLICA_RELEASE:
        if (before->holder == HA_HOLDER_BOTH && !before->destroy && (before->balancer != HACTL_YES || was < 1) &&
            before->replicas[step->replica].ready != HACTL_NO)
            return "takes the address from the only one that may answer";
        return (before->holder != HA_HOLDER_REPLICA && before->holder != HA_HOLDER_BOTH) ||
                       before->holder_replica != step->replica
                   ? "releases from another"
                   : NULL;
    case HA_STEP_BALANCER_RELEASE:
        if (before->holder == HA_HOLDER_BOTH && !before->destroy && before->balancer != HACTL_NO && was > 0 &&
            before->replicas[before->holder_replica].ready != HACTL_YES)
            return "takes the address from the only one that may answer";
        return before->holder != HA_HOLDER_BALANCER && before->holder != HA_HOLDER_BOTH ? "releases from another"
                                                                                        : NULL;
    case HA_STEP_BALANCER_DELETE:
        if (!before->destroy && before->endpoint_answers != HACTL_YES)
            return "deletes the balancer before the address was seen to answer";
        return before->holder == HA_HOLDER_BALANCER || before->holder == HA_HOLDER_UNKNOWN ||
                       before->balancer == HACTL_UNKNOWN
                   ? "deletes the balancer that may hold the address"
                   : NULL;
    default:
        break;
    }
    if (before->holder != after->holder || before->holder_replica != after->holder_replica)
        return "the address moved without claim or release";
    if (before->holder == HA_HOLDER_BALANCER && was > 1 && is < 1 && !before->destroy)
        return "nobody serves behind the balancer any more";
    return step->kind == HA_STEP_BACKEND_REMOVE && before->holder == HA_HOLDER_BALANCER && was && !is
               ? "takes out the last backend that serves"
               : NULL;
}

static bool is_stale(const struct ha_model *model, int replica)
{
    for (int p = 0; p < model->payload_count; p++)
        if (model->replicas[replica].deliveries[p] == HA_DELIVERY_STALE || model->replicas[replica].rekeyed >> p & 1)
            return true;
    return false;
}

/* Clients behind the balancer do not meet one that is being restarted, and
 * never two are away for that at once. */
static const char *draining(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    (void)after;
    if (before->holder != HA_HOLDER_BALANCER || before->balancer != HACTL_YES || before->destroy || step->replica < 0)
        return NULL;
    const struct ha_replica *r = &before->replicas[step->replica];
    if (ha_step_interrupts(before, step))
        return r->wanted && r->backend == HA_BACKEND_SERVING && serving(before) > 1
                   ? "interrupts one that serves behind the balancer"
                   : NULL;
    if (step->kind != HA_STEP_BACKEND_REMOVE || !r->wanted || ha_replica_lost(before, step->replica))
        return NULL;
    if (!is_stale(before, step->replica))
        return "takes one that is wanted out of the balancer without a reason";
    for (int i = 0; i < before->replica_count && ha_endpoint_target(before) == HA_TARGET_BALANCER &&
                    ha_model_joined(before, step->replica);
         i++)
        if (i != step->replica && before->replicas[i].wanted && before->replicas[i].ready == HACTL_YES &&
            ha_model_joined(before, i) &&
            (before->replicas[i].backend == HA_BACKEND_NONE || before->replicas[i].backend == HA_BACKEND_WAITING) &&
            !ha_replica_lost(before, i))
            return "takes one out of the balancer while another is not back in it";
    return NULL;
}

/* A phase that would lock out somebody is entered only when everybody who is
 * known to use the authority has what the phase before calls for. */
static const char *rotation(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    if (step->kind != HA_STEP_AUTHORITY_ROTATE)
        return NULL;
    enum hactl_rotation from = before->rotation_found, to = after->rotation_found;
    bool ends = from == HACTL_ROTATION_RETIRE && to == HACTL_ROTATION_NONE;
    if (!ends && to != from + 1 && from != to + 1)
        return "a phase of a rotation is left out";
    if (from == HACTL_ROTATION_NONE && before->rotation_goal != HA_ROTATE_PREPARE)
        return "a rotation begins that was not asked for";
    bool narrows = ends || to == HACTL_ROTATION_RETIRE ||
                   (from == HACTL_ROTATION_TRUST && (to == HACTL_ROTATION_SWITCH || to == HACTL_ROTATION_PREPARE));
    for (int i = 0; i < before->replica_count && narrows; i++) {
        const struct ha_replica *r = &before->replicas[i];
        for (int p = 0; p < before->payload_count; p++) {
            if (!(before->rotation_payloads >> p & 1) || r->deliveries[p] == HA_DELIVERY_NONE)
                continue;
            if (r->instance != HACTL_INSTANCE_RUNNING || r->deliveries[p] != HA_DELIVERY_RUNNING)
                return "a rotation goes on while a replica has not what it needs";
            if (r->outdated >> p & 1)
                return "a rotation goes on while a replica has the certificates of before";
            if (r->unproved >> p & 1)
                return "a rotation goes on while nobody knows what a replica runs on";
        }
        if (ha_replica_needed(before, i) && before->rotation_of_each && r->certificates != HA_CERTIFICATES_READY)
            return "a rotation goes on while certificates are still those of before";
    }
    return NULL;
}

/* The state of the very thing that a step changes must be known. */
static const char *nothing_on_unknown(const struct ha_model *before, const struct ha_step *step,
                                      const struct ha_model *after)
{
    (void)after;
    const struct ha_replica *r = step->replica >= 0 ? &before->replicas[step->replica] : NULL;
    bool unknown = false;
    switch (step->kind) {
    case HA_STEP_ADDRESS_RESERVE:
    case HA_STEP_ADDRESS_DELETE:
        unknown = before->address == HACTL_UNKNOWN;
        break;
    case HA_STEP_INTERNAL_ADDRESS_RESERVE:
    case HA_STEP_INTERNAL_ADDRESS_DELETE:
        unknown = r->address == HACTL_UNKNOWN;
        break;
    case HA_STEP_CERTIFICATE_ISSUE:
        unknown =
            r ? r->certificates == HA_CERTIFICATES_UNKNOWN : before->operator_certificates == HA_CERTIFICATES_UNKNOWN;
        break;
    case HA_STEP_CERTIFICATE_RETIRE:
        unknown = r->certificates == HA_CERTIFICATES_UNKNOWN;
        break;
    case HA_STEP_AUTHORITY_CREATE:
        unknown = before->authority == HACTL_UNKNOWN;
        break;
    case HA_STEP_INSTANCE_CREATE:
    case HA_STEP_INSTANCE_START:
        unknown = r->instance == HACTL_INSTANCE_UNKNOWN;
        break;
    case HA_STEP_COMPONENTS_START:
    case HA_STEP_MEMBER_START:
    case HA_STEP_CERTIFICATE_DELIVER:
        unknown = r->deliveries[step->group] == HA_DELIVERY_UNKNOWN || r->instance == HACTL_INSTANCE_UNKNOWN;
        break;
    case HA_STEP_BACKEND_ADD:
    case HA_STEP_BACKEND_REMOVE:
        unknown = r->backend == HA_BACKEND_UNKNOWN || before->balancer != HACTL_YES;
        break;
    case HA_STEP_BALANCER_BUILD:
        unknown = before->balancer == HACTL_UNKNOWN;
        break;
    default:
        break;
    }
    return unknown ? "changes what could not be asked about" : NULL;
}

static const char *effect_is_seen(const struct ha_model *before, const struct ha_step *step,
                                  const struct ha_model *after)
{
    (void)before;
    return ha_step_holds(after, step) ? NULL : "its expected state is not seen after it";
}

const char *law_of_step(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after)
{
    static law *const laws[] = {without_quorum,     quorum_is_kept, one_learner, guards,   removal,  deletion,
                                changes_of_members, starts,         deliveries,  endpoint, draining, rotation,
                                nothing_on_unknown, effect_is_seen};
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        const char *broken = laws[i](before, step, after);
        if (broken)
            return broken;
    }
    return NULL;
}
