/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include <string.h>

#include "addresses.h"
#include "backend_services.h"
#include "catalogue.h"
#include "disks.h"
#include "firewalls.h"
#include "forwarding_rules.h"
#include "health_checks.h"
#include "instance_groups.h"
#include "instances.h"
#include "operations.h"
#include "target_pools.h"

static const struct em_method *const tables[] = {
    em_addresses_methods,  em_backend_services_methods, em_catalogue_methods,        em_disks_methods,
    em_firewalls_methods,  em_forwarding_rules_methods, em_health_checks_methods,    em_instance_groups_methods,
    em_instances_methods,  em_instance_disks_methods,   em_instance_network_methods, em_instance_data_methods,
    em_operations_methods, em_target_pools_methods,
};

const struct em_method *em_routes_next(size_t *table, size_t *row)
{
    while (*table < sizeof(tables) / sizeof(tables[0])) {
        const struct em_method *method = &tables[*table][*row];

        if (method->id != NULL) {
            (*row)++;
            return method;
        }
        (*table)++;
        *row = 0;
    }
    return NULL;
}

/* Compares segment by segment; a "{name}" takes any that is not empty. */
static bool fits(const char *pattern, const char *path, json_t *variables)
{
    while (*pattern != '\0' && *path != '\0') {
        size_t wanted = strcspn(pattern, "/"), length = strcspn(path, "/");

        if (pattern[0] == '{') {
            char name[64] = "";

            if (length == 0 || wanted - 2 >= sizeof(name)) {
                return false;
            }
            if (variables != NULL) {
                memcpy(name, pattern + 1, wanted - 2);
                json_object_set_new(variables, name, json_stringn(path, length));
            }
        } else if (wanted != length || strncmp(pattern, path, length) != 0) {
            return false;
        }
        pattern += wanted;
        path += length;
        if (*pattern == '/' && *path == '/') {
            pattern++;
            path++;
        }
    }
    return *pattern == '\0' && *path == '\0';
}

const struct em_method *em_routes_find(const char *verb, const char *path, json_t **variables, bool *other_verb)
{
    const struct em_method *method;
    size_t table = 0, row = 0;

    *other_verb = false;
    while ((method = em_routes_next(&table, &row)) != NULL) {
        if (!fits(method->path, path, NULL)) {
            continue;
        }
        if (strcmp(method->verb, verb) == 0) {
            *variables = json_object();
            fits(method->path, path, *variables);
            return method;
        }
        *other_verb = true;
    }
    return NULL;
}

char *em_routes_scope(const struct em_method *method, const json_t *variables)
{
    const char *zone = em_text(variables, "zone"), *region = em_text(variables, "region");

    if (strstr(method->path, "/global/") != NULL) {
        return em_strdup("global");
    }
    if (strstr(method->path, "/aggregated/") != NULL) {
        return em_strdup("aggregated");
    }
    /* "zones/{zone}" itself lies in no zone. */
    if (zone != NULL && strcmp(method->type->collection, "zones") != 0) {
        return em_format("zones/%s", zone);
    }
    if (region != NULL && strcmp(method->type->collection, "regions") != 0) {
        return em_format("regions/%s", region);
    }
    return em_strdup("");
}
