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
 * description says whose they are, what they were made from, and a hash of
 * what they were made as, so that a rule changed by others is noticed:
 *
 *     hactl cluster NAME rules=COUNT settings=HASH content=HASH for DIGEST
 */
#include "plugins/gce/cloud.h"

#include <inttypes.h>
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
        if (cloud_range_is_everybody(range))
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
static int wanted(struct cloud *cloud, struct hactl_call *call, int rule, const struct hactl_firewall_want *want,
                  const char *network, json_t **out)
{
    json_t *numbers = ports_of(cloud, rule, want->ports, want->port_count);
    json_t *sources = rules[rule].ranges ? ranges_of(cloud, rules[rule].ranges) : json_pack("[s]", cloud->tag);
    char name[GCE_NAME];

    *out = NULL;
    if (!numbers || !sources || json_array_size(numbers) == 0 || json_array_size(sources) == 0) {
        json_decref(numbers);
        json_decref(sources);
        return HACTL_OK;
    }
    gce_name(name, cloud->cluster, rules[rule].suffix);
    *out = json_pack("{s:s, s:s, s:s, s:[{s:s, s:o}], s:[s], s:o}", "name", name, "network", network, "direction",
                     "INGRESS", "allowed", "IPProtocol", "tcp", "ports", numbers, "targetTags", cloud->tag,
                     rules[rule].ranges ? "sourceRanges" : "sourceTags", sources);
    return *out ? HACTL_OK : cloud_no_memory(cloud, call);
}

/* ---- descriptions ----------------------------------------------------------------------- */

/* FNV-1a: tells one text from another; nobody is kept out by it. */
static uint64_t mix(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

/* Whatever the order in which Google gives the members of a list. */
static uint64_t mix_set(uint64_t hash, const json_t *list)
{
    uint64_t sum = 0;
    size_t index;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)list, index, entry)
    {
        sum += mix(UINT64_C(0xcbf29ce484222325), json_string_value(entry) ? json_string_value(entry) : "");
    }
    return (hash ^ sum) * UINT64_C(0x100000001b3);
}

static uint64_t content_of(const json_t *rule)
{
    static const char *const sets[] = {"sourceRanges", "sourceTags", "targetTags", "destinationRanges"};
    const json_t *allowed = json_array_get(json_object_get(rule, "allowed"), 0);
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), gce_link_path(cloud_text(rule, "network")));

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        hash = mix_set(hash, json_object_get(rule, sets[i]));
    hash = mix_set(hash, json_object_get(allowed, "ports"));
    /* Only another one is mixed in: rules that are there have their hash without it. */
    if (strcmp(cloud_text(allowed, "IPProtocol"), "tcp") != 0)
        hash = mix(hash, cloud_text(allowed, "IPProtocol"));
    hash = mix(hash, ha_json_bool(rule, "disabled") ? "disabled" : "enabled");
    return mix(hash, json_array_size(json_object_get(rule, "allowed")) == 1 ? "one" : "many");
}

static uint64_t settings_of(const struct cloud *cloud)
{
    static const char *const keys[] = {"api_ranges", "admin_ranges", "health_check_ranges"};
    uint64_t hash =
        mix(UINT64_C(0xcbf29ce484222325), cloud_setting(cloud, "network") ? cloud_setting(cloud, "network") : "");
    const char *range;

    if (cloud_setting(cloud, "subnetwork"))
        hash = mix(hash, cloud_setting(cloud, "subnetwork"));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        hash = mix(hash, keys[i]);
        for (size_t j = 0; (range = cloud->host->conf_list(cloud->conf, keys[i], j)); j++)
            hash = mix(hash, range);
    }
    return hash;
}

static void describe(const struct cloud *cloud, json_t *rule, size_t count, const char *digest)
{
    char ours[128], text[2048];

    gce_description(ours, cloud->cluster);
    snprintf(text, sizeof(text), "%s rules=%zu settings=%016" PRIx64 " content=%016" PRIx64 " for %.1500s", ours, count,
             settings_of(cloud), content_of(rule), digest ? digest : "");
    json_object_set_new(rule, "description", json_string(text));
}

/* ---- what is there ------------------------------------------------------------------------ */

static bool is_as_wanted(const json_t *found, const json_t *want)
{
    return strcmp(cloud_text(found, "description"), cloud_text(want, "description")) == 0 &&
           content_of(found) == content_of(want);
}

/* Made from these settings, and nobody has changed it since. */
static bool is_as_made(const struct cloud *cloud, const json_t *rule, unsigned *count, const char **digest)
{
    const char *description = cloud_text(rule, "description"), *facts = strstr(description, " rules=");
    uint64_t settings = 0, content = 0;

    *digest = strstr(description, " for ");
    *digest = *digest ? *digest + strlen(" for ") : NULL;
    return facts && *digest &&
           sscanf(facts, " rules=%u settings=%" SCNx64 " content=%" SCNx64, count, &settings, &content) == 3 &&
           settings == settings_of(cloud) && content == content_of(rule);
}

int cloud_firewall_emit(struct cloud *cloud, struct hactl_call *call, const json_t *list)
{
    struct hactl_firewall firewall = {.struct_size = sizeof(firewall), .whole = HACTL_YES};
    unsigned expected = 0, found = 0;
    size_t index;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)list, index, entry)
    {
        const char *digest = NULL;

        if (!gce_is_ours(entry, cloud->cluster))
            continue;
        found++;
        if (!is_as_made(cloud, entry, &expected, &digest) ||
            (firewall.digest && digest && strcmp(firewall.digest, digest) != 0))
            firewall.whole = HACTL_NO;
        firewall.digest = digest;
    }
    if (found == 0)
        return HACTL_OK;
    if (found != expected)
        firewall.whole = HACTL_NO;
    return cloud->host->emit_firewall(call, &firewall);
}

void cloud_firewall_list_prepare(const struct cloud *cloud, struct gce_list *list)
{
    char names[RULES][GCE_NAME];

    for (int i = 0; i < RULES; i++)
        gce_name(names[i], cloud->cluster, rules[i].suffix);
    gce_list_prepare(
        list,
        "global/firewalls?filter=%%28name%%3D%s%%29%%20OR%%20%%28name%%3D%s%%29%%20OR%%20%%28name%%3D%s%%29"
        "%%20OR%%20%%28name%%3D%s%%29",
        names[API], names[PEERS], names[OPERATOR], names[HEALTH]);
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

/* The request that makes one rule as wanted; false: it is. */
static bool prepare_change(struct gce_request *change, const char *name, const struct gce_request *found, json_t *want)
{
    bool there = found->code == HACTL_OK;

    bool moved =
        there && want &&
        strcmp(gce_link_name(cloud_text(found->json, "network")), gce_link_name(cloud_text(want, "network"))) != 0;

    if (there && (!want || moved)) {
        gce_prepare(change, "DELETE", NULL, "global/firewalls/%s", name);
        json_decref(want); /* a rule stays in its network: asked again, this makes a new one */
    } else if (want && !there)
        gce_prepare(change, "POST", want, "global/firewalls");
    else if (want && !is_as_wanted(found->json, want))
        gce_prepare(change, "PUT", want, "global/firewalls/%s", name); /* not PATCH: what is not wanted must go */
    else {
        json_decref(want);
        return false;
    }
    return true;
}

int cloud_firewall_ensure(struct cloud *cloud, struct hactl_call *call, const struct hactl_firewall_want *want)
{
    struct gce_request found[RULES], changes[RULES];
    json_t *bodies[RULES] = {NULL};
    char network[GCE_PATH], name[GCE_NAME];
    size_t change_count = 0, body_count = 0;
    int rc = cloud_network(cloud, call, network);

    if (rc != HACTL_OK)
        return rc;
    memset(changes, 0, sizeof(changes));
    rc = ask(cloud, call, found);
    for (int i = 0; rc == HACTL_OK && i < RULES; i++) {
        rc = wanted(cloud, call, i, want, network, &bodies[i]);
        body_count += bodies[i] != NULL;
    }
    for (int i = 0; rc == HACTL_OK && i < RULES; i++) {
        gce_name(name, cloud->cluster, rules[i].suffix);
        if (bodies[i])
            describe(cloud, bodies[i], body_count, want->digest);
        if (prepare_change(&changes[change_count], name, &found[i], bodies[i]))
            change_count++;
        bodies[i] = NULL; /* handed over */
    }
    if (rc == HACTL_OK && change_count > 0)
        rc = gce_change(cloud->gce, call, changes, change_count, "firewall rules of cluster %s", cloud->cluster);
    for (int i = 0; i < RULES; i++)
        json_decref(bodies[i]);
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
