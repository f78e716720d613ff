/* SPDX-License-Identifier: Apache-2.0 */
#include "network_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firewalls.h"
#include "forwarding_rules.h"
#include "health.h"
#include "instances.h"
#include "members.h"
#include "store.h"

#define EXTERNAL_RANGE "198.18.0.0/15"
#define RULES_MOST     1000

struct rules {
    FILE *out;
    em_machine_number *number;
    const struct em_resource *instance; /* whose firewall is being written */
    struct em_resource *firewalls[RULES_MOST];
    size_t firewall_count;
};

static const json_t *interface_of(const struct em_resource *instance)
{
    return json_array_get(json_object_get(instance->json, "networkInterfaces"), 0);
}

static const char *external_of(const struct em_resource *instance)
{
    return em_text(json_array_get(json_object_get(interface_of(instance), "accessConfigs"), 0), "natIP");
}

static bool runs(const struct rules *rules, const struct em_resource *instance)
{
    return instance != NULL && rules->number(instance) != 0;
}

/* ---- forwarding rules ------------------------------------------------------------------ */

/* Members with a machine; only the healthy ones, or all of them when none is. */
static size_t choose(const struct rules *rules, const struct em_resource *rule, unsigned *numbers, size_t most)
{
    bool checked = em_members_health_check(rule) != NULL;
    json_t *members = em_members_of_rule(rule), *link;
    size_t count = 0, i;

    for (int pass = 0; pass < 2 && count == 0; pass++) {
        json_array_foreach(members, i, link)
        {
            const struct em_resource *instance = em_store_find(em_link_path(json_string_value(link)));

            if (!runs(rules, instance) || count == most) {
                continue;
            }
            if (pass == 0 && checked &&
                strcmp(em_health_of(instance, em_text(rule->json, "IPAddress")), "HEALTHY") != 0) {
                continue;
            }
            numbers[count++] = rules->number(instance);
        }
    }
    json_decref(members);
    return count;
}

static void write_ports(FILE *out, const struct em_resource *rule)
{
    const char *protocol = em_text(rule->json, "IPProtocol"), *range = em_text(rule->json, "portRange");
    const char *name = strcmp(protocol, "UDP") == 0 ? "udp" : "tcp";
    const json_t *ports = json_object_get(rule->json, "ports"), *port;
    size_t i;

    if (range != NULL) {
        fprintf(out, " %s dport %s", name, range);
    } else if (json_array_size(ports) > 0) {
        fprintf(out, " %s dport {", name);
        json_array_foreach(ports, i, port)
        {
            fprintf(out, "%s %s", i == 0 ? "" : ",", json_string_value(port));
        }
        fputs(" }", out);
    } else {
        fprintf(out, " meta l4proto %s", name);
    }
}

static void write_forwarding(struct em_collection *collection, void *context)
{
    struct rules *rules = context;
    struct em_resource *rule;

    EM_FOR_EACH(rule, collection)
    {
        const char *ip = em_text(rule->json, "IPAddress");
        unsigned numbers[256];
        size_t count = ip == NULL ? 0 : choose(rules, rule, numbers, 256);

        if (count == 0) {
            continue;
        }
        fprintf(rules->out, "    ip daddr %s", ip);
        write_ports(rules->out, rule);
        fprintf(rules->out, " ct state new ct mark set numgen inc mod %zu map {", count);
        for (size_t i = 0; i < count; i++) {
            fprintf(rules->out, "%s %zu : %u", i == 0 ? "" : ",", i, numbers[i]);
        }
        fputs(" }\n", rules->out);
    }
}

/* ---- external addresses --------------------------------------------------------------------- */

static void write_dnat(struct rules *rules, const struct em_resource *instance)
{
    if (external_of(instance) != NULL) {
        fprintf(rules->out, "    ip daddr %s dnat to %s\n", external_of(instance),
                em_text(interface_of(instance), "networkIP"));
    }
}

static void write_snat(struct rules *rules, const struct em_resource *instance)
{
    const char *ip = em_text(interface_of(instance), "networkIP");

    if (external_of(instance) != NULL) {
        fprintf(rules->out, "    ip saddr %s oifname \"op0\" snat to %s\n", ip, external_of(instance));
        fprintf(rules->out, "    ip saddr %s ct original ip daddr " EXTERNAL_RANGE " snat to %s\n", ip,
                external_of(instance));
    }
}

/* Without an external address there is no way out. */
static void write_egress(struct rules *rules, const struct em_resource *instance)
{
    if (external_of(instance) == NULL) {
        fprintf(rules->out, "    ip saddr %s oifname \"op0\" drop\n", em_text(interface_of(instance), "networkIP"));
        fprintf(rules->out, "    ip saddr %s ct original ip daddr " EXTERNAL_RANGE " drop\n",
                em_text(interface_of(instance), "networkIP"));
    }
}

static void write_name(struct rules *rules, const struct em_resource *instance)
{
    fprintf(rules->out, "\"v%u\", ", rules->number(instance));
}

static void write_jump(struct rules *rules, const struct em_resource *instance)
{
    unsigned number = rules->number(instance);

    fprintf(rules->out, "    oifname \"v%u\" jump vm%u\n", number, number);
}

/* ---- firewall rules -------------------------------------------------------------------------- */

static bool tagged(const struct em_resource *instance, const json_t *tags)
{
    const json_t *own = json_object_get(json_object_get(instance->json, "tags"), "items"), *tag;
    size_t i;

    json_array_foreach(tags, i, tag)
    {
        if (em_array_find(own, json_string_value(tag)) >= 0) {
            return true;
        }
    }
    return false;
}

static void write_protocols(FILE *out, const json_t *firewall, const char *source)
{
    const json_t *allowed = json_object_get(firewall, "allowed"), *list, *element, *port;
    size_t i, k;

    list = allowed != NULL ? allowed : json_object_get(firewall, "denied");
    json_array_foreach(list, i, element)
    {
        const char *protocol = em_text(element, "IPProtocol");
        const json_t *ports = json_object_get(element, "ports");

        fprintf(out, "    %s", source);
        if (json_array_size(ports) > 0) {
            fprintf(out, " %s dport {", protocol);
            json_array_foreach(ports, k, port)
            {
                fprintf(out, "%s %s", k == 0 ? "" : ",", json_string_value(port));
            }
            fputs(" }", out);
        } else if (strcmp(protocol, "all") != 0) {
            fprintf(out, " ip protocol %s", protocol);
        }
        fprintf(out, " %s\n", allowed != NULL ? "accept" : "drop");
    }
}

static void write_from_tagged(struct rules *rules, const json_t *firewall)
{
    const json_t *tags = json_object_get(firewall, "sourceTags");
    struct em_collection *zones = em_store_collection(rules->instance->collection->project, "", "zones");
    struct em_resource *zone, *other;

    if (tags == NULL) {
        return;
    }
    EM_FOR_EACH(zone, zones)
    {
        char *scope = em_format("zones/%s", zone->name);
        struct em_collection *instances = em_store_collection(rules->instance->collection->project, scope, "instances");

        free(scope);
        for (size_t i = 0; instances != NULL && i < instances->count; i++) {
            other = instances->resources[i];
            if (tagged(other, tags) && em_text(interface_of(other), "networkIP") != NULL) {
                char *source = em_format("ip saddr %s", em_text(interface_of(other), "networkIP"));

                write_protocols(rules->out, firewall, source);
                free(source);
            }
        }
    }
}

static void write_firewall(struct rules *rules, const json_t *firewall)
{
    const json_t *range;
    size_t i;

    json_array_foreach(json_object_get(firewall, "sourceRanges"), i, range)
    {
        const char *text = json_string_value(range);
        char *source = strcmp(text, "0.0.0.0/0") == 0 ? em_strdup("") : em_format("ip saddr %s", text);

        if (strchr(text, ':') == NULL) { /* there is no IPv6 here */
            write_protocols(rules->out, firewall, source);
        }
        free(source);
    }
    write_from_tagged(rules, firewall);
}

static void gather_firewalls(struct em_collection *collection, void *context)
{
    struct rules *rules = context;
    struct em_resource *firewall;

    EM_FOR_EACH(firewall, collection)
    {
        if (rules->firewall_count < RULES_MOST && em_true(firewall->hidden, "active") &&
            !em_true(firewall->json, "disabled") && strcmp(em_text(firewall->json, "direction"), "INGRESS") == 0) {
            rules->firewalls[rules->firewall_count++] = firewall;
        }
    }
}

/* By priority; at the same one what denies comes first. */
static int in_order(const void *a, const void *b)
{
    const json_t *x = (*(struct em_resource *const *)a)->json, *y = (*(struct em_resource *const *)b)->json;
    long long difference = em_number(x, "priority", 1000) - em_number(y, "priority", 1000);

    if (difference != 0) {
        return difference < 0 ? -1 : 1;
    }
    return (json_object_get(x, "denied") == NULL) - (json_object_get(y, "denied") == NULL);
}

/* What no rule allows is dropped. */
static void write_machine(struct rules *rules, const struct em_resource *instance)
{
    const char *network = em_text(interface_of(instance), "network");

    rules->instance = instance;
    fprintf(rules->out, "  chain vm%u {\n", rules->number(instance));
    for (size_t i = 0; i < rules->firewall_count; i++) {
        const struct em_resource *firewall = rules->firewalls[i];
        const json_t *tags = json_object_get(firewall->json, "targetTags");

        if (strcmp(em_text(firewall->json, "network"), network) == 0 && (tags == NULL || tagged(instance, tags))) {
            write_firewall(rules, firewall->json);
        }
    }
    fputs("    drop\n  }\n", rules->out);
}

/* ---- all of it ------------------------------------------------------------------------------ */

struct each {
    struct rules *rules;
    void (*write)(struct rules *, const struct em_resource *);
};

static void write_collection(struct em_collection *collection, void *context)
{
    struct each *each = context;
    struct em_resource *instance;

    EM_FOR_EACH(instance, collection)
    {
        if (runs(each->rules, instance)) {
            each->write(each->rules, instance);
        }
    }
}

static void write_each(struct rules *rules, void (*write)(struct rules *, const struct em_resource *))
{
    struct each each = {rules, write};

    em_store_visit(NULL, &em_instance_type, write_collection, &each);
}

/* Only machines that have power speak and hear. `way` is iifname or oifname. */
static void write_live(struct rules *rules, const char *way)
{
    fprintf(rules->out, "    %s \"v*\" %s != { ", way, way);
    write_each(rules, write_name);
    fputs("\"lo\" } drop\n", rules->out);
}

/*
 * Forwarding rules mark a connection with the number of the machine that gets it, and the mark chooses its
 * route; the packets stay as they are. The firewall stands behind the translation of sources, where a
 * machine's packets to an external address have come to look as those of the outside.
 */
char *em_network_rules(em_machine_number *number)
{
    struct rules *rules = em_alloc(sizeof(*rules));
    char *text = NULL;
    size_t size;

    rules->number = number;
    rules->out = open_memstream(&text, &size);
    if (rules->out == NULL) {
        abort();
    }
    em_store_visit(NULL, &em_firewall_type, gather_firewalls, rules);
    qsort(rules->firewalls, rules->firewall_count, sizeof(rules->firewalls[0]), in_order);
    fputs("table ip gce\ndelete table ip gce\ntable ip gce {\n", rules->out);
    write_each(rules, write_machine);
    fputs("  chain balance {\n    type filter hook prerouting priority mangle; policy accept;\n", rules->out);
    write_live(rules, "iifname");
    em_store_visit(NULL, &em_forwarding_rule_type, write_forwarding, rules);
    fputs("    ct direction original ct mark != 0 meta mark set ct mark\n  }\n", rules->out);
    fputs("  chain to_machines {\n    type nat hook prerouting priority dstnat; policy accept;\n", rules->out);
    write_each(rules, write_dnat);
    fputs("  }\n  chain from_machines {\n    type nat hook postrouting priority srcnat; policy accept;\n", rules->out);
    write_each(rules, write_snat);
    fputs("  }\n  chain pass {\n    type filter hook forward priority filter; policy accept;\n"
          "    ct state established,related accept\n"
          "    iifname \"op0\" ct original ip daddr != " EXTERNAL_RANGE " drop\n",
          rules->out);
    write_each(rules, write_egress);
    fputs("  }\n  chain firewall {\n    type filter hook postrouting priority 200; policy accept;\n", rules->out);
    write_live(rules, "oifname");
    fputs("    ct state established,related accept\n", rules->out);
    write_each(rules, write_jump);
    fputs("  }\n}\n", rules->out);
    fclose(rules->out);
    free(rules);
    return text;
}
