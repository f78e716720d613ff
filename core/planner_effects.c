/* SPDX-License-Identifier: Apache-2.0 */
/* What each step does to the model, and how its end is recognised. */
#include <stdio.h>
#include <string.h>

#include "core/planner.h"

static struct ha_replica *replica_of(struct ha_model *model, const struct ha_step *step)
{
    return &model->replicas[step->replica];
}

static struct ha_member *member_by_id(struct ha_group *group, const char *id)
{
    for (int m = 0; m < group->member_count; m++)
        if (strcmp(group->members[m].id, id) == 0)
            return &group->members[m];
    return NULL;
}

/* The member that the step is about: by id where the group gave one, else by
 * replica (a step of the same plan adds it). */
static struct ha_member *member_of(struct ha_model *model, const struct ha_step *step)
{
    struct ha_group *group = &model->groups[step->group];
    struct ha_member *member = step->member_id[0] ? member_by_id(group, step->member_id) : NULL;
    int m = member || step->replica < 0 ? -1 : ha_model_member_of(group, step->replica);
    return m >= 0 ? &group->members[m] : member;
}

static struct ha_member *add_member(struct ha_model *model, int g, int replica, bool voter)
{
    struct ha_group *group = &model->groups[g];
    if (group->member_count == HA_MEMBERS)
        return NULL;
    struct ha_member *member = &group->members[group->member_count++];
    memset(member, 0, sizeof *member);
    member->replica = replica;
    member->voter = voter;
    member->lag_entries = -1;
    memcpy(member->name, model->replicas[replica].name, sizeof member->name);
    memcpy(member->address, model->replicas[replica].internal_address, sizeof member->address);
    return member;
}

/* Somebody leads a group with a quorum. Who, is a guess; one that is to leave
 * is the worst case, so that moving leadership away from it is in the plan. */
static void guess_leader(const struct ha_model *model, struct ha_group *group)
{
    struct ha_member *first = NULL, *leaving = NULL;
    for (int m = 0; m < group->member_count; m++) {
        struct ha_member *member = &group->members[m];
        if (!member->voter || member->healthy != HACTL_YES) {
            member->leader = false;
            continue;
        }
        if (member->leader)
            return;
        first = first ? first : member;
        if (!leaving && (member->replica < 0 || !model->replicas[member->replica].wanted))
            leaving = member;
    }
    if (leaving || first)
        (leaving ? leaving : first)->leader = true;
}

static void remove_member(struct ha_model *model, const struct ha_step *step)
{
    struct ha_group *group = &model->groups[step->group];
    struct ha_member *member = member_of(model, step);
    if (!member)
        return;
    int m = (int)(member - group->members);
    memmove(member, member + 1, sizeof *member * (size_t)(group->member_count - m - 1));
    group->member_count--;
    if (!model->destroy)
        guess_leader(model, group);
}

static bool runs_member(const struct ha_model *model, int g, int i)
{
    return model->replicas[i].instance == HACTL_INSTANCE_RUNNING && model->replicas[i].data != HACTL_NO &&
           model->replicas[i].deliveries[g] == HA_DELIVERY_RUNNING;
}

static void form_group(struct ha_model *model, int g)
{
    struct ha_group *group = &model->groups[g];
    bool first = !ha_model_is_formed(group), unlisted = group->member_count == 0;
    group->formed_before = true;
    group->formed = group->quorum = HACTL_YES;
    for (int i = 0; i < model->replica_count; i++) {
        struct ha_replica *r = &model->replicas[i];
        int m = ha_model_member_of(group, i);
        if (runs_member(model, g, i) && m < 0 && (first ? r->founding : unlisted))
            add_member(model, g, i, true);
    }
    for (int m = 0; m < group->member_count; m++) {
        struct ha_member *member = &group->members[m];
        if (member->voter && member->replica >= 0 && runs_member(model, g, member->replica))
            member->started = member->healthy = HACTL_YES;
    }
    guess_leader(model, group);
}

static void start_instance(struct ha_model *model, struct ha_replica *r)
{
    r->instance = HACTL_INSTANCE_RUNNING;
    for (int p = 0; p < model->payload_count; p++)
        if (r->deliveries[p] == HA_DELIVERY_DEAD)
            r->deliveries[p] = HA_DELIVERY_RUNNING;
}

static void forget_files(struct ha_replica *r)
{
    r->unproved = r->spared = r->rereads = r->rekeys = r->outdated = r->rekeyed = 0;
}

static void create_instance(const struct ha_model *model, struct ha_replica *r)
{
    r->instance = HACTL_INSTANCE_RUNNING;
    r->data = HACTL_YES;
    r->ready = HACTL_NO;
    forget_files(r);
    r->temporary_address = model->has_temporary_addresses ? HACTL_YES : HACTL_NO;
    for (int p = 0; p < model->payload_count; p++)
        r->deliveries[p] = HA_DELIVERY_NONE;
}

static void delete_instance(struct ha_model *model, struct ha_replica *r)
{
    r->instance = HACTL_INSTANCE_ABSENT;
    r->ready = HACTL_NO;
    r->data = HACTL_YES;
    forget_files(r);
    r->temporary_address = HACTL_NO;
    for (int p = 0; p < model->payload_count; p++)
        r->deliveries[p] = HA_DELIVERY_NONE;
    for (int g = 0; g < model->group_count && model->destroy; g++) {
        struct ha_step gone = {.group = g, .replica = (int)(r - model->replicas)};
        remove_member(model, &gone);
    }
}

/* Whatever runs on the old certificates has to be started anew, unless it reads the new ones by itself. */
static void issue(struct ha_model *model, const struct ha_step *step)
{
    if (step->replica < 0) {
        model->operator_certificates = HA_CERTIFICATES_READY;
        for (int i = 0; !model->has_cloud && i < model->replica_count; i++)
            if (model->replicas[i].wanted)
                model->replicas[i].certificates = HA_CERTIFICATES_READY;
        return;
    }
    struct ha_replica *r = replica_of(model, step);
    r->certificates = HA_CERTIFICATES_READY;
    for (int p = 0; p < model->payload_count; p++) {
        uint8_t bit = (uint8_t)(1u << p);
        if ((r->deliveries[p] != HA_DELIVERY_RUNNING && r->deliveries[p] != HA_DELIVERY_DEAD) || r->spared & bit)
            continue;
        if (!(r->rereads & bit)) {
            r->deliveries[p] = HA_DELIVERY_STALE;
            continue;
        }
        r->outdated |= bit;
        r->rekeyed |= (uint8_t)(r->rekeys & bit);
    }
    r->spared = r->rereads = r->rekeys = 0;
}

/* One that an earlier step adds has no id yet; its name is known. */
static bool is_successor(const struct ha_member *member, const struct ha_step *step)
{
    return step->member_id[0] && member->id[0] ? strcmp(member->id, step->member_id) == 0
                                               : strcmp(member->name, step->to) == 0;
}

static void move_leader(struct ha_model *model, const struct ha_step *step)
{
    struct ha_group *group = &model->groups[step->group];
    for (int m = 0; m < group->member_count; m++)
        group->members[m].leader = is_successor(&group->members[m], step);
}

static void prove_balancer(struct ha_model *model)
{
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].backend == HA_BACKEND_WAITING && model->replicas[i].wanted &&
            model->replicas[i].ready == HACTL_YES)
            model->replicas[i].backend = HA_BACKEND_SERVING;
    model->balancer_proved = HACTL_YES;
}

static void delete_balancer(struct ha_model *model)
{
    model->balancer = HACTL_NO;
    model->balancer_present = false;
    model->balancer_proved = HACTL_NO;
    for (int i = 0; i < model->replica_count; i++)
        model->replicas[i].backend = HA_BACKEND_NONE;
}

static void hold(struct ha_model *model, enum ha_holder holder, int replica)
{
    model->holder = holder;
    model->holder_replica = replica;
    model->endpoint_answers = HACTL_UNKNOWN;
}

static void update_files(struct ha_replica *r, int payload)
{
    r->unproved &= (uint8_t) ~(1u << payload);
    r->outdated &= (uint8_t) ~(1u << payload);
    r->rekeyed &= (uint8_t) ~(1u << payload);
}

/* The process is started, anew if it ran: then it serves nobody until it answers again. */
static bool start_unit(struct ha_model *model, const struct ha_step *step)
{
    struct ha_replica *r = replica_of(model, step);
    bool fresh = r->deliveries[step->group] == HA_DELIVERY_NONE;
    r->deliveries[step->group] = HA_DELIVERY_RUNNING;
    update_files(r, step->group);
    if (!fresh) {
        r->ready = HACTL_NO;
        r->backend = r->backend == HA_BACKEND_SERVING ? HA_BACKEND_WAITING : r->backend;
    }
    return fresh;
}

/* Not healthy in the eyes of anyone until it answers. */
static void start_member(struct ha_model *model, const struct ha_step *step)
{
    bool fresh = start_unit(model, step);
    int m = ha_model_member_of(&model->groups[step->group], step->replica);
    if (m >= 0 && fresh)
        model->groups[step->group].members[m].started = HACTL_YES;
    else if (m >= 0)
        model->groups[step->group].members[m].healthy = HACTL_NO;
}

bool ha_step_restarts(const struct ha_model *model, const struct ha_step *step)
{
    return (step->kind == HA_STEP_MEMBER_START || step->kind == HA_STEP_COMPONENTS_START) &&
           model->replicas[step->replica].deliveries[step->group] == HA_DELIVERY_STALE;
}

bool ha_step_interrupts(const struct ha_model *model, const struct ha_step *step)
{
    return ha_step_restarts(model, step) ||
           (step->kind == HA_STEP_CERTIFICATE_DELIVER && model->replicas[step->replica].rekeyed >> step->group & 1);
}

void ha_step_apply(struct ha_model *model, const struct ha_step *step)
{
    struct ha_member *member;
    switch (step->kind) {
    case HA_STEP_ADDRESS_RESERVE:
        model->address = HACTL_YES;
        break;
    case HA_STEP_ADDRESS_DELETE:
        model->address = HACTL_NO;
        break;
    case HA_STEP_INTERNAL_ADDRESS_RESERVE:
        replica_of(model, step)->address = HACTL_YES;
        break;
    case HA_STEP_INTERNAL_ADDRESS_DELETE:
        replica_of(model, step)->address = HACTL_NO;
        break;
    case HA_STEP_FIREWALL_ENSURE:
        model->firewall = HACTL_YES;
        model->firewall_present = true;
        break;
    case HA_STEP_FIREWALL_DELETE:
        model->firewall = HACTL_NO;
        model->firewall_present = false;
        break;
    case HA_STEP_AUTHORITY_CREATE:
        model->authority = HACTL_YES;
        break;
    case HA_STEP_AUTHORITY_DELETE:
        model->authority = HACTL_NO;
        model->operator_certificates = HA_CERTIFICATES_NONE;
        break;
    case HA_STEP_CERTIFICATE_ISSUE:
        issue(model, step);
        break;
    case HA_STEP_CERTIFICATE_DELIVER:
        update_files(replica_of(model, step), step->group);
        break;
    case HA_STEP_AUTHORITY_ROTATE:
        ha_rotation_apply(model, step);
        break;
    case HA_STEP_CERTIFICATE_RETIRE:
        replica_of(model, step)->certificates = HA_CERTIFICATES_NONE;
        break;
    case HA_STEP_INSTANCE_CREATE:
        create_instance(model, replica_of(model, step));
        break;
    case HA_STEP_INSTANCE_START:
        start_instance(model, replica_of(model, step));
        break;
    case HA_STEP_INSTANCE_DELETE:
        delete_instance(model, replica_of(model, step));
        break;
    case HA_STEP_MEMBER_ADD:
        add_member(model, step->group, step->replica, false);
        break;
    case HA_STEP_MEMBER_START:
        start_member(model, step);
        break;
    case HA_STEP_GROUP_AWAIT:
        form_group(model, step->group);
        break;
    case HA_STEP_MEMBER_CATCH_UP:
        if ((member = member_of(model, step)))
            member->caught_up = member->healthy = member->started = HACTL_YES;
        break;
    case HA_STEP_MEMBER_PROMOTE:
        if ((member = member_of(model, step)))
            member->voter = true;
        break;
    case HA_STEP_LEADER_MOVE:
        move_leader(model, step);
        break;
    case HA_STEP_MEMBER_REMOVE:
        remove_member(model, step);
        break;
    case HA_STEP_COMPONENTS_START:
        start_unit(model, step);
        break;
    case HA_STEP_REPLICA_AWAIT:
        replica_of(model, step)->ready = HACTL_YES;
        break;
    case HA_STEP_BALANCER_BUILD:
        model->balancer = HACTL_YES;
        model->balancer_present = true;
        break;
    case HA_STEP_BACKEND_ADD:
        replica_of(model, step)->backend = HA_BACKEND_WAITING;
        break;
    case HA_STEP_BACKEND_REMOVE:
        replica_of(model, step)->backend = HA_BACKEND_NONE;
        break;
    case HA_STEP_BALANCER_AWAIT:
        prove_balancer(model);
        break;
    case HA_STEP_REPLICA_RELEASE:
        hold(model, model->holder == HA_HOLDER_BOTH ? HA_HOLDER_BALANCER : HA_HOLDER_NONE, -1);
        break;
    case HA_STEP_BALANCER_RELEASE:
        if (model->holder == HA_HOLDER_BOTH)
            hold(model, HA_HOLDER_REPLICA, model->holder_replica);
        else
            hold(model, HA_HOLDER_NONE, -1);
        break;
    case HA_STEP_REPLICA_CLAIM:
        hold(model, HA_HOLDER_REPLICA, step->replica);
        break;
    case HA_STEP_BALANCER_CLAIM:
        hold(model, HA_HOLDER_BALANCER, -1);
        break;
    case HA_STEP_BALANCER_DELETE:
        delete_balancer(model);
        break;
    case HA_STEP_TEMPORARY_ADDRESS_DETACH:
        replica_of(model, step)->temporary_address = HACTL_NO;
        break;
    case HA_STEP_TEMPORARY_ADDRESS_ATTACH:
        replica_of(model, step)->temporary_address = HACTL_YES;
        break;
    case HA_STEP_ENDPOINT_VERIFY:
        model->endpoint_answers = HACTL_YES;
        break;
    case HA_STEP_KINDS:
        break;
    }
}

/* ---- recognising the end of a step in the observed world */

static bool group_is_well(const struct ha_model *model, int g)
{
    const struct ha_group *group = &model->groups[g];
    bool led = false;
    int voters = 0;
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        led |= member->leader;
        voters += member->voter;
        bool expected =
            member->replica >= 0 && model->replicas[member->replica].wanted && runs_member(model, g, member->replica);
        if (member->voter && expected && member->healthy != HACTL_YES)
            return false;
    }
    return group->formed == HACTL_YES && group->quorum == HACTL_YES && led && voters > 0;
}

static bool balancer_is_proved(const struct ha_model *model)
{
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].backend == HA_BACKEND_WAITING && model->replicas[i].wanted &&
            model->replicas[i].ready == HACTL_YES)
            return false;
    bool held = model->holder == HA_HOLDER_BALANCER || model->holder == HA_HOLDER_BOTH;
    return model->balancer == HACTL_YES && (model->balancer_proved == HACTL_YES || held);
}

static bool member_holds(const struct ha_model *model, const struct ha_step *step)
{
    const struct ha_group *group = &model->groups[step->group];
    struct ha_member *member = member_of((struct ha_model *)model, step);
    switch (step->kind) {
    case HA_STEP_MEMBER_ADD:
        return ha_model_member_of(group, step->replica) >= 0;
    case HA_STEP_MEMBER_CATCH_UP:
        return member && (member->voter || member->caught_up == HACTL_YES);
    case HA_STEP_MEMBER_PROMOTE:
        return member && member->voter;
    case HA_STEP_MEMBER_REMOVE:
        return group->formed == HACTL_YES && !member;
    case HA_STEP_LEADER_MOVE:
        /* Of a member of no replica only its successor is known by name. */
        for (int m = 0; m < group->member_count; m++)
            if (group->members[m].leader)
                return is_successor(&group->members[m], step) ||
                       (step->replica >= 0 && group->members[m].replica != step->replica);
        return false;
    case HA_STEP_GROUP_AWAIT:
        return group_is_well(model, step->group);
    default:
        return false;
    }
}

static bool replica_holds(const struct ha_model *model, const struct ha_step *step)
{
    const struct ha_replica *r = &model->replicas[step->replica];
    switch (step->kind) {
    case HA_STEP_INTERNAL_ADDRESS_RESERVE:
        return r->address == HACTL_YES;
    case HA_STEP_INTERNAL_ADDRESS_DELETE:
        return r->address == HACTL_NO;
    case HA_STEP_CERTIFICATE_ISSUE:
        return r->certificates == HA_CERTIFICATES_READY;
    case HA_STEP_CERTIFICATE_DELIVER:
        return r->deliveries[step->group] == HA_DELIVERY_RUNNING && !(r->outdated >> step->group & 1);
    case HA_STEP_CERTIFICATE_RETIRE:
        return r->certificates == HA_CERTIFICATES_NONE;
    case HA_STEP_INSTANCE_CREATE:
        return r->instance == HACTL_INSTANCE_RUNNING;
    case HA_STEP_INSTANCE_START: {
        for (int p = 0; p < model->payload_count; p++)
            if (r->deliveries[p] == HA_DELIVERY_DEAD)
                return false;
        return r->instance == HACTL_INSTANCE_RUNNING;
    }
    case HA_STEP_INSTANCE_DELETE:
        return r->instance == HACTL_INSTANCE_ABSENT;
    case HA_STEP_MEMBER_START:
    case HA_STEP_COMPONENTS_START:
        return r->deliveries[step->group] == HA_DELIVERY_RUNNING;
    case HA_STEP_REPLICA_AWAIT:
        return r->ready == HACTL_YES;
    case HA_STEP_BACKEND_ADD:
        return r->backend == HA_BACKEND_WAITING || r->backend == HA_BACKEND_SERVING;
    case HA_STEP_BACKEND_REMOVE:
        return r->backend == HA_BACKEND_NONE;
    case HA_STEP_REPLICA_RELEASE:
        return !ha_replica_may_hold(model, step->replica);
    case HA_STEP_REPLICA_CLAIM:
        return model->holder == HA_HOLDER_REPLICA && model->holder_replica == step->replica;
    case HA_STEP_TEMPORARY_ADDRESS_DETACH:
        return r->temporary_address != HACTL_YES;
    case HA_STEP_TEMPORARY_ADDRESS_ATTACH:
        return r->temporary_address != HACTL_NO;
    default:
        return false;
    }
}

static bool listed_are_ready(const struct ha_model *model)
{
    for (int i = 0; !model->has_cloud && i < model->replica_count; i++)
        if (model->replicas[i].wanted && model->replicas[i].certificates != HA_CERTIFICATES_READY)
            return false;
    return true;
}

bool ha_step_holds(const struct ha_model *model, const struct ha_step *step)
{
    switch (step->kind) {
    case HA_STEP_MEMBER_ADD:
    case HA_STEP_MEMBER_CATCH_UP:
    case HA_STEP_MEMBER_PROMOTE:
    case HA_STEP_MEMBER_REMOVE:
    case HA_STEP_LEADER_MOVE:
    case HA_STEP_GROUP_AWAIT:
        return member_holds(model, step);
    case HA_STEP_ADDRESS_RESERVE:
        return model->address == HACTL_YES;
    case HA_STEP_ADDRESS_DELETE:
        return model->address == HACTL_NO;
    case HA_STEP_FIREWALL_ENSURE:
        return model->firewall == HACTL_YES;
    case HA_STEP_FIREWALL_DELETE:
        return model->firewall == HACTL_NO && !model->firewall_present;
    case HA_STEP_AUTHORITY_CREATE:
        return model->authority == HACTL_YES;
    case HA_STEP_AUTHORITY_ROTATE:
        return (int)model->rotation_found == step->phase;
    case HA_STEP_AUTHORITY_DELETE:
        return model->authority == HACTL_NO;
    case HA_STEP_BALANCER_BUILD:
        return model->balancer == HACTL_YES;
    case HA_STEP_BALANCER_AWAIT:
        return balancer_is_proved(model);
    case HA_STEP_BALANCER_RELEASE:
        return model->holder == HA_HOLDER_NONE || model->holder == HA_HOLDER_REPLICA;
    case HA_STEP_BALANCER_CLAIM:
        return model->holder == HA_HOLDER_BALANCER;
    case HA_STEP_BALANCER_DELETE:
        return !model->balancer_present;
    case HA_STEP_ENDPOINT_VERIFY:
        return model->endpoint_answers == HACTL_YES;
    default:
        if (step->kind == HA_STEP_CERTIFICATE_ISSUE && step->replica < 0)
            return model->operator_certificates == HA_CERTIFICATES_READY && listed_are_ready(model);
        return step->replica >= 0 && replica_holds(model, step);
    }
}

int64_t ha_step_limit_ms(const struct ha_model *model, const struct ha_step *step)
{
    enum { BYTES_PER_MS = 5000 }; /* 5 MB/s, less than any disk and network that etcd is fit for */
    int64_t limit_ms = ha_step_types[step->kind].deadline_ms;
    if (step->kind == HA_STEP_MEMBER_CATCH_UP)
        limit_ms += model->groups[step->group].db_size_bytes / BYTES_PER_MS;
    return limit_ms;
}
