/* SPDX-License-Identifier: Apache-2.0 */
/* From what was asked to the next desired state. */
#include "core/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/adopt.h"
#include "core/asks.h"
#include "core/observer.h"
#include "core/session_internal.h"

/* ---- zones */

struct zones {
    char names[16][HA_NAME];
    int count;
};

/* In the order of the configuration, or else of the cloud. Zones that the
 * cloud does not have are refused here, before anything is written. */
static int learn_zones(struct ha_session *session, struct zones *out, struct ha_error *error)
{
    char *const *wanted = session->configuration->cluster_zones;
    struct hactl_call *call = session->cloud ? ha_ask_zones(session) : NULL;
    int rc = 0, code = call ? ha_call_wait(call) : HACTL_OK;
    out->count = 0;
    if (code < 0)
        rc = ha_fail(error, ha_exit_of_code(code), "%s: zones: %s", session->cloud->conf->instance, call->text);
    for (int i = 0; rc == 0 && wanted && wanted[i] && out->count < 16; i++) {
        bool known = !call;
        for (size_t z = 0; call && z < call->zone_count; z++)
            known |= strcmp(call->zones[z].name, wanted[i]) == 0;
        if (!known)
            rc = ha_fail(error, HA_EXIT_USAGE, "cluster.zones: the cloud has no zone %s", wanted[i]);
        snprintf(out->names[out->count++], HA_NAME, "%s", wanted[i]);
    }
    for (size_t z = 0; rc == 0 && call && !(wanted && wanted[0]) && z < call->zone_count && out->count < 16; z++)
        snprintf(out->names[out->count++], HA_NAME, "%s", call->zones[z].name);
    ha_call_free(call);
    return rc;
}

static int replicas_in(const struct ha_desired *desired, const char *zone)
{
    int count = 0;
    for (int i = 0; i < desired->replica_count; i++)
        count += !desired->replicas[i].leaving && strcmp(desired->replicas[i].zone, zone) == 0;
    return count;
}

static const char *emptiest(const struct ha_desired *desired, const struct zones *zones)
{
    const char *best = zones->count ? zones->names[0] : "";
    for (int z = 1; z < zones->count; z++)
        if (replicas_in(desired, zones->names[z]) < replicas_in(desired, best))
            best = zones->names[z];
    return best;
}

static bool is_zone(const struct zones *zones, const char *zone)
{
    for (int z = 0; z < zones->count; z++)
        if (strcmp(zones->names[z], zone) == 0)
            return true;
    return false;
}

static int check_zone(const struct zones *zones, const char *zone, struct ha_error *error)
{
    char list[400] = "";
    if (is_zone(zones, zone))
        return 0;
    for (int z = 0; z < zones->count; z++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", z ? ", " : "", zones->names[z]);
    return ha_fail(error, HA_EXIT_USAGE, "there is no zone %s for this cluster; its zones are %s", zone, list);
}

/* ---- the requests */

static int present(const struct ha_desired *desired)
{
    int count = 0;
    for (int i = 0; i < desired->replica_count; i++)
        count += !desired->replicas[i].leaving;
    return count;
}

/* A later one of its name is another, and is not given the public address for that. */
static void forget_name(struct ha_desired *desired, const char *name)
{
    if (strcmp(desired->endpoint_replica, name) == 0)
        desired->endpoint_replica[0] = '\0';
}

static void let_go(struct ha_desired *desired, int replica)
{
    desired->replicas[replica].leaving = true;
    forget_name(desired, desired->replicas[replica].name);
}

static int grow_to(struct ha_session *session, struct ha_desired *desired, int count, bool founding,
                   struct ha_error *error)
{
    struct zones zones;
    if (learn_zones(session, &zones, error))
        return -1;
    while (present(desired) < count) {
        int i = ha_desired_add(desired, session->configuration->cluster_name, NULL, emptiest(desired, &zones), error);
        if (i < 0)
            return -1;
        desired->replicas[i].founding = founding;
    }
    return 0;
}

/* Out of the zone that has the most; the youngest there. */
static void shrink_to(struct ha_desired *desired, int count)
{
    while (present(desired) > count) {
        int victim = -1;
        for (int i = 0; i < desired->replica_count; i++)
            if (!desired->replicas[i].leaving &&
                (victim < 0 || replicas_in(desired, desired->replicas[i].zone) >=
                                   replicas_in(desired, desired->replicas[victim].zone)))
                victim = i;
        let_go(desired, victim);
    }
}

/* Without a cloud the replicas are those that the file lists: one that is no
 * longer in it leaves. */
static int want_listed(struct ha_session *session, struct ha_desired *desired, struct ha_error *error)
{
    const struct ha_configuration *configuration = session->configuration;
    for (int i = 0; i < desired->replica_count; i++)
        desired->replicas[i].leaving = true;
    for (size_t i = 0; i < configuration->listed_replica_count; i++) {
        const struct ha_listed_replica *listed = &configuration->replicas[i];
        const char *zone = listed->zone ? listed->zone : "";
        int at = ha_desired_find(desired, listed->name);
        if (at < 0)
            at = ha_desired_add(desired, configuration->cluster_name, listed->name, zone, error);
        if (at < 0)
            return -1;
        desired->replicas[at].leaving = false;
        snprintf(desired->replicas[at].zone, sizeof desired->replicas[at].zone, "%s", zone);
    }
    if (configuration->listed_replica_count > 0)
        return 0;
    ha_fail(error, HA_EXIT_USAGE, "the configuration has neither a cloud plugin nor a list of replicas");
    ha_advise(error, "replicas = { %s-1 = { address = \"10.0.0.11\"; }; }; or see conf/pki.conf",
              configuration->cluster_name);
    return -1;
}

static int refuse_take_over(struct ha_session *session, const struct ha_adoption *adoption, struct ha_error *error)
{
    const struct ha_desired *found = &adoption->desired;
    char names[200] = "";
    for (int i = 0; i < found->replica_count; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", found->replicas[i].name);
    ha_fail(error, HA_EXIT_DECISION,
            "the store (%s) knows nothing of %s, but the cloud has %s: the store was lost, or somebody else made them",
            ha_store_directory(session->store), session->configuration->cluster_name, names);
    ha_advise(error, "put desired.json back from a copy; or `hactl adopt`, which says what is there and takes it up; "
                     "or `hactl down`, which removes it");
    return -1;
}

static bool some_machine(const struct ha_model *model)
{
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].instance != HACTL_INSTANCE_ABSENT)
            return true;
    return false;
}

/* An empty store and a cloud that is not: the store was lost. What is there is
 * taken over as it is, if nothing about it is a guess, as by `hactl adopt`;
 * nothing is ever deleted on the word of an empty store. */
static int take_over(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                     struct ha_error *error)
{
    struct ha_adoption *adoption = malloc(sizeof *adoption);
    int rc = adoption ? 0 : ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    if (rc == 0)
        rc = ha_session_observe(session, HA_SCOPE_ALL, error);
    if (rc == 0)
        rc = ha_adopt(session, adoption, error);
    if (rc == 0 && some_machine(&session->observed.model)) {
        bool whole = adoption->against.count + adoption->half_done.count + adoption->unknown.count == 0 &&
                     ha_adopt_saw_members(session);
        if (!whole || (request->replicas && request->replicas < adoption->desired.replica_count))
            rc = refuse_take_over(session, adoption, error);
        else
            *desired = adoption->desired;
    }
    free(adoption);
    return rc;
}

/* Recorded while the configuration had a list and no cloud: no machine of theirs was ever made, and a list need not
 * name zones. */
static int place_listed(struct ha_session *session, struct ha_desired *desired, struct ha_error *error)
{
    struct zones zones;
    if (replicas_in(desired, "") == 0)
        return 0;
    if (learn_zones(session, &zones, error))
        return -1;
    for (int i = 0; i < desired->replica_count; i++) {
        struct ha_desired_replica *replica = &desired->replicas[i];
        if (replica->leaving || replica->zone[0])
            continue;
        snprintf(replica->zone, sizeof replica->zone, "%s", emptiest(desired, &zones));
        replica->founding = true;
    }
    return 0;
}

static int want_up(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                   struct ha_error *error)
{
    desired->destroy = false;
    if (!session->cloud)
        return want_listed(session, desired, error);
    if (place_listed(session, desired, error))
        return -1;
    if (desired->generation == 0 && take_over(session, request, desired, error))
        return -1;
    if (present(desired) == 0) {
        int count = request->replicas ? request->replicas : (int)session->configuration->cluster_replicas;
        return grow_to(session, desired, count, true, error);
    }
    if (!request->replicas)
        return 0;
    shrink_to(desired, request->replicas);
    return grow_to(session, desired, request->replicas, false, error);
}

/* It becomes the name of a machine, a member and a certificate's subject. */
static int check_new_name(const char *name, struct ha_error *error)
{
    size_t length = strlen(name);
    if (length > 0 && length <= 40 && name[0] >= 'a' && name[0] <= 'z' && name[length - 1] != '-' &&
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length)
        return 0;
    return ha_fail(error, HA_EXIT_USAGE,
                   "--name: \"%.60s\" cannot be a replica's name: lower-case letters, digits and dashes, a letter "
                   "first, no dash last, at most 40",
                   name);
}

static int want_add(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                    struct ha_error *error)
{
    struct zones zones;
    int existing = request->name ? ha_desired_find(desired, request->name) : -1;
    if (existing >= 0 && !desired->replicas[existing].leaving)
        return request->zone && strcmp(desired->replicas[existing].zone, request->zone)
                   ? ha_fail(error, HA_EXIT_USAGE, "there is a replica %s already, in zone %s", request->name,
                             desired->replicas[existing].zone)
                   : 0;
    if (request->name && check_new_name(request->name, error))
        return -1;
    if (present(desired) == 0) {
        ha_fail(error, HA_EXIT_USAGE, "there is no cluster %s to add a replica to",
                session->configuration->cluster_name);
        ha_advise(error, "hactl up");
        return -1;
    }
    if (learn_zones(session, &zones, error) || (request->zone && check_zone(&zones, request->zone, error)))
        return -1;
    const char *zone = request->zone ? request->zone : emptiest(desired, &zones);
    if (request->name)
        forget_name(desired, request->name); /* a store from before may have it */
    return ha_desired_add(desired, session->configuration->cluster_name, request->name, zone, error) < 0 ? -1 : 0;
}

static int refuse_empty_zone(const struct ha_desired *desired, const char *zone, struct ha_error *error)
{
    char list[300] = "";
    for (int i = 0; i < desired->replica_count; i++)
        if (!desired->replicas[i].leaving)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s in %s", list[0] ? ", " : "",
                     desired->replicas[i].name, desired->replicas[i].zone);
    return ha_fail(error, HA_EXIT_USAGE, "there is no replica in zone %s; there %s%s", zone,
                   list[0] ? "is " : "is none", list);
}

static int in_zone(const struct ha_desired *desired, const char *zone, struct ha_error *error)
{
    int found = -1;
    char names[200] = "";
    for (int i = 0; i < desired->replica_count; i++) {
        const struct ha_desired_replica *r = &desired->replicas[i];
        if (r->leaving || strcmp(r->zone, zone) != 0)
            continue;
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", found >= 0 ? ", " : "", r->name);
        found = found < 0 ? i : HA_REPLICAS;
    }
    if (found < 0)
        return refuse_empty_zone(desired, zone, error);
    if (found == HA_REPLICAS)
        return ha_fail(error, HA_EXIT_USAGE, "zone %s has more than one replica (%s): name the one that is to go", zone,
                       names);
    return found;
}

static int find_present(const struct ha_desired *desired, const char *name, struct ha_error *error)
{
    char names[300] = "";
    int i = ha_desired_find(desired, name);
    if (i >= 0)
        return i;
    for (int k = 0; k < desired->replica_count; k++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", k ? ", " : "", desired->replicas[k].name);
    return ha_fail(error, HA_EXIT_USAGE, "there is no replica %s; there %s%s", name,
                   strchr(names, ',') ? "are "
                   : names[0]         ? "is "
                                      : "are none",
                   names);
}

/* Every replica of the zone; the last one of all is not removed that way either. */
static int remove_zone(struct ha_desired *desired, const char *zone, struct ha_error *error)
{
    int there = replicas_in(desired, zone);
    if (there == 0)
        return refuse_empty_zone(desired, zone, error);
    if (there == present(desired)) {
        ha_fail(error, HA_EXIT_REFUSED,
                "zone %s has all replicas that there are (%d): without them there is no cluster", zone, there);
        ha_advise(error, "hactl down takes the whole cluster down");
        return -1;
    }
    for (int i = 0; i < desired->replica_count; i++)
        if (strcmp(desired->replicas[i].zone, zone) == 0)
            let_go(desired, i);
    return 0;
}

static int want_remove(const struct ha_request *request, struct ha_desired *desired, struct ha_error *error)
{
    if (request->all)
        return remove_zone(desired, request->zone, error);
    int i = request->name ? find_present(desired, request->name, error) : in_zone(desired, request->zone, error);
    if (i < 0)
        return -1;
    if (request->zone && strcmp(desired->replicas[i].zone, request->zone) != 0)
        return ha_fail(error, HA_EXIT_USAGE, "replica %s is in zone %s, not in %s", request->name,
                       desired->replicas[i].zone, request->zone);
    if (!desired->replicas[i].leaving && present(desired) == 1) {
        ha_fail(error, HA_EXIT_REFUSED, "%s is the last replica: without it there is no cluster",
                desired->replicas[i].name);
        ha_advise(error, "hactl down takes the whole cluster down");
        return -1;
    }
    let_go(desired, i);
    return 0;
}

/* Where a zone was taken out of the cluster's the new one is put where `replica add` would put it. */
static int want_replace(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                        struct ha_error *error)
{
    int i = find_present(desired, request->name, error);
    if (i < 0)
        return -1;
    if (desired->replicas[i].leaving)
        return ha_fail(error, HA_EXIT_USAGE, "%s is leaving already", request->name);
    let_go(desired, i);
    struct zones zones;
    if (session->cloud && learn_zones(session, &zones, error))
        return -1;
    char zone[HA_NAME];
    bool moves = session->cloud && !is_zone(&zones, desired->replicas[i].zone);
    snprintf(zone, sizeof zone, "%s", moves ? emptiest(desired, &zones) : desired->replicas[i].zone);
    return ha_desired_add(desired, session->configuration->cluster_name, NULL, zone, error) < 0 ? -1 : 0;
}

static int want_endpoint(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                         struct ha_error *error)
{
    if (present(desired) == 0)
        return ha_fail(error, HA_EXIT_USAGE, "there is no cluster %s", session->configuration->cluster_name);
    desired->endpoint_replica[0] = '\0';
    if (request->kind == HA_REQUEST_PROMOTE) {
        desired->endpoint_want = present(desired) > 1 ? HA_ENDPOINT_AUTO : HA_ENDPOINT_BALANCER;
        return 0;
    }
    desired->endpoint_want = HA_ENDPOINT_REPLICA;
    if (!request->name)
        return 0;
    int i = find_present(desired, request->name, error);
    snprintf(desired->endpoint_replica, sizeof desired->endpoint_replica, "%s", request->name);
    return i < 0 ? -1 : 0;
}

static int want_repair(struct ha_session *session, const struct ha_desired *desired, struct ha_error *error)
{
    if (present(desired) > 0)
        return 0;
    ha_fail(error, HA_EXIT_USAGE, "there is no cluster %s to repair", session->configuration->cluster_name);
    ha_advise(error, "hactl up");
    return -1;
}

/* One phase at a time, one authority at a time; what was asked for before is
 * asked for again at will. */
static int want_rotate(const struct ha_request *request, struct ha_desired *desired, struct ha_error *error)
{
    int goal = 0;
    bool this = strcmp(desired->rotation, request->name) == 0;
    if (present(desired) == 0) {
        ha_fail(error, HA_EXIT_USAGE, "there are no replicas, so there is nothing to rotate");
        ha_advise(error, "hactl up, or hactl pki issue where there is no cloud");
        return -1;
    }
    while (goal < HA_ROTATION_GOALS && strcmp(ha_rotation_words[goal], request->phase) != 0)
        goal++;
    if (desired->rotation[0] && !this) {
        ha_fail(error, HA_EXIT_REFUSED, "the authority %s is being rotated (%s): one after the other",
                desired->rotation, ha_rotation_words[desired->rotation_goal]);
        ha_advise(error, "hactl pki rotate %s retire, or back", desired->rotation);
        return -1;
    }
    int at = this ? (int)desired->rotation_goal : HA_ROTATE_BACK;
    if (goal == HA_ROTATE_BACK && !this)
        return ha_fail(error, HA_EXIT_USAGE, "no rotation of %s is under way, so there is nothing to take back",
                       request->name);
    if (goal == HA_ROTATE_BACK) {
        goal = at > HA_ROTATE_BACK ? at - 1 : HA_ROTATE_BACK;
    } else if (goal != at && goal != at + 1) {
        ha_fail(error, HA_EXIT_REFUSED, "%s of %s comes %s %s, and that is where it is%s", request->phase,
                request->name, goal > at ? "after" : "before", ha_rotation_words[goal > at ? goal - 1 : goal + 1],
                at ? "" : " not yet");
        ha_advise(error, goal > at ? "hactl pki rotate %s %s" : "hactl pki rotate %s back # one phase: %s",
                  request->name, ha_rotation_words[goal > at ? at + 1 : at - 1]);
        return -1;
    }
    snprintf(desired->rotation, sizeof desired->rotation, "%s", request->name);
    desired->rotation_goal = (enum ha_rotation_goal)goal;
    return 0;
}

static void want_down(struct ha_desired *desired)
{
    desired->destroy = true;
    for (int i = 0; i < desired->replica_count; i++)
        desired->replicas[i].leaving = true;
}

int ha_request_apply(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                     struct ha_error *error)
{
    if (desired->destroy && request->kind != HA_REQUEST_DOWN && request->kind != HA_REQUEST_RESUME) {
        ha_fail(error, HA_EXIT_REFUSED, "this cluster is on its way down");
        ha_advise(error, "finish it with `hactl down`");
        return -1;
    }
    switch (request->kind) {
    case HA_REQUEST_UP:
    case HA_REQUEST_STAGE:
    case HA_REQUEST_RENEW:
        return want_up(session, request, desired, error);
    case HA_REQUEST_ADD:
        return want_add(session, request, desired, error);
    case HA_REQUEST_REMOVE:
        return want_remove(request, desired, error);
    case HA_REQUEST_REPLACE:
        return want_replace(session, request, desired, error);
    case HA_REQUEST_PROMOTE:
    case HA_REQUEST_DEMOTE:
        return want_endpoint(session, request, desired, error);
    case HA_REQUEST_ROTATE:
        return want_rotate(request, desired, error);
    case HA_REQUEST_DOWN:
        want_down(desired);
        return 0;
    case HA_REQUEST_RECONCILE:
        return want_repair(session, desired, error);
    case HA_REQUEST_RESUME:
    case HA_REQUEST_ABORT:
        return 0;
    }
    return 0;
}
