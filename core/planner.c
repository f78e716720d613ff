/* SPDX-License-Identifier: Apache-2.0 */
#include "core/planner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ha_plan_scope_all(struct ha_plan_scope *scope)
{
    for (int kind = 0; kind < HA_STEP_KINDS; kind++) {
        scope->enabled[kind] = true;
        scope->rank[kind] = kind;
    }
}

bool ha_step_needs(const struct ha_step *step, int earlier)
{
    return step->needs[earlier / 64] >> (earlier % 64) & 1;
}

static bool touches_meet(const struct ha_touch *a, const struct ha_touch *b)
{
    return (a->addresses & b->addresses) || (a->certificates & b->certificates) || (a->instances & b->instances) ||
           (a->ready & b->ready) || (a->backends & b->backends) || (a->groups & b->groups) || (a->things & b->things);
}

static bool must_follow(const struct ha_step *later, const struct ha_step *earlier)
{
    return touches_meet(&earlier->writes, &later->reads) || touches_meet(&earlier->writes, &later->writes) ||
           touches_meet(&earlier->reads, &later->writes);
}

static void find_needs(struct ha_plan *plan, int index)
{
    struct ha_step *step = &plan->steps[index];
    memset(step->needs, 0, sizeof step->needs);
    for (int i = 0; i < index; i++)
        if (must_follow(step, &plan->steps[i]))
            step->needs[i / 64] |= UINT64_C(1) << (i % 64);
}

/* What every step of a kind reads and writes; R its replica, G its group. */
enum touch_bits { NONE = 0, R = 1, ALL = 2 };

static const struct touch_rule {
    struct {
        uint8_t addresses, certificates, instances, ready, backends, groups;
        uint8_t things;
    } reads, writes;
} touch_rules[HA_STEP_KINDS] = {
    [HA_STEP_ADDRESS_RESERVE] = {.writes = {.things = HA_THING_ADDRESS}},
    [HA_STEP_INTERNAL_ADDRESS_RESERVE] = {.writes = {.addresses = R}},
    [HA_STEP_INTERNAL_ADDRESS_DELETE] = {.reads = {.instances = R, .certificates = R}, .writes = {.addresses = R}},
    [HA_STEP_ADDRESS_DELETE] = {.reads = {.instances = ALL,
                                          .addresses = ALL,
                                          .things = HA_THING_ENDPOINT | HA_THING_BALANCER},
                                .writes = {.things = HA_THING_ADDRESS}},
    [HA_STEP_FIREWALL_ENSURE] = {.writes = {.things = HA_THING_FIREWALL}},
    [HA_STEP_FIREWALL_DELETE] = {.reads = {.instances = ALL}, .writes = {.things = HA_THING_FIREWALL}},
    [HA_STEP_AUTHORITY_CREATE] = {.writes = {.things = HA_THING_AUTHORITY}},
    [HA_STEP_CERTIFICATE_ISSUE] = {.reads = {.addresses = R, .things = HA_THING_ADDRESS | HA_THING_AUTHORITY},
                                   .writes = {.certificates = R}},
    [HA_STEP_CERTIFICATE_DELIVER] = {.reads = {.addresses = ALL, .certificates = R, .things = HA_THING_ADDRESS},
                                     .writes = {.instances = R}},
    [HA_STEP_AUTHORITY_ROTATE] =
        {.reads = {.addresses = ALL, .ready = ALL, .groups = ALL, .backends = ALL, .things = HA_THING_ENDPOINT},
         .writes = {.certificates = ALL, .instances = ALL, .things = HA_THING_AUTHORITY | HA_THING_OPERATOR}},
    [HA_STEP_CERTIFICATE_RETIRE] = {.reads = {.instances = R}, .writes = {.certificates = R}},
    [HA_STEP_AUTHORITY_DELETE] = {.reads = {.instances = ALL,
                                            .certificates = ALL,
                                            .things = HA_THING_BALANCER | HA_THING_ENDPOINT},
                                  .writes = {.things = HA_THING_AUTHORITY | HA_THING_OPERATOR}},
    [HA_STEP_INSTANCE_CREATE] = {.reads = {.addresses = R, .groups = ALL, .things = HA_THING_FIREWALL},
                                 .writes = {.instances = R}},
    [HA_STEP_INSTANCE_START] = {.writes = {.instances = R}},
    [HA_STEP_INSTANCE_DELETE] = {.reads = {.backends = R,
                                           .groups = ALL,
                                           .things = HA_THING_ENDPOINT | HA_THING_BALANCER},
                                 .writes = {.instances = R, .ready = R}},
    [HA_STEP_MEMBER_ADD] = {.reads = {.instances = R, .certificates = R, .things = HA_THING_OPERATOR},
                            .writes = {.groups = R}},
    [HA_STEP_MEMBER_START] = {.reads = {.addresses = ALL, .certificates = R, .groups = R, .things = HA_THING_ADDRESS},
                              .writes = {.instances = R}},
    [HA_STEP_GROUP_AWAIT] = {.reads = {.instances = ALL, .things = HA_THING_OPERATOR},
                             .writes = {.groups = R, .ready = ALL}},
    [HA_STEP_MEMBER_CATCH_UP] = {.reads = {.instances = R, .things = HA_THING_OPERATOR}, .writes = {.groups = R}},
    [HA_STEP_MEMBER_PROMOTE] = {.reads = {.things = HA_THING_OPERATOR}, .writes = {.groups = R, .ready = R}},
    [HA_STEP_LEADER_MOVE] = {.reads = {.backends = R, .instances = R, .things = HA_THING_ENDPOINT | HA_THING_OPERATOR},
                             .writes = {.groups = R}},
    [HA_STEP_MEMBER_REMOVE] = {.reads = {.backends = R,
                                         .instances = R,
                                         .things = HA_THING_ENDPOINT | HA_THING_OPERATOR},
                               .writes = {.groups = R}},
    [HA_STEP_COMPONENTS_START] = {.reads = {.certificates = R, .ready = R}, .writes = {.instances = R}},
    [HA_STEP_REPLICA_AWAIT] = {.reads = {.instances = R, .things = HA_THING_OPERATOR}, .writes = {.ready = R}},
    [HA_STEP_BALANCER_BUILD] = {.reads = {.things = HA_THING_ADDRESS}, .writes = {.things = HA_THING_BALANCER}},
    [HA_STEP_BACKEND_ADD] = {.reads = {.ready = R, .things = HA_THING_BALANCER}, .writes = {.backends = R}},
    [HA_STEP_BACKEND_REMOVE] = {.reads = {.things = HA_THING_BALANCER | HA_THING_ENDPOINT}, .writes = {.backends = R}},
    [HA_STEP_BALANCER_AWAIT] = {.reads = {.ready = ALL}, .writes = {.backends = ALL, .things = HA_THING_BALANCER}},
    [HA_STEP_REPLICA_RELEASE] = {.reads = {.ready = ALL, .backends = ALL, .things = HA_THING_BALANCER},
                                 .writes = {.things = HA_THING_ENDPOINT}},
    [HA_STEP_REPLICA_CLAIM] = {.reads = {.ready = R, .things = HA_THING_ADDRESS},
                               .writes = {.things = HA_THING_ENDPOINT}},
    [HA_STEP_BALANCER_RELEASE] = {.reads = {.ready = ALL, .backends = ALL, .things = HA_THING_BALANCER},
                                  .writes = {.things = HA_THING_ENDPOINT}},
    [HA_STEP_BALANCER_CLAIM] = {.reads = {.backends = ALL, .things = HA_THING_BALANCER},
                                .writes = {.things = HA_THING_ENDPOINT}},
    [HA_STEP_BALANCER_DELETE] = {.reads = {.things = HA_THING_ENDPOINT},
                                 .writes = {.backends = ALL, .things = HA_THING_BALANCER}},
    [HA_STEP_TEMPORARY_ADDRESS_DETACH] = {.reads = {.ready = R, .instances = R},
                                          .writes = {.things = HA_THING_ENDPOINT}},
    [HA_STEP_TEMPORARY_ADDRESS_ATTACH] = {.reads = {.things = HA_THING_ENDPOINT}, .writes = {.instances = R}},
    [HA_STEP_ENDPOINT_VERIFY] = {.reads = {.things = HA_THING_BALANCER}, .writes = {.things = HA_THING_ENDPOINT}},
};

static uint16_t spread(uint8_t bits, int which)
{
    if (bits & ALL)
        return UINT16_MAX;
    return bits & R && which >= 0 ? (uint16_t)(1u << which) : 0;
}

static void find_touches(const struct ha_model *model, struct ha_step *step)
{
    const struct touch_rule *rule = &touch_rules[step->kind];
    int r = step->replica, g = step->group;
#define SPREAD(side)                                                   \
    step->side = (struct ha_touch){spread(rule->side.addresses, r),    \
                                   spread(rule->side.certificates, r), \
                                   spread(rule->side.instances, r),    \
                                   spread(rule->side.ready, r),        \
                                   spread(rule->side.backends, r),     \
                                   spread(rule->side.groups, g),       \
                                   rule->side.things}
    SPREAD(reads);
    SPREAD(writes);
#undef SPREAD
    /* Who is not behind the balancer has nothing to do with it any more. */
    for (int i = 0; step->kind == HA_STEP_BALANCER_DELETE && i < model->replica_count; i++)
        if (model->replicas[i].backend == HA_BACKEND_NONE)
            step->writes.backends &= (uint16_t) ~(1u << i);
    if (step->kind == HA_STEP_INSTANCE_DELETE && !model->destroy)
        step->reads.things &= (uint8_t)~HA_THING_BALANCER;
    if (step->kind == HA_STEP_CERTIFICATE_ISSUE && r < 0)
        step->writes.things |= HA_THING_OPERATOR;
    if (step->kind == HA_STEP_CERTIFICATE_ISSUE && model->replica_keys)
        step->reads.instances |= spread(R, r);
    if (step->kind == HA_STEP_INSTANCE_CREATE && model->replica_keys)
        step->reads.certificates |= spread(R, r);
    for (int p = 0; step->kind == HA_STEP_CERTIFICATE_ISSUE && r >= 0 && p < model->payload_count; p++)
        if (model->replicas[r].deliveries[p] != HA_DELIVERY_NONE)
            step->writes.instances |= spread(R, r);
    /* It leaves for a restart: all that has to be well before that is. */
    if (step->kind == HA_STEP_BACKEND_REMOVE && model->replicas[r].wanted) {
        step->reads.ready = UINT16_MAX;
        step->reads.groups = UINT16_MAX;
        step->reads.backends = UINT16_MAX; /* and who goes for good has gone, while all others serve */
        step->reads.certificates |= spread(R, r);
        step->reads.instances |= spread(R, r);
    }
    /* Whether it may be interrupted where it stands depends on who else serves. */
    if (ha_step_interrupts(model, step)) {
        step->reads.ready = UINT16_MAX;
        step->reads.backends = UINT16_MAX;
        step->reads.things |= HA_THING_BALANCER;
        step->writes.ready |= spread(R, r);
        step->writes.backends |= spread(R, r);
        step->writes.groups |= step->kind == HA_STEP_MEMBER_START ? spread(R, g) : 0;
    }
}

static void name_subject(const struct ha_model *model, struct ha_step *step)
{
    const char *replica = step->replica >= 0 ? model->replicas[step->replica].name : NULL;
    const char *group = step->group >= 0 && step->group < model->group_count ? model->groups[step->group].name : NULL;
    if (!replica && !step->subject[0])
        replica = group                                           ? group
                  : !strstr(ha_step_types[step->kind].says, "%s") ? NULL
                  : model->has_cloud                              ? "the operator"
                                                                  : "every replica";
    if (replica)
        snprintf(step->subject, sizeof step->subject, "%s%s%s", replica, step->replica >= 0 && group ? " in " : "",
                 step->replica >= 0 && group ? group : "");
}

/* A member that restarts counts as down meanwhile. */
static struct ha_budget budget_during(const struct ha_model *model, const struct ha_step *step)
{
    bool restarts = step->kind == HA_STEP_MEMBER_START, removes = step->kind == HA_STEP_MEMBER_REMOVE;
    if (!restarts && !removes)
        return ha_model_budget(model);
    struct ha_model during = *model;
    struct ha_group *group = &during.groups[step->group];
    int m = ha_model_member_of(group, step->replica);
    if (removes)
        ha_step_apply(&during, step);
    else if (m >= 0)
        group->members[m].healthy = HACTL_NO;
    return ha_model_budget(&during);
}

/* Another group may have the least tolerance and hide what this step takes. */
static struct ha_budget budget_of_step(const struct ha_model *model, const struct ha_step *step)
{
    return step->group >= 0 && step->group < model->group_count ? ha_group_budget(&model->groups[step->group])
                                                                : ha_model_budget(model);
}

static bool takes_last_tolerance(const struct ha_budget *before, const struct ha_budget *after)
{
    return before->tolerates > 0 && after->tolerates < 1;
}

bool ha_step_still_planned(const struct ha_model *now, const struct ha_step *step)
{
    const struct ha_group *group = &now->groups[step->group];
    struct ha_budget before = ha_group_budget(group);
    if (group->quorum != HACTL_YES || group->alarm[0] || before.tolerates < step->before.tolerates)
        return false;
    if (step->kind != HA_STEP_MEMBER_REMOVE)
        return true;
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        if (step->member_id[0] ? strcmp(member->id, step->member_id) != 0 : member->replica != step->replica)
            continue;
        if (member->voter && (member->healthy != step->healthy || (member->leader && member->healthy == HACTL_YES)))
            return false;
    }
    struct ha_model *after = malloc(sizeof *after);
    if (!after)
        return false;
    *after = *now;
    ha_step_apply(after, step);
    struct ha_budget left = ha_group_budget(&after->groups[step->group]);
    free(after);
    return step->guarded || !takes_last_tolerance(&before, &left);
}

/* Starting what has stopped and waiting for it; giving an address that nobody
 * has to somebody who answers; new certificates, addresses to be reached at and
 * an open firewall, where the lack of them may be why nobody answers. */
bool ha_step_suits(const struct ha_model *model, enum ha_step_kind kind)
{
    return model->destroy || !ha_changes_barred(model) || kind == HA_STEP_INSTANCE_START ||
           kind == HA_STEP_GROUP_AWAIT || kind == HA_STEP_MEMBER_START || kind == HA_STEP_CERTIFICATE_ISSUE ||
           kind == HA_STEP_CERTIFICATE_DELIVER || kind == HA_STEP_REPLICA_CLAIM || kind == HA_STEP_BALANCER_CLAIM ||
           kind == HA_STEP_TEMPORARY_ADDRESS_ATTACH || kind == HA_STEP_FIREWALL_ENSURE ||
           (kind == HA_STEP_TEMPORARY_ADDRESS_DETACH && model->holder == HA_HOLDER_NONE);
}

static bool is_next(const struct ha_model *model, const struct ha_plan_scope *scope, int kind, struct ha_step *out)
{
    memset(out, 0, sizeof *out);
    out->kind = (enum ha_step_kind)kind;
    out->replica = out->group = -1;
    return scope->enabled[kind] && ha_step_suits(model, (enum ha_step_kind)kind) && ha_rules[kind](model, scope, out);
}

/* Whatever the stages' order, an address that nobody holds comes first, then
 * the way to a replica that does not answer. */
static bool next_step(const struct ha_model *model, const struct ha_plan_scope *scope, const int *order,
                      struct ha_step *out)
{
    if (is_next(model, scope, HA_STEP_REPLICA_CLAIM, out) || is_next(model, scope, HA_STEP_BALANCER_CLAIM, out))
        return true;
    if (is_next(model, scope, HA_STEP_TEMPORARY_ADDRESS_ATTACH, out) &&
        model->replicas[out->replica].ready != HACTL_YES)
        return true;
    for (int i = 0; i < HA_STEP_KINDS; i++)
        if (is_next(model, scope, order[i], out))
            return true;
    return false;
}

static void sort_kinds(const struct ha_plan_scope *scope, int *order)
{
    for (int i = 0; i < HA_STEP_KINDS; i++) {
        int at = i;
        for (; at > 0 && scope->rank[order[at - 1]] > scope->rank[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static void note_member(const struct ha_model *model, struct ha_step *step)
{
    step->healthy = HACTL_UNKNOWN;
    if (step->kind != HA_STEP_MEMBER_REMOVE)
        return;
    const struct ha_group *group = &model->groups[step->group];
    for (int m = 0; m < group->member_count; m++)
        if (step->replica >= 0 ? group->members[m].replica == step->replica
                               : strcmp(group->members[m].id, step->member_id) == 0)
            step->healthy = group->members[m].healthy;
}

/* Done in `model`; what it needs and is called is the plan's. */
static bool advance(struct ha_model *model, const struct ha_plan_scope *scope, const int *order, struct ha_step *step)
{
    if (!next_step(model, scope, order, step))
        return false;
    find_touches(model, step);
    note_member(model, step);
    step->before = ha_model_budget(model);
    step->during = budget_during(model, step);
    struct ha_budget before = budget_of_step(model, step);
    ha_step_apply(model, step);
    step->after = ha_model_budget(model);
    if (step->during.tolerates > step->after.tolerates)
        step->during = step->after;
    struct ha_budget after = budget_of_step(model, step);
    step->guarded = !model->destroy && takes_last_tolerance(&before, &after);
    return true;
}

bool ha_plan_advance(struct ha_model *model, const struct ha_plan_scope *scope, struct ha_step *out)
{
    int order[HA_STEP_KINDS];
    sort_kinds(scope, order);
    return advance(model, scope, order, out);
}

void ha_plan_make(const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_plan *out)
{
    int order[HA_STEP_KINDS];
    sort_kinds(scope, order);
    out->count = out->blocked_count = 0;
    out->end = *model;
    struct ha_step step;
    for (bool lacked = ha_quorum_missing(model), lacks = lacked;
         out->count < HA_STEPS && advance(&out->end, scope, order, &step); lacks = ha_quorum_missing(&out->end)) {
        if (lacked && !lacks)
            step.reads.groups = UINT16_MAX; /* only once the quorum is back */
        name_subject(&out->end, &step);
        out->steps[out->count] = step;
        find_needs(out, out->count++);
    }
    out->converged = ha_model_converged(&out->end, scope);
    if (!out->converged)
        ha_explain_blocked(&out->end, scope, out);
}

void ha_plan_kinds(const struct ha_plan *plan, bool kinds[HA_STEP_KINDS])
{
    memset(kinds, 0, HA_STEP_KINDS * sizeof *kinds);
    for (int i = 0; i < plan->count; i++)
        kinds[plan->steps[i].kind] = true;
}

bool ha_step_implied(const bool agreed[HA_STEP_KINDS], enum ha_step_kind kind)
{
    return (kind == HA_STEP_LEADER_MOVE && agreed[HA_STEP_MEMBER_REMOVE]) ||
           (kind == HA_STEP_TEMPORARY_ADDRESS_ATTACH && agreed[HA_STEP_TEMPORARY_ADDRESS_DETACH]) || /* back again */
           (kind == HA_STEP_CERTIFICATE_DELIVER && (agreed[HA_STEP_MEMBER_START] || agreed[HA_STEP_COMPONENTS_START]));
}

enum ha_step_kind ha_plan_surprise(const bool agreed[HA_STEP_KINDS], const struct ha_plan *again)
{
    for (int i = 0; i < again->count; i++) {
        enum ha_step_kind kind = again->steps[i].kind;
        if (ha_step_types[kind].changes && !agreed[kind] && !ha_step_implied(agreed, kind))
            return kind;
    }
    return HA_STEP_KINDS;
}

void ha_step_text(const struct ha_step *step, char *out, size_t size)
{
    const char *says = ha_step_types[step->kind].says, *gap = strstr(says, "%s");
    if (!gap)
        snprintf(out, size, "%s", says);
    else
        snprintf(out, size, "%.*s%s%s", (int)(gap - says), says, step->subject, gap + 2);
    if (step->to[0]) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, " to %s", step->to);
    }
}
