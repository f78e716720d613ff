/* SPDX-License-Identifier: Apache-2.0 */
#include "health.h"

#include <stdlib.h>
#include <string.h>

#include "forwarding_rules.h"
#include "instances.h"
#include "machines.h"
#include "store.h"

static json_t *set_by_test; /* name -> state */

struct addition {
    json_t *json;
    const struct em_resource *instance;
};

const char *em_health_of(const struct em_resource *instance, const char *ip)
{
    const char *state = em_text(set_by_test, instance->name);

    if (state != NULL) {
        return state;
    }
    if (!em_instance_runs(instance)) {
        return "UNHEALTHY";
    }
    if (em_machines.health != NULL) {
        state = em_machines.health(instance, ip);
        return state == NULL ? "UNHEALTHY" : state;
    }
    return "HEALTHY";
}

static long long first_port(const struct em_resource *rule)
{
    json_t *range = json_object_get(rule->json, "portRange");

    return range == NULL ? 80 : strtoll(json_string_value(range), NULL, 10);
}

static void add_of_rule(struct em_resource *rule, void *context)
{
    struct addition *addition = context;
    const json_t *interface = json_array_get(json_object_get(addition->instance->json, "networkInterfaces"), 0);
    const char *ip = em_text(rule->json, "IPAddress");

    if (ip == NULL) {
        return;
    }
    json_array_append_new(em_array(addition->json, "healthStatus"),
                          json_pack("{s:s+,s:s,s:s,s:I,s:s,s:s+}", "instance", EM_LINK_PREFIX, addition->instance->path,
                                    "healthState", em_health_of(addition->instance, ip), "ipAddress",
                                    em_text(interface, "networkIP"), "port", (json_int_t)first_port(rule),
                                    "forwardingRuleIp", ip, "forwardingRule", EM_LINK_PREFIX, rule->path));
}

void em_health_add(json_t *json, const struct em_resource *owner, const struct em_resource *instance)
{
    struct addition addition = {json, instance};

    if (instance != NULL) {
        em_forwarding_rules_visit(owner, add_of_rule, &addition);
    }
}

void em_health_set(const char *instance_name, const char *state)
{
    if (set_by_test == NULL) {
        set_by_test = json_object();
    }
    em_set(set_by_test, instance_name, state);
}

void em_health_clear(void)
{
    json_decref(set_by_test);
    set_by_test = NULL;
}
