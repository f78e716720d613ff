/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a session, and the calls that commands make without a plan. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/asks.h"
#include "core/observer.h"
#include "core/session_internal.h"

static int too_many(struct ha_error *error, const struct ha_instance *instance, const char *what, int limit)
{
    char where[300];
    return ha_fail(error, HA_EXIT_USAGE, "%splugin instance %s: %d %s are the most that hactl handles",
                   ha_source_text(instance->conf->source, where, sizeof where), instance->conf->instance, limit, what);
}

static int second(struct ha_error *error, const struct ha_instance *instance, const struct ha_instance *first,
                  const char *kind)
{
    char where[300];
    return ha_fail(error, HA_EXIT_USAGE, "%splugin instance %s: %s is the %s of this cluster already; there can be one",
                   ha_source_text(instance->conf->source, where, sizeof where), instance->conf->instance,
                   first->conf->instance, kind);
}

/* Each instance finds its part by the kinds that its plugin serves. */
static int take_parts(struct ha_session *session, struct ha_error *error)
{
    struct ha_instance *components[HA_PAYLOADS];
    int component_count = 0;
    for (size_t i = 0; i < session->plugins->instance_count; i++) {
        struct ha_instance *instance = session->plugins->instances[i];
        const struct hactl_plugin *descriptor = instance->plugin->descriptor;
        struct {
            const void *ops;
            struct ha_instance **place;
            const char *kind;
        } single[] = {{descriptor->cloud, &session->cloud, "cloud"},
                      {descriptor->issuer, &session->issuer, "issuer"},
                      {descriptor->balancer, &session->balancer, "balancer"}};
        for (size_t k = 0; k < sizeof single / sizeof *single; k++) {
            if (!single[k].ops)
                continue;
            if (*single[k].place)
                return second(error, instance, *single[k].place, single[k].kind);
            *single[k].place = instance;
        }
        if (descriptor->member && descriptor->payload) {
            if (session->group_count == HA_GROUPS)
                return too_many(error, instance, "groups", HA_GROUPS);
            session->payloads[session->group_count++] = instance;
        } else if (descriptor->payload) {
            if (component_count == HA_PAYLOADS - HA_GROUPS)
                return too_many(error, instance, "payloads", HA_PAYLOADS - HA_GROUPS);
            components[component_count++] = instance;
        }
    }
    session->payload_count = session->group_count;
    for (int i = 0; i < component_count; i++)
        session->payloads[session->payload_count++] = components[i];
    return 0;
}

/* Either a cloud knows the replicas, or the file lists them. */
static int check_listed(const struct ha_session *session, struct ha_error *error)
{
    const struct ha_configuration *configuration = session->configuration;
    const char *what = configuration->listed_replica_count > 0     ? "replicas"
                       : configuration->endpoint_address != NULL ? "endpoint.address"
                                                                 : NULL;
    if (session->cloud && what) {
        ha_fail(error, HA_EXIT_USAGE, "%s is given, and so is the cloud \"%s\", which keeps addresses itself", what,
                session->cloud->conf->instance);
        ha_advise(error, "remove one of them");
        return -1;
    }
    if (configuration->listed_replica_count > HA_REPLICAS)
        return ha_fail(error, HA_EXIT_USAGE, "replicas: %d are the most that hactl handles", (int)HA_REPLICAS);
    return 0;
}

/* Components come after groups, so that an API server, once there is one, is
 * what the endpoint fronts. */
static int learn_ports(struct ha_session *session, struct ha_error *error)
{
    session->private->front = -1;
    for (int p = 0; p < session->payload_count; p++) {
        struct hactl_call *call = ha_ask_ports(session, p);
        int code = ha_call_wait(call);
        struct ha_payload_facts *facts = &session->private->payloads[p];
        for (size_t i = 0; code == HACTL_OK && i < call->port_count; i++) {
            const struct hactl_port *port = &call->ports[i];
            if (port->flags & HACTL_PORT_OPERATOR)
                facts->operator_port = port->port;
            if (port->flags & HACTL_PORT_ENDPOINT) {
                facts->endpoint_port = port->port;
                snprintf(facts->endpoint_name, sizeof facts->endpoint_name, "%s", port->name);
                session->private->front = p;
            }
        }
        if (code < 0)
            ha_fail(error, ha_exit_of_code(code), "%s: %s", call->instance->conf->instance, call->text);
        ha_call_free(call);
        if (code < 0)
            return -1;
    }
    int front = session->private->front;
    if (front >= 0 && (ha_instance_open(session->payloads[front], &session->private->prober, error) ||
                       ha_instance_open(session->payloads[front], &session->private->knocker, error)))
        return -1;
    if (front >= 0)
        snprintf(session->observed.fronts, sizeof session->observed.fronts, "%s",
                 session->private->payloads[front].endpoint_name);
    session->observed.endpoint_port = session->configuration->endpoint_port
                                          ? (uint16_t)session->configuration->endpoint_port
                                          : ha_session_backend_port(session);
    return 0;
}

static int open_parts(struct ha_session *session, unsigned needs, const char *verb, struct ha_error *error)
{
    const struct ha_options *options = session->options;
    if (ha_configuration_read(options->config, options->sets, &session->configuration, error) ||
        ha_store_open(session->configuration->state_directory, &session->store, error))
        return -1;
    if (needs & HA_NEED_PLUGINS && (ha_plugins_open(session->configuration, &session->plugins, error) ||
                                    take_parts(session, error) || check_listed(session, error) || learn_ports(session, error)))
        return -1;
    if (needs & HA_NEED_LOCK) {
        int64_t timeout_ms =
            options->lock_timeout_ms >= 0 ? options->lock_timeout_ms : session->configuration->lock_timeout_ms;
        if (ha_store_lock(session->store, verb, timeout_ms, error))
            return -1;
    }
    return ha_store_read(session->store, &session->desired, error);
}

int ha_session_open(const struct ha_options *options, unsigned needs, const char *verb, struct ha_session **out,
                    struct ha_error *error)
{
    struct ha_session *session = calloc(1, sizeof *session);
    if (!session || !(session->private = calloc(1, sizeof *session->private)) ||
        !(session->completions = ha_completions_new())) {
        ha_session_close(session);
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    }
    session->options = options;
    session->private->held_by_replica = session->private->front = -1;
    if (open_parts(session, needs, verb, error)) {
        ha_session_close(session);
        return -1;
    }
    ha_observe_begin(session);
    *out = session;
    return 0;
}

void ha_session_close(struct ha_session *session)
{
    if (!session)
        return;
    ha_instance_close(session->private ? session->private->prober : NULL);
    ha_instance_close(session->private ? session->private->knocker : NULL);
    ha_plugins_close(session->plugins);
    ha_completions_free(session->completions);
    ha_store_close(session->store);
    ha_configuration_free(session->configuration);
    free(session->observed.certificates);
    free(session->private);
    free(session);
}

/* ---- single calls */

static int group_named(struct ha_session *session, const char *name, struct ha_error *error)
{
    for (int g = 0; g < session->group_count; g++)
        if (!name || strcmp(session->payloads[g]->conf->instance, name) == 0)
            return g;
    return name ? ha_fail(error, HA_EXIT_USAGE, "there is no group %s in this configuration", name)
                : ha_fail(error, HA_EXIT_USAGE, "this configuration has no group of members");
}

static int wait_for(struct hactl_call *call, struct ha_error *error)
{
    int code = ha_call_wait(call);
    if (code < 0)
        ha_fail(error, ha_exit_of_code(code), "%s: %s", call->instance->conf->instance,
                call->text[0] ? call->text : ha_code_name(code));
    return code < 0 ? -1 : 0;
}

int ha_session_snapshot(struct ha_session *session, const char *group, const char *path, char digest[65],
                        struct ha_error *error)
{
    enum { TIMEOUT_MS = 600000 };
    int g = group_named(session, group, error);
    if (g < 0 || ha_session_observe(session, HA_SCOPE_ALL, error))
        return -1;
    if (!session->payloads[g]->plugin->descriptor->member->snapshot)
        return ha_fail(error, HA_EXIT_USAGE, "the plugin of %s makes no snapshots",
                       session->payloads[g]->conf->instance);
    int64_t timeout_ms = session->options->timeout_ms ? session->options->timeout_ms : TIMEOUT_MS;
    struct hactl_call *call = ha_ask_snapshot(session, g, path, timeout_ms);
    int rc = wait_for(call, error);
    snprintf(digest, 65, "%s", rc == 0 && call->emitted_text ? call->emitted_text : "");
    ha_call_free(call);
    return rc;
}

static const struct ha_member *successor(const struct ha_group *group, const char *to, struct ha_error *error)
{
    const struct ha_member *best = NULL;
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        bool named = to && (strcmp(member->name, to) == 0 || strcmp(member->id, to) == 0);
        if (named && member->voter)
            return member;
        if (named)
            return ha_fail(error, HA_EXIT_REFUSED, "%s is a learner and cannot lead", to), NULL;
        if (!to && member->voter && !member->leader && member->healthy == HACTL_YES)
            best = member;
    }
    if (!best)
        ha_fail(error, HA_EXIT_REFUSED, to ? "%s has no member %s" : "%s has no other healthy voter%s", group->name,
                to ? to : "");
    return best;
}

int ha_session_move_leader(struct ha_session *session, const char *group, const char *to, struct ha_error *error)
{
    enum { TIMEOUT_MS = 15000 };
    int g = group_named(session, group, error);
    if (g < 0 || ha_session_observe(session, HA_SCOPE_ALL, error))
        return -1;
    const struct ha_member *member = successor(&session->observed.model.groups[g], to, error);
    if (!member)
        return -1;
    struct hactl_call *call = ha_ask_move_leader(session, g, member->id, TIMEOUT_MS);
    int rc = wait_for(call, error);
    ha_call_free(call);
    return rc ? rc : ha_session_observe(session, HA_SCOPE_GROUP, error);
}

int ha_session_check(struct ha_session *session,
                     void (*hear)(void *context, const char *instance, int code, const char *text), void *context,
                     struct ha_error *error)
{
    int rc = 0;
    for (size_t i = 0; i < session->plugins->instance_count; i++) {
        struct ha_instance *instance = session->plugins->instances[i];
        struct hactl_call *call = ha_ask_check(instance);
        int code = ha_call_wait(call);
        if (hear)
            hear(context, instance->conf->instance, code, call->text);
        if (code < 0)
            rc = ha_fail(error, ha_exit_of_code(code), "%s: %s", instance->conf->instance, call->text);
        ha_call_free(call);
    }
    return rc;
}
