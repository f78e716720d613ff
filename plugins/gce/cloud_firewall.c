/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four rules of the network, each for instances with the cluster's tag:
 *
 *     CLUSTER-api        the endpoint's port, from api_ranges
 *     CLUSTER-peers      ports between replicas, from that tag only
 *     CLUSTER-operator   ports that hactl dials, from admin_ranges
 *     CLUSTER-health     the endpoint's port, from Google's health checks
 *
 * A port that hactl itself dials (etcd's client port) is never opened to
 * everybody, even where the endpoint fronts it. Rules have no labels; the
 * description says whose they are.
 */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

enum { API, PEERS, OPERATOR, HEALTH, RULES };

static const struct {
    const char *suffix;
    const char *ranges; /* the setting with its sources; NULL: the tag */
    uint32_t flags;
} rules[RULES] = {
    [API] = {"-api", "api_ranges", HACTL_PORT_ENDPOINT},
    [PEERS] = {"-peers", NULL, HACTL_PORT_PEERS},
    [OPERATOR] = {"-operator", "admin_ranges", HACTL_PORT_OPERATOR | HACTL_PORT_ENDPOINT},
    [HEALTH] = {"-health", "health_check_ranges", HACTL_PORT_ENDPOINT},
};

/* ---- what is wanted --------------------------------------------------------------------- */

static bool is_everybody(const struct cloud *cloud, const char *setting)
{
    const char *range;

    for (size_t i = 0; (range = cloud->host->conf_list(cloud->conf, setting, i)); i++)
        if (strlen(range) > 1 && strcmp(range + strlen(range) - 2, "/0") == 0)
            return true;
    return false;
}

static bool belongs(const struct cloud *cloud, int rule, const struct hactl_port *port)
{
    if (!(port->flags & rules[rule].flags))
        return false;
    return !rules[rule].ranges || !(port->flags & (HACTL_PORT_OPERATOR | HACTL_PORT_PEERS)) || rule == HEALTH ||
           !is_everybody(cloud, rules[rule].ranges);
}

static int by_number(const void *left, const void *right)
{
    const uint16_t *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

/* Sorted and without repetitions, so that the same ports are the same rule. */
static json_t *ports_of(const struct cloud *cloud, int rule, const struct hactl_port *const *ports, size_t count)
{
    uint16_t numbers[64];
    size_t used = 0;
    json_t *list = json_array();
    char text[8];

    for (size_t i = 0; i < count && used < 64; i++)
        if (belongs(cloud, rule, ports[i]))
            numbers[used++] = ports[i]->port;
    if (used > 1)
        qsort(numbers, used, sizeof(numbers[0]), by_number);
    for (size_t i = 0; i < used; i++) {
        snprintf(text, sizeof(text), "%u", numbers[i]);
        if (i == 0 || numbers[i] != numbers[i - 1])
            json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *ranges_of(const struct cloud *cloud, const char *setting)
{
    json_t *list = json_array();
    const char *range;

    for (size_t i = 0; (range = cloud->host->conf_list(cloud->conf, setting, i)); i++)
        json_array_append_new(list, json_string(range));
    return list;
}

/* *out NULL: that rule has nothing to allow. */
static int wanted(struct cloud *cloud, struct hactl_call *call, int rule, const struct hactl_port *const *ports,
                  size_t count, const char *network, json_t **out)
{
    json_t *numbers = ports_of(cloud, rule, ports, count);
    json_t *sources = rules[rule].ranges ? ranges_of(cloud, rules[rule].ranges) : json_pack("[s]", cloud->tag);
    char name[GCE_NAME], description[128];

    *out = NULL;
    if (!numbers || !sources || json_array_size(numbers) == 0 || json_array_size(sources) == 0) {
        json_decref(numbers);
        json_decref(sources);
        return HACTL_OK;
    }
    gce_name(name, cloud->cluster, rules[rule].suffix);
    gce_description(description, cloud->cluster);
    *out = json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:o}], s:[s], s:o}", "name", name, "description", description,
                     "network", network, "direction", "INGRESS", "allowed", "IPProtocol", "tcp", "ports", numbers,
                     "targetTags", cloud->tag, rules[rule].ranges ? "sourceRanges" : "sourceTags", sources);
    return *out ? HACTL_OK : cloud_no_memory(cloud, call);
}

/* ---- what is there ------------------------------------------------------------------------ */

static bool is_in(const json_t *list, const json_t *value)
{
    size_t index;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)list, index, entry)
    {
        if (json_equal(entry, value))
            return true;
    }
    return false;
}

static bool same_set(const json_t *one, const json_t *other)
{
    size_t index;
    json_t *entry;

    if (json_array_size(one) != json_array_size(other))
        return false;
    json_array_foreach((json_t *)(uintptr_t)one, index, entry)
    {
        if (!is_in(other, entry))
            return false;
    }
    return true;
}

static bool is_as_wanted(const json_t *found, const json_t *want)
{
    static const char *const sets[] = {"sourceRanges", "sourceTags", "targetTags"};
    const json_t *allowed = json_array_get(json_object_get(found, "allowed"), 0),
                 *wanted_one = json_array_get(json_object_get(want, "allowed"), 0);

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        if (!same_set(json_object_get(found, sets[i]), json_object_get(want, sets[i])))
            return false;
    return json_array_size(json_object_get(found, "allowed")) == 1 &&
           strcasecmp(cloud_text(allowed, "IPProtocol"), "tcp") == 0 && !ha_json_bool(found, "disabled") &&
           same_set(json_object_get(allowed, "ports"), json_object_get(wanted_one, "ports")) &&
           gce_link_same(cloud_text(found, "network"), cloud_text(want, "network"));
}

static int ask(struct cloud *cloud, struct hactl_call *call, struct gce_request found[RULES])
{
    char name[GCE_NAME];
    int rc;

    for (int i = 0; i < RULES; i++) {
        gce_name(name, cloud->cluster, rules[i].suffix);
        gce_prepare(&found[i], "GET", NULL, "global/firewalls/%s", name);
    }
    rc = gce_run(cloud->gce, call, found, RULES);
    for (int i = 0; rc == HACTL_OK && i < RULES; i++) {
        gce_name(name, cloud->cluster, rules[i].suffix);
        if (found[i].code != HACTL_OK && found[i].code != HACTL_E_NOT_FOUND)
            rc = gce_fail(cloud->gce, call, &found[i], "firewall rule %s", name);
        else if (found[i].code == HACTL_OK && !gce_is_ours(found[i].json, cloud->cluster))
            rc = cloud_conflict(cloud, call, "firewall rule", name);
    }
    return rc;
}

static void clear(struct gce_request requests[RULES])
{
    for (int i = 0; i < RULES; i++)
        gce_request_clear(&requests[i]);
}

/* ---- ensure and destroy ---------------------------------------------------------------------- */

static int network_link(struct cloud *cloud, struct hactl_call *call, char out[GCE_PATH])
{
    const char *set = cloud_setting(cloud, "network"), *inherited;
    const json_t *model = NULL;
    int rc = gce_project(cloud->gce, call, NULL);

    if (rc == HACTL_OK && !set)
        rc = cloud_seen_model(cloud, call, &model);
    inherited = cloud_text(cloud_interface(model), "network");
    if (rc != HACTL_OK)
        return rc;
    if ((set && strchr(set, '/')) || (!set && inherited[0]))
        snprintf(out, GCE_PATH, "%s", set ? set : inherited);
    else
        gce_link(cloud->gce, out, "global/networks/%s", set ? set : "default");
    return HACTL_OK;
}

/* The request that makes one rule as wanted; false: it is. */
static bool prepare_change(struct gce_request *change, const char *name, const struct gce_request *found, json_t *want)
{
    bool there = found->code == HACTL_OK;

    if (!want && there)
        gce_prepare(change, "DELETE", NULL, "global/firewalls/%s", name);
    else if (want && !there)
        gce_prepare(change, "POST", want, "global/firewalls");
    else if (want && !is_as_wanted(found->json, want))
        gce_prepare(change, "PATCH", want, "global/firewalls/%s", name);
    else {
        json_decref(want);
        return false;
    }
    return true;
}

int cloud_firewall_ensure(struct cloud *cloud, struct hactl_call *call, const struct hactl_port *const *ports,
                          size_t count)
{
    struct gce_request found[RULES], changes[RULES];
    char network[GCE_PATH], name[GCE_NAME];
    size_t change_count = 0;
    int rc = network_link(cloud, call, network);

    if (rc != HACTL_OK)
        return rc;
    memset(changes, 0, sizeof(changes));
    rc = ask(cloud, call, found);
    for (int i = 0; rc == HACTL_OK && i < RULES; i++) {
        json_t *want;

        gce_name(name, cloud->cluster, rules[i].suffix);
        rc = wanted(cloud, call, i, ports, count, network, &want);
        if (rc == HACTL_OK && prepare_change(&changes[change_count], name, &found[i], want))
            change_count++;
    }
    if (rc == HACTL_OK && change_count > 0)
        rc = gce_change(cloud->gce, call, changes, change_count, "firewall rules of cluster %s", cloud->cluster);
    clear(found);
    clear(changes);
    return rc;
}

int cloud_firewall_destroy(struct cloud *cloud, struct hactl_call *call)
{
    struct gce_request found[RULES], changes[RULES];
    char name[GCE_NAME];
    size_t change_count = 0;
    int rc = ask(cloud, call, found);

    memset(changes, 0, sizeof(changes));
    for (int i = 0; rc == HACTL_OK && i < RULES; i++) {
        gce_name(name, cloud->cluster, rules[i].suffix);
        if (prepare_change(&changes[change_count], name, &found[i], NULL))
            change_count++;
    }
    if (rc == HACTL_OK && change_count > 0)
        rc = gce_change(cloud->gce, call, changes, change_count, "firewall rules of cluster %s", cloud->cluster);
    clear(found);
    clear(changes);
    return rc;
}
