/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An authority is replaced in phases, and between two of them everybody who is
 * known to hold a certificate of it, or to trust it, is given what the phase
 * calls for. Who lags holds up the next phase; what runs is known from what was
 * delivered, so nobody is taken at his word.
 */
#include "core/planner_rules.h"

#include <stdio.h>

/* -1: it stays where it is. */
static int next_phase(const struct ha_model *model)
{
    int found = (int)model->rotation_found, goal = (int)model->rotation_goal;

    if (goal == HA_ROTATE_BACK)
        return found - 1;
    if (found == HACTL_ROTATION_NONE)
        return goal == HA_ROTATE_PREPARE ? HACTL_ROTATION_PREPARE : -1;
    if (goal == HA_ROTATE_RETIRE)
        return found == HACTL_ROTATION_SWITCH   ? HACTL_ROTATION_RETIRE
               : found == HACTL_ROTATION_RETIRE ? HACTL_ROTATION_NONE
                                                : -1;
    return found == goal - 1 ? goal : found > goal ? found - 1 : -1;
}

bool ha_rotation_done(const struct ha_model *model)
{
    int found = (int)model->rotation_found, goal = (int)model->rotation_goal;

    if (model->rotation[0] == '\0')
        return true;
    return goal == HA_ROTATE_BACK || goal == HA_ROTATE_RETIRE ? found == HACTL_ROTATION_NONE : found == goal;
}

/* Making a new one, or trusting one more, harms nobody, nor does signing with
 * the old one again while both are trusted. */
static bool is_gated(const struct ha_model *model, int next)
{
    switch (model->rotation_found) {
    case HACTL_ROTATION_TRUST:
    case HACTL_ROTATION_RETIRE:
        return next != HACTL_ROTATION_SWITCH || model->rotation_found == HACTL_ROTATION_TRUST;
    case HACTL_ROTATION_SWITCH:
        return next == HACTL_ROTATION_RETIRE;
    default:
        return false;
    }
}

static bool holds_up(const struct ha_model *model, const struct ha_replica *r, int payload, char *why, size_t size)
{
    enum ha_delivery delivery = r->deliveries[payload];
    bool outdated = delivery == HA_DELIVERY_STALE || (r->outdated >> payload & 1) != 0;
    bool unproved = (r->unproved >> payload & 1) != 0, seen = r->instance == HACTL_INSTANCE_RUNNING;

    if (delivery == HA_DELIVERY_NONE)
        return false;
    if (delivery == HA_DELIVERY_RUNNING && seen && !unproved && !outdated)
        return false;
    snprintf(why, size, "%s %s, so the rotation of %s waits", r->name,
             outdated                                              ? "still runs on what it had before this phase"
             : delivery == HA_DELIVERY_DEAD                        ? "has something that does not run"
             : seen && delivery == HA_DELIVERY_RUNNING && unproved ? "does not tell what it runs on"
                                                                   : "could not be asked about",
             model->rotation);
    return true;
}

bool ha_rotation_gated(const struct ha_model *model, char *why, size_t size)
{
    int next = next_phase(model);

    if (next < 0 || !is_gated(model, next))
        return false;
    if (model->rotation_early && next == HACTL_ROTATION_RETIRE) {
        snprintf(why, size, "what the old %s signed may still be in use, so its rotation waits (hactl-pki(8))",
                 model->rotation);
        return true;
    }
    if ((model->rotation_of_cluster || model->trust_of_cluster) &&
        model->operator_certificates != HA_CERTIFICATES_READY) {
        snprintf(why, size, "certificates of the cluster are not those of this phase yet, so the rotation of %s waits",
                 model->rotation);
        return true;
    }
    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *r = &model->replicas[i];

        if (ha_replica_needed(model, i) && (model->rotation_of_each || model->trust_of_each) &&
            r->certificates != HA_CERTIFICATES_READY) {
            snprintf(why, size, "the certificates of %s are not those of this phase yet, so the rotation of %s waits",
                     r->name, model->rotation);
            return true;
        }
        for (int p = 0; p < model->payload_count; p++)
            if ((model->rotation_payloads >> p & 1) != 0 && holds_up(model, r, p, why, size))
                return true;
    }
    return false;
}

static void name_phase(const struct ha_model *model, int next, struct ha_step *out)
{
    static const char *const words[] = {"the end", "prepare", "trust", "switch", "retire"};
    bool back = next < (int)model->rotation_found && next != HACTL_ROTATION_NONE;
    bool undone = next == HACTL_ROTATION_NONE && model->rotation_found == HACTL_ROTATION_PREPARE;

    snprintf(out->subject, sizeof out->subject, "%s%s%s", model->rotation, back ? " back to " : " to ",
             undone ? "before it began" : words[next]);
}

static bool group_is_settled(const struct ha_group *group, const struct ha_model *model)
{
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];

        if (!member->voter || member->healthy != HACTL_YES || member->replica < 0 ||
            !model->replicas[member->replica].wanted)
            return false;
    }
    return ha_model_is_formed(group) && group->quorum == HACTL_YES && group->alarm[0] == '\0';
}

static bool replica_is_settled(const struct ha_model *model, const struct ha_plan_scope *scope, int i)
{
    const struct ha_replica *r = &model->replicas[i];
    bool serves = ha_endpoint_target(model) != HA_TARGET_BALANCER || r->backend == HA_BACKEND_SERVING;

    if (!model->has_cloud)
        return true;
    if (!r->wanted)
        return r->instance == HACTL_INSTANCE_ABSENT && r->address == HACTL_NO &&
               r->certificates == HA_CERTIFICATES_NONE;
    for (int p = 0; p < model->payload_count; p++)
        if (r->deliveries[p] != HA_DELIVERY_RUNNING && r->deliveries[p] != HA_DELIVERY_STALE)
            return false;
    return r->instance == HACTL_INSTANCE_RUNNING && r->data == HACTL_YES &&
           (!scope->enabled[HA_STEP_REPLICA_AWAIT] || r->ready == HACTL_YES) &&
           (!scope->enabled[HA_STEP_BACKEND_ADD] || serves);
}

/* Everybody who is wanted is there and well, and nobody else is: what was
 * restarted for the phase before is back, and nothing but this is under way. */
static bool is_settled(const struct ha_model *model, const struct ha_plan_scope *scope)
{
    for (int g = 0; g < model->group_count; g++)
        if (!group_is_settled(&model->groups[g], model))
            return false;
    for (int i = 0; i < model->replica_count; i++)
        if (!replica_is_settled(model, scope, i))
            return false;
    return model->group_count == 0 || ha_endpoint_settled(model, scope);
}

/* All but making a successor that nobody knows, and taking that away again. */
static bool touches_what_runs(const struct ha_model *model, int next)
{
    return next != HACTL_ROTATION_PREPARE
               ? model->rotation_found != HACTL_ROTATION_PREPARE || next != HACTL_ROTATION_NONE
               : model->rotation_found != HACTL_ROTATION_NONE;
}

bool ha_rule_authority_rotate(RULE_ARGUMENTS)
{
    char why[256];
    int next = next_phase(model);

    if (!model->has_issuer || model->destroy || model->rotation[0] == '\0' || model->authority != HACTL_YES ||
        next < 0 || ha_rotation_gated(model, why, sizeof why))
        return false;
    if (touches_what_runs(model, next) && !is_settled(model, scope))
        return false;
    out->phase = next;
    name_phase(model, next, out);
    return true;
}

/* ---- what it does */

static void make_anew(struct ha_model *model, bool of_cluster, bool of_each)
{
    if (of_cluster && model->operator_certificates == HA_CERTIFICATES_READY)
        model->operator_certificates = HA_CERTIFICATES_STALE;
    for (int i = 0; i < model->replica_count && of_each; i++) {
        struct ha_replica *r = &model->replicas[i];

        if (r->certificates == HA_CERTIFICATES_READY) {
            r->certificates = HA_CERTIFICATES_STALE;
            r->spared = UINT8_MAX;
            r->rekeys = 0;
        }
        r->rereads = (uint8_t)((r->rereads | r->spared) & (~model->rotation_payloads | model->rotation_rereads));
        r->spared &= (uint8_t)~model->rotation_payloads;
    }
}

static void deliver_anew(struct ha_model *model)
{
    for (int i = 0; i < model->replica_count; i++)
        for (int p = 0; p < model->payload_count; p++) {
            enum ha_delivery *delivery = &model->replicas[i].deliveries[p];

            if ((model->rotation_payloads >> p & 1) != 0 &&
                (*delivery == HA_DELIVERY_RUNNING || *delivery == HA_DELIVERY_DEAD))
                *delivery = HA_DELIVERY_STALE;
        }
}

/* Who trusts the authority gets another list of those to trust. */
static void change_trust(struct ha_model *model)
{
    make_anew(model, model->trust_of_cluster, model->trust_of_each);
    deliver_anew(model);
}

/* What it signed is signed anew by the other; so is what holds a copy of a key,
 * and what signs with the key itself gets the other. */
static void change_signer(struct ha_model *model)
{
    make_anew(model, model->rotation_of_cluster, model->rotation_of_each || model->trust_of_each);
    if (model->rotation_of_key)
        deliver_anew(model);
}

void ha_rotation_apply(struct ha_model *model, const struct ha_step *step)
{
    enum hactl_rotation from = model->rotation_found, to = (enum hactl_rotation)step->phase;
    bool both_before = from == HACTL_ROTATION_TRUST || from == HACTL_ROTATION_SWITCH;
    bool both_after = to == HACTL_ROTATION_TRUST || to == HACTL_ROTATION_SWITCH;

    model->rotation_found = to;
    if (both_before && both_after)
        change_signer(model);
    else if (both_before || both_after)
        change_trust(model);
}
