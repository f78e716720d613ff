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

/* ---- who holds the address: told by the cloud and by the balancer */

static void settle_holder(struct ha_session *session)
{
    struct ha_model *model = &session->observed.model;
    const struct ha_session_private *private = session->private;
    model->holder_replica = -1;
    model->holder_detail[0] = '\0';
    if (private->held_by_replica >= 0 && private->held_by_balancer) {
        model->holder = HA_HOLDER_BOTH;
        model->holder_replica = private->held_by_replica;
        snprintf(model->holder_detail, sizeof model->holder_detail, "%s and the balancer both say that they hold it",
                 model->replicas[private->held_by_replica].name);
    } else if (private->held_by_replica >= 0) {
        model->holder = HA_HOLDER_REPLICA;
        model->holder_replica = private->held_by_replica;
    } else if (private->held_by_balancer) {
        model->holder = HA_HOLDER_BALANCER;
    } else {
        model->holder = private->held_by_other ? HA_HOLDER_UNKNOWN : HA_HOLDER_NONE;
        if (private->held_by_other)
            SET(model->holder_detail, private->holder_words);
    }
    if (model->address == HACTL_UNKNOWN && !model->holder_detail[0])
        SET(model->holder_detail, private->holder_words);
}

/* ---- the cloud */

static const char *unread_elsewhere(const struct hactl_call *call)
{
    for (size_t i = 0; i < call->unread_count; i++)
        if (!call->unread[i].zone)
            return call->unread[i].why;
    return NULL;
}

/* Why a zone could not be read completely; NULL: it was. One that is not known
 * may be any. */
static const char *unread_zone(const struct hactl_call *call, const char *zone)
{
    for (size_t i = 0; i < call->unread_count; i++)
        if (call->unread[i].zone && (!zone[0] || strcmp(call->unread[i].zone, zone) == 0))
            return call->unread[i].why;
    for (size_t i = 0; i < call->zone_count; i++)
        if (call->zones[i].up != HACTL_YES && (!zone[0] || strcmp(call->zones[i].name, zone) == 0))
            return call->zones[i].up == HACTL_NO ? "its zone is down" : "its zone could not be read";
    return NULL;
}

/* What is not emitted is absent, or unknown where not all was read. */
static void forget_replica(struct ha_replica *r, const struct hactl_call *call)
{
    const char *why = unread_zone(call, r->zone);
    r->instance = why ? HACTL_INSTANCE_UNKNOWN : HACTL_INSTANCE_ABSENT;
    r->address = why || unread_elsewhere(call) ? HACTL_UNKNOWN : HACTL_NO;
    r->data = why ? HACTL_UNKNOWN : HACTL_YES;
    r->temporary_address = why ? HACTL_UNKNOWN : HACTL_NO;
    SET(r->detail, why);
    for (int p = 0; p < HA_PAYLOADS; p++)
        r->deliveries[p] = why ? HA_DELIVERY_UNKNOWN : HA_DELIVERY_NONE;
}

static int payload_named(const struct ha_session *session, const char *name)
{
    for (int p = 0; p < session->payload_count; p++)
        if (strcmp(session->payloads[p]->conf->instance, name) == 0)
            return p;
    return -1;
}

static struct ha_replica *replica_or_leftover(struct ha_model *model, const char *name, const char *zone)
{
    int i = ha_model_replica(model, name);
    if (i < 0)
        i = ha_model_add_replica(model, name, zone ? zone : "");
    return i < 0 ? NULL : &model->replicas[i];
}

static void note_beyond(struct ha_model *model, const char *name)
{
    if (model->beyond++ == 0)
        SET(model->beyond_one, name);
}

/* Everyone is known before anyone is judged absent. For whom there is no room
 * is dealt with once others have gone; until then that is said. */
static void merge_leftovers(struct ha_model *model, const struct hactl_call *call)
{
    model->beyond = 0;
    for (size_t i = 0; i < call->instance_count; i++) {
        struct ha_replica *r = replica_or_leftover(model, call->instances[i].name, call->instances[i].zone);
        if (!r)
            note_beyond(model, call->instances[i].name);
        else if (!r->zone[0])
            SET(r->zone, call->instances[i].zone);
    }
    for (size_t i = 0; i < call->address_count; i++)
        if (call->addresses[i].kind == HACTL_ADDRESS_INTERNAL &&
            !replica_or_leftover(model, call->addresses[i].name, NULL))
            note_beyond(model, call->addresses[i].name);
}

/* The same name in two zones: another cluster of this name is in the same
 * project, and which of them is ours cannot be told. */
static bool is_double(struct ha_model *model, const struct hactl_call *call, size_t index)
{
    const struct hactl_instance *found = &call->instances[index];
    for (size_t i = 0; i < call->instance_count; i++) {
        const struct hactl_instance *other = &call->instances[i];
        struct ha_replica *r = i == index || strcmp(other->name, found->name) != 0
                                   ? NULL
                                   : replica_or_leftover(model, found->name, found->zone);
        if (!r)
            continue;
        r->instance = HACTL_INSTANCE_UNKNOWN;
        r->data = r->temporary_address = HACTL_UNKNOWN;
        snprintf(r->detail, sizeof r->detail, "there are two machines of this name, in zones %.60s and %.60s",
                 found->zone, other->zone);
        return true;
    }
    return false;
}

static void merge_instances(struct ha_model *model, const struct hactl_call *call)
{
    for (size_t i = 0; i < call->instance_count; i++) {
        const struct hactl_instance *found = &call->instances[i];
        struct ha_replica *r = is_double(model, call, i) ? NULL : replica_or_leftover(model, found->name, found->zone);
        if (!r)
            continue;
        r->instance = found->state;
        r->data = found->data;
        r->temporary_address = found->temporary_address;
        SET(r->detail, found->detail);
        if (found->internal_address)
            SET(r->internal_address, found->internal_address);
    }
}

static void merge_deliveries(struct ha_session *session, const struct hactl_call *call)
{
    struct ha_model *model = &session->observed.model;
    memset(session->private->digests, 0, sizeof session->private->digests);
    for (size_t i = 0; i < call->delivery_count; i++) {
        const struct hactl_delivery *found = &call->deliveries[i];
        int r = ha_model_replica(model, found->instance), p = payload_named(session, found->payload);
        if (r < 0 || p < 0)
            continue;
        model->replicas[r].deliveries[p] = found->running == HACTL_YES  ? HA_DELIVERY_RUNNING
                                           : found->running == HACTL_NO ? HA_DELIVERY_DEAD
                                                                        : HA_DELIVERY_UNKNOWN;
        SET(session->private->digests[r][p], found->digest);
        ha_stale_judge(session, r, p);
        if (found->detail)
            SET(model->replicas[r].detail, found->detail);
    }
}

/* Somebody may have it whom the cloud does not call an instance of ours: the
 * balancer, or a stranger. */
static void merge_holder(struct ha_session *session, const struct hactl_address *found)
{
    struct ha_session_private *private = session->private;
    char *words = private->holder_words;
    size_t size = sizeof private->holder_words;
    private->held_by_replica = found->instance ? ha_model_replica(&session->observed.model, found->instance) : -1;
    private->held_by_other = private->held_by_replica < 0 && (found->instance || found->held != HACTL_NO);
    if (found->holder || found->instance)
        snprintf(words, size, "it is held by %.150s", found->holder ? found->holder : found->instance);
    else
        snprintf(words, size, "%s",
                 found->held == HACTL_YES ? "something that hactl does not know holds it"
                                          : "who holds it could not be seen");
    ha_text_repair(words);
}

static void merge_addresses(struct ha_session *session, const struct hactl_call *call)
{
    struct ha_model *model = &session->observed.model;
    const char *unread = unread_elsewhere(call);
    model->address = unread ? HACTL_UNKNOWN : HACTL_NO;
    session->private->held_by_replica = -1;
    session->private->held_by_other = unread != NULL;
    SET(session->private->holder_words, unread);
    for (size_t i = 0; i < call->address_count; i++) {
        const struct hactl_address *found = &call->addresses[i];
        if (found->kind == HACTL_ADDRESS_EXTERNAL) {
            model->address = HACTL_YES;
            SET(model->external_address, found->address);
            merge_holder(session, found);
            continue;
        }
        struct ha_replica *r = replica_or_leftover(model, found->name, NULL);
        if (!r)
            continue;
        r->address = HACTL_YES;
        SET(r->internal_address, found->address);
    }
}

/* Made from other ports than are wanted now counts as not made. */
static void merge_firewall(struct ha_session *session, const struct hactl_call *call)
{
    const struct hactl_firewall *found = call->firewall_count ? &call->firewalls[0] : NULL;
    char digest[HA_FIREWALL_DIGEST];
    ha_firewall_digest(session, digest);
    bool unread = unread_elsewhere(call) != NULL;
    session->observed.model.firewall = !found ? (unread ? HACTL_UNKNOWN : HACTL_NO)
                                       : found->whole == HACTL_YES && found->digest && strcmp(found->digest, digest)
                                           ? HACTL_NO
                                           : found->whole;
    session->observed.model.firewall_present = found || unread;
}

static void merge_reaches(struct ha_session *session, const struct hactl_call *call)
{
    struct ha_session_private *private = session->private;
    const struct ha_found *found = ha_call_found(call);
    private->reach_count = 0;
    for (int i = 0;
         i < found->count && private->reach_count < (int)(sizeof private->reaches / sizeof *private->reaches); i++) {
        const struct hactl_reach *record = &call->reaches[found->items[i].record];
        struct ha_reach *reach = &private->reaches[private->reach_count++];
        SET(reach->replica, found->items[i].name);
        SET(reach->host, record->host);
        SET(reach->verify, record->verify);
        reach->port = (uint16_t)found->items[i].port;
        reach->dial_port = record->port;
    }
}

static void merge_cloud(struct ha_session *session, const struct hactl_call *call)
{
    struct ha_model *model = &session->observed.model;
    merge_leftovers(model, call);
    for (int i = 0; i < model->replica_count; i++)
        forget_replica(&model->replicas[i], call);
    merge_instances(model, call);
    merge_deliveries(session, call);
    merge_addresses(session, call);
    merge_firewall(session, call);
    merge_reaches(session, call);
    if (call->emitted_text)
        SET(session->observed.cloud_place, call->emitted_text);
    settle_holder(session);
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
    /* It holds the address whether or not it can answer there just now. */
    session->private->held_by_balancer = found && found->address && found->address[0];
    for (int i = 0; i < model->replica_count; i++)
        model->replicas[i].backend = HA_BACKEND_NONE;
    for (size_t i = 0; call && i < call->backend_count; i++) {
        const struct hactl_backend *backend = &call->backends[i];
        struct ha_replica *r = replica_or_leftover(model, backend->name, NULL);
        if (r)
            r->backend = backend->healthy == HACTL_YES  ? HA_BACKEND_SERVING
                         : backend->healthy == HACTL_NO ? HA_BACKEND_WAITING
                                                        : HA_BACKEND_UNKNOWN;
    }
    settle_holder(session);
}

int ha_observe_merge(struct ha_session *session, enum ha_subject subject, int index, const struct hactl_call *call)
{
    struct ha_model *model = &session->observed.model;
    int code = call ? call->code : HACTL_OK;
    enum hactl_tristate answered = call && code == HACTL_OK ? HACTL_YES : HACTL_NO;
    switch (subject) {
    case HA_SUBJECT_CLOUD:
        if (call && code == HACTL_OK)
            merge_cloud(session, call);
        break;
    case HA_SUBJECT_ISSUER:
        if (call && code == HACTL_OK)
            merge_issuer(session, call);
        break;
    case HA_SUBJECT_GROUP:
        if (code == HACTL_OK)
            merge_group(session, index, call);
        break;
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
