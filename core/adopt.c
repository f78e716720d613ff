/* SPDX-License-Identifier: Apache-2.0 */
#include "core/adopt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/asks.h"
#include "core/session_internal.h"

static void note(struct ha_findings *findings, const char *format, ...) HACTL_FORMAT(2, 3);

static void note(struct ha_findings *findings, const char *format, ...)
{
    va_list arguments;

    if (findings->count == HA_FINDINGS)
        return;
    va_start(arguments, format);
    vsnprintf(findings->lines[findings->count++], sizeof findings->lines[0], format, arguments);
    va_end(arguments);
}

/* ---- machines */

static bool is_known_zone(const struct hactl_call *zones, const char *zone)
{
    for (size_t i = 0; i < zones->zone_count; i++)
        if (strcmp(zones->zones[i].name, zone) == 0)
            return true;
    return false;
}

/* A machine elsewhere is another cluster of this name, or this is the configuration of another one. */
static int judge_zones(struct ha_session *session, struct ha_adoption *out, struct ha_error *error)
{
    const struct ha_model *model = &session->observed.model;
    struct hactl_call *call = ha_ask_zones(session);
    int code = ha_call_wait(call);

    if (code < 0)
        ha_fail(error, ha_exit_of_code(code), "%s: zones: %s", session->cloud->conf->instance, call->text);
    for (int i = 0; code == HACTL_OK && i < model->replica_count; i++)
        if (model->replicas[i].zone[0] != '\0' && !is_known_zone(call, model->replicas[i].zone))
            note(&out->against,
                 "%s is in zone %s, where this configuration has nothing: there are two clusters of this name, or it "
                 "belongs to another configuration",
                 model->replicas[i].name, model->replicas[i].zone);
    ha_call_free(call);
    return code < 0 ? -1 : 0;
}

/* In how many of the groups that could be asked it is a member, or not. */
static void count_memberships(const struct ha_model *model, int replica, int *in, int *out)
{
    *in = *out = 0;
    for (int g = 0; g < model->group_count; g++) {
        if (model->groups[g].formed != HACTL_YES)
            continue;
        if (ha_model_member_of(&model->groups[g], replica) >= 0)
            ++*in;
        else
            ++*out;
    }
}

static int add_replica(const struct ha_replica *r, bool leaving, struct ha_desired *desired, struct ha_error *error)
{
    const char *number = strrchr(r->name, '-');
    int i = ha_desired_add(desired, NULL, r->name, r->zone, error);

    if (i < 0)
        return -1;
    desired->replicas[i].leaving = leaving;
    if (number != NULL && atoi(number + 1) > desired->next_ordinal)
        desired->next_ordinal = atoi(number + 1);
    return 0;
}

/* What has no machine, or a machine and no member, was on its way in or out;
 * nothing of it is lost if it goes. */
static int judge_replica(const struct ha_model *model, int i, struct ha_adoption *out, struct ha_error *error)
{
    const struct ha_replica *r = &model->replicas[i];
    int in, without;

    count_memberships(model, i, &in, &without);
    if (r->instance == HACTL_INSTANCE_UNKNOWN) {
        note(&out->against, "%s could not be asked about%s%s: only what was seen whole is adopted", r->name,
             r->detail[0] != '\0' ? ": " : "", r->detail);
        return 0;
    }
    if (r->instance == HACTL_INSTANCE_ABSENT && in == 0 && r->address == HACTL_NO)
        return 0;
    if (r->instance == HACTL_INSTANCE_ABSENT && in > 0)
        note(&out->half_done, "%s is a member, but has no machine", r->name);
    else if (r->instance == HACTL_INSTANCE_ABSENT)
        note(&out->half_done, "an internal address of %s is reserved, but it has no machine", r->name);
    else if (without > 0)
        note(&out->half_done, "%s has a machine, but is no member: it was being added or removed", r->name);
    else if (r->address != HACTL_YES)
        note(&out->half_done, "%s has a machine, but no internal address is reserved for it", r->name);
    return add_replica(r, in == 0 && (without > 0 || r->instance == HACTL_INSTANCE_ABSENT), &out->desired, error);
}

/* ---- members */

static void judge_members(const struct ha_model *model, const struct ha_group *group, struct ha_adoption *out)
{
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        const char *name = member->name[0] != '\0' ? member->name : member->id;

        if (member->replica < 0)
            note(&out->half_done, "%s has a member of no machine, %s at %s", group->name, name, member->peer_url);
        else if (!member->voter)
            note(&out->half_done, "%s is still a learner of %s", model->replicas[member->replica].name, group->name);
    }
    if (group->quorum != HACTL_YES)
        note(&out->unknown, "%s has no quorum, so its members are those that one of them knows of", group->name);
}

static void take_group(const struct ha_group *group, struct ha_desired *desired)
{
    snprintf(desired->formed[desired->formed_count].group, HA_NAME, "%s", group->name);
    snprintf(desired->formed[desired->formed_count++].cluster_id, sizeof desired->formed[0].cluster_id, "%s",
             group->cluster_id);
}

/* A group that may have been formed counts as formed: the other mistake would
 * form it anew, over its data. */
static void judge_group(const struct ha_model *model, const struct ha_group *group, struct ha_adoption *out)
{
    if (group->formed == HACTL_NO) {
        note(&out->half_done, "%s was never formed: the first `hactl up` did not come to its end", group->name);
        return;
    }
    take_group(group, &out->desired);
    if (group->formed == HACTL_YES)
        judge_members(model, group, out);
    else
        note(&out->unknown, "who is a member of %s: nobody answers%s%.140s; it is taken as formed by these machines",
             group->name, group->detail[0] != '\0' ? ": " : "", group->detail);
}

bool ha_adopt_saw_members(const struct ha_session *session)
{
    const struct ha_model *model = &session->observed.model;

    for (int g = 0; g < model->group_count; g++)
        if (model->groups[g].formed != HACTL_YES || model->groups[g].quorum != HACTL_YES)
            return false;
    return model->group_count > 0;
}

/* ---- the public address */

/* Where it is says what was asked for, since hactl puts it nowhere else unasked. */
static void judge_endpoint(const struct ha_session *session, int replicas, struct ha_adoption *out)
{
    const struct ha_model *model = &session->observed.model;
    struct ha_desired *desired = &out->desired;
    bool always = strcmp(session->configuration->endpoint_mode, "balancer") == 0;

    if (model->address == HACTL_UNKNOWN || model->holder == HA_HOLDER_UNKNOWN || model->holder == HA_HOLDER_BOTH) {
        note(&out->against, "who holds the public address is not clear: %s", model->holder_detail);
    } else if (model->address == HACTL_NO) {
        note(&out->half_done, "no public address is reserved");
    } else if (model->holder == HA_HOLDER_NONE) {
        /* As after a power cut. Who is to have it is a rule, unless somebody had been named. */
        note(&out->decided, "nobody holds the public address: it is %s by the usual rule",
             replicas > 1 && session->balancer != NULL ? "the balancer's" : "a replica's");
    } else if (model->holder == HA_HOLDER_REPLICA && model->balancer_present) {
        note(&out->half_done, "%s holds the public address, and a balancer is there too",
             model->replicas[model->holder_replica].name);
    } else if (model->holder == HA_HOLDER_REPLICA && replicas > 1 && session->balancer != NULL) {
        desired->endpoint_want = HA_ENDPOINT_REPLICA;
        snprintf(desired->endpoint_replica, sizeof desired->endpoint_replica, "%s",
                 model->replicas[model->holder_replica].name);
        note(&out->decided, "%s holds the public address, as after `hactl endpoint demote`", desired->endpoint_replica);
    } else if (model->holder == HA_HOLDER_BALANCER && replicas == 1 && !always) {
        desired->endpoint_want = HA_ENDPOINT_BALANCER;
        note(&out->decided, "the balancer stays in front of one replica, as after `hactl endpoint promote`");
    }
}

/* ---- authorities */

static void judge_rotation(const struct ha_certificate *certificate, struct ha_adoption *out)
{
    static const char *const phases[] = {
        [HACTL_ROTATION_PREPARE] = "prepare",
        [HACTL_ROTATION_TRUST] = "trust",
        [HACTL_ROTATION_SWITCH] = "switch",
        [HACTL_ROTATION_RETIRE] = "retire",
    };
    struct ha_desired *desired = &out->desired;

    if (certificate->rotation == HACTL_ROTATION_NONE)
        return;
    if (desired->rotation[0] != '\0') {
        note(&out->against, "two authorities are being rotated, %s and %s", desired->rotation, certificate->purpose);
        return;
    }
    snprintf(desired->rotation, sizeof desired->rotation, "%s", certificate->purpose);
    desired->rotation_goal = (enum ha_rotation_goal)certificate->rotation;
    note(&out->decided, "the authority %s is being rotated, and is in the phase %s", certificate->purpose,
         phases[certificate->rotation]);
}

/* Without an authority's key what it signed cannot be renewed, and no replica
 * can be added; where nothing of it is there, `up` would make another. */
static void judge_issuer(const struct ha_session *session, struct ha_adoption *out)
{
    bool missing = false;

    for (size_t i = 0; i < session->observed.certificate_count; i++) {
        const struct ha_certificate *certificate = &session->observed.certificates[i];

        if (!certificate->is_authority && !certificate->rotates)
            continue;
        judge_rotation(certificate, out);
        if (certificate->ready == HACTL_YES)
            continue;
        missing = true;
        note(&out->unknown, "%s of this cluster%s%.120s: what it signs cannot be issued or renewed without its key",
             certificate->purpose, certificate->reason[0] != '\0' ? ": " : "", certificate->reason);
    }
    if (missing)
        note(&out->unknown, "put %.150s back from a copy before anything else: `hactl up` may make new keys instead",
             session->issuer->conf->directory);
}

/* ---- all of it */

static int standing(const struct ha_desired *desired)
{
    int count = 0;

    for (int i = 0; i < desired->replica_count; i++)
        count += !desired->replicas[i].leaving;
    return count;
}

int ha_adopt(struct ha_session *session, struct ha_adoption *out, struct ha_error *error)
{
    const struct ha_model *model = &session->observed.model;

    memset(out, 0, sizeof *out);
    ha_session_note_cloud(session, &out->desired);
    ha_session_note_balancer(session, model->balancer_present, &out->desired);
    if (ha_session_some_certificate(session))
        ha_session_note_issuer(session, &out->desired);
    if (session->cloud == NULL)
        return ha_fail(error, HA_EXIT_USAGE,
                       "the configuration has no cloud plugin: its replicas are those that it lists, and hactl up "
                       "takes them as they are");
    if (judge_zones(session, out, error) != 0)
        return -1;
    for (int i = 0; i < model->replica_count; i++)
        if (judge_replica(model, i, out, error) != 0)
            return -1;
    if (out->desired.replica_count == 0)
        return 0;
    for (int g = 0; g < model->group_count; g++)
        judge_group(model, &model->groups[g], out);
    judge_endpoint(session, standing(&out->desired), out);
    if (session->issuer != NULL)
        judge_issuer(session, out);
    return 0;
}
