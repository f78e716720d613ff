/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for the balancer and for who holds the public address. */
#include "core/planner_rules.h"

static bool is_ready(const struct ha_model *model, int i)
{
    return model->replicas[i].wanted && model->replicas[i].ready == HACTL_YES && !ha_replica_lost(model, i);
}

/* The one that has it keeps it, if it can. */
static int target_replica(const struct ha_model *model)
{
    int fixed = model->endpoint_want == HA_ENDPOINT_REPLICA ? model->endpoint_replica : -1;
    if (fixed >= 0 && model->replicas[fixed].wanted)
        return fixed;
    bool some_replica = model->holder == HA_HOLDER_REPLICA || model->holder == HA_HOLDER_BOTH;
    int holder = some_replica ? model->holder_replica : -1;
    if (holder >= 0 && is_ready(model, holder))
        return holder;
    for (int i = 0; i < model->replica_count; i++)
        if (is_ready(model, i))
            return i;
    return holder >= 0 && model->replicas[holder].wanted ? holder : HA_TARGET_NOBODY;
}

int ha_endpoint_target(const struct ha_model *model)
{
    int wanted = ha_model_wanted(model);
    if (model->destroy || wanted == 0)
        return HA_TARGET_NOBODY;
    bool balanced = model->has_balancer && model->endpoint_want != HA_ENDPOINT_REPLICA &&
                    (wanted > 1 || model->endpoint_want == HA_ENDPOINT_BALANCER);
    return balanced ? HA_TARGET_BALANCER : target_replica(model);
}

bool ha_endpoint_settled(const struct ha_model *model, const struct ha_plan_scope *scope)
{
    int target = ha_endpoint_target(model);
    if (!scope->enabled[HA_STEP_REPLICA_CLAIM] && !scope->enabled[HA_STEP_BALANCER_CLAIM])
        return true;
    bool there = target == HA_TARGET_BALANCER ? model->holder == HA_HOLDER_BALANCER
                                              : model->holder == HA_HOLDER_REPLICA && model->holder_replica == target;
    return there && (model->endpoint_answers == HACTL_YES || !scope->enabled[HA_STEP_ENDPOINT_VERIFY]);
}

static bool balancer_wanted(const struct ha_model *model)
{
    return ha_endpoint_target(model) == HA_TARGET_BALANCER;
}

bool ha_replica_behind(const struct ha_model *model, int replica)
{
    return model->replicas[replica].backend != HA_BACKEND_NONE &&
           (model->balancer != HACTL_NO || balancer_wanted(model));
}

static int serving(const struct ha_model *model)
{
    int count = 0;
    for (int i = 0; i < model->replica_count; i++)
        count += model->replicas[i].backend == HA_BACKEND_SERVING;
    return count;
}

bool ha_rule_balancer_build(RULE_ARGUMENTS)
{
    (void)scope, (void)out;
    return balancer_wanted(model) && model->address == HACTL_YES && model->balancer == HACTL_NO;
}

static bool may_serve(const struct ha_model *model, int i)
{
    return is_ready(model, i) && ha_model_joined(model, i) && !ha_replica_lost(model, i);
}

bool ha_replica_out(const struct ha_model *model, const struct ha_plan_scope *scope, int replica)
{
    return scope->enabled[HA_STEP_BACKEND_ADD] && model->balancer == HACTL_YES && model->holder == HA_HOLDER_BALANCER &&
           balancer_wanted(model) && may_serve(model, replica) && model->replicas[replica].backend == HA_BACKEND_NONE;
}

/* Only where it can be put back in, and with another left that serves. */
bool ha_drain_first(const struct ha_model *model, const struct ha_plan_scope *scope, int replica)
{
    return scope->enabled[HA_STEP_BACKEND_REMOVE] && scope->enabled[HA_STEP_BACKEND_ADD] &&
           scope->enabled[HA_STEP_BALANCER_AWAIT] && model->balancer == HACTL_YES &&
           model->holder == HA_HOLDER_BALANCER && model->replicas[replica].backend == HA_BACKEND_SERVING &&
           serving(model) > 1;
}

/* One that was taken out to be restarted is not put back before that, unless
 * it may not be restarted any more. */
bool ha_rule_backend_add(RULE_ARGUMENTS)
{
    if (model->balancer != HACTL_YES || !balancer_wanted(model))
        return false;
    for (int i = 0; i < model->replica_count; i++)
        if (may_serve(model, i) && model->replicas[i].backend == HA_BACKEND_NONE &&
            !(model->holder == HA_HOLDER_BALANCER && serving(model) > 0 && ha_restart_due(model, scope, i))) {
            out->replica = i;
            return true;
        }
    return false;
}

/* Everyone who is to serve serves: new ones first, then old ones go. */
static bool all_wanted_serve(const struct ha_model *model)
{
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].wanted &&
            (ha_replica_lost(model, i) || model->replicas[i].backend != HA_BACKEND_SERVING))
            return false;
    return ha_model_wanted(model) > 0;
}

static bool may_answer(const struct ha_model *model, int i)
{
    bool dead = model->replicas[i].ready == HACTL_NO;
    for (int g = 0; g < model->group_count && !dead; g++) {
        int m = ha_model_member_of(&model->groups[g], i);
        dead = m >= 0 && model->groups[g].members[m].healthy == HACTL_NO;
    }
    return !dead;
}

/* It has something that is to be restarted, or a key to read, be that possible now or later; or it will have. */
static bool interruption_follows(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    if (model->has_issuer && scope->enabled[HA_STEP_CERTIFICATE_ISSUE] && scope->enabled[HA_STEP_MEMBER_START] &&
        r->certificates == HA_CERTIFICATES_STALE && r->backend == HA_BACKEND_SERVING)
        return true;
    for (int p = 0; p < model->payload_count; p++) {
        enum ha_step_kind start = p < model->group_count ? HA_STEP_MEMBER_START : HA_STEP_COMPONENTS_START;
        if ((r->deliveries[p] == HA_DELIVERY_STALE && scope->enabled[start]) ||
            (r->deliveries[p] == HA_DELIVERY_RUNNING && r->outdated & r->rekeyed & 1u << p &&
             scope->enabled[HA_STEP_CERTIFICATE_DELIVER]))
            return true;
    }
    return false;
}

static bool wanted_interruption_follows(const struct ha_model *model, const struct ha_plan_scope *scope)
{
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].wanted && interruption_follows(model, scope, i))
            return true;
    return false;
}

/* One that answers goes when the others serve and are not to be interrupted
 * any more; one that does not, at once. The last one that serves stays while
 * the balancer holds the address. */
static bool backend_may_go(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    bool held = model->holder == HA_HOLDER_BALANCER || model->holder == HA_HOLDER_BOTH;
    bool last = held && r->backend == HA_BACKEND_SERVING && serving(model) == 1;
    bool lost = r->wanted && ha_replica_lost(model, i);
    return (!r->wanted || lost) && (r->backend == HA_BACKEND_WAITING || r->backend == HA_BACKEND_SERVING) && !last &&
           (lost || !may_answer(model, i) ||
            (all_wanted_serve(model) &&
             (r->backend != HA_BACKEND_SERVING || !wanted_interruption_follows(model, scope))));
}

static bool drain_due(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    return ha_drain_first(model, scope, i) && ha_restart_due(model, scope, i);
}

bool ha_rule_backend_remove(RULE_ARGUMENTS)
{
    if (model->destroy || model->balancer != HACTL_YES || model->holder == HA_HOLDER_UNKNOWN)
        return false;
    /* Who does not answer goes first: one that is drained relies on the others. */
    for (int i = 0; i < model->replica_count; i++)
        if (backend_may_go(model, scope, i)) {
            out->replica = i;
            return true;
        }
    for (int i = 0; i < model->replica_count; i++)
        if (drain_due(model, scope, i)) {
            out->replica = i;
            return true;
        }
    return false;
}

/* Something could serve that does not yet, or it was never seen to answer. */
bool ha_balancer_awaited(const struct ha_model *model)
{
    if (model->balancer != HACTL_YES || !balancer_wanted(model))
        return false;
    bool some = false, waiting = false;
    for (int i = 0; i < model->replica_count; i++) {
        if (!is_ready(model, i))
            continue;
        some |= model->replicas[i].backend != HA_BACKEND_NONE;
        waiting |= model->replicas[i].backend == HA_BACKEND_WAITING;
    }
    bool held = model->holder == HA_HOLDER_BALANCER || model->holder == HA_HOLDER_BOTH;
    return waiting || (some && !held && model->balancer_proved != HACTL_YES);
}

bool ha_rule_balancer_await(RULE_ARGUMENTS)
{
    (void)scope, (void)out;
    return ha_balancer_awaited(model);
}

static bool balancer_can_take_over(const struct ha_model *model)
{
    return balancer_wanted(model) && model->balancer == HACTL_YES && model->balancer_proved == HACTL_YES &&
           serving(model) > 0;
}

/* The address moves only when two serve: one alone behind a balancer is no
 * better than one that holds it, unless that one does not answer. */
static bool promotion_is_due(const struct ha_model *model)
{
    bool answers =
        model->replicas[model->holder_replica].ready != HACTL_NO && !ha_replica_lost(model, model->holder_replica);
    int ready = 0, enough = model->endpoint_want == HA_ENDPOINT_BALANCER || !answers ? 1 : 2;
    for (int i = 0; i < model->replica_count; i++)
        ready += is_ready(model, i) && model->replicas[i].backend == HA_BACKEND_SERVING;
    return balancer_can_take_over(model) && ready >= enough;
}

/* It could take the address this instant: nothing of its own is in the way, nor a balancer that may have it. */
static bool can_claim(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    return is_ready(model, i) && model->balancer != HACTL_UNKNOWN &&
           (!model->has_temporary_addresses || !scope->enabled[HA_STEP_TEMPORARY_ADDRESS_DETACH] ||
            model->replicas[i].temporary_address != HACTL_YES);
}

/* Before the address is dark: what bars the claim goes while somebody else still holds it. */
bool ha_rule_temporary_address_detach(RULE_ARGUMENTS)
{
    int target = ha_endpoint_target(model);
    out->replica = target;
    return model->has_temporary_addresses && target >= 0 && is_ready(model, target) &&
           model->replicas[target].temporary_address == HACTL_YES && !ha_replica_may_hold(model, target) &&
           model->balancer != HACTL_UNKNOWN && model->address == HACTL_YES && scope->enabled[HA_STEP_REPLICA_CLAIM];
}

bool ha_replica_cut_off(const struct ha_model *model, const struct ha_plan_scope *scope, int replica)
{
    const struct ha_replica *r = &model->replicas[replica];
    return model->has_temporary_addresses && scope->enabled[HA_STEP_TEMPORARY_ADDRESS_ATTACH] &&
           (r->wanted || !ha_replica_unbound(model, replica)) && !ha_replica_may_hold(model, replica) &&
           r->instance == HACTL_INSTANCE_RUNNING && r->temporary_address == HACTL_NO;
}

/* After it answers again elsewhere. At once where the lack of it may be why the
 * replica does not answer: hactl may have no other way to it, and one that is
 * not known to be ready is given nothing. */
bool ha_rule_temporary_address_attach(RULE_ARGUMENTS)
{
    for (int i = 0; i < model->replica_count && !model->destroy; i++)
        if (ha_replica_cut_off(model, scope, i) &&
            (ha_endpoint_settled(model, scope) || model->replicas[i].ready != HACTL_YES)) {
            out->replica = i;
            return true;
        }
    return false;
}

/* What it served with is gone for good, or dead and to go: nobody answers there, and
 * as long as it has the address it can neither be made anew nor leave. */
static bool holder_is_lost(const struct ha_model *model)
{
    const struct ha_replica *r = &model->replicas[model->holder_replica];
    bool dead_and_leaving = !r->wanted && !may_answer(model, model->holder_replica);
    return r->ready == HACTL_NO && (dead_and_leaving || ha_replica_lost(model, model->holder_replica));
}

/* Two have it. The replica lets go where it is lost, or not the target and the balancer
 * serves; else the balancer, where the target is a replica or it does not run. */
static bool both_hold(const struct ha_model *model, bool replica_goes)
{
    int target = ha_endpoint_target(model);
    bool serves = model->balancer == HACTL_YES && serving(model) > 0;
    if (model->holder != HA_HOLDER_BOTH)
        return false;
    if (model->destroy)
        return true;
    if (replica_goes)
        return holder_is_lost(model) || (serves && target != model->holder_replica);
    return model->balancer == HACTL_NO ||
           (target >= 0 && (!serves || (target == model->holder_replica && is_ready(model, target))));
}

bool ha_rule_replica_release(RULE_ARGUMENTS)
{
    out->replica = model->holder_replica;
    if (both_hold(model, true))
        return true;
    if (model->holder != HA_HOLDER_REPLICA)
        return false;
    int target = ha_endpoint_target(model);
    bool due = model->destroy || holder_is_lost(model) ||
               (target >= 0 && target != model->holder_replica && can_claim(model, scope, target) &&
                scope->enabled[HA_STEP_REPLICA_CLAIM]) ||
               (target == HA_TARGET_BALANCER && promotion_is_due(model) && scope->enabled[HA_STEP_BALANCER_CLAIM]);
    return due;
}

bool ha_rule_replica_claim(RULE_ARGUMENTS)
{
    int target = ha_endpoint_target(model);
    out->replica = target;
    return model->holder == HA_HOLDER_NONE && model->address == HACTL_YES && target >= 0 &&
           can_claim(model, scope, target);
}

bool ha_rule_balancer_release(RULE_ARGUMENTS)
{
    (void)out;
    int target = ha_endpoint_target(model);
    if (both_hold(model, false))
        return true;
    return model->holder == HA_HOLDER_BALANCER && (model->destroy || (target >= 0 && can_claim(model, scope, target) &&
                                                                      scope->enabled[HA_STEP_REPLICA_CLAIM]));
}

bool ha_rule_balancer_claim(RULE_ARGUMENTS)
{
    (void)scope, (void)out;
    return model->holder == HA_HOLDER_NONE && model->address == HACTL_YES && balancer_can_take_over(model);
}

bool ha_rule_balancer_delete(RULE_ARGUMENTS)
{
    (void)out;
    if (!model->balancer_present || model->balancer == HACTL_UNKNOWN || balancer_wanted(model))
        return false;
    bool moved = model->holder == HA_HOLDER_REPLICA && ha_endpoint_settled(model, scope);
    return model->destroy ? model->holder == HA_HOLDER_NONE : moved;
}

bool ha_rule_endpoint_verify(RULE_ARGUMENTS)
{
    (void)scope, (void)out;
    int target = ha_endpoint_target(model);
    bool there = (target == HA_TARGET_BALANCER && model->holder == HA_HOLDER_BALANCER) ||
                 (target >= 0 && model->holder == HA_HOLDER_REPLICA && model->holder_replica == target);
    return there && model->endpoint_answers != HACTL_YES && model->address != HACTL_UNKNOWN;
}
