/* SPDX-License-Identifier: Apache-2.0 */
#include "core/observer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/session_internal.h"
#include "core/stale.h"
#include "core/text.h"

#define SET(out, text) ha_text_copy(out, sizeof(out), text)

const struct ha_reach *ha_session_reach(const struct ha_session *session, const char *replica, uint16_t port)
{
    for (int i = 0; i < session->private->reach_count; i++)
        if (session->private->reaches[i].port == port && strcmp(session->private->reaches[i].replica, replica) == 0)
            return &session->private->reaches[i];
    return NULL;
}

uint16_t ha_session_backend_port(const struct ha_session *session)
{
    int front = session->private->front;
    return front < 0 ? 0 : session->private->payloads[front].endpoint_port;
}

/* ---- from the store */

void ha_observe_desired(struct ha_session *session)
{
    struct ha_model *model = &session->observed.model;
    const struct ha_desired *desired = &session->desired;
    model->destroy = desired->destroy;
    model->endpoint_want = desired->endpoint_want;
    if (desired->endpoint_want == HA_ENDPOINT_AUTO && strcmp(session->configuration->endpoint_mode, "balancer") == 0)
        model->endpoint_want = HA_ENDPOINT_BALANCER;
    for (int i = 0; i < model->replica_count; i++)
        model->replicas[i].wanted = model->replicas[i].founding = model->replicas[i].returning = false;
    for (int i = 0; i < desired->replica_count; i++) {
        const struct ha_desired_replica *r = &desired->replicas[i];
        int at = ha_model_replica(model, r->name);
        if (at < 0)
            at = ha_model_add_replica(model, r->name, r->zone);
        if (at < 0)
            continue;
        model->replicas[at].wanted = !r->leaving && !desired->destroy;
        model->replicas[at].founding = r->founding;
        model->replicas[at].returning = r->returning;
    }
    SET(model->rotation, desired->rotation);
    model->rotation_goal = desired->rotation_goal;
    model->endpoint_replica = desired->endpoint_replica[0] ? ha_model_replica(model, desired->endpoint_replica) : -1;
    for (int g = 0; g < model->group_count; g++)
        for (int f = 0; f < desired->formed_count; f++)
            if (strcmp(model->groups[g].name, desired->formed[f].group) == 0) {
                model->groups[g].formed_before = true;
                SET(session->private->cluster_ids[g], desired->formed[f].cluster_id);
            }
}

/* Without a cloud the file says what addresses there are. */
static void observe_listed(struct ha_session *session)
{
    const struct ha_configuration *configuration = session->configuration;
    struct ha_model *model = &session->observed.model;
    if (session->cloud)
        return;
    model->address = HACTL_YES;
    SET(model->external_address, configuration->endpoint_address);
    for (size_t i = 0; i < configuration->listed_replica_count; i++) {
        const char *zone = configuration->replicas[i].zone;
        int at = ha_model_replica(model, configuration->replicas[i].name);
        if (at < 0)
            at = ha_model_add_replica(model, configuration->replicas[i].name, zone ? zone : "");
        if (at < 0)
            continue;
        model->replicas[at].wanted = !model->destroy;
        model->replicas[at].address = HACTL_YES;
        SET(model->replicas[at].internal_address, configuration->replicas[i].address);
    }
}

void ha_observe_begin(struct ha_session *session)
{
    struct ha_model *model = &session->observed.model;
    bool repair = model->repair;
    ha_model_init(model);
    memset(session->private->wanted, 0, sizeof session->private->wanted);
    model->repair = repair;
    model->has_cloud = session->cloud != NULL;
    model->has_issuer = session->issuer != NULL;
    model->has_balancer = session->balancer != NULL;
    const struct hactl_cloud_ops *cloud = session->cloud ? session->cloud->plugin->descriptor->cloud : NULL;
    model->has_firewall = ha_offers(cloud, firewall_ensure);
    model->has_temporary_addresses = ha_offers(cloud, temporary_address_ensure);
    model->replica_keys = strcmp(session->configuration->keys_mode, "replica") == 0;
    model->payload_count = session->payload_count;
    model->group_count = session->group_count;
    for (int g = 0; g < session->group_count; g++)
        SET(model->groups[g].name, session->payloads[g]->conf->instance);
    ha_observe_desired(session);
    observe_listed(session);
}

/* ---- certificates */

struct tally {
    int ready, missing, total;
};

static enum ha_certificates judge(const struct tally *tally)
{
    if (tally->total == 0 || tally->ready == tally->total)
        return HA_CERTIFICATES_READY;
    return tally->missing == tally->total ? HA_CERTIFICATES_NONE : HA_CERTIFICATES_STALE;
}

static void keep_certificate(struct ha_certificate *c, const struct hactl_certificate *found)
{
    SET(c->purpose, found->purpose);
    SET(c->replica, found->replica);
    SET(c->reason, found->reason);
    SET(c->subject, found->subject);
    SET(c->names, found->names);
    SET(c->path, found->path);
    SET(c->wanted, found->wanted);
    c->not_before_s = found->not_before_s;
    c->not_after_s = found->not_after_s;
    SET(c->authority, found->authority);
    c->due_s = found->due_s;
    c->retire_s = found->retire_s;
    c->ready = found->ready;
    c->rotation = found->rotation;
    c->is_authority = found->is_authority;
    c->rotates = found->rotates;
    c->carries_trust = found->carries_trust;
    c->revocations = found->revocations;
    c->new_key = found->new_key;
}

static void count(struct tally *tally, const struct hactl_certificate *found)
{
    tally->total++;
    tally->ready += found->ready == HACTL_YES;
    /* A key pair never expires: it is there when it is ready. */
    tally->missing += found->ready != HACTL_YES && found->not_after_s == 0;
}

static void merge_credentials(struct ha_session *session, const struct hactl_call *call)
{
    const struct ha_found *found = ha_call_found(call);
    for (int i = 0; i < found->count; i++) {
        struct ha_payload_facts *facts = &session->private->payloads[found->items[i].port];
        const char *path = call->credentials[found->items[i].record].path;
        char *const places[] = {facts->authority_file, facts->certificate_file, facts->key_file};
        if (path)
            snprintf(places[found->items[i].part], sizeof facts->key_file, "%s", path);
        facts->tls_known = facts->authority_file[0] && facts->certificate_file[0] && facts->key_file[0];
    }
}

static void merge_issuer(struct ha_session *session, const struct hactl_call *call)
{
    struct ha_observation *observed = &session->observed;
    struct ha_model *model = &observed->model;
    struct tally authority = {0}, cluster = {0}, replicas[HA_REPLICAS] = {{0}};
    struct ha_certificate *kept =
        reallocarray(observed->certificates, call->certificate_count + 1, sizeof *observed->certificates);
    if (kept)
        observed->certificates = kept;
    observed->certificate_count = kept ? call->certificate_count : 0;
    for (size_t i = 0; i < call->certificate_count; i++) {
        const struct hactl_certificate *found = &call->certificates[i];
        int r = found->replica ? ha_model_replica(model, found->replica) : -1;
        if (kept)
            keep_certificate(&kept[i], found);
        if (found->is_authority)
            count(&authority, found);
        else if (!found->replica)
            count(&cluster, found);
        else if (r >= 0)
            count(&replicas[r], found);
    }
    /* An authority that is there but unwell is reported, never made anew. */
    model->authority = authority.missing ? HACTL_NO : HACTL_YES;
    model->operator_certificates = judge(&cluster);
    for (int r = 0; r < model->replica_count; r++)
        model->replicas[r].certificates = replicas[r].total ? judge(&replicas[r]) : HA_CERTIFICATES_NONE;
    merge_credentials(session, call);
    ha_rotation_observe(session);
}

/* ---- members */

static int replica_of_member(const struct ha_model *model, const struct hactl_member *found)
{
    int r = found->name && found->name[0] ? ha_model_replica(model, found->name) : -1;
    for (int i = 0; r < 0 && i < model->replica_count; i++)
        if (found->address && model->replicas[i].internal_address[0] &&
            strcmp(model->replicas[i].internal_address, found->address) == 0)
            r = i;
    return r;
}

/* What nobody could ask, the cloud may know: no member lives where no process
 * or no machine is. */
static bool is_surely_down(const struct ha_model *model, int g, int replica)
{
    const struct ha_replica *r = &model->replicas[replica];
    return r->instance == HACTL_INSTANCE_ABSENT || r->instance == HACTL_INSTANCE_STOPPED ||
           r->deliveries[g] == HA_DELIVERY_DEAD;
}

static void merge_member(const struct ha_model *model, int g, struct ha_group *group, const struct hactl_member *found)
{
    if (group->member_count == HA_MEMBERS)
        return;
    struct ha_member *member = &group->members[group->member_count++];
    memset(member, 0, sizeof *member);
    SET(member->id, found->id);
    SET(member->name, found->name);
    SET(member->address, found->address);
    SET(member->peer_url, found->peer_url);
    member->replica = replica_of_member(model, found);
    member->voter = found->voter;
    member->leader = found->leader;
    member->started = found->started;
    member->healthy = found->healthy;
    if (member->healthy == HACTL_UNKNOWN && member->replica >= 0 && is_surely_down(model, g, member->replica))
        member->healthy = HACTL_NO;
    member->caught_up = found->caught_up;
    member->lag_entries = found->lag_entries;
}

/* Nobody runs it: then it is not formed, unless the store knows better. */
static void group_without_answer(struct ha_model *model, int g, const char *why)
{
    struct ha_group *group = &model->groups[g];
    bool delivered = false;
    for (int i = 0; i < model->replica_count; i++)
        delivered |= model->replicas[i].deliveries[g] != HA_DELIVERY_NONE;
    group->formed = delivered || group->formed_before ? HACTL_UNKNOWN : HACTL_NO;
    group->quorum = HACTL_NO;
    group->member_count = 0;
    SET(group->detail, why);
}

static void merge_group(struct ha_session *session, int g, const struct hactl_call *call)
{
    struct ha_model *model = &session->observed.model;
    struct ha_group *group = &model->groups[g];
    const struct hactl_group *found = call && call->group_count ? &call->groups[0] : NULL;
    if (!found || found->formed != HACTL_YES) {
        group_without_answer(model, g, found ? found->detail : NULL);
        return;
    }
    group->formed = HACTL_YES;
    group->quorum = found->quorum;
    group->db_size_bytes = found->db_size_bytes;
    SET(group->cluster_id, found->cluster_id);
    SET(group->version, found->version);
    SET(group->alarm, found->alarm);
    SET(group->detail, found->detail);
    group->member_count = 0;
    for (size_t i = 0; i < call->member_count; i++)
        merge_member(model, g, group, &call->members[i]);
}

/* ---- the balancer and the probes */

static void merge_balancer(struct ha_session *session, const struct hactl_call *call)
{
    struct ha_model *model = &session->observed.model;
    const struct hactl_balancer *found = call && call->balancer_count ? &call->balancers[0] : NULL;
    model->balancer_present = found != NULL;
    model->balancer = found ? found->running : HACTL_NO;
    model->trial_port = found ? found->trial_port : 0;
    SET(model->trial_host, found ? found->trial_host : NULL);
    SET(session->observed.balancer_detail, found ? found->detail : NULL);
    /* It holds the address whether or not it can answer there just now. */
    session->private->held_by_balancer = found && found->address && found->address[0];
    for (int i = 0; i < model->replica_count; i++)
        model->replicas[i].backend = HA_BACKEND_NONE;
    for (size_t i = 0; call && i < call->backend_count; i++) {
        const struct hactl_backend *backend = &call->backends[i];
        struct ha_replica *r = ha_observe_replica(model, backend->name, NULL);
        if (r)
            r->backend = backend->healthy == HACTL_YES  ? HA_BACKEND_SERVING
                         : backend->healthy == HACTL_NO ? HA_BACKEND_WAITING
                                                        : HA_BACKEND_UNKNOWN;
    }
    ha_observe_settle_holder(session);
}

int ha_observe_merge(struct ha_session *session, enum ha_subject subject, int index, const struct hactl_call *call)
{
    struct ha_model *model = &session->observed.model;
    int code = call ? call->code : HACTL_OK;
    enum hactl_tristate answered = call && code == HACTL_OK ? HACTL_YES : HACTL_NO;
    switch (subject) {
    case HA_SUBJECT_CLOUD:
        if (call && code == HACTL_OK)
            ha_observe_merge_cloud(session, call);
        break;
    case HA_SUBJECT_ISSUER:
        if (call && code == HACTL_OK)
            merge_issuer(session, call);
        break;
    case HA_SUBJECT_GROUP:
        if (code == HACTL_OK)
            merge_group(session, index, call);
        /* Whatever is wrong with a group that is to go, it is not in the way. */
        if (code == HACTL_OK || code == HACTL_E_CANCELLED || !model->destroy)
            break;
        group_without_answer(model, index, call->text);
        return HACTL_OK;
    case HA_SUBJECT_BALANCER:
        if (code == HACTL_OK)
            merge_balancer(session, call);
        break;
    case HA_SUBJECT_READY:
        model->replicas[index].ready = answered;
        return HACTL_OK;
    case HA_SUBJECT_TRIAL:
        model->balancer_proved = answered;
        return HACTL_OK;
    case HA_SUBJECT_ENDPOINT:
        model->endpoint_answers = answered;
        SET(session->private->endpoint_words, answered == HACTL_YES || !call ? NULL : call->text);
        return HACTL_OK;
    case HA_SUBJECTS:
        break;
    }
    return code;
}

/* ---- all of it at once */

enum { BUSY_TRIES = 40, BUSY_PAUSE_MS = 50 };

struct wave {
    enum ha_subject subject;
    int index;
    int tries;
};

static bool submit_look(struct ha_session *session, struct wave *look)
{
    struct hactl_call *call = ha_ask_observe(session, look->subject, look->index);
    if (!call) {
        ha_observe_merge(session, look->subject, look->index, NULL);
        return false;
    }
    call->user = look;
    call->looks = true;
    ha_call_submit(call, session->completions);
    return true;
}

/* Somebody else is at work there, such as a hactl that issues certificates:
 * whoever only looks can wait a moment. */
static bool look_again(struct ha_session *session, struct wave *look, int code)
{
    if (code != HACTL_E_BUSY || ++look->tries > BUSY_TRIES || ha_cancelled())
        return false;
    nanosleep(&(struct timespec){.tv_nsec = BUSY_PAUSE_MS * 1000000L}, NULL);
    return submit_look(session, look);
}

static int run_wave(struct ha_session *session, struct wave *wave, int count, struct ha_error *error)
{
    int under_way = 0, rc = 0;
    for (int i = 0; i < count; i++)
        under_way += submit_look(session, &wave[i]);
    while (under_way > 0) {
        struct hactl_call *call = ha_completions_take(session->completions, -1);
        if (!call)
            continue;
        struct wave *done = call->user;
        int code = ha_observe_merge(session, done->subject, done->index, call);
        under_way -= !look_again(session, done, code);
        if (code < 0 && rc == 0 && (code != HACTL_E_BUSY || done->tries > BUSY_TRIES)) {
            ha_fail(error, ha_exit_of_code(code), "%s: %s: %s", call->instance->conf->instance, call->what,
                    call->text[0] ? call->text : ha_code_name(code));
            rc = -1;
        }
        ha_call_free(call);
    }
    return rc;
}

int ha_session_observe(struct ha_session *session, unsigned scopes, struct ha_error *error)
{
    const struct ha_model *model = &session->observed.model;
    struct wave wave[HA_REPLICAS + HA_GROUPS + 4];
    int count = 0;
    if (scopes == HA_SCOPE_ALL)
        ha_observe_begin(session);
    if (scopes & HA_SCOPE_CLOUD)
        wave[count++] = (struct wave){HA_SUBJECT_CLOUD, 0, 0};
    if (scopes & HA_SCOPE_BALANCER)
        wave[count++] = (struct wave){HA_SUBJECT_BALANCER, 0, 0};
    if (run_wave(session, wave, count, error) || ha_session_check_place(session, error))
        return -1;
    count = 0;
    if (scopes & HA_SCOPE_ISSUER)
        wave[count++] = (struct wave){HA_SUBJECT_ISSUER, 0, 0};
    if (run_wave(session, wave, count, error))
        return -1;
    count = 0;
    for (int g = 0; scopes & HA_SCOPE_GROUP && g < model->group_count; g++)
        wave[count++] = (struct wave){HA_SUBJECT_GROUP, g, 0};
    for (int i = 0; scopes & HA_SCOPE_READY && i < model->replica_count; i++)
        wave[count++] = (struct wave){HA_SUBJECT_READY, i, 0};
    if (scopes & HA_SCOPE_ENDPOINT && model->holder != HA_HOLDER_NONE)
        wave[count++] = (struct wave){HA_SUBJECT_ENDPOINT, 0, 0};
    if (scopes & HA_SCOPE_BALANCER && model->balancer == HACTL_YES && model->holder != HA_HOLDER_BALANCER)
        wave[count++] = (struct wave){HA_SUBJECT_TRIAL, 0, 0};
    if (run_wave(session, wave, count, error))
        return -1;
    if (scopes == HA_SCOPE_ALL)
        ha_stale_observe(session);
    return 0;
}
