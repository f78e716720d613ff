/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for addresses, firewall, certificates, instances and components. */
#include "core/planner_rules.h"

#include <stdio.h>

bool ha_replica_needed(const struct ha_model *model, int replica)
{
    const struct ha_replica *r = &model->replicas[replica];
    if (model->destroy)
        return false;
    if (r->wanted)
        return true;
    for (int g = 0; g < model->group_count && r->founding; g++)
        if (!ha_model_is_formed(&model->groups[g]))
            return true;
    return false;
}

bool ha_replica_unbound(const struct ha_model *model, int replica)
{
    for (int g = 0; g < model->group_count; g++) {
        const struct ha_group *group = &model->groups[g];
        /* Who runs a group that nobody could be asked about may be all that is left of it. */
        bool may_be_member =
            group->formed == HACTL_UNKNOWN && model->replicas[replica].deliveries[g] != HA_DELIVERY_NONE;
        if (ha_model_member_of(group, replica) >= 0 || may_be_member ||
            (ha_model_is_formed(group) && group->quorum != HACTL_YES))
            return false;
    }
    return true;
}

bool ha_replica_former(const struct ha_model *model, int replica)
{
    for (int g = 0; g < model->group_count; g++) {
        const struct ha_group *group = &model->groups[g];
        enum ha_delivery delivery = model->replicas[replica].deliveries[g];
        if (ha_model_is_formed(group) && group->quorum == HACTL_YES && ha_model_member_of(group, replica) < 0 &&
            delivery != HA_DELIVERY_NONE && delivery != HA_DELIVERY_UNKNOWN)
            return true;
    }
    return false;
}

bool ha_quorum_missing(const struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++)
        if (ha_model_is_formed(&model->groups[g]) && model->groups[g].quorum != HACTL_YES)
            return true;
    return false;
}

bool ha_group_alarmed(const struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++)
        if (ha_model_is_formed(&model->groups[g]) && model->groups[g].alarm[0])
            return true;
    return false;
}

bool ha_changes_barred(const struct ha_model *model)
{
    return ha_quorum_missing(model) || ha_group_alarmed(model);
}

bool ha_replica_lost(const struct ha_model *model, int replica)
{
    const struct ha_replica *r = &model->replicas[replica];
    return r->instance == HACTL_INSTANCE_ABSENT ||
           ((model->repair || r->returning) && (r->data == HACTL_NO || ha_replica_former(model, replica)));
}

/* Runs a test over the replicas and names the first that passes it. */
static bool first_replica(const struct ha_model *model, bool (*test)(const struct ha_model *, int), struct ha_step *out)
{
    for (int i = 0; i < model->replica_count; i++)
        if (test(model, i)) {
            out->replica = i;
            return true;
        }
    return false;
}

/* ---- addresses */

bool ha_rule_address_reserve(RULE_ARGUMENTS)
{
    (void)scope, (void)out;
    return !model->destroy && model->address == HACTL_NO;
}

static bool lacks_address(const struct ha_model *model, int i)
{
    return ha_replica_needed(model, i) && model->replicas[i].address == HACTL_NO;
}

bool ha_rule_internal_address_reserve(RULE_ARGUMENTS)
{
    (void)scope;
    return first_replica(model, lacks_address, out);
}

static bool holds_unused_address(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    return !ha_replica_needed(model, i) && r->address == HACTL_YES && r->instance == HACTL_INSTANCE_ABSENT &&
           (model->destroy || ha_replica_unbound(model, i));
}

bool ha_rule_internal_address_delete(RULE_ARGUMENTS)
{
    (void)scope;
    return first_replica(model, holds_unused_address, out);
}

static bool all_instances_absent(const struct ha_model *model)
{
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].instance != HACTL_INSTANCE_ABSENT)
            return false;
    return true;
}

bool ha_rule_address_delete(RULE_ARGUMENTS)
{
    (void)out;
    if (!model->destroy || model->address != HACTL_YES || model->holder != HA_HOLDER_NONE || model->balancer_present)
        return false;
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].address == HACTL_YES && scope->enabled[HA_STEP_INTERNAL_ADDRESS_DELETE])
            return false;
    return all_instances_absent(model);
}

bool ha_rule_firewall_ensure(RULE_ARGUMENTS)
{
    (void)scope, (void)out;
    return model->has_firewall && !model->destroy && model->firewall == HACTL_NO;
}

bool ha_rule_firewall_delete(RULE_ARGUMENTS)
{
    (void)scope, (void)out;
    return model->has_firewall && model->destroy && (model->firewall == HACTL_YES || model->firewall_present) &&
           all_instances_absent(model);
}

/* ---- certificates */

bool ha_rule_authority_create(RULE_ARGUMENTS)
{
    (void)scope, (void)out;
    return model->has_issuer && !model->destroy && model->authority == HACTL_NO;
}

/* Its old certificates may be why its group has no quorum. */
static bool may_come_back(const struct ha_model *model, int i)
{
    for (int g = 0; g < model->group_count; g++)
        if (ha_model_is_formed(&model->groups[g]) && model->replicas[i].data != HACTL_NO &&
            model->replicas[i].deliveries[g] != HA_DELIVERY_NONE && ha_quorum_may_return(model, g, true))
            return true;
    return false;
}

static bool lacks_certificates(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    return ha_replica_needed(model, i) && r->address == HACTL_YES &&
           (!model->replica_keys || r->instance == HACTL_INSTANCE_RUNNING) &&
           (r->certificates == HA_CERTIFICATES_NONE || r->certificates == HA_CERTIFICATES_STALE) &&
           (!ha_changes_barred(model) || may_come_back(model, i));
}

bool ha_rule_certificate_issue(RULE_ARGUMENTS)
{
    (void)scope;
    /* With an address that could not be read no certificate can be judged. */
    if (!model->has_issuer || model->destroy || model->authority != HACTL_YES || model->address == HACTL_UNKNOWN)
        return false;
    if (model->operator_certificates == HA_CERTIFICATES_NONE || model->operator_certificates == HA_CERTIFICATES_STALE)
        return true;
    /* Without a cloud nothing runs on them that would have to be restarted one by one: all are one batch. */
    struct ha_step ignored = *out;
    if (!model->has_cloud)
        return first_replica(model, lacks_certificates, &ignored);
    return model->address == HACTL_YES && first_replica(model, lacks_certificates, out);
}

/* One whose key changes has two files to read, and somebody who connects between
 * the two is turned away: while it serves it waits until no other is on its way back. */
static bool key_must_wait(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    bool serves = model->replicas[i].backend == HA_BACKEND_SERVING || ha_replica_may_hold(model, i);
    return serves && ha_service_recovering(model, scope, i);
}

/* The first payload of it that can be given what it reads again; -1: none. */
static int payload_to_update(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    if (!ha_replica_needed(model, i) || r->instance != HACTL_INSTANCE_RUNNING || r->data == HACTL_NO ||
        r->address != HACTL_YES || r->certificates != HA_CERTIFICATES_READY)
        return -1;
    for (int p = 0; p < model->payload_count; p++)
        if (r->deliveries[p] == HA_DELIVERY_RUNNING && r->outdated >> p & 1 &&
            !(r->rekeyed >> p & 1 && key_must_wait(model, scope, i)))
            return p;
    return -1;
}

static bool has_key_to_update(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    int p = scope->enabled[HA_STEP_CERTIFICATE_DELIVER] ? payload_to_update(model, scope, i) : -1;
    return p >= 0 && model->replicas[i].rekeyed >> p & 1;
}

bool ha_rule_certificate_deliver(RULE_ARGUMENTS)
{
    for (int i = 0; i < model->replica_count; i++) {
        int p = payload_to_update(model, scope, i);
        if (p < 0 || (model->replicas[i].rekeyed >> p & 1 && ha_drain_first(model, scope, i)))
            continue;
        out->replica = i;
        out->group = p;
        return true;
    }
    return false;
}

static bool has_unused_certificates(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    /* A machine that makes its own keys takes them with it. */
    return (!ha_replica_needed(model, i) || model->replica_keys) && r->instance == HACTL_INSTANCE_ABSENT &&
           (r->certificates == HA_CERTIFICATES_READY || r->certificates == HA_CERTIFICATES_STALE) &&
           (model->destroy || ha_replica_unbound(model, i));
}

bool ha_rule_certificate_retire(RULE_ARGUMENTS)
{
    (void)scope;
    return model->has_issuer && first_replica(model, has_unused_certificates, out);
}

bool ha_rule_authority_delete(RULE_ARGUMENTS)
{
    if (!model->has_issuer || !model->destroy || model->balancer_present || model->holder != HA_HOLDER_NONE)
        return false;
    struct ha_step ignored = *out;
    if (scope->enabled[HA_STEP_CERTIFICATE_RETIRE] && first_replica(model, has_unused_certificates, &ignored))
        return false;
    return all_instances_absent(model) &&
           (model->authority == HACTL_YES || model->operator_certificates == HA_CERTIFICATES_READY ||
            model->operator_certificates == HA_CERTIFICATES_STALE);
}

/* ---- instances */

static bool lacks_instance(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    bool of_former = model->replica_keys && has_unused_certificates(model, i);
    return !of_former && ha_replica_needed(model, i) && r->instance == HACTL_INSTANCE_ABSENT &&
           r->address == HACTL_YES && ha_replica_unbound(model, i);
}

bool ha_rule_instance_create(RULE_ARGUMENTS)
{
    (void)scope;
    return !ha_changes_barred(model) && first_replica(model, lacks_instance, out);
}

static bool is_stopped(const struct ha_replica *r, int payloads)
{
    if (r->instance == HACTL_INSTANCE_STOPPED || r->instance == HACTL_INSTANCE_STARTING)
        return true;
    for (int p = 0; p < payloads; p++)
        if (r->instance == HACTL_INSTANCE_RUNNING && r->deliveries[p] == HA_DELIVERY_DEAD)
            return true;
    return false;
}

/* One that is to leave is started only if the group cannot decide without it. */
static bool wants_start(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    return !model->destroy && is_stopped(r, model->payload_count) && r->data != HACTL_NO &&
           !ha_replica_former(model, i) && (ha_replica_needed(model, i) || ha_quorum_missing(model));
}

bool ha_rule_instance_start(RULE_ARGUMENTS)
{
    (void)scope;
    return first_replica(model, wants_start, out);
}

bool ha_replica_may_hold(const struct ha_model *model, int replica)
{
    bool some_replica = model->holder == HA_HOLDER_REPLICA || model->holder == HA_HOLDER_BOTH;
    return model->holder == HA_HOLDER_UNKNOWN || (some_replica && model->holder_replica == replica);
}

static bool is_unused_instance(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    if (ha_replica_may_hold(model, i) || r->instance == HACTL_INSTANCE_ABSENT || r->instance == HACTL_INSTANCE_UNKNOWN)
        return false;
    if (model->destroy)
        return model->holder == HA_HOLDER_NONE && !model->balancer_present;
    if (ha_replica_behind(model, i) || !ha_replica_unbound(model, i))
        return false;
    return (!ha_replica_needed(model, i) || ha_replica_lost(model, i)) && !ha_changes_barred(model);
}

bool ha_rule_instance_delete(RULE_ARGUMENTS)
{
    (void)scope;
    return first_replica(model, is_unused_instance, out);
}

/* ---- components */

/* The first component of it that is to be started; -1: none. */
static int component_to_start(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    if (model->destroy || !r->wanted || r->instance != HACTL_INSTANCE_RUNNING || !ha_model_joined(model, i) ||
        (model->has_issuer && r->certificates != HA_CERTIFICATES_READY))
        return -1;
    for (int p = model->group_count; p < model->payload_count; p++)
        if (r->deliveries[p] == HA_DELIVERY_NONE || r->deliveries[p] == HA_DELIVERY_STALE)
            return p;
    return -1;
}

/* One that answers is interrupted only while no other is on its way back. */
static int component_due(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    int p = component_to_start(model, i);
    return p >= 0 && model->replicas[i].ready != HACTL_NO && ha_service_recovering(model, scope, i) ? -1 : p;
}

bool ha_restart_due(const struct ha_model *model, const struct ha_plan_scope *scope, int replica)
{
    if (ha_member_restart_due(model, scope, replica) || has_key_to_update(model, scope, replica))
        return true;
    int p = scope->enabled[HA_STEP_COMPONENTS_START] ? component_due(model, scope, replica) : -1;
    return p >= 0 && model->replicas[replica].deliveries[p] == HA_DELIVERY_STALE;
}

bool ha_rule_components_start(RULE_ARGUMENTS)
{
    for (int i = 0; i < model->replica_count; i++) {
        int p = component_due(model, scope, i);
        if (p < 0 || (model->replicas[i].deliveries[p] == HA_DELIVERY_STALE && ha_drain_first(model, scope, i)))
            continue;
        out->replica = i;
        out->group = p;
        return true;
    }
    return false;
}

static bool awaits_ready(const struct ha_model *model, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    if (model->destroy || !r->wanted || r->ready == HACTL_YES || r->instance != HACTL_INSTANCE_RUNNING ||
        ha_replica_lost(model, i) || !ha_model_joined(model, i))
        return false;
    for (int p = 0; p < model->payload_count; p++)
        if (r->deliveries[p] != HA_DELIVERY_RUNNING)
            return false;
    return true;
}

bool ha_replica_coming(const struct ha_model *model, const struct ha_plan_scope *scope, int replica)
{
    return scope->enabled[HA_STEP_REPLICA_AWAIT] &&
           (awaits_ready(model, replica) ||
            (scope->enabled[HA_STEP_COMPONENTS_START] && model->replicas[replica].ready == HACTL_NO &&
             component_to_start(model, replica) >= 0));
}

bool ha_service_recovering(const struct ha_model *model, const struct ha_plan_scope *scope, int but_replica)
{
    for (int i = 0; i < model->replica_count; i++)
        if (i != but_replica && (ha_replica_coming(model, scope, i) || ha_replica_out(model, scope, i)))
            return true;
    return scope->enabled[HA_STEP_BALANCER_AWAIT] && ha_balancer_awaited(model);
}

bool ha_rule_replica_await(RULE_ARGUMENTS)
{
    (void)scope;
    return first_replica(model, awaits_ready, out);
}
