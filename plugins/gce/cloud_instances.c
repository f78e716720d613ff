/* SPDX-License-Identifier: Apache-2.0 */
/* Instances: made with their data disk in one request, started again, deleted
 * with it in two. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

/* Asked for side by side before an instance is made. */
enum { INSTANCE, DATA_DISK, MODEL_BOOT, MODEL_DATA, QUESTIONS };

static int change_one(struct cloud *cloud, struct hactl_call *call, const char *replica, const char *method,
                      json_t *body, const char *path)
{
    struct gce_request request;
    int rc;

    gce_prepare(&request, method, body, "%s", path);
    rc = gce_change(cloud->gce, call, &request, 1, "replica %s", replica);
    gce_request_clear(&request);
    return rc;
}

/* ---- there already --------------------------------------------------------------------- */

static int start(struct cloud *cloud, struct hactl_call *call, const struct hactl_replica *want)
{
    char path[GCE_PATH];

    snprintf(path, sizeof(path), "zones/%s/instances/%s/start", want->zone, want->name);
    return change_one(cloud, call, want->name, "POST", NULL, path);
}

static int accept(struct cloud *cloud, struct hactl_call *call, const struct hactl_replica *want,
                  const json_t *instance)
{
    const struct hactl_host *host = cloud->host;
    const char *status = cloud_text(instance, "status"), *address = cloud_internal_address(instance);

    if (!gce_is_ours(instance, cloud->cluster))
        return cloud_conflict(cloud, call, "instance", want->name);
    if (want->internal_address && address[0] && strcmp(address, want->internal_address) != 0)
        return host->fail(call, HACTL_E_CONFLICT, "replica %s is at %s, not %s", want->name, address,
                          want->internal_address);
    if (strcmp(status, "RUNNING") == 0)
        return HACTL_OK;
    if (strcmp(status, "TERMINATED") == 0 || strcmp(status, "STOPPED") == 0)
        return start(cloud, call, want);
    if (strcmp(status, "SUSPENDED") == 0)
        return host->fail(call, HACTL_E_FAILED, "replica %s is suspended: gcloud compute instances resume %s --zone %s",
                          want->name, want->name, want->zone);
    host->retry_after(call, 1000);
    return host->fail(call, HACTL_E_BUSY, "replica %s is %s", want->name, status[0] ? status : "in no known state");
}

/* ---- made ----------------------------------------------------------------------------------- */

static void disk_path(const json_t *instance, bool boot, char out[GCE_PATH])
{
    const char *source = cloud_text(cloud_disk(instance, boot), "source"), *path = gce_link_path(source);
    const char *slash = strncmp(path, "projects/", 9) == 0 ? strchr(path + 9, '/') : NULL;

    snprintf(out, GCE_PATH, "%s", slash ? slash + 1 : "");
}

static int insert(struct cloud *cloud, struct hactl_call *call, const struct hactl_instance_want *instance_want,
                  const json_t *model, const struct gce_request *answers)
{
    const struct hactl_replica *want = instance_want->replica;
    struct cloud_template template = {.replica = want, .key_purposes = instance_want->key_purposes, .model = model};
    const json_t *disk = answers[DATA_DISK].json;
    char path[GCE_PATH];
    json_t *body;
    int rc;

    if (answers[DATA_DISK].code == HACTL_OK) {
        if (!gce_is_ours(disk, cloud->cluster))
            return cloud_conflict(cloud, call, "disk", cloud_text(disk, "name"));
        template.data_disk = cloud_text(disk, "selfLink");
    }
    template.model_boot = answers[MODEL_BOOT].code == HACTL_OK ? answers[MODEL_BOOT].json : NULL;
    template.model_data = answers[MODEL_DATA].code == HACTL_OK ? answers[MODEL_DATA].json : NULL;
    rc = cloud_subnetwork(cloud, call, &template.subnetwork);
    if (rc != HACTL_OK)
        return rc;
    body = cloud_template_body(cloud, &template);
    if (!body)
        return cloud_no_memory(cloud, call);
    rc = cloud_metadata_check(cloud, call, want->name, json_object_get(json_object_get(body, "metadata"), "items"));
    if (rc != HACTL_OK) {
        json_decref(body);
        return rc;
    }
    snprintf(path, sizeof(path), "zones/%s/instances", want->zone);
    return change_one(cloud, call, want->name, "POST", body, path);
}

static bool is_trouble(const struct gce_request *answer)
{
    return answer->code != HACTL_OK && answer->code != HACTL_E_NOT_FOUND;
}

/* An existing replica's disks matter only as far as the settings are silent. */
static size_t prepare_questions(const struct cloud *cloud, const struct hactl_replica *want, const json_t *model,
                                struct gce_request *questions)
{
    char disk[GCE_NAME], path[GCE_PATH];
    size_t count = MODEL_BOOT;

    gce_name(disk, want->name, "-data");
    gce_prepare(&questions[INSTANCE], "GET", NULL, "zones/%s/instances/%s", want->zone, want->name);
    gce_prepare(&questions[DATA_DISK], "GET", NULL, "zones/%s/disks/%s", want->zone, disk);
    for (int i = MODEL_BOOT; i <= MODEL_DATA && count == (size_t)i; i++) {
        disk_path(model, i == MODEL_BOOT, path);
        if (path[0])
            gce_prepare(&questions[count++], "GET", NULL, "%s", path);
    }
    (void)cloud;
    return count;
}

int cloud_instance_ensure(struct cloud *cloud, struct hactl_call *call, const struct hactl_instance_want *instance_want)
{
    const struct hactl_replica *want = instance_want->replica;
    struct gce_request questions[QUESTIONS];
    const json_t *model = NULL;
    size_t count;
    int rc = gce_name_check(cloud->gce, call, "replica", want->name);

    if (rc == HACTL_OK)
        rc = gce_zone_check(cloud->gce, call, want->zone);
    if (rc == HACTL_OK)
        rc = cloud_seen_model(cloud, call, &model);
    if (rc != HACTL_OK)
        return rc;
    memset(questions, 0, sizeof(questions));
    if (model && strcmp(cloud_text(model, "name"), want->name) == 0)
        model = NULL;
    count = prepare_questions(cloud, want, model, questions);
    rc = gce_run(cloud->gce, call, questions, count);
    for (size_t i = count; i < QUESTIONS; i++)
        questions[i].code = HACTL_E_NOT_FOUND;
    if (rc == HACTL_OK && is_trouble(&questions[INSTANCE]))
        rc = gce_fail(cloud->gce, call, &questions[INSTANCE], "replica %s", want->name);
    else if (rc == HACTL_OK && questions[INSTANCE].code == HACTL_OK)
        rc = accept(cloud, call, want, questions[INSTANCE].json);
    else if (rc == HACTL_OK && is_trouble(&questions[DATA_DISK]))
        rc = gce_fail(cloud->gce, call, &questions[DATA_DISK], "data disk of replica %s", want->name);
    else if (rc == HACTL_OK)
        rc = insert(cloud, call, instance_want, model, questions);
    for (size_t i = 0; i < count; i++)
        gce_request_clear(&questions[i]);
    return rc;
}

/* ---- destroyed -------------------------------------------------------------------------------- */

/* The zone in which a replica or its data disk is. HACTL_E_NOT_FOUND without a text. */
static int find_zone(struct cloud *cloud, struct hactl_call *call, const char *name, const char *disk,
                     char zone[GCE_NAME])
{
    struct gce_list list;
    size_t index;
    json_t *entry;
    int rc = cloud_zone_of(cloud, call, name, zone);

    if (rc != HACTL_E_NOT_FOUND)
        return rc;
    gce_list_prepare(&list, "aggregated/disks?returnPartialSuccess=true&filter=labels." GCE_LABEL_CLUSTER "%%3D%s",
                     cloud->cluster);
    rc = gce_list_run(cloud->gce, call, &list, 1);
    if (rc == HACTL_OK && list.code != HACTL_OK)
        rc = gce_list_fail(cloud->gce, call, &list, "disks");
    if (rc == HACTL_OK) {
        zone[0] = '\0';
        json_array_foreach(list.items, index, entry)
        {
            if (gce_is_ours(entry, cloud->cluster) && strcmp(cloud_text(entry, "name"), disk) == 0)
                snprintf(zone, GCE_NAME, "%s", gce_link_name(cloud_text(entry, "zone")));
        }
        if (!zone[0])
            rc = json_array_size(list.unreachable) == 0
                     ? HACTL_E_NOT_FOUND
                     : cloud->host->fail(call, HACTL_E_UNAVAILABLE,
                                         "whether replica %s left a disk is unknown: not every zone could be asked",
                                         name);
    }
    gce_list_clear(&list);
    return rc;
}

static int destroy_in(struct cloud *cloud, struct hactl_call *call, const char *name, const char *disk,
                      const char *zone)
{
    struct gce_request questions[2];
    char path[GCE_PATH];
    int rc;

    gce_prepare(&questions[INSTANCE], "GET", NULL, "zones/%s/instances/%s", zone, name);
    gce_prepare(&questions[DATA_DISK], "GET", NULL, "zones/%s/disks/%s", zone, disk);
    rc = gce_run(cloud->gce, call, questions, 2);
    for (size_t i = 0; rc == HACTL_OK && i < 2; i++) {
        if (is_trouble(&questions[i]))
            rc = gce_fail(cloud->gce, call, &questions[i], "replica %s", name);
        else if (questions[i].code == HACTL_OK && !gce_is_ours(questions[i].json, cloud->cluster))
            rc = cloud_conflict(cloud, call, i == INSTANCE ? "instance" : "disk", i == INSTANCE ? name : disk);
    }
    if (rc == HACTL_OK && questions[INSTANCE].code == HACTL_OK)
        snprintf(path, sizeof(path), "zones/%s/instances/%s", zone, name);
    else if (rc == HACTL_OK && questions[DATA_DISK].code == HACTL_OK)
        snprintf(path, sizeof(path), "zones/%s/disks/%s", zone, disk);
    else
        path[0] = '\0';
    if (rc == HACTL_OK && path[0])
        rc = change_one(cloud, call, name, "DELETE", NULL, path);
    /* The instance went at once; its disk is still there. */
    if (rc == HACTL_OK && path[0] && questions[INSTANCE].code == HACTL_OK && questions[DATA_DISK].code == HACTL_OK) {
        snprintf(path, sizeof(path), "zones/%s/disks/%s", zone, disk);
        rc = change_one(cloud, call, name, "DELETE", NULL, path);
    }
    for (size_t i = 0; i < 2; i++)
        gce_request_clear(&questions[i]);
    return rc;
}

int cloud_instance_destroy(struct cloud *cloud, struct hactl_call *call, const char *name)
{
    char zone[GCE_NAME], disk[GCE_NAME];
    int rc;

    gce_name(disk, name, "-data");
    cloud_tunnels_stop(cloud, name);
    rc = find_zone(cloud, call, name, disk, zone);
    if (rc == HACTL_E_NOT_FOUND)
        return HACTL_OK;
    return rc == HACTL_OK ? destroy_in(cloud, call, name, disk, zone) : rc;
}
