/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/plan/shapes.h"

#include <stdio.h>
#include <string.h>

#define NO         HACTL_NO
#define YES        HACTL_YES
#define DUNNO      HACTL_UNKNOWN
#define ABSENT     HACTL_INSTANCE_ABSENT
#define RUNS       HACTL_INSTANCE_RUNNING
#define STOPPED    HACTL_INSTANCE_STOPPED
#define LOST_SIGHT HACTL_INSTANCE_UNKNOWN
#define C(x)       HA_CERTIFICATES_##x
#define D(x)       HA_DELIVERY_##x
#define B(x)       HA_BACKEND_##x

/* The core first: with these every count up to five is exhausted, up to seven with --all. */
const struct situation formed_situations[] = {
    /* wanted: there and well, on its way, dead in several ways */
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(SERVING), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(NONE), RESTARTS},
    {1, 0, NO, C(NONE), ABSENT, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(NONE), M_LEARNER, YES, NO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(DEAD), D(RUNNING), M_VOTER, NO, NO, NO, B(WAITING), RESTARTS},
    {1, 0, YES, C(READY), ABSENT, YES, D(NONE), D(NONE), M_VOTER, NO, NO, NO, B(WAITING), RESTARTS},
    {1, 0, YES, C(READY), LOST_SIGHT, DUNNO, D(UNKNOWN), D(UNKNOWN), M_VOTER, DUNNO, DUNNO, DUNNO, B(WAITING),
     RESTARTS},
    /* not wanted */
    {0, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(SERVING), RESTARTS},
    {0, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(NONE), RESTARTS},
    {0, 0, YES, C(READY), ABSENT, YES, D(NONE), D(NONE), M_VOTER, NO, NO, NO, B(NONE), RESTARTS},
    {0, 0, YES, C(READY), LOST_SIGHT, DUNNO, D(UNKNOWN), D(UNKNOWN), M_VOTER, DUNNO, DUNNO, DUNNO, B(NONE), RESTARTS},
    {0, 0, YES, C(READY), RUNS, YES, D(NONE), D(NONE), M_LEARNER, NO, NO, NO, B(NONE), RESTARTS},
    /* certificates that are read again as they run */
    {1, 0, YES, C(STALE), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(SERVING), REREADS},
    {1, 0, YES, C(STALE), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(SERVING), REKEYS},
    {1, 0, YES, C(STALE), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, NO, NO, NO, B(WAITING), REREADS},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(SERVING), OUTDATED},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(SERVING), REKEYED},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(NONE), REKEYED},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, NO, NO, NO, B(WAITING), REKEYED},
    {0, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(SERVING), OUTDATED},
    /* the rest */
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(WAITING), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(STALE), D(STALE), M_VOTER, YES, YES, YES, B(SERVING), RESTARTS},
    {1, 0, YES, C(STALE), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, YES, YES, YES, B(SERVING), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(STALE), D(STALE), M_VOTER, NO, NO, NO, B(WAITING), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(NONE), M_VOTER, YES, YES, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, NO, NO, NO, B(WAITING), RESTARTS},
    {1, 0, YES, C(READY), STOPPED, YES, D(RUNNING), D(RUNNING), M_VOTER, NO, NO, NO, B(WAITING), RESTARTS},
    {1, 0, YES, C(READY), RUNS, NO, D(DEAD), D(RUNNING), M_VOTER, NO, NO, NO, B(WAITING), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, DUNNO, DUNNO, DUNNO, B(UNKNOWN), RESTARTS},
    {1, 0, YES, C(NONE), RUNS, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), HACTL_INSTANCE_STARTING, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(DEAD), D(RUNNING), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(NONE), D(NONE), M_LEARNER, NO, NO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(NONE), D(NONE), M_LEARNER, DUNNO, DUNNO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(NONE), M_LEARNER, YES, YES, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(NONE), M_LEARNER, NO, YES, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), ABSENT, YES, D(NONE), D(NONE), M_LEARNER, NO, NO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), ABSENT, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(WAITING), RESTARTS},
    {0, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(RUNNING), M_VOTER, NO, NO, NO, B(SERVING), RESTARTS},
    {0, 0, YES, C(READY), STOPPED, YES, D(RUNNING), D(RUNNING), M_VOTER, NO, NO, NO, B(WAITING), RESTARTS},
    {0, 0, YES, C(READY), RUNS, YES, D(RUNNING), D(NONE), M_LEARNER, YES, YES, NO, B(NONE), RESTARTS},
    {0, 0, YES, C(READY), RUNS, YES, D(DEAD), D(RUNNING), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {0, 0, YES, C(READY), RUNS, NO, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {0, 0, YES, C(READY), LOST_SIGHT, DUNNO, D(UNKNOWN), D(UNKNOWN), M_NONE, NO, NO, DUNNO, B(NONE), RESTARTS},
    {0, 0, YES, C(READY), ABSENT, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {0, 0, NO, C(READY), ABSENT, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {0, 1, YES, C(READY), RUNS, YES, D(RUNNING), D(NONE), M_VOTER, YES, YES, NO, B(NONE), RESTARTS},
};
const int formed_count = (int)(sizeof formed_situations / sizeof *formed_situations), formed_core_count = 12;

const struct situation unformed_situations[] = {
    {1, 1, NO, C(NONE), ABSENT, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 1, YES, C(READY), RUNS, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 1, YES, C(READY), RUNS, YES, D(RUNNING), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 1, YES, C(READY), RUNS, YES, D(DEAD), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 1, YES, C(STALE), STOPPED, YES, D(RUNNING), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 1, YES, C(READY), LOST_SIGHT, DUNNO, D(UNKNOWN), D(UNKNOWN), M_NONE, NO, NO, DUNNO, B(NONE), RESTARTS},
    {0, 1, NO, C(NONE), ABSENT, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {0, 1, YES, C(READY), RUNS, YES, D(RUNNING), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 0, NO, C(NONE), ABSENT, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 0, YES, C(READY), RUNS, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {0, 0, YES, C(READY), RUNS, YES, D(NONE), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
    {1, 1, YES, C(READY), RUNS, NO, D(DEAD), D(NONE), M_NONE, NO, NO, NO, B(NONE), RESTARTS},
};
const int unformed_count = (int)(sizeof unformed_situations / sizeof *unformed_situations);

/* What cannot be; the unpleasant can. */
static bool can_be(const struct situation *s)
{
    bool runs = s->instance == RUNS, unseen = s->instance == LOST_SIGHT;
    bool member_runs = runs && (s->member_unit == D(RUNNING) || s->member_unit == D(STALE));
    if (unseen != (s->member_unit == D(UNKNOWN)) || unseen != (s->component == D(UNKNOWN)) ||
        unseen != (s->data == DUNNO))
        return false;
    if (s->instance == ABSENT &&
        (s->member_unit != D(NONE) || s->component != D(NONE) || s->data != YES || s->ready != NO))
        return false;
    if (s->address == NO && (s->instance != ABSENT || s->certificates != C(NONE) || s->member != M_NONE))
        return false;
    if (s->ready == YES && !(member_runs && (s->component == D(RUNNING) || s->component == D(STALE))))
        return false;
    if (s->ready == DUNNO && !unseen && !member_runs)
        return false;
    if (s->member == M_NONE ? s->healthy != NO || s->caught_up != NO
                            : s->caught_up == YES && s->healthy == NO && s->member == M_VOTER)
        return false;
    if (s->healthy == YES && !(member_runs || unseen))
        return false;
    if (s->data == NO && s->healthy == YES)
        return false;
    if (s->backend == B(SERVING) && s->ready != YES)
        return false;
    return !(s->member_unit == D(NONE) && s->component != D(NONE));
}

int every_situation(struct situation *out, int room)
{
    static const int sizes[] = {2, 2, 4, 5, 3, 5, 3, 3, 3, 3, 3, 4};
    static const enum ha_delivery components[] = {D(NONE), D(RUNNING), D(UNKNOWN)};
    int count = 0, digit[12] = {0};
    for (bool more = true; more;) {
        struct situation s = {
            digit[0], 0,        digit[1], digit[2],  digit[3],  digit[4], digit[5], components[digit[6]],
            digit[7], digit[8], digit[9], digit[10], digit[11], RESTARTS};
        if (can_be(&s) && count < room)
            out[count++] = s;
        int at = 0;
        while (at < 12 && ++digit[at] == sizes[at])
            digit[at++] = 0;
        more = at < 12;
    }
    return count;
}

static void put_files(struct ha_model *model, struct ha_replica *r, enum files files)
{
    r->rereads = files == REREADS || files == REKEYS ? UINT8_MAX : 0;
    r->rekeys = files == REKEYS ? UINT8_MAX : 0;
    for (int p = 0; p < model->payload_count; p++) {
        uint8_t bit = (uint8_t)(r->deliveries[p] == D(RUNNING) ? 1u << p : 0);
        r->outdated |= files == OUTDATED || files == REKEYED ? bit : 0;
        r->rekeyed |= files == REKEYED ? bit : 0;
    }
}

static void put_replica(struct ha_model *model, const struct situation *s, int zones)
{
    char name[16], zone[16];
    snprintf(name, sizeof name, "r%d", model->replica_count + 1);
    snprintf(zone, sizeof zone, "z%d", zones ? model->replica_count % zones : model->replica_count);
    struct ha_replica *r = &model->replicas[ha_model_add_replica(model, name, zone)];
    r->wanted = s->wanted;
    r->founding = s->founding;
    r->address = s->address;
    r->certificates = s->certificates;
    r->instance = s->instance;
    r->data = s->data;
    r->deliveries[0] = s->member_unit;
    r->deliveries[model->payload_count - 1] = s->component;
    r->ready = s->ready;
    r->backend = s->backend;
    put_files(model, r, s->files);
}

static struct ha_member *put_member(struct ha_group *group, int replica, bool voter, enum hactl_tristate healthy)
{
    struct ha_member *member = &group->members[group->member_count++];
    memset(member, 0, sizeof *member);
    member->replica = replica;
    member->voter = voter;
    member->healthy = healthy;
    member->lag_entries = -1;
    snprintf(member->id, sizeof member->id, "%d", replica < 0 ? 99 : replica);
    snprintf(member->name, sizeof member->name, replica < 0 ? "stranger" : "r%d", replica + 1);
    return member;
}

/* The worst case leads: one that is to leave. */
static bool choose_leader(struct ha_model *model, struct ha_group *group)
{
    int leader = -1;
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        bool leaves = member->replica < 0 || !model->replicas[member->replica].wanted;
        if (member->voter && member->healthy == YES && (leader < 0 || leaves))
            leader = m;
    }
    if (leader >= 0)
        group->members[leader].leader = true;
    return leader >= 0;
}

static enum hactl_tristate quorum_of(const struct ha_group *group, bool pessimist)
{
    int unknown = 0;
    struct ha_budget budget = ha_group_budget(group);
    for (int m = 0; m < group->member_count; m++)
        unknown += group->members[m].voter && group->members[m].healthy == DUNNO;
    if (budget.voters == 0)
        return DUNNO;
    if (budget.healthy >= budget.quorum)
        return YES;
    return budget.healthy + unknown < budget.quorum ? NO : pessimist || budget.healthy == 0 ? DUNNO : YES;
}

static bool put_group(struct ha_model *model, int g, const struct situation *const *situations,
                      const struct surroundings *around, bool formed)
{
    struct ha_group *group = &model->groups[g];
    snprintf(group->name, sizeof group->name, g ? "events" : "main");
    group->formed = formed ? YES : DUNNO;
    group->formed_before = formed;
    group->quorum = DUNNO;
    int learners = around->foreign == 4, voters = 0;
    for (int i = 0; i < model->replica_count; i++) {
        const struct situation *s = situations[i];
        if (g)
            model->replicas[i].deliveries[g] = formed                      ? s->member_unit
                                               : s->instance == LOST_SIGHT ? D(UNKNOWN)
                                                                           : D(NONE);
        if (!formed || s->member == M_NONE)
            continue;
        struct ha_member *member = put_member(group, i, s->member == M_VOTER, s->healthy);
        member->caught_up = s->caught_up;
        member->started = s->member_unit == D(NONE) ? NO : YES;
        learners += s->member == M_LEARNER;
        voters += s->member == M_VOTER;
    }
    if (!formed)
        return true;
    static const enum hactl_tristate strangers[] = {NO, NO, YES, DUNNO, NO};
    if (around->foreign && group->member_count < HA_MEMBERS)
        put_member(group, -1, around->foreign != 4, strangers[around->foreign]);
    group->quorum = quorum_of(group, around->quorum_unknown);
    if (around->alarm && g == 0)
        snprintf(group->alarm, sizeof group->alarm, "NOSPACE at r1");
    choose_leader(model, group);
    return voters > 0 && learners <= 1;
}

static bool put_endpoint(struct ha_model *model, const struct surroundings *around)
{
    model->holder = around->holder;
    bool by_replica = around->holder == HA_HOLDER_REPLICA || around->holder == HA_HOLDER_BOTH;
    model->holder_replica = by_replica ? around->holder_replica : -1;
    model->balancer = around->balancer;
    if (around->holder == HA_HOLDER_BOTH && (around->balancer != YES || around->no_balancer))
        return false; /* only one that runs is seen to have it */
    model->balancer_present = around->balancer != NO || around->holder == HA_HOLDER_BALANCER;
    model->balancer_proved = around->balancer == YES ? around->proved : NO;
    model->has_balancer = !around->no_balancer;
    for (int i = 0; i < model->replica_count; i++) {
        enum ha_backend *backend = &model->replicas[i].backend;
        if (around->balancer == NO)
            *backend = around->holder == HA_HOLDER_BALANCER && *backend != B(NONE) ? B(WAITING) : B(NONE);
    }
    return !around->no_balancer || (around->balancer == NO && around->holder != HA_HOLDER_BALANCER);
}

static void put_rotation(struct ha_model *model, const struct surroundings *around)
{
    if (!around->rotation)
        return;
    snprintf(model->rotation, sizeof model->rotation, "ca");
    model->rotation_goal = (enum ha_rotation_goal)(around->rotation - 1);
    model->rotation_found = around->rotation_found;
    model->rotation_payloads = 1;
    model->rotation_of_key = around->rotation_of_key;
    model->rotation_of_cluster = model->rotation_of_each = !around->rotation_of_key;
    model->rotation_rereads = around->rotation_restarts ? 0 : UINT8_MAX;
    model->trust_of_each = around->rotation % 2;
    model->replicas[0].unproved = around->rotation_unproved && model->replicas[0].deliveries[0] != D(NONE);
}

bool build_model(const struct situation *const *situations, int count, const struct surroundings *around,
                 struct ha_model *out)
{
    ha_model_init(out);
    out->group_count = around->second_group ? 2 : 1;
    out->payload_count = out->group_count + 1;
    out->has_firewall = true;
    out->address = out->firewall = out->authority = YES;
    out->operator_certificates = C(READY);
    out->endpoint_answers = around->holder == HA_HOLDER_NONE ? NO : YES;
    out->repair = around->repair;
    out->destroy = around->destroy;
    out->endpoint_want = around->want;
    for (int i = 0; i < count; i++)
        put_replica(out, situations[i], around->zones);
    if (around->files)
        put_files(out, &out->replicas[0], around->files);
    put_rotation(out, around);
    bool sound = (around->destroy || ha_model_wanted(out) > 0) && put_endpoint(out, around);
    for (int g = 0; g < out->group_count; g++)
        sound &= put_group(out, g, situations, around, around->formed && !(g && around->second_group == 2));
    return sound;
}

void observe_again(struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++) {
        struct ha_group *group = &model->groups[g];
        if (!ha_model_is_formed(group))
            continue;
        group->quorum = quorum_of(group, true);
        bool led = false;
        for (int m = 0; m < group->member_count; m++) {
            group->members[m].leader &= group->members[m].healthy == YES;
            led |= group->members[m].leader;
        }
        if (!led && group->quorum == YES)
            choose_leader(model, group);
    }
}
