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

static bool lacks_quorum(const struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++)
        if ((model->groups[g].formed_before || model->groups[g].formed == HACTL_YES) &&
            model->groups[g].quorum != HACTL_YES)
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
    if (before->destroy || !lacks_quorum(before))
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

static bool is_release(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_RELEASE || kind == HA_STEP_BALANCER_RELEASE;
}
static bool is_claim(enum ha_step_kind kind)
{
    return kind == HA_STEP_REPLICA_CLAIM || kind == HA_STEP_BALANCER_CLAIM;
}

/* An address that answers nowhere can wait for its claim. */
static bool makes_dark(const struct ha_model *model, const struct ha_step *step)
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
        if (released && !is_claim(plan->steps[i].kind))
            return "something else between release and claim";
        released = makes_dark(&now, &plan->steps[i]);
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
static const char *warnings_are_true(const struct ha_model *end)
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
    const char *wrong = warnings_are_true(&plan->end);
    if (wrong)
        return wrong;
    return model->destroy ? NULL : releases_are_claimed(model, plan);
}

/* ---- signatures */

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static void put_replica(const struct ha_model *model, int i, bool leaders, unsigned char *out)
{
    const struct ha_replica *r = &model->replicas[i];
    memset(out, 0, 32);
    size_t n = 0;
    out[n++] = (unsigned char)(r->wanted | r->founding << 1 | (model->holder_replica == i) << 2);
    out[n++] = (unsigned char)((unsigned)r->address | (unsigned)r->certificates << 2 | (unsigned)r->instance << 4);
    out[n++] = (unsigned char)((unsigned)r->data | (unsigned)r->ready << 2 | (unsigned)r->backend << 4);
    out[n++] = r->unproved;
    out[n++] = r->spared;
    out[n++] = r->rereads;
    out[n++] = r->rekeys;
    out[n++] = r->outdated;
    out[n++] = r->rekeyed;
    for (int p = 0; p < model->payload_count; p++)
        out[n++] = (unsigned char)r->deliveries[p];
    for (int g = 0; g < model->group_count; g++, n += 2) {
        int m = ha_model_member_of(&model->groups[g], i);
        const struct ha_member *member = m < 0 ? NULL : &model->groups[g].members[m];
        if (!member)
            continue;
        out[n] = (unsigned char)(1u | (unsigned)member->voter << 1 | (unsigned)(member->leader && leaders) << 2 |
                                 (unsigned)member->healthy << 3 | (unsigned)member->caught_up << 5);
        out[n + 1] = (unsigned char)member->started;
    }
}

size_t signature_of(const struct ha_model *model, bool sorted, bool leaders, unsigned char out[SIGNATURE])
{
    size_t n = 0;
    for (int i = 0; i < model->replica_count && n + 32 < SIGNATURE - 64; i++, n += 32)
        put_replica(model, i, leaders, out + n);
    if (sorted)
        qsort(out, n / 32, 32, compare);
    int things[] = {model->destroy,          model->repair,           model->endpoint_want,
                    model->endpoint_replica, model->has_cloud,        model->has_issuer,
                    model->has_balancer,     model->has_firewall,     model->address,
                    model->firewall,         model->authority,        model->operator_certificates,
                    model->holder,           model->balancer,         model->balancer_present,
                    model->balancer_proved,  model->endpoint_answers, model->rotation[0] != 0,
                    model->rotation_goal,    model->rotation_found,   model->rotation_payloads,
                    model->rotation_rereads, model->trust_of_each};
    for (size_t i = 0; i < sizeof things / sizeof *things; i++)
        out[n++] = (unsigned char)things[i];
    for (int g = 0; g < model->group_count; g++) {
        const struct ha_group *group = &model->groups[g];
        int foreign = 0;
        for (int m = 0; m < group->member_count; m++)
            if (group->members[m].replica < 0)
                foreign = foreign * 32 + 1 + group->members[m].voter + 2 * (int)group->members[m].healthy +
                          8 * (group->members[m].leader && leaders);
        out[n++] = (unsigned char)(ha_model_is_formed(group) | (int)group->quorum << 1 | (group->alarm[0] != 0) << 3);
        out[n++] = (unsigned char)foreign;
    }
    return n;
}

uint64_t hash_of(const struct ha_model *model)
{
    unsigned char bytes[SIGNATURE];
    size_t n = signature_of(model, true, true, bytes);
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 29;
}

bool same_end(const struct ha_model *a, const struct ha_model *b)
{
    unsigned char left[SIGNATURE], right[SIGNATURE];
    size_t n = signature_of(a, false, false, left);
    return n == signature_of(b, false, false, right) && memcmp(left, right, n) == 0;
}

/* ---- for people */

static const char *const tristate[] = {"no", "yes", "?"};

static void print_members(const struct ha_model *model, int replica)
{
    for (int g = 0; g < model->group_count; g++)
        for (int m = 0; m < model->groups[g].member_count; m++) {
            const struct ha_member *member = &model->groups[g].members[m];
            if (member->replica == replica)
                printf(" | %s %s%s healthy=%s caught-up=%s", model->groups[g].name, member->voter ? "voter" : "learner",
                       member->leader ? " LEADER" : "", tristate[member->healthy], tristate[member->caught_up]);
        }
}

void print_model(const struct ha_model *model)
{
    static const char *const instances[] = {"absent", "starting", "running", "stopped", "?"};
    static const char *const certificates[] = {"none", "stale", "ready", "?"};
    static const char *const deliveries[] = {"none", "running", "dead", "stale", "?"};
    static const char *const backends[] = {"none", "waiting", "serving", "?"};
    static const char *const holders[] = {"none", "replica", "balancer", "?", "both"};
    printf("  destroy=%d repair=%d want=%d/%d address=%s holder=%s/%d balancer=%s%s proved=%s answers=%s\n",
           model->destroy, model->repair, (int)model->endpoint_want, model->endpoint_replica, tristate[model->address],
           holders[model->holder], model->holder_replica, tristate[model->balancer],
           model->balancer_present ? " (present)" : "", tristate[model->balancer_proved],
           tristate[model->endpoint_answers]);
    for (int g = 0; g < model->group_count; g++)
        printf("  group %s formed=%s/%d quorum=%s alarm=%s\n", model->groups[g].name, tristate[model->groups[g].formed],
               model->groups[g].formed_before, tristate[model->groups[g].quorum], model->groups[g].alarm);
    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *r = &model->replicas[i];
        printf("  %s%s%s address=%s certificates=%s instance=%s data=%s ready=%s backend=%s deliveries=", r->name,
               r->wanted ? " wanted" : "", r->founding ? " founding" : "", tristate[r->address],
               certificates[r->certificates], instances[r->instance], tristate[r->data], tristate[r->ready],
               backends[r->backend]);
        for (int p = 0; p < model->payload_count; p++)
            printf("%s%s", p ? "," : "", deliveries[r->deliveries[p]]);
        print_members(model, i);
        printf("\n");
    }
    printf("  of no replica:");
    print_members(model, -1);
    printf("\n");
}

void print_plan(const struct ha_plan *plan)
{
    char text[256];
    for (int i = 0; i < plan->count; i++) {
        ha_step_text(&plan->steps[i], text, sizeof text);
        printf("  %2d %s%s  needs", i, text, plan->steps[i].guarded ? " [guarded]" : "");
        for (int n = 0; n < i; n++)
            if (ha_step_needs(&plan->steps[i], n))
                printf(" %d", n);
        printf("\n");
    }
    printf("  converged=%d\n", plan->converged);
    for (int i = 0; i < plan->blocked_count; i++)
        printf("  blocked: %s\n", plan->blocked[i]);
}
