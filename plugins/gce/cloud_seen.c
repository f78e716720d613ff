/* SPDX-License-Identifier: Apache-2.0 */
/* Instances of the last look, and what is in an instance. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

/* ---- parts ------------------------------------------------------------------- */

const json_t *cloud_interface(const json_t *instance)
{
    return json_array_get(json_object_get(instance, "networkInterfaces"), 0);
}

const json_t *cloud_access(const json_t *instance)
{
    return json_array_get(json_object_get(cloud_interface(instance), "accessConfigs"), 0);
}

const char *cloud_internal_address(const json_t *instance)
{
    return cloud_text(cloud_interface(instance), "networkIP");
}

const char *cloud_external_address(const json_t *instance)
{
    return cloud_text(cloud_access(instance), "natIP");
}

const json_t *cloud_disk(const json_t *instance, bool boot)
{
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(instance, "disks"), index, entry)
    {
        if (boot ? ha_json_bool(entry, "boot") : strcmp(cloud_text(entry, "deviceName"), CLOUD_DATA_DEVICE) == 0)
            return entry;
    }
    return NULL;
}

const char *cloud_metadata(const json_t *instance, const char *key)
{
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(json_object_get(instance, "metadata"), "items"), index, entry)
    {
        if (strcmp(cloud_text(entry, "key"), key) == 0)
            return json_string_value(json_object_get(entry, "value"));
    }
    return NULL;
}

/* ---- what was seen -------------------------------------------------------------- */

void cloud_seen_clear(struct cloud *cloud)
{
    for (size_t i = 0; i < cloud->seen.count; i++)
        json_decref(cloud->seen.instances[i]);
    free(cloud->seen.instances);
    memset(&cloud->seen, 0, sizeof(cloud->seen));
}

/* The filter of the request is Google's to apply; that the label is there is
 * checked here as well, since what is ours may be deleted. */
int cloud_seen_take(struct cloud *cloud, struct hactl_call *call, json_t *instances)
{
    size_t index;
    json_t *entry;

    cloud_seen_clear(cloud);
    cloud->seen.instances = calloc(json_array_size(instances) + 1, sizeof(*cloud->seen.instances));
    if (!cloud->seen.instances)
        return cloud_no_memory(cloud, call);
    json_array_foreach(instances, index, entry)
    {
        if (gce_is_ours(entry, cloud->cluster) && ha_json_string(entry, "name"))
            cloud->seen.instances[cloud->seen.count++] = json_incref(entry);
    }
    cloud->seen.valid = true;
    return HACTL_OK;
}

const json_t *cloud_seen_named(const struct cloud *cloud, const char *name)
{
    for (size_t i = 0; i < cloud->seen.count; i++)
        if (strcmp(cloud_text(cloud->seen.instances[i], "name"), name) == 0)
            return cloud->seen.instances[i];
    return NULL;
}

static int look(struct cloud *cloud, struct hactl_call *call)
{
    struct gce_list list;
    int rc;

    gce_list_prepare(&list, "aggregated/instances?returnPartialSuccess=true&filter=labels." GCE_LABEL_CLUSTER "%%3D%s",
                     cloud->cluster);
    rc = gce_list_run(cloud->gce, call, &list, 1);
    if (rc == HACTL_OK && list.code != HACTL_OK)
        rc = gce_list_fail(cloud->gce, call, &list, "instances");
    if (rc == HACTL_OK)
        rc = cloud_seen_take(cloud, call, list.items);
    if (rc == HACTL_OK && json_array_size(list.unreachable) > 0)
        cloud->seen.valid = false;
    gce_list_clear(&list);
    return rc;
}

int cloud_seen_model(struct cloud *cloud, struct hactl_call *call, const json_t **model)
{
    int rc = cloud->seen.valid ? HACTL_OK : look(cloud, call);

    *model = NULL;
    for (size_t i = 0; rc == HACTL_OK && i < cloud->seen.count; i++)
        if (!*model || strcmp(cloud_text(cloud->seen.instances[i], "status"), "RUNNING") == 0)
            *model = cloud->seen.instances[i];
    return rc;
}

int cloud_zone_of(struct cloud *cloud, struct hactl_call *call, const char *name, char zone[GCE_NAME])
{
    const json_t *instance = cloud_seen_named(cloud, name);
    int rc;

    if (!instance) {
        rc = look(cloud, call);
        if (rc != HACTL_OK)
            return rc;
        instance = cloud_seen_named(cloud, name);
        if (!instance && !cloud->seen.valid)
            return cloud->host->fail(call, HACTL_E_UNAVAILABLE,
                                     "replica %s was not seen, and not every zone could be asked", name);
    }
    if (!instance)
        return HACTL_E_NOT_FOUND;
    snprintf(zone, GCE_NAME, "%s", gce_link_name(cloud_text(instance, "zone")));
    return HACTL_OK;
}

int cloud_instance_need(struct cloud *cloud, struct hactl_call *call, const char *name, char zone[GCE_NAME],
                        json_t **instance)
{
    int rc = cloud_zone_of(cloud, call, name, zone);

    if (rc == HACTL_OK)
        rc = gce_get(cloud->gce, call, instance, "zones/%s/instances/%s", zone, name);
    if (rc == HACTL_E_NOT_FOUND)
        return cloud->host->fail(call, rc, "replica %s does not exist", name);
    if (rc == HACTL_OK && !gce_is_ours(*instance, cloud->cluster)) {
        json_decref(*instance);
        *instance = NULL;
        rc = cloud_conflict(cloud, call, "instance", name);
    }
    return rc;
}
