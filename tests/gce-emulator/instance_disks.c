/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of an instance: made with it, attached, detached, kept or deleted with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disks.h"
#include "errors.h"
#include "instances.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "store.h"

/* A disk that comes with the instance. */
static struct em_answer make(struct em_request *request, json_t *attached, const char *instance_name, size_t index)
{
    json_t *parameters = json_object_get(attached, "initializeParams"), *disk;
    const char *name = em_text(parameters, "diskName");
    char *chosen = name != NULL ? em_strdup(name)
                   : index == 0 ? em_strdup(instance_name)
                                : em_format("%s-%zu", instance_name, index);
    char *path = em_format("projects/%s/%s/disks/%s", request->project, request->scope, chosen);
    struct em_answer answer = {0};
    struct em_resource *resource;

    disk = json_pack("{s:s}", "status", "CREATING");
    json_object_set(disk, "sizeGb", json_object_get(parameters, "diskSizeGb"));
    json_object_set(disk, "type", json_object_get(parameters, "diskType"));
    json_object_set(disk, "labels", json_object_get(parameters, "labels"));
    json_object_set(disk, "description", json_object_get(parameters, "description"));
    if (!em_name_good(chosen)) {
        answer = em_error_invalid("resource.disks.initializeParams.diskName", chosen, "Not a valid name.");
    } else if (em_labels_wrong(json_object_get(disk, "labels")) != NULL) {
        answer = em_error_invalid("resource.disks.initializeParams.labels", "",
                                  em_labels_wrong(json_object_get(disk, "labels")));
    } else if (em_store_find(path) != NULL) {
        answer = em_error_exists(path);
    } else {
        answer = em_disk_prepare(request, disk, em_text(parameters, "sourceImage"));
    }
    if (answer.status == 0) {
        resource = em_store_add(request->project, request->scope, &em_disk_type, chosen, json_incref(disk));
        json_object_set_new(resource->hidden, "with", json_string(instance_name));
        em_set_link(attached, "source", path);
    }
    json_decref(disk);
    free(path);
    free(chosen);
    return answer;
}

static bool attached_for_writing(const struct em_resource *disk)
{
    return json_array_size(json_object_get(disk->json, "users")) > 0;
}

/* A disk that exists; in this zone, and nobody else's. */
static struct em_answer use(struct em_request *request, json_t *attached)
{
    struct em_answer answer = {0};
    struct em_resource *disk = em_links_member(request, attached, "source", request->scope, "disks", &answer);

    if (disk == NULL) {
        return answer;
    }
    if (strcmp(disk->collection->scope, request->scope) != 0) {
        return em_error_invalid("resource.disks.source", em_text(attached, "source"),
                                "The disk lies in another zone than the instance.");
    }
    if (attached_for_writing(disk)) {
        const json_t *user = json_array_get(json_object_get(disk->json, "users"), 0);

        return em_error_in_use("disks", disk->path, json_string_value(user));
    }
    return answer;
}

static void complete(json_t *attached, size_t index)
{
    const struct em_resource *disk = em_store_find(em_link_path(em_text(attached, "source")));
    char name[32];

    snprintf(name, sizeof(name), "persistent-disk-%zu", index);
    json_object_del(attached, "initializeParams");
    em_set(attached, "kind", "compute#attachedDisk");
    em_set_number(attached, "index", (long long)index);
    em_default(attached, "deviceName", name);
    em_default(attached, "type", "PERSISTENT");
    em_default(attached, "mode", "READ_WRITE");
    em_default(attached, "interface", "SCSI");
    json_object_set(attached, "diskSizeGb", json_object_get(disk->json, "sizeGb"));
    if (json_object_get(attached, "boot") == NULL) {
        json_object_set_new(attached, "boot", json_boolean(index == 0));
    }
    if (json_object_get(attached, "autoDelete") == NULL) {
        json_object_set_new(attached, "autoDelete", json_false());
    }
}

static void take_back(json_t *disks, size_t count, const char *instance_path)
{
    for (size_t i = 0; i < count; i++) {
        struct em_resource *disk = em_store_find(em_link_path(em_text(json_array_get(disks, i), "source")));

        if (disk == NULL) {
            continue;
        }
        em_disk_use(disk, instance_path, false);
        if (json_object_get(disk->hidden, "with") != NULL && disk->busy == NULL) {
            em_disk_destroy(disk);
        }
    }
}

struct em_answer em_instance_disks_prepare(struct em_request *request, json_t *instance, const char *instance_path)
{
    json_t *disks = json_object_get(instance, "disks"), *attached;
    const char *name = em_text(instance, "name");
    size_t i;

    if (json_array_size(disks) == 0 || !em_true(json_array_get(disks, 0), "boot")) {
        return em_error(400, "invalid",
                        "Invalid value for field 'resource.disks': ''. Boot disk must be specified "
                        "first.");
    }
    json_array_foreach(disks, i, attached)
    {
        struct em_answer answer;

        if ((em_text(attached, "source") == NULL) == (json_object_get(attached, "initializeParams") == NULL)) {
            answer = em_error(400, "invalid",
                              "Invalid value for field 'resource.disks[%zu]': a disk has a source or "
                              "initializeParams.",
                              i);
        } else if (em_text(attached, "source") != NULL) {
            answer = use(request, attached);
        } else {
            answer = make(request, attached, name, i);
        }
        if (answer.status != 0) {
            take_back(disks, i, instance_path);
            return answer;
        }
        em_disk_use(em_store_find(em_link_path(em_text(attached, "source"))), instance_path, true);
        complete(attached, i);
    }
    return (struct em_answer){0};
}

void em_instance_disks_ready(struct em_resource *instance)
{
    json_t *attached;
    size_t i;

    json_array_foreach(json_object_get(instance->json, "disks"), i, attached)
    {
        struct em_resource *disk = em_store_find(em_link_path(em_text(attached, "source")));

        if (disk != NULL) {
            em_set(disk->json, "status", "READY");
            json_object_del(disk->hidden, "with");
        }
    }
}

void em_instance_disks_release(struct em_resource *instance, bool all)
{
    json_t *attached;
    size_t i;

    json_array_foreach(json_object_get(instance->json, "disks"), i, attached)
    {
        struct em_resource *disk = em_store_find(em_link_path(em_text(attached, "source")));

        if (disk == NULL) {
            continue;
        }
        em_disk_use(disk, instance->path, false);
        if (em_true(attached, "autoDelete") || (all && json_object_get(disk->hidden, "with") != NULL)) {
            em_disk_destroy(disk);
        }
    }
}

/* ---- the methods ------------------------------------------------------------ */

static json_t *find_device(const struct em_resource *instance, const char *name, size_t *index)
{
    json_t *attached;
    size_t i;

    json_array_foreach(json_object_get(instance->json, "disks"), i, attached)
    {
        if (name != NULL && strcmp(em_text(attached, "deviceName"), name) == 0) {
            *index = i;
            return attached;
        }
    }
    return NULL;
}

static void attach_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);

    json_array_append(em_array(instance->json, "disks"), json_object_get(arguments, "disk"));
    em_instance_touched(instance);
}

static struct em_answer attach_disk(struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);
    size_t count, at;

    if (instance == NULL) {
        return answer;
    }
    if (em_text(request->body, "source") == NULL) {
        return em_error_required("source");
    }
    if (find_device(instance, em_text(request->body, "deviceName"), &at) != NULL) {
        return em_error_invalid("deviceName", em_text(request->body, "deviceName"), "Device names must be unique.");
    }
    answer = use(request, request->body);
    if (answer.status != 0) {
        return answer;
    }
    count = json_array_size(json_object_get(instance->json, "disks"));
    complete(request->body, count);
    json_object_set_new(request->body, "boot", json_false());
    em_disk_use(em_store_find(em_link_path(em_text(request->body, "source"))), instance->path, true);
    return em_operation_start(request, instance, "attachDisk", attach_done, json_pack("{s:O}", "disk", request->body));
}

static void detach_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation), *disk;
    size_t at = 0;
    json_t *attached = find_device(instance, em_text(arguments, "deviceName"), &at);

    if (attached == NULL) {
        return;
    }
    disk = em_store_find(em_link_path(em_text(attached, "source")));
    if (disk != NULL) {
        em_disk_use(disk, instance->path, false);
    }
    json_array_remove(json_object_get(instance->json, "disks"), at);
    em_instance_touched(instance);
}

static struct em_answer device_of(struct em_request *request, struct em_resource **instance, json_t **attached)
{
    const char *name = em_text(request->query, "deviceName");
    struct em_answer answer = {0};
    size_t at;

    *instance = em_instance_of(request, &answer);
    if (*instance == NULL) {
        return answer;
    }
    *attached = find_device(*instance, name, &at);
    if (*attached == NULL) {
        return em_error(400, "invalid",
                        "Invalid value for field 'deviceName': '%s'. No attached disk found with device "
                        "name '%s'",
                        name == NULL ? "" : name, name == NULL ? "" : name);
    }
    return answer;
}

static struct em_answer detach_disk(struct em_request *request)
{
    struct em_resource *instance;
    json_t *attached;
    struct em_answer answer = device_of(request, &instance, &attached);

    if (answer.status != 0) {
        return answer;
    }
    if (em_true(attached, "boot") && strcmp(em_text(instance->json, "status"), "TERMINATED") != 0) {
        return em_error(400, "invalid", "The boot disk cannot be detached from a running instance.");
    }
    return em_operation_start(request, instance, "detachDisk", detach_done,
                              json_pack("{s:s}", "deviceName", em_text(request->query, "deviceName")));
}

static void auto_delete_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);
    size_t at = 0;
    json_t *attached = find_device(instance, em_text(arguments, "deviceName"), &at);

    if (attached != NULL) {
        json_object_set(attached, "autoDelete", json_object_get(arguments, "autoDelete"));
        em_instance_touched(instance);
    }
}

static struct em_answer set_auto_delete(struct em_request *request)
{
    const char *text = em_text(request->query, "autoDelete");
    struct em_resource *instance;
    json_t *attached;
    struct em_answer answer = device_of(request, &instance, &attached);

    if (answer.status != 0) {
        return answer;
    }
    return em_operation_start(request, instance, "setDiskAutoDelete", auto_delete_done,
                              json_pack("{s:s,s:b}", "deviceName", em_text(request->query, "deviceName"), "autoDelete",
                                        text != NULL && strcasecmp(text, "true") == 0));
}

#define ONE "projects/{project}/zones/{zone}/instances/{instance}"

const struct em_method em_instance_disks_methods[] = {
    {"instances.attachDisk", "POST", ONE "/attachDisk", EM_CHANGE, &em_instance_type, attach_disk},
    {"instances.detachDisk", "POST", ONE "/detachDisk", EM_CHANGE, &em_instance_type, detach_disk},
    {"instances.setDiskAutoDelete", "POST", ONE "/setDiskAutoDelete", EM_CHANGE, &em_instance_type, set_auto_delete},
    {0},
};
