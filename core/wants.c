/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wants.h"

#include <stdlib.h>
#include <string.h>

#include "core/session_internal.h"

struct block {
    struct block *next;
    size_t size;
    max_align_t content[];
};

struct ha_arena {
    struct block *blocks;
};

struct ha_arena *ha_arena_new(void)
{
    struct ha_arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        abort();
    return arena;
}

void ha_arena_free(struct ha_arena *arena)
{
    if (!arena)
        return;
    for (struct block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        explicit_bzero(block->content, block->size);
        free(block);
    }
    free(arena);
}

void *ha_arena_take(struct ha_arena *arena, size_t size)
{
    struct block *block = calloc(1, sizeof *block + size + 1);
    if (!block)
        abort();
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->content;
}

char *ha_arena_string(struct ha_arena *arena, const char *text)
{
    return text ? memcpy(ha_arena_take(arena, strlen(text) + 1), text, strlen(text)) : NULL;
}

/* A record of the contract, from the arena, with its struct_size set. */
#define TAKE(arena, type) take_record(arena, sizeof(struct type))

static void *take_record(struct ha_arena *arena, size_t size)
{
    uint32_t *record = ha_arena_take(arena, size);
    *record = (uint32_t)size;
    return record;
}

static const char *said(struct ha_arena *arena, const char *text)
{
    return text[0] ? ha_arena_string(arena, text) : NULL;
}

static const struct hactl_cluster *cluster_want(struct ha_arena *arena, const struct ha_session *session)
{
    const struct ha_configuration *configuration = session->configuration;
    struct hactl_cluster *out = TAKE(arena, hactl_cluster);
    out->name = ha_arena_string(arena, configuration->cluster_name);
    out->external_address = said(arena, session->observed.model.external_address);
    out->endpoint_port = session->observed.endpoint_port;
    out->service_address = ha_arena_string(arena, configuration->cluster_service_address);
    out->dns_domain = ha_arena_string(arena, configuration->cluster_dns_domain);
    size_t count = 0;
    while (configuration->cluster_names && configuration->cluster_names[count])
        count++;
    const char **names = ha_arena_take(arena, (count + 1) * sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = ha_arena_string(arena, configuration->cluster_names[i]);
    out->extra_names = names;
    return out;
}

const struct hactl_replica *ha_replica_want(struct ha_arena *arena, const struct ha_replica *replica)
{
    struct hactl_replica *out = TAKE(arena, hactl_replica);
    out->name = ha_arena_string(arena, replica->name);
    out->zone = ha_arena_string(arena, replica->zone);
    out->internal_address = said(arena, replica->internal_address);
    return out;
}

/* Those for which `test` holds, as an array of pointers. */
static const struct hactl_replica *const *replicas_that(struct ha_arena *arena, const struct ha_session *session,
                                                        bool (*test)(const struct ha_replica *), size_t *count)
{
    const struct ha_model *model = &session->observed.model;
    const struct hactl_replica **out = ha_arena_take(arena, sizeof *out * HA_REPLICAS);
    *count = 0;
    for (int i = 0; i < model->replica_count; i++)
        if (test(&model->replicas[i]))
            out[(*count)++] = ha_replica_want(arena, &model->replicas[i]);
    return out;
}

static bool any(const struct ha_replica *replica)
{
    (void)replica;
    return true;
}

static bool is_founding(const struct ha_replica *replica)
{
    return replica->founding;
}

/* "demo-1 etcd-server" as a list. */
static const char *const *renews_want(struct ha_arena *arena, const struct ha_session *session)
{
    char *words = ha_arena_string(arena, session->private->renews), *rest = NULL;
    const char **out = ha_arena_take(arena, (strlen(words) / 2 + 2) * sizeof *out);
    size_t count = 0;
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        out[count++] = word;
    return count ? out : NULL;
}

static bool is_among(const char *const *list, const char *text)
{
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

const char *const *ha_key_purposes(struct ha_arena *arena, const struct ha_session *session)
{
    size_t most = 1, count = 0;
    for (int p = 0; p < session->payload_count; p++) {
        const char *const *declared = ha_payload_key_purposes(session, p);
        while (declared && *declared++)
            most++;
    }
    const char **out = ha_arena_take(arena, most * sizeof *out);
    for (int p = 0; p < session->payload_count; p++) {
        const char *const *declared = ha_payload_key_purposes(session, p);
        for (; declared && *declared; declared++)
            if (!is_among(out, *declared))
                out[count++] = ha_arena_string(arena, *declared);
    }
    return session->payload_count ? out : NULL;
}

const struct hactl_inventory *ha_inventory_want(struct ha_arena *arena, const struct ha_session *session)
{
    struct hactl_inventory *out = TAKE(arena, hactl_inventory);
    out->cluster = cluster_want(arena, session);
    out->replicas = replicas_that(arena, session, any, &out->replica_count);
    out->replica_keys = session->observed.model.replica_keys;
    out->rekey = session->private->rekey;
    out->renews = renews_want(arena, session);
    if (out->replica_keys)
        out->key_purposes = ha_key_purposes(arena, session);
    return out;
}

/* Of those that payloads use, the ones that the issuer certifies: it has the last word on who may have what. */
static const char *const *key_purposes(struct ha_arena *arena, const struct ha_session *session, const char *replica)
{
    const struct ha_observation *observed = &session->observed;
    const char *const *used = ha_key_purposes(arena, session);
    const char **out = ha_arena_take(arena, (observed->certificate_count + 1) * sizeof *out);
    for (size_t i = 0, count = 0; used && i < observed->certificate_count; i++)
        if (strcmp(observed->certificates[i].replica, replica) == 0 &&
            is_among(used, observed->certificates[i].purpose))
            out[count++] = ha_arena_string(arena, observed->certificates[i].purpose);
    return out;
}

const struct hactl_instance_want *ha_instance_want(struct ha_arena *arena, const struct ha_session *session,
                                                   const struct ha_replica *replica)
{
    struct hactl_instance_want *out = TAKE(arena, hactl_instance_want);
    out->replica = ha_replica_want(arena, replica);
    if (session->observed.model.replica_keys)
        out->key_purposes = key_purposes(arena, session, replica->name);
    return out;
}

const struct hactl_firewall_want *ha_firewall_want(struct ha_arena *arena, const struct ha_session *session)
{
    struct hactl_firewall_want *out = TAKE(arena, hactl_firewall_want);
    const struct hactl_port **ports = ha_arena_take(arena, sizeof *ports * HA_PAYLOADS * HA_PORTS);
    char digest[HA_FIREWALL_DIGEST];
    for (int p = 0; p < session->payload_count; p++)
        for (int i = 0; i < session->private->payloads[p].port_count; i++) {
            const struct ha_port *port = &session->private->payloads[p].ports[i];
            struct hactl_port *copy = TAKE(arena, hactl_port);
            copy->name = ha_arena_string(arena, port->name);
            copy->port = port->port;
            copy->flags = port->flags;
            ports[out->port_count++] = copy;
        }
    ha_firewall_digest(session, digest);
    out->cluster = cluster_want(arena, session);
    out->ports = ports;
    out->digest = ha_arena_string(arena, digest);
    return out;
}

static const struct hactl_tls *tls_want(struct ha_arena *arena, const struct ha_session *session, int payload)
{
    const struct ha_payload_facts *facts = &session->private->payloads[payload];
    if (!facts->tls_known)
        return NULL;
    struct hactl_tls *out = TAKE(arena, hactl_tls);
    out->authority_file = ha_arena_string(arena, facts->authority_file);
    out->certificate_file = ha_arena_string(arena, facts->certificate_file);
    out->key_file = ha_arena_string(arena, facts->key_file);
    return out;
}

static const struct hactl_reach *reach_want(struct ha_arena *arena, const char *host, uint16_t port, const char *verify)
{
    struct hactl_reach *out = TAKE(arena, hactl_reach);
    out->host = ha_arena_string(arena, host);
    out->port = port;
    out->verify = ha_arena_string(arena, verify);
    return out;
}

const struct hactl_group_want *ha_group_want(struct ha_arena *arena, const struct ha_session *session, int group)
{
    const struct ha_model *model = &session->observed.model;
    struct hactl_group_want *out = TAKE(arena, hactl_group_want);
    const struct hactl_endpoint **endpoints = ha_arena_take(arena, sizeof *endpoints * HA_REPLICAS);
    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *r = &model->replicas[i];
        const struct ha_reach *reach =
            ha_session_reach(session, r->name, session->private->payloads[group].operator_port);
        if (!reach || r->instance != HACTL_INSTANCE_RUNNING || r->deliveries[group] == HA_DELIVERY_NONE)
            continue;
        struct hactl_endpoint *endpoint = TAKE(arena, hactl_endpoint);
        endpoint->replica = ha_arena_string(arena, r->name);
        endpoint->reach = reach_want(arena, reach->host, reach->dial_port, reach->verify);
        endpoints[out->endpoint_count++] = endpoint;
    }
    out->cluster = cluster_want(arena, session);
    out->endpoints = endpoints;
    out->tls = tls_want(arena, session, group);
    out->cluster_id = said(arena, session->private->cluster_ids[group]);
    return out;
}

static const struct hactl_member *member_want(struct ha_arena *arena, const struct ha_member *member)
{
    struct hactl_member *out = TAKE(arena, hactl_member);
    out->id = ha_arena_string(arena, member->id);
    out->name = said(arena, member->name);
    out->address = ha_arena_string(arena, member->address);
    out->peer_url = ha_arena_string(arena, member->peer_url);
    out->voter = member->voter;
    out->leader = member->leader;
    out->started = member->started;
    out->healthy = member->healthy;
    out->caught_up = member->caught_up;
    out->lag_entries = member->lag_entries;
    return out;
}

/* What is signed by an authority that has a list of revocations. */
static const char *const *revocable_want(struct ha_arena *arena, const struct ha_session *session)
{
    const struct ha_observation *observed = &session->observed;
    const char **out = ha_arena_take(arena, (observed->certificate_count + 1) * sizeof *out);
    size_t count = 0;
    for (size_t i = 0; i < observed->certificate_count; i++)
        for (size_t k = 0; k < observed->certificate_count; k++)
            if (observed->certificates[k].revocations &&
                strcmp(observed->certificates[k].purpose, observed->certificates[i].authority) == 0) {
                out[count++] = ha_arena_string(arena, observed->certificates[i].purpose);
                break;
            }
    return out;
}

const struct hactl_payload_want *ha_payload_want(struct ha_arena *arena, const struct ha_session *session, int payload,
                                                 int replica)
{
    const struct ha_model *model = &session->observed.model;
    struct hactl_payload_want *out = TAKE(arena, hactl_payload_want);
    out->cluster = cluster_want(arena, session);
    out->replica = ha_replica_want(arena, &model->replicas[replica]);
    out->founding = payload < model->group_count && !ha_model_is_formed(&model->groups[payload]);
    out->peers = replicas_that(arena, session, out->founding ? is_founding : any, &out->peer_count);
    if (payload < model->group_count) {
        const struct ha_group *group = &model->groups[payload];
        const struct hactl_member **members = ha_arena_take(arena, sizeof *members * HA_MEMBERS);
        for (int m = 0; m < group->member_count; m++)
            members[out->member_count++] = member_want(arena, &group->members[m]);
        out->members = members;
    }
    out->revocable = revocable_want(arena, session);
    return out;
}

const struct hactl_backend_want *ha_backend_want(struct ha_arena *arena, const struct ha_replica *replica)
{
    struct hactl_backend_want *out = TAKE(arena, hactl_backend_want);
    out->name = ha_arena_string(arena, replica->name);
    out->zone = ha_arena_string(arena, replica->zone);
    out->address = ha_arena_string(arena, replica->internal_address);
    return out;
}

static const struct hactl_backend_want *const *backends_want(struct ha_arena *arena, const struct ha_model *model,
                                                             size_t *count)
{
    const struct hactl_backend_want **out = ha_arena_take(arena, sizeof *out * HA_REPLICAS);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < model->replica_count; i++) {
            const struct ha_replica *replica = &model->replicas[i];
            if (replica->wanted && (replica->instance == HACTL_INSTANCE_RUNNING) == (pass == 0))
                out[(*count)++] = ha_backend_want(arena, replica);
        }
    return out;
}

const struct hactl_balancer_want *ha_balancer_want(struct ha_arena *arena, const struct ha_session *session)
{
    struct hactl_balancer_want *out = TAKE(arena, hactl_balancer_want);
    out->name = ha_arena_string(arena, session->configuration->cluster_name);
    out->cluster = cluster_want(arena, session);
    out->port = session->observed.endpoint_port;
    out->backend_port = ha_session_backend_port(session);
    out->backends = backends_want(arena, &session->observed.model, &out->backend_count);
    return out;
}

const struct hactl_probe_want *ha_probe_want(struct ha_arena *arena, const struct ha_session *session, int payload,
                                             const char *host, uint16_t port, const char *verify)
{
    struct hactl_probe_want *out = TAKE(arena, hactl_probe_want);
    out->reach = reach_want(arena, host, port, verify);
    out->tls = tls_want(arena, session, payload);
    return out;
}
