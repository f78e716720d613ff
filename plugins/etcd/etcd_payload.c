/* SPDX-License-Identifier: Apache-2.0 */
/*
 * etcd as what runs on a replica.
 *
 * A cloud restarts a unit whose arguments have changed, so arguments must not
 * follow the membership. Those that tell etcd how to begin matter only while
 * its data directory is empty, and come in three forms:
 *
 *   founding    initial-cluster from the founding replicas, state new
 *   joining     initial-cluster from the members, state existing; this one
 *               was added and has never started, or was to found the group,
 *               which was formed without it
 *   afterwards  initial-cluster of this replica alone, state existing: the
 *               same however the group changes. With data, etcd ignores it;
 *               without, etcd finds no other member and refuses to start,
 *               which is right: a member must not come back empty under its
 *               old ID.
 */
#include "plugins/etcd/etcd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

/* ---- ports --------------------------------------------------------------- */

static bool is_main(const struct etcd *self)
{
    return strcmp(self->group, "main") == 0;
}

/* "etcd", and "etcd-events" for the group events: several may share a replica. */
static void group_name(const struct etcd *self, const char *suffix, char *out, size_t size)
{
    if (is_main(self))
        snprintf(out, size, "etcd%s", suffix);
    else
        snprintf(out, size, "etcd-%s%s", self->group, suffix);
}

static int etcd_ports(void *instance, struct hactl_call *call)
{
    const struct etcd *self = instance;
    struct hactl_port port = {.struct_size = sizeof(port)};
    char name[300];
    int code;

    group_name(self, "-client", name, sizeof(name));
    port.name = name;
    port.port = self->client_port;
    port.flags = HACTL_PORT_OPERATOR | (is_main(self) ? HACTL_PORT_ENDPOINT : 0);
    code = self->host->emit_port(call, &port);
    if (code != HACTL_OK)
        return code;
    group_name(self, "-peer", name, sizeof(name));
    port.port = self->peer_port;
    port.flags = HACTL_PORT_PEERS;
    return self->host->emit_port(call, &port);
}

/* ---- files --------------------------------------------------------------- */

/* The authority of the servers' certificates is that of etcd's clients too;
 * peers have their own, so that no client's certificate makes a peer. etcd
 * reads certificates and keys again at every handshake, whom to trust only at
 * its start. */
static const struct {
    const char *path, *purpose, *part;
    uint32_t mode;
    int reread;
} files[] = {
    {"client-ca.pem", "etcd-server", "authority", 0644, 0}, {"server.pem", "etcd-server", "certificate", 0644, 1},
    {"server-key.pem", "etcd-server", "key", 0600, 1},      {"peer-ca.pem", "etcd-peer", "authority", 0644, 0},
    {"peer.pem", "etcd-peer", "certificate", 0644, 1},      {"peer-key.pem", "etcd-peer", "key", 0600, 1},
};

/* There only once something was revoked, which takes a restart for the argument;
 * etcd reads them at every handshake. */
static const struct revocations {
    const char *path, *purpose, *argument;
} revocations[] = {
    {"client.crl", "etcd-server", "--client-crl-file"},
    {"peer.crl", "etcd-peer", "--peer-crl-file"},
};

static bool has_revocations(const struct hactl_payload_want *want, const struct revocations *list)
{
    for (size_t i = 0; want->revocable && want->revocable[i]; i++)
        if (strcmp(want->revocable[i], list->purpose) == 0)
            return true;
    return false;
}

static int emit_revocations(const struct etcd *self, struct hactl_call *call, const struct hactl_payload_want *want)
{
    int code = HACTL_OK;

    for (size_t i = 0; code == HACTL_OK && i < sizeof(revocations) / sizeof(revocations[0]); i++) {
        struct hactl_file file = {.struct_size = sizeof(file), .mode = 0644, .part = "revocations", .reread = 1};

        file.path = revocations[i].path;
        file.purpose = revocations[i].purpose;
        if (has_revocations(want, &revocations[i]))
            code = self->host->emit_file(call, &file);
    }
    return code;
}

static int emit_files(const struct etcd *self, struct hactl_call *call)
{
    int code = HACTL_OK;

    for (size_t i = 0; code == HACTL_OK && i < sizeof(files) / sizeof(files[0]); i++) {
        struct hactl_file file = {.struct_size = sizeof(file)};

        file.path = files[i].path;
        file.mode = files[i].mode;
        file.purpose = files[i].purpose;
        file.part = files[i].part;
        file.reread = files[i].reread;
        code = self->host->emit_file(call, &file);
    }
    return code;
}

/* ---- arguments ----------------------------------------------------------- */

struct arguments {
    char **list; /* ends with NULL */
    size_t count, capacity;
    bool failed;
};

static void arguments_free(struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->list[i]);
    free(arguments->list);
}

static void add(struct arguments *arguments, const char *format, ...) HACTL_FORMAT(2, 3);

static void add(struct arguments *arguments, const char *format, ...)
{
    char *text = NULL;
    va_list values;

    if (arguments->count + 2 > arguments->capacity) {
        size_t capacity = arguments->capacity + 32;
        char **list = reallocarray(arguments->list, capacity, sizeof(*list));

        if (!list) {
            arguments->failed = true;
            return;
        }
        arguments->list = list;
        arguments->capacity = capacity;
    }
    va_start(values, format);
    if (vasprintf(&text, format, values) < 0)
        text = NULL;
    va_end(values);
    arguments->failed = arguments->failed || !text;
    if (text)
        arguments->list[arguments->count++] = text;
    arguments->list[arguments->count] = NULL;
}

/* Appends "name=url" to a list of such. */
static bool add_entry(char **list, const char *name, const char *url)
{
    char *longer = NULL;

    if (!url || asprintf(&longer, "%s%s%s=%s", *list ? *list : "", *list ? "," : "", name, url) < 0)
        return false;
    free(*list);
    *list = longer;
    return true;
}

static int by_name(const void *left, const void *right)
{
    const struct hactl_replica *const *a = left, *const *b = right;

    return strcmp((*a)->name, (*b)->name);
}

/* In the order of names, so that the same founders give the same argument. */
static int founding_cluster(const struct etcd *self, struct hactl_call *call, const struct hactl_payload_want *want,
                            char **list)
{
    const struct hactl_replica **sorted = calloc(want->peer_count + 1, sizeof(*sorted));
    bool done = sorted != NULL, itself = false;
    const char *without = NULL;

    for (size_t i = 0; done && i < want->peer_count; i++) {
        sorted[i] = want->peers[i];
        itself = itself || strcmp(want->peers[i]->name, want->replica->name) == 0;
        if (!want->peers[i]->internal_address)
            without = want->peers[i]->name;
    }
    if (done && !without)
        qsort(sorted, want->peer_count, sizeof(*sorted), by_name);
    for (size_t i = 0; done && !without && i < want->peer_count; i++) {
        char *url = etcd_url(sorted[i]->internal_address, self->peer_port);

        done = add_entry(list, sorted[i]->name, url);
        free(url);
    }
    free(sorted);
    if (without)
        return self->host->fail(call, HACTL_E_INVALID, "replica %s has no internal address yet", without);
    if (done && !itself)
        return self->host->fail(call, HACTL_E_INVALID, "replica %s is not among the founding replicas",
                                want->replica->name);
    return done ? HACTL_OK : self->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

/* Only URLs must agree with the group's own list; names of others are free. */
static int joining_cluster(const struct etcd *self, struct hactl_call *call, const struct hactl_payload_want *want,
                           const char *own_url, char **list)
{
    for (size_t i = 0; i < want->member_count; i++) {
        const struct hactl_member *member = want->members[i];
        const char *name = member->name;
        char unnamed[64];

        if (strcmp(member->peer_url, own_url) == 0) {
            name = want->replica->name;
        } else if (!name || name[0] == '\0') {
            snprintf(unnamed, sizeof(unnamed), "unnamed-%.40s", member->id);
            name = unnamed;
        }
        if (!add_entry(list, name, member->peer_url))
            return self->host->fail(call, HACTL_E_INTERNAL, "no memory");
    }
    return HACTL_OK;
}

static int initial_cluster(const struct etcd *self, struct hactl_call *call, const struct hactl_payload_want *want,
                           const char *own_url, char **list)
{
    const struct hactl_member *own = NULL;

    if (want->founding)
        return founding_cluster(self, call, want, list);
    for (size_t i = 0; i < want->member_count; i++)
        if (strcmp(want->members[i]->peer_url, own_url) == 0)
            own = want->members[i];
    for (size_t i = 0; !own && want->replica->internal_address && i < want->member_count; i++)
        if (want->members[i]->address && strcmp(want->members[i]->address, want->replica->internal_address) == 0)
            return self->host->fail(
                call, HACTL_E_INVALID,
                "the member of group %s there is %s, and peer_port %u is for %s: a member's peer URL "
                "is not moved, set peer_port back",
                self->group, want->members[i]->peer_url, self->peer_port, own_url);
    if (!own && want->member_count > 0)
        return self->host->fail(call, HACTL_E_NOT_FOUND, "%s is no member of etcd group %s; it must be added first",
                                own_url, self->group);
    if (own && own->started == HACTL_NO)
        return joining_cluster(self, call, want, own_url, list);
    return add_entry(list, want->replica->name, own_url) ? HACTL_OK
                                                         : self->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

static void add_settings(const struct etcd *self, struct arguments *arguments)
{
    const struct hactl_host *host = self->host;
    const char *item;

    add(arguments, "--heartbeat-interval=%lld", (long long)host->conf_integer(self->conf, "heartbeat_ms"));
    add(arguments, "--election-timeout=%lld", (long long)host->conf_integer(self->conf, "election_ms"));
    add(arguments, "--snapshot-count=%lld", (long long)host->conf_integer(self->conf, "snapshot_count"));
    add(arguments, "--quota-backend-bytes=%lld", (long long)host->conf_integer(self->conf, "quota_backend_bytes"));
    add(arguments, "--auto-compaction-retention=%s", host->conf_string(self->conf, "auto_compaction_retention"));
    add(arguments, "--pre-vote=true"); /* off by default in 3.4: a member coming back would depose the leader */
    if (host->conf_boolean(self->conf, "corrupt_check"))
        add(arguments, "--experimental-initial-corrupt-check=true");
    for (size_t i = 0; (item = host->conf_list(self->conf, "extra_arguments", i)); i++)
        add(arguments, "%s", item);
}

static void add_all(const struct etcd *self, struct arguments *arguments, const struct hactl_payload_want *want,
                    const char *client_url, const char *peer_url, const char *cluster)
{
    add(arguments, "%s", self->host->conf_string(self->conf, "etcd"));
    add(arguments, "--name=%s", want->replica->name);
    add(arguments, "--data-dir=${data}/etcd");
    if (strcmp(self->host->conf_string(self->conf, "client_listen"), "all") == 0)
        add(arguments, "--listen-client-urls=https://0.0.0.0:%lld",
            (long long)self->host->conf_integer(self->conf, "client_port"));
    else
        add(arguments, "--listen-client-urls=%s", client_url);
    add(arguments, "--advertise-client-urls=%s", client_url);
    add(arguments, "--listen-peer-urls=%s", peer_url);
    add(arguments, "--initial-advertise-peer-urls=%s", peer_url);
    add(arguments, "--client-cert-auth=true");
    add(arguments, "--trusted-ca-file=${directory}/client-ca.pem");
    add(arguments, "--cert-file=${directory}/server.pem");
    add(arguments, "--key-file=${directory}/server-key.pem");
    add(arguments, "--peer-client-cert-auth=true");
    add(arguments, "--peer-trusted-ca-file=${directory}/peer-ca.pem");
    add(arguments, "--peer-cert-file=${directory}/peer.pem");
    add(arguments, "--peer-key-file=${directory}/peer-key.pem");
    for (size_t i = 0; i < sizeof(revocations) / sizeof(revocations[0]); i++)
        if (has_revocations(want, &revocations[i]))
            add(arguments, "%s=${directory}/%s", revocations[i].argument, revocations[i].path);
    add_settings(self, arguments);
    add(arguments, "--initial-cluster-token=%s-%s", want->cluster->name, self->group);
    add(arguments, "--initial-cluster=%s", cluster);
    add(arguments, "--initial-cluster-state=%s", want->founding ? "new" : "existing");
}

static int emit_unit(const struct etcd *self, struct hactl_call *call, const struct arguments *arguments)
{
    struct hactl_unit unit = {.struct_size = sizeof(unit)};
    char name[300];

    if (arguments->failed)
        return self->host->fail(call, HACTL_E_INTERNAL, "no memory");
    group_name(self, "", name, sizeof(name));
    unit.name = name;
    unit.argv = (const char *const *)arguments->list;
    unit.package = self->host->conf_string(self->conf, "package");
    /* A member that was removed ends with 0 and must stay ended; one that lost
     * a race while joining ends with 1 and only needs to be started again. */
    unit.restart = HACTL_RESTART_ON_FAILURE;
    unit.stop_timeout_ms = 5000;
    return self->host->emit_unit(call, &unit);
}

static int etcd_programs(void *instance, struct hactl_call *call)
{
    struct etcd *self = instance;
    struct arguments arguments = {0};
    int code;

    add(&arguments, "%s", self->host->conf_string(self->conf, "etcd"));
    code = emit_unit(self, call, &arguments);
    arguments_free(&arguments);
    return code;
}

static int etcd_render(void *instance, struct hactl_call *call, const struct hactl_payload_want *want)
{
    struct etcd *self = instance;
    struct arguments arguments = {0};
    char *client_url = NULL, *peer_url = NULL, *cluster = NULL;
    int code;

    if (!want->replica->internal_address)
        return self->host->fail(call, HACTL_E_INVALID, "replica %s has no internal address yet", want->replica->name);
    client_url = etcd_url(want->replica->internal_address, self->client_port);
    peer_url = etcd_url(want->replica->internal_address, self->peer_port);
    if (!client_url || !peer_url) {
        code = self->host->fail(call, HACTL_E_INTERNAL, "no memory");
        goto out;
    }
    code = initial_cluster(self, call, want, peer_url, &cluster);
    if (code != HACTL_OK)
        goto out;
    add_all(self, &arguments, want, client_url, peer_url, cluster);
    code = emit_files(self, call);
    if (code == HACTL_OK)
        code = emit_revocations(self, call, want);
    if (code == HACTL_OK)
        code = emit_unit(self, call, &arguments);
    if (code == HACTL_OK)
        code = etcd_ports(self, call);
out:
    arguments_free(&arguments);
    free(client_url);
    free(peer_url);
    free(cluster);
    return code;
}

/* ---- probe --------------------------------------------------------------- */

/* A connection of its own each time: what a new client would meet. One that has no room left still answers what is
 * read; that is an alarm of its group, and no lack of an answer. */
static int etcd_probe(void *instance, struct hactl_call *call, const struct hactl_probe_want *want)
{
    struct etcd *self = instance;
    struct ha_http_exchange exchange = {0};
    char words[512] = "";
    const char *health;
    json_t *body;
    int code;

    exchange.endpoint = etcd_endpoint(self, call, want->reach, want->tls);
    if (!exchange.endpoint)
        return HACTL_E_INVALID;
    exchange.request.method = "GET";
    exchange.request.path = "/health?exclude=NOSPACE";
    exchange.request.timeout_ms = self->request_timeout_ms;
    exchange.request.response_limit = 4096;
    exchange.request.fresh = true;
    ha_http_run(self->http, self->host, call, &exchange, 1);
    code = etcd_refusal(&exchange.response, words, sizeof(words));
    body = code == HACTL_OK ? etcd_parse(&exchange.response, words, sizeof(words)) : NULL;
    health = ha_json_string(body, "health");
    if (code == HACTL_OK && (!health || strcmp(health, "true") != 0))
        code = HACTL_E_UNAVAILABLE;
    if (code == HACTL_OK)
        goto out;
    /* Asking changes nothing, so no outcome of it is unknown. */
    if (code != HACTL_E_DENIED && code != HACTL_E_INTERNAL && code != HACTL_E_CANCELLED)
        code = HACTL_E_UNAVAILABLE;
    if (exchange.response.code != HACTL_OK) /* these words have the address */
        code = self->host->fail(call, code, "etcd at %s", words);
    else
        code =
            self->host->fail(call, code, "etcd at %s: %s", want->reach->host, words[0] ? words : "it is not healthy");
out:
    json_decref(body);
    ha_http_response_clear(&exchange.response);
    return code;
}

static const char *const key_purposes[] = {"etcd-server", "etcd-peer", NULL};

const struct hactl_payload_ops etcd_payload_ops = {
    .struct_size = sizeof(etcd_payload_ops),
    .ports = etcd_ports,
    .render = etcd_render,
    .probe = etcd_probe,
    .operator_purpose = "etcd-client",
    .key_purposes = key_purposes,
    .programs = etcd_programs,
};
