/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a session, and the calls that commands make without a plan. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/asks.h"
#include "core/executor.h"
#include "core/observer.h"
#include "core/session_internal.h"

static int too_many(struct ha_error *error, const struct ha_instance *instance, const char *what, int limit)
{
    char where[300];
    return ha_fail(error, HA_EXIT_USAGE, "%splugin instance %s: %d %s are the most that hactl handles",
                   ha_source_text(instance->conf->source, where, sizeof where), instance->conf->instance, limit, what);
}

/* Each instance finds its part by the kinds that its plugin serves. */
static int take_parts(struct ha_session *session, struct ha_error *error)
{
    struct ha_instance *components[HA_PAYLOADS];
    int component_count = 0;
    session->cloud = ha_plugins_the(session->plugins, session->configuration, HA_KIND_CLOUD);
    session->issuer = ha_plugins_the(session->plugins, session->configuration, HA_KIND_ISSUER);
    session->balancer = ha_plugins_the(session->plugins, session->configuration, HA_KIND_BALANCER);
    for (size_t i = 0; i < session->plugins->instance_count; i++) {
        struct ha_instance *instance = session->plugins->instances[i];
        const struct hactl_plugin *descriptor = instance->plugin->descriptor;
        if (descriptor->member) {
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

static int check_keys_mode(const struct ha_session *session, struct ha_error *error)
{
    if (strcmp(session->configuration->keys_mode, "replica") != 0 || !session->cloud ||
        ha_offers(session->cloud->plugin->descriptor->cloud, requests))
        return 0;
    ha_fail(error, HA_EXIT_USAGE, "keys.mode is \"replica\", and the cloud %s cannot hand out a replica's requests",
            session->cloud->plugin->descriptor->name);
    return ha_advise(error, "keys.mode = \"operator\" makes the keys on this machine"), -1;
}

/* What no cluster can be made of is a fault of the configuration, whichever
 * verb reads it. An issuer alone makes certificates and needs nothing else. */
static int check_parts(const struct ha_session *session, struct ha_error *error)
{
    const struct ha_instance *first = session->payload_count ? session->payloads[0] : session->balancer;
    const char *lacks = NULL;
    char where[300];
    if (!session->cloud && first)
        lacks = "cloud, which makes the replicas, such as local";
    else if (session->cloud && session->group_count == 0)
        lacks = "member, which serves a group, such as etcd";
    else if (session->cloud && !session->issuer)
        lacks = "issuer, which makes the certificates, such as pki";
    if (!lacks)
        return 0;
    if (session->cloud)
        first = session->cloud;
    ha_fail(error, HA_EXIT_USAGE, "%splugin instance %s is of no use alone: there is no plugin of the kind %s",
            ha_source_text(first->conf->source, where, sizeof where), first->conf->instance, lacks);
    ha_advise(error, "see conf/local.conf, or what `hactl init` writes, for a whole one");
    return -1;
}

/* Every payload of a replica listens there: no number and no name twice. */
static int check_port(const struct ha_session *session, int payload, const struct hactl_port *port,
                      struct ha_error *error)
{
    const struct ha_instance *instance = session->payloads[payload];
    char where[300];
    for (int p = 0; p < payload; p++)
        for (int i = 0; i < session->private->payloads[p].port_count; i++) {
            const struct ha_port *other = &session->private->payloads[p].ports[i];
            bool number = other->port == port->port;
            if (!number && strcmp(other->name, port->name) != 0)
                continue;
            ha_source_text(instance->conf->source, where, sizeof where);
            ha_fail(error, HA_EXIT_USAGE,
                    "%splugin instance %s: its port %s (%u) is %s of %s; they would run side by side", where,
                    instance->conf->instance, port->name, port->port, number ? "the port" : "also a port",
                    session->payloads[p]->conf->instance);
            ha_advise(error, "leave one of the two out, or give it names and ports of its own: hactl plugin info %.60s",
                      instance->plugin->descriptor->name);
            return -1;
        }
    return 0;
}

/* Either a cloud knows the replicas, or the file lists them. */
static int check_listed(const struct ha_session *session, struct ha_error *error)
{
    const struct ha_configuration *configuration = session->configuration;
    const char *what = configuration->listed_replica_count > 0   ? "replicas"
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
    int rc = 0;
    session->private->front = -1;
    for (int p = 0; p < session->payload_count; p++) {
        struct hactl_call *call = ha_ask_ports(session, p);
        int code = ha_call_wait(call);
        struct ha_payload_facts *facts = &session->private->payloads[p];
        for (size_t i = 0; code == HACTL_OK && rc == 0 && i < call->port_count; i++) {
            const struct hactl_port *port = &call->ports[i];
            if (facts->port_count < HA_PORTS) {
                struct ha_port *kept = &facts->ports[facts->port_count++];
                snprintf(kept->name, sizeof kept->name, "%s", port->name);
                kept->port = port->port;
                kept->flags = port->flags;
            }
            rc = check_port(session, p, port, error);
            if (port->flags & HACTL_PORT_OPERATOR)
                facts->operator_port = port->port;
            if (port->flags & HACTL_PORT_ENDPOINT) {
                facts->endpoint_port = port->port;
                snprintf(facts->endpoint_name, sizeof facts->endpoint_name, "%s", port->name);
                session->private->front = p;
            }
        }
        if (code < 0)
            rc = ha_fail(error, ha_exit_of_code(code), "%s: %s", call->instance->conf->instance, call->text);
        ha_call_free(call);
        if (rc)
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

const char *const *ha_payload_key_purposes(const struct ha_session *session, int payload)
{
    const struct hactl_payload_ops *ops = session->payloads[payload]->plugin->descriptor->payload;
    return ha_offers(ops, key_purposes) ? ops->key_purposes : NULL;
}

void ha_firewall_digest(const struct ha_session *session, char out[HA_FIREWALL_DIGEST])
{
    size_t used = 0;
    out[0] = '\0';
    for (int p = 0; p < session->payload_count; p++)
        for (int i = 0; i < session->private->payloads[p].port_count && used < HA_FIREWALL_DIGEST; i++) {
            const struct ha_port *port = &session->private->payloads[p].ports[i];
            used += (size_t)snprintf(out + used, HA_FIREWALL_DIGEST - used, "%s%s %u %u", used ? ", " : "", port->name,
                                     port->port, port->flags);
        }
    if (used < HA_FIREWALL_DIGEST)
        snprintf(out + used, HA_FIREWALL_DIGEST - used, "%sendpoint %u", used ? ", " : "",
                 session->observed.endpoint_port);
}

static int open_parts(struct ha_session *session, unsigned needs, const char *verb, struct ha_error *error)
{
    const struct ha_options *options = session->options;
    if (options->configuration) {
        session->configuration = *options->configuration;
        *options->configuration = NULL;
    }
    if ((!session->configuration &&
         ha_configuration_read(options->config, options->sets, &session->configuration, error)) ||
        ha_store_open(session->configuration->state_directory, &session->store, error))
        return -1;
    if (needs & HA_NEED_PLUGINS &&
        (ha_plugins_open(session->configuration, &session->plugins, error) || take_parts(session, error) ||
         check_keys_mode(session, error) || check_listed(session, error) || check_parts(session, error) ||
         learn_ports(session, error)))
        return -1;
    if (needs & HA_NEED_LOCK) {
        int64_t timeout_ms =
            options->lock_timeout_ms >= 0 ? options->lock_timeout_ms : session->configuration->lock_timeout_ms;
        if (ha_store_lock(session->store, options->command ? options->command : verb, timeout_ms, error))
            return -1;
    }
    if (ha_store_read(session->store, &session->desired, error))
        return -1;
    if (!(needs & HA_NEED_PLUGINS) || needs & HA_OF_ANY_CLOUD)
        return 0;
    /* `down` needs none of the authorities; all of them go with it. */
    return ha_session_check_identity(session, strcmp(verb, "down") != 0, error);
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
    /* A thread that hangs may still use any of it. */
    if (!session || ha_calls_hang())
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

static int wait_for(struct ha_session *session, struct hactl_call *call, struct ha_error *error)
{
    int code = ha_ask_to_the_end(session, call);
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
    int64_t timeout_ms = session->options->timeout_ms ? session->options->timeout_ms : TIMEOUT_MS;
    struct hactl_call *call = ha_ask_snapshot(session, g, path, timeout_ms);
    if (!call)
        return ha_fail(error, HA_EXIT_USAGE, "the plugin of %s makes no snapshots",
                       session->payloads[g]->conf->instance);
    int rc = wait_for(session, call, error);
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
    if (best)
        return best;
    if (!to)
        return ha_fail(error, HA_EXIT_REFUSED, "%s has no other healthy voter", group->name), NULL;
    ha_fail(error, HA_EXIT_USAGE, "%s has no member %s", group->name, to);
    ha_advise(error, "hactl etcd members");
    return NULL;
}

int ha_session_successor(struct ha_session *session, const char *group, const char *to, struct ha_error *error)
{
    int g = group_named(session, group, error);
    return g >= 0 && successor(&session->observed.model.groups[g], to, error) ? 0 : -1;
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
    ha_intent_make(call->intent);
    int rc = wait_for(session, call, error);
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
