/* SPDX-License-Identifier: Apache-2.0 */
#include "members.h"

#include <stdlib.h>

#include "forwarding_rules.h"
#include "instance_groups.h"
#include "store.h"

static const struct em_resource *service_of(const struct em_resource *rule)
{
    return em_store_find(em_link_path(em_text(rule->json, "backendService")));
}

json_t *em_members_of_rule(const struct em_resource *rule)
{
    const struct em_resource *service = service_of(rule), *pool, *group;
    json_t *members, *backend;
    size_t i;

    if (service == NULL) {
        pool = em_store_find(em_link_path(em_text(rule->json, "target")));
        members = pool == NULL ? NULL : json_object_get(pool->json, "instances");
        return members == NULL ? json_array() : json_deep_copy(members);
    }
    members = json_array();
    json_array_foreach(json_object_get(service->json, "backends"), i, backend)
    {
        group = em_store_find(em_link_path(em_text(backend, "group")));
        if (group != NULL) {
            json_array_extend(members, em_instance_group_members(group));
        }
    }
    return members;
}

const char *em_members_health_check(const struct em_resource *rule)
{
    const struct em_resource *owner = service_of(rule);

    if (owner == NULL) {
        owner = em_store_find(em_link_path(em_text(rule->json, "target")));
    }
    if (owner == NULL) {
        return NULL;
    }
    return em_link_path(json_string_value(json_array_get(json_object_get(owner->json, "healthChecks"), 0)));
}

struct collect {
    char *link;
    json_t *ips;
};

static void collect_ips(struct em_collection *collection, void *context)
{
    struct collect *collect = context;
    struct em_resource *rule;

    EM_FOR_EACH(rule, collection)
    {
        json_t *members = em_members_of_rule(rule);
        const char *ip = em_text(rule->json, "IPAddress");

        if (ip != NULL && em_array_find(members, collect->link) >= 0 && em_array_find(collect->ips, ip) < 0) {
            json_array_append_new(collect->ips, json_string(ip));
        }
        json_decref(members);
    }
}

json_t *em_members_forwarded_ips(const struct em_resource *instance)
{
    struct collect collect = {em_link(instance->path), json_array()};

    em_store_visit(instance->collection->project, &em_forwarding_rule_type, collect_ips, &collect);
    free(collect.link);
    return collect.ips;
}
