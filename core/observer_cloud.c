/* SPDX-License-Identifier: Apache-2.0 */
/* What the cloud lists: machines, what was delivered to them, addresses and who holds them, ways to them. */
#include <stdio.h>
#include <string.h>

#include "core/observer.h"
#include "core/session_internal.h"
#include "core/stale.h"
#include "core/text.h"

#define SET(out, text) ha_text_copy(out, sizeof(out), text)

void ha_observe_settle_holder(struct ha_session *session)
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

struct ha_replica *ha_observe_replica(struct ha_model *model, const char *name, const char *zone)
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
        struct ha_replica *r = ha_observe_replica(model, call->instances[i].name, call->instances[i].zone);
        if (!r)
            note_beyond(model, call->instances[i].name);
        else if (!r->zone[0])
            SET(r->zone, call->instances[i].zone);
    }
    for (size_t i = 0; i < call->address_count; i++)
        if (call->addresses[i].kind == HACTL_ADDRESS_INTERNAL &&
            !ha_observe_replica(model, call->addresses[i].name, NULL))
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
                                   : ha_observe_replica(model, found->name, found->zone);
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
        struct ha_replica *r = is_double(model, call, i) ? NULL : ha_observe_replica(model, found->name, found->zone);
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
        struct ha_replica *r = ha_observe_replica(model, found->name, NULL);
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

void ha_observe_merge_cloud(struct ha_session *session, const struct hactl_call *call)
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
    ha_observe_settle_holder(session);
}
