/* SPDX-License-Identifier: Apache-2.0 */
/* Is the wanted state reached, and if not, what stands in the way? */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/planner.h"

/* Each check is one thing that the wanted state asks for. It says why it is
 * not so, or nothing when it is. Checks of steps that the pipeline leaves out
 * are not made. */
struct check {
    enum ha_step_kind kind; /* asked only if the pipeline has this kind */
    bool (*unmet)(const struct ha_model *model, int i, char *why, size_t size);
    bool per_replica;
};

#define SAY(...) (snprintf(why, size, __VA_ARGS__), true)

static const char *const unknown_words = "could not be asked about; nothing is done to it until it can";

static bool replica_leftover(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_replica *r = &model->replicas[i];
    if (ha_replica_needed(model, i) || r->instance == HACTL_INSTANCE_ABSENT)
        return false;
    if (r->instance == HACTL_INSTANCE_UNKNOWN)
        return SAY("%s %s", r->name, unknown_words);
    return SAY("%s is to go, but cannot yet", r->name);
}

static bool replica_down(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_replica *r = &model->replicas[i];
    if (!r->wanted || model->destroy)
        return false;
    if (r->instance == HACTL_INSTANCE_UNKNOWN)
        return SAY("%s %s", r->name, unknown_words);
    if (r->data == HACTL_NO)
        return SAY("the data of %s is gone: `hactl replica replace %s`, or `hactl etcd reconcile`", r->name, r->name);
    if (ha_replica_former(model, i))
        return SAY(
            "%s holds the data of a member that was removed: `hactl replica replace %s`, or `hactl etcd reconcile`",
            r->name, r->name);
    return r->instance != HACTL_INSTANCE_RUNNING
               ? SAY("%s does not run%s%s", r->name, r->detail[0] ? ": " : "", r->detail)
               : false;
}

static bool certificates_missing(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_replica *r = &model->replicas[i];
    return model->has_issuer && r->wanted && !model->destroy && r->certificates != HA_CERTIFICATES_READY
               ? SAY("the certificates of %s are not ready", r->name)
               : false;
}

static bool files_outdated(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_replica *r = &model->replicas[i];
    for (int p = 0; p < model->payload_count && r->wanted && !model->destroy; p++)
        if (r->instance == HACTL_INSTANCE_RUNNING && r->deliveries[p] == HA_DELIVERY_RUNNING && r->outdated >> p & 1)
            return SAY("%s has not got its new certificates yet", r->name);
    return false;
}

static bool operator_certificates_missing(const struct ha_model *model, int i, char *why, size_t size)
{
    (void)i;
    return model->has_issuer && !model->destroy && model->operator_certificates != HA_CERTIFICATES_READY
               ? SAY("the operator's certificates are not ready")
               : false;
}

static bool firewall_wrong(const struct ha_model *model, int i, char *why, size_t size)
{
    (void)i;
    if (!model->has_firewall || model->firewall == (model->destroy ? HACTL_NO : HACTL_YES))
        return false;
    return model->destroy ? SAY("the firewall's rules are still there") : SAY("the firewall is not open");
}

/* Of a replica that runs: a member or component that does not, or not as wanted. */
static bool unit_wrong(const struct ha_model *model, int i, char *why, size_t size, int from, int to)
{
    const struct ha_replica *r = &model->replicas[i];
    for (int p = from; p < to && r->wanted && !model->destroy && r->instance == HACTL_INSTANCE_RUNNING; p++) {
        if (r->deliveries[p] == HA_DELIVERY_UNKNOWN)
            return SAY("what runs on %s %s", r->name, unknown_words);
        if (r->deliveries[p] == HA_DELIVERY_STALE)
            return SAY("%s is still to be restarted with its new certificates", r->name);
        if (r->deliveries[p] != HA_DELIVERY_RUNNING)
            return SAY("not everything on %s runs%s%s", r->name, r->detail[0] ? ": " : "", r->detail);
    }
    return false;
}

static bool member_unit_wrong(const struct ha_model *model, int i, char *why, size_t size)
{
    return unit_wrong(model, i, why, size, 0, model->group_count);
}

static bool component_wrong(const struct ha_model *model, int i, char *why, size_t size)
{
    return unit_wrong(model, i, why, size, model->group_count, model->payload_count);
}

static bool not_ready(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_replica *r = &model->replicas[i];
    return r->wanted && !model->destroy && r->ready != HACTL_YES ? SAY("%s does not answer", r->name) : false;
}

static bool backend_wrong(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_replica *r = &model->replicas[i];
    bool wanted = ha_endpoint_target(model) == HA_TARGET_BALANCER && r->wanted;
    if (wanted && r->backend != HA_BACKEND_SERVING)
        return SAY("%s does not serve behind the balancer", r->name);
    return !wanted && r->backend != HA_BACKEND_NONE ? SAY("%s is still behind the balancer", r->name) : false;
}

static bool certificates_left(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_replica *r = &model->replicas[i];
    return !ha_replica_needed(model, i) && model->has_issuer && r->certificates != HA_CERTIFICATES_NONE
               ? SAY("certificates of %s are left", r->name)
               : false;
}

static bool address_left(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_replica *r = &model->replicas[i];
    return !ha_replica_needed(model, i) && r->address != HACTL_NO
               ? SAY("the internal address of %s is still held", r->name)
               : false;
}

static bool group_unformed(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_group *group = &model->groups[i];
    return !model->destroy && !ha_model_is_formed(group) ? SAY("%s is not formed", group->name) : false;
}

static bool group_alarmed(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_group *group = &model->groups[i];
    if (model->destroy || !group->alarm[0])
        return false;
    return SAY("%s has an alarm: %s; every change is refused until it is cleared", group->name, group->alarm);
}

static bool quorum_lost(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_group *group = &model->groups[i];
    if (model->destroy || !ha_model_is_formed(group) || group->quorum == HACTL_YES)
        return false;
    struct ha_budget budget = ha_group_budget(group);
    if (budget.voters)
        return SAY("%s has lost its quorum: %d of %d voters are healthy, %d are needed", group->name, budget.healthy,
                   budget.voters, budget.quorum);
    return SAY("no member of %s answers%s%s", group->name, group->detail[0] ? ": " : "", group->detail);
}

static bool member_troubled(const struct ha_model *model, int i, char *why, size_t size)
{
    const struct ha_group *group = &model->groups[i];
    for (int m = 0; m < group->member_count && !model->destroy && group->quorum == HACTL_YES; m++) {
        const struct ha_member *member = &group->members[m];
        const char *name = member->name[0] ? member->name : member->id;
        if (member->replica < 0)
            return SAY("%s has a member of no replica, %s at %s: `hactl etcd reconcile` removes it", group->name, name,
                       member->peer_url);
        if (member->healthy != HACTL_YES && member->voter)
            return SAY("member %s of %s %s", name, group->name,
                       member->healthy == HACTL_NO ? "does not answer" : unknown_words);
        if (!member->voter)
            return SAY("member %s of %s is still a learner", name, group->name);
        if (!model->replicas[member->replica].wanted)
            return SAY("member %s of %s is to leave, but cannot yet", name, group->name);
    }
    for (int r = 0; r < model->replica_count && !model->destroy && group->quorum == HACTL_YES; r++)
        if (model->replicas[r].wanted && ha_model_member_of(group, r) < 0)
            return SAY("%s is not a member of %s", model->replicas[r].name, group->name);
    return false;
}

static bool endpoint_wrong(const struct ha_model *model, int i, char *why, size_t size)
{
    (void)i;
    int target = ha_endpoint_target(model);
    if (model->holder == HA_HOLDER_UNKNOWN)
        return model->holder_detail[0] ? SAY("the public address is left alone: %s", model->holder_detail)
                                       : SAY("who holds the public address could not be seen; it is left alone");
    if (model->holder == HA_HOLDER_BOTH)
        return SAY("%s", model->holder_detail);
    if (model->destroy)
        return model->holder != HA_HOLDER_NONE ? SAY("the public address is still held") : false;
    if (target == HA_TARGET_BALANCER && model->holder != HA_HOLDER_BALANCER)
        return SAY("the balancer does not hold the public address");
    if (target >= 0 && (model->holder != HA_HOLDER_REPLICA || model->holder_replica != target))
        return SAY("%s does not hold the public address", model->replicas[target].name);
    return target == HA_TARGET_NOBODY ? SAY("no replica is ready to hold the public address") : false;
}

static bool balancer_wrong(const struct ha_model *model, int i, char *why, size_t size)
{
    (void)i;
    bool wanted = ha_endpoint_target(model) == HA_TARGET_BALANCER;
    if (wanted && model->balancer != HACTL_YES)
        return SAY("the balancer does not run");
    return !wanted && model->balancer_present ? SAY("the balancer is still there") : false;
}

static bool endpoint_silent(const struct ha_model *model, int i, char *why, size_t size)
{
    (void)i;
    return !model->destroy && model->endpoint_answers != HACTL_YES ? SAY("the public address does not answer") : false;
}

static bool authority_wrong(const struct ha_model *model, int i, char *why, size_t size)
{
    (void)i;
    if (!model->has_issuer || (model->authority == HACTL_YES) == !model->destroy)
        return false;
    return model->destroy && model->authority == HACTL_NO ? false
           : model->destroy                               ? SAY("the certificate authorities are still there")
                                                          : SAY("there is no certificate authority");
}

static bool rotation_unfinished(const struct ha_model *model, int i, char *why, size_t size)
{
    (void)i;
    if (!model->has_issuer || model->destroy || ha_rotation_done(model))
        return false;
    if (ha_rotation_gated(model, why, size))
        return true;
    return SAY("the authority %s is not in the phase that it was asked for", model->rotation);
}

static bool address_wrong(const struct ha_model *model, int i, char *why, size_t size)
{
    (void)i;
    if (model->address == (model->destroy ? HACTL_NO : HACTL_YES))
        return false;
    if (model->address == HACTL_UNKNOWN)
        return SAY("the public address %s", unknown_words);
    return model->destroy ? SAY("the public address is still reserved") : SAY("no public address is reserved");
}

/* What comes first is said first: causes before consequences. */
static const struct check checks[] = {
    {HA_STEP_GROUP_AWAIT, quorum_lost, false},
    {HA_STEP_GROUP_AWAIT, group_alarmed, false},
    {HA_STEP_ADDRESS_RESERVE, address_wrong, false},
    {HA_STEP_FIREWALL_ENSURE, firewall_wrong, false},
    {HA_STEP_AUTHORITY_CREATE, authority_wrong, false},
    {HA_STEP_AUTHORITY_ROTATE, rotation_unfinished, false},
    {HA_STEP_CERTIFICATE_ISSUE, operator_certificates_missing, false},
    {HA_STEP_CERTIFICATE_ISSUE, certificates_missing, true},
    {HA_STEP_INSTANCE_CREATE, replica_down, true},
    {HA_STEP_GROUP_AWAIT, group_unformed, false},
    {HA_STEP_MEMBER_ADD, member_troubled, false},
    {HA_STEP_MEMBER_START, member_unit_wrong, true},
    {HA_STEP_COMPONENTS_START, component_wrong, true},
    {HA_STEP_CERTIFICATE_DELIVER, files_outdated, true},
    {HA_STEP_REPLICA_AWAIT, not_ready, true},
    {HA_STEP_BALANCER_BUILD, balancer_wrong, false},
    {HA_STEP_BACKEND_ADD, backend_wrong, true},
    {HA_STEP_BALANCER_CLAIM, endpoint_wrong, false},
    {HA_STEP_ENDPOINT_VERIFY, endpoint_silent, false},
    {HA_STEP_INSTANCE_DELETE, replica_leftover, true},
    {HA_STEP_CERTIFICATE_RETIRE, certificates_left, true},
    {HA_STEP_INTERNAL_ADDRESS_DELETE, address_left, true},
};

typedef bool heard(void *context, const char *why); /* false: enough */

static void each_unmet(const struct ha_model *model, const struct ha_plan_scope *scope, heard *hear, void *context)
{
    char why[256];
    for (size_t c = 0; c < sizeof checks / sizeof *checks; c++) {
        if (!scope->enabled[checks[c].kind])
            continue;
        bool of_group = checks[c].unmet == quorum_lost || checks[c].unmet == group_alarmed ||
                        checks[c].unmet == group_unformed || checks[c].unmet == member_troubled;
        int times = checks[c].per_replica ? model->replica_count : of_group ? model->group_count : 1;
        for (int i = 0; i < times; i++)
            if (checks[c].unmet(model, i, why, sizeof why) && !hear(context, why))
                return;
    }
}

static bool note_any(void *context, const char *why)
{
    (void)why;
    *(bool *)context = false;
    return false;
}

bool ha_model_converged(const struct ha_model *model, const struct ha_plan_scope *scope)
{
    bool converged = true;
    each_unmet(model, scope, note_any, &converged);
    return converged;
}

static bool note_blocked(void *context, const char *why)
{
    struct ha_plan *plan = context;
    snprintf(plan->blocked[plan->blocked_count], sizeof plan->blocked[0], "%s", why);
    return ++plan->blocked_count < (int)(sizeof plan->blocked / sizeof *plan->blocked);
}

void ha_explain_blocked(const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_plan *plan)
{
    struct ha_plan_scope causes = *scope;
    /* Up to the first that is asked for and unmet, whatever the pipeline has;
     * after that consequences, which other stages are there for. */
    for (size_t c = 0; c < sizeof checks / sizeof *checks; c++) {
        struct ha_plan_scope one = {0};
        one.enabled[checks[c].kind] = scope->enabled[checks[c].kind];
        causes.enabled[checks[c].kind] = true;
        if (!ha_model_converged(model, &one))
            break;
    }
    each_unmet(model, &causes, note_blocked, plan);
}
