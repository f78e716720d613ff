/* SPDX-License-Identifier: Apache-2.0 */
#include "quotas.h"

#include <stdlib.h>
#include <string.h>

#include "addresses.h"
#include "backend_services.h"
#include "disks.h"
#include "errors.h"
#include "firewalls.h"
#include "forwarding_rules.h"
#include "health_checks.h"
#include "instances.h"
#include "links.h"
#include "store.h"
#include "target_pools.h"

static double cpus(const struct em_resource *resource)
{
    const struct em_resource *type = em_store_find(em_link_path(em_text(resource->json, "machineType")));

    return type == NULL ? 1 : (double)em_number(type->json, "guestCpus", 1);
}

const char *em_quotas_disk_metric(const char *type)
{
    const char *name = type == NULL ? "" : strrchr(type, '/') == NULL ? type : strrchr(type, '/') + 1;

    return strcmp(name, "pd-ssd") == 0 || strcmp(name, "pd-balanced") == 0 ? "SSD_TOTAL_GB" : "DISKS_TOTAL_GB";
}

static double external_in_use(const struct em_resource *instance)
{
    const json_t *interface, *interfaces = json_object_get(instance->json, "networkInterfaces");
    double used = 0;
    size_t i;

    json_array_foreach(interfaces, i, interface)
    {
        used += (double)json_array_size(json_object_get(interface, "accessConfigs"));
    }
    return used;
}

void em_quotas_weigh_instance(const struct em_resource *instance, double *weights)
{
    weights[0] = cpus(instance);
    weights[1] = external_in_use(instance);
}

void em_quotas_weigh_disk(const struct em_resource *disk, double *weights)
{
    bool flash = strcmp(em_quotas_disk_metric(em_text(disk->json, "type")), "SSD_TOTAL_GB") == 0;

    weights[flash ? 1 : 0] = (double)em_number(disk->json, "sizeGb", 0);
}

void em_quotas_weigh_address(const struct em_resource *address, double *weights)
{
    const char *type = em_text(address->json, "addressType");

    weights[0] = type != NULL && strcmp(type, "EXTERNAL") == 0;
}

/* The limits are large, so that only who lowers one meets it. */
static struct metric {
    const char *name;
    bool regional;
    const struct em_type *type;
    double limit;
    int weight;     /* which of the type's; -1: each counts one */
    double changed; /* a test's limit + 1; 0: not changed */
} metrics[] = {
    {"CPUS", true, &em_instance_type, 24000, 0, 0},
    {"INSTANCES", true, &em_instance_type, 24000, -1, 0},
    {"IN_USE_ADDRESSES", true, &em_instance_type, 24000, 1, 0},
    {"STATIC_ADDRESSES", true, &em_address_type, 8000, 0, 0},
    {"DISKS_TOTAL_GB", true, &em_disk_type, 4096000, 0, 0},
    {"SSD_TOTAL_GB", true, &em_disk_type, 4096000, 1, 0},
    {"FORWARDING_RULES", false, &em_forwarding_rule_type, 15000, -1, 0},
    {"TARGET_POOLS", false, &em_target_pool_type, 15000, -1, 0},
    {"BACKEND_SERVICES", false, &em_backend_service_type, 15000, -1, 0},
    {"HEALTH_CHECKS", false, &em_health_check_type, 15000, -1, 0},
    {"FIREWALLS", false, &em_firewall_type, 15000, -1, 0},
};

struct usage {
    const struct metric *metric;
    const char *region;
    double used;
};

static void add_up(struct em_collection *collection, void *context)
{
    struct usage *usage = context;
    char *region;

    if (usage->region[0] != '\0') {
        bool here;

        region = em_region_of(collection->scope);
        here = strcmp(region, usage->region) == 0;
        free(region);
        if (!here) {
            return;
        }
    }
    usage->used += usage->metric->weight < 0 ? (double)collection->count : collection->weights[usage->metric->weight];
}

static double used(const char *project, const char *region, const struct metric *metric)
{
    struct usage usage = {metric, region, 0};

    em_store_visit(project, metric->type, add_up, &usage);
    return usage.used;
}

static double limit_of(const struct metric *metric)
{
    return metric->changed != 0 ? metric->changed - 1 : metric->limit;
}

json_t *em_quotas_list(const char *project, const char *region)
{
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        if (metrics[i].regional == (region[0] != '\0')) {
            json_array_append_new(list, json_pack("{s:s,s:f,s:f}", "metric", metrics[i].name, "limit",
                                                  limit_of(&metrics[i]), "usage", used(project, region, &metrics[i])));
        }
    }
    return list;
}

static struct metric *find(const char *name)
{
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        if (strcmp(metrics[i].name, name) == 0) {
            return &metrics[i];
        }
    }
    return NULL;
}

bool em_quotas_set(const char *name, double limit)
{
    struct metric *metric = find(name);

    if (metric == NULL) {
        return false;
    }
    metric->changed = limit + 1; /* so that 0 can be a limit */
    return true;
}

void em_quotas_clear(void)
{
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        metrics[i].changed = 0;
    }
}

/* A limit that nobody has lowered is not counted against. */
bool em_quotas_fit(const char *project, const char *region, const char *name, double more, double *limit)
{
    const struct metric *metric = find(name);

    if (metric == NULL || metric->changed == 0) {
        return true;
    }
    *limit = limit_of(metric);
    return used(project, metric->regional ? region : "", metric) + more <= *limit;
}

struct em_answer em_quotas_check(const char *project, const char *region, const char *metric, double more)
{
    const struct metric *known = find(metric);
    double limit = 0;

    if (em_quotas_fit(project, region, metric, more, &limit)) {
        return (struct em_answer){0};
    }
    if (known->regional) {
        return em_error(403, "quotaExceeded", "Quota '%s' exceeded.  Limit: %.1f in region %s.", metric, limit, region);
    }
    return em_error(403, "quotaExceeded", "Quota '%s' exceeded.  Limit: %.1f globally.", metric, limit);
}

json_t *em_quotas_error(const char *project, const char *region, const char *metric, double more)
{
    double limit = 0;
    char *message, *full;
    json_t *error;

    if (em_quotas_fit(project, region, metric, more, &limit)) {
        return NULL;
    }
    message = em_format("Quota '%s' exceeded.  Limit: %.1f in region %s.", metric, limit, region);
    full = em_format("compute.googleapis.com/%s", metric);
    error = em_operation_error("QUOTA_EXCEEDED", message);
    em_operation_error_detail(error, "quotaInfo",
                              json_pack("{s:s,s:s,s:f,s:{s:s}}", "metricName", full, "limitName", metric, "limit",
                                        limit, "dimensions", "region", region));
    free(full);
    free(message);
    return error;
}
