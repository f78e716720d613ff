/* SPDX-License-Identifier: Apache-2.0 */
/* Region and zones, as the API knows them and not as their names look. */
#include "lib/gce/gce_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

static const char *first_variable(const char *one, const char *other)
{
    const char *value = getenv(one);

    if (!value || !value[0])
        value = getenv(other);
    return value && value[0] ? value : NULL;
}

static const json_t *find_zone(const json_t *list, const char *name)
{
    size_t index;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)list, index, entry)
    {
        const char *found = ha_json_string(entry, "name");
        if (found && strcmp(found, name) == 0)
            return entry;
    }
    return NULL;
}

static const char *region_of(const json_t *zone)
{
    const char *link = ha_json_string(zone, "region");

    return link ? gce_link_name(link) : "";
}

/* The setting, else the region of the first zone, else what gcloud is set to. */
static int settle_region(struct gce *gce, struct hactl_call *call, const json_t *list)
{
    const char *region = gce->host->conf_string(gce->conf, "region");
    const char *first = gce->host->conf_list(gce->conf, "zones", 0);
    const json_t *zone;

    if (!first)
        first = gce->host->conf_string(gce->conf, "region_of_zone");
    if (!first && !region)
        first = first_variable("CLOUDSDK_COMPUTE_ZONE", "KUBE_GCE_ZONE");
    if (!region && !first)
        region = first_variable("CLOUDSDK_COMPUTE_REGION", "CLOUDSDK_COMPUTE_REGION");
    if (!region && !first)
        return gce->host->fail(call, HACTL_E_INVALID, "which region? Set `region` or `zones`");
    if (!region) {
        zone = find_zone(list, first);
        if (!zone)
            return gce->host->fail(call, HACTL_E_INVALID, "project %s has no zone \"%.60s\"", gce->project, first);
        region = region_of(zone);
    }
    snprintf(gce->region, sizeof(gce->region), "%s", region);
    return HACTL_OK;
}

static int add_zone(struct gce *gce, struct hactl_call *call, const json_t *zone)
{
    struct gce_zone *more = reallocarray(gce->zones, gce->zone_count + 1, sizeof(*more));
    const char *status = ha_json_string(zone, "status");

    if (!more)
        return gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    gce->zones = more;
    snprintf(more[gce->zone_count].name, sizeof(more[0].name), "%s", ha_json_string(zone, "name"));
    more[gce->zone_count++].up = status && strcmp(status, "UP") == 0;
    return HACTL_OK;
}

static int add_all_of_region(struct gce *gce, struct hactl_call *call, const json_t *list)
{
    size_t index;
    json_t *entry;
    int rc = HACTL_OK;

    json_array_foreach((json_t *)(uintptr_t)list, index, entry)
    {
        if (rc == HACTL_OK && ha_json_string(entry, "name") && strcmp(region_of(entry), gce->region) == 0)
            rc = add_zone(gce, call, entry);
    }
    if (rc == HACTL_OK && gce->zone_count == 0)
        rc = gce->host->fail(call, HACTL_E_INVALID, "project %s has no region \"%s\", or no zone in it", gce->project,
                             gce->region);
    return rc;
}

static int add_configured(struct gce *gce, struct hactl_call *call, const json_t *list)
{
    const char *name;
    int rc = HACTL_OK;

    for (size_t i = 0; rc == HACTL_OK && (name = gce->host->conf_list(gce->conf, "zones", i)); i++) {
        const json_t *zone = find_zone(list, name);

        if (!zone)
            rc = gce->host->fail(call, HACTL_E_INVALID, "project %s has no zone \"%.60s\"", gce->project, name);
        else if (strcmp(region_of(zone), gce->region) != 0)
            rc = gce->host->fail(call, HACTL_E_INVALID,
                                 "zone %s is in region %s and the cluster in %s: replicas share one region, because "
                                 "their address belongs to it",
                                 name, region_of(zone), gce->region);
        else
            rc = add_zone(gce, call, zone);
    }
    return rc;
}

int gce_zones_refresh(struct gce *gce, struct hactl_call *call)
{
    struct gce_list list;
    int rc;

    gce_list_prepare(&list, "zones");
    rc = gce_list_run(gce, call, &list, 1);
    if (rc == HACTL_OK && list.code != HACTL_OK)
        rc = gce_list_fail(gce, call, &list, "zones");
    if (rc == HACTL_OK) {
        free(gce->zones);
        gce->zones = NULL;
        gce->zone_count = 0;
        rc = settle_region(gce, call, list.items);
    }
    if (rc == HACTL_OK)
        rc = gce->host->conf_list(gce->conf, "zones", 0) ? add_configured(gce, call, list.items)
                                                         : add_all_of_region(gce, call, list.items);
    if (rc != HACTL_OK)
        gce->zone_count = 0;
    gce_list_clear(&list);
    return rc;
}

static int ensure(struct gce *gce, struct hactl_call *call)
{
    return gce->zone_count > 0 ? HACTL_OK : gce_zones_refresh(gce, call);
}

int gce_region(struct gce *gce, struct hactl_call *call, const char **region)
{
    int rc = ensure(gce, call);

    if (rc == HACTL_OK)
        *region = gce->region;
    return rc;
}

int gce_zones(struct gce *gce, struct hactl_call *call, const struct gce_zone **zones, size_t *count)
{
    int rc = ensure(gce, call);

    if (rc == HACTL_OK) {
        *zones = gce->zones;
        *count = gce->zone_count;
    }
    return rc;
}

int gce_zone_check(struct gce *gce, struct hactl_call *call, const char *zone)
{
    char all[400] = "";
    size_t used = 0;
    int rc = ensure(gce, call);

    for (size_t i = 0; rc == HACTL_OK && i < gce->zone_count; i++) {
        if (strcmp(gce->zones[i].name, zone) == 0)
            return HACTL_OK;
        if (used < sizeof(all))
            used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "", gce->zones[i].name);
    }
    if (rc != HACTL_OK)
        return rc;
    return gce->host->fail(
        call, HACTL_E_INVALID,
        "zone %.60s is not one of the cluster's: region %s has %s; replicas share one region, because "
        "their address belongs to it",
        zone, gce->region, all);
}
