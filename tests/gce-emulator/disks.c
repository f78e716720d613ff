/* SPDX-License-Identifier: Apache-2.0 */
#include "disks.h"

#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "errors.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"

static void undo(struct em_resource *disk)
{
    em_disk_destroy(disk);
}

const struct em_type em_disk_type = {.collection = "disks",
                                     .kind = "compute#disk",
                                     .parameter = "disk",
                                     .scopes = "zones",
                                     .weigh = em_quotas_weigh_disk,
                                     .undo = undo};

void em_disk_destroy(struct em_resource *disk)
{
    if (em_machines.disk_gone != NULL) {
        em_machines.disk_gone(disk);
    }
    em_store_remove(disk);
}

void em_disk_use(struct em_resource *disk, const char *instance_path, bool used)
{
    char *link = em_link(instance_path);

    if (used) {
        json_array_append_new(em_array(disk->json, "users"), json_string(link));
    } else {
        em_array_drop(disk->json, "users", link);
    }
    em_set_timestamp(disk->json, used ? "lastAttachTimestamp" : "lastDetachTimestamp");
    free(link);
}

/* "pd-ssd", "zones/z/diskTypes/pd-ssd" or a URL. There is no such collection in the schema, so the name is enough. */
static bool set_type(const struct em_request *request, json_t *disk)
{
    static const char *const known[] = {"pd-standard", "pd-balanced", "pd-ssd", "pd-extreme", "hyperdisk-balanced"};
    const char *type = em_text(disk, "type"), *name;

    name = type == NULL ? "pd-standard" : strrchr(type, '/') == NULL ? type : strrchr(type, '/') + 1;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i], name) == 0) {
            em_set_format(disk, "type", EM_LINK_PREFIX "projects/%s/%s/diskTypes/%s", request->project, request->scope,
                          known[i]);
            return true;
        }
    }
    return false;
}

struct em_answer em_disk_prepare(const struct em_request *request, json_t *disk, const char *image)
{
    long long size = em_number(disk, "sizeGb", 0), least = 0;
    struct em_resource *source = NULL;

    if (!set_type(request, disk)) {
        return em_error_invalid("resource.type", em_text(disk, "type"), "The disk type is unknown.");
    }
    if (image != NULL) {
        source = em_catalogue_image(request->project, image);
        if (source == NULL) {
            const char *path = strstr(image, "projects/");

            return em_error_not_found(path == NULL ? image : path);
        }
        least = em_number(source->json, "diskSizeGb", 0);
        em_set_link(disk, "sourceImage", source->path);
        em_set_u64(disk, "sourceImageId", source->id);
    }
    if (size == 0) {
        size = source != NULL ? least : 500;
    }
    if (size < least || size < 1 || size > 65536) {
        return em_error_invalid("resource.sizeGb", em_text(disk, "sizeGb"),
                                "Requested disk size cannot be smaller than the image size.");
    }
    em_set_u64(disk, "sizeGb", (uint64_t)size);
    em_default(disk, "physicalBlockSizeBytes", "4096");
    em_labels_prepare(disk);
    return (struct em_answer){0};
}

static void insert_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *disk = em_operation_target(operation);

    (void)arguments;
    em_set(disk->json, "status", "READY");
}

static struct em_answer disk_insert(struct em_request *request)
{
    const char *image = em_text(request->query, "sourceImage"), *name = em_text(request->body, "name");
    struct em_answer answer = em_insert_check(request);
    char *region;

    if (answer.status != 0) {
        return answer;
    }
    answer = em_disk_prepare(request, request->body, image != NULL ? image : em_text(request->body, "sourceImage"));
    if (answer.status != 0) {
        return answer;
    }
    region = em_region_of(request->scope);
    answer = em_quotas_check(request->project, region, em_quotas_disk_metric(em_text(request->body, "type")),
                             (double)em_number(request->body, "sizeGb", 0));
    free(region);
    if (answer.status != 0) {
        return answer;
    }
    em_set(request->body, "status", "CREATING");
    return em_operation_start_alone(
        request, em_store_add(request->project, request->scope, &em_disk_type, name, json_incref(request->body)),
        "insert", insert_done, NULL);
}

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    (void)arguments;
    em_disk_destroy(em_operation_target(operation));
    em_operation_target_gone(operation);
}

static struct em_answer disk_delete(struct em_request *request)
{
    struct em_resource *disk = em_store_of(request);
    struct em_answer answer;
    const json_t *user;

    if (disk == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(disk, &answer)) {
        return answer;
    }
    user = json_array_get(json_object_get(disk->json, "users"), 0);
    if (user != NULL) {
        return em_error_in_use("disks", disk->path, json_string_value(user));
    }
    em_set(disk->json, "status", "DELETING");
    return em_operation_start_alone(request, disk, "delete", delete_done, NULL);
}

#define ALL "projects/{project}/zones/{zone}/disks"

const struct em_method em_disks_methods[] = {
    {"disks.insert", "POST", ALL, EM_CHANGE, &em_disk_type, disk_insert},
    {"disks.get", "GET", ALL "/{disk}", EM_READ, &em_disk_type, em_get},
    {"disks.list", "GET", ALL, EM_LIST, &em_disk_type, em_list},
    {"disks.delete", "DELETE", ALL "/{disk}", EM_CHANGE, &em_disk_type, disk_delete},
    {"disks.aggregatedList", "GET", "projects/{project}/aggregated/disks", EM_LIST, &em_disk_type, em_aggregated_list},
    {"disks.setLabels", "POST", ALL "/{resource}/setLabels", EM_CHANGE, &em_disk_type, em_set_labels},
    {0},
};
