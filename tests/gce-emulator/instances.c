/* SPDX-License-Identifier: Apache-2.0 */
/* Making, deleting, starting, stopping instances. */
#include "instances.h"

#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "faults.h"
#include "instance_groups.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "metadata_server.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"

static void undo(struct em_resource *instance);

const struct em_type em_instance_type = {.collection = "instances",
                                         .kind = "compute#instance",
                                         .parameter = "instance",
                                         .scopes = "zones",
                                         .weigh = em_quotas_weigh_instance,
                                         .undo = undo};

struct em_resource *em_instance_of(struct em_request *request, struct em_answer *answer)
{
    struct em_resource *instance = em_store_of(request);

    if (instance == NULL) {
        *answer = em_get(request);
        return NULL;
    }
    return em_operation_busy(instance, answer) ? NULL : instance;
}

void em_instance_touched(struct em_resource *instance)
{
    em_set_fingerprint(instance->json, "fingerprint");
    em_metadata_changed(instance);
    em_machines_network_changed();
}

bool em_instance_runs(const struct em_resource *instance)
{
    const char *status = em_text(instance->json, "status");

    return status != NULL && strcmp(status, "RUNNING") == 0 && !em_faults_zone_down(instance->collection->scope);
}

/* Takes away all that the instance has, and itself. */
static void destroy(struct em_resource *instance, bool all_disks)
{
    char *link = em_link(instance->path);

    em_metadata_gone(instance);
    if (em_machines.gone != NULL) {
        em_machines.gone(instance);
    }
    em_instance_network_release(instance, true);
    em_instance_disks_release(instance, all_disks);
    em_instance_groups_forget(instance->collection->project, link);
    free(link);
    em_store_remove(instance);
    em_machines_network_changed();
}

static void undo(struct em_resource *instance)
{
    destroy(instance, true);
}

/* ---- insert ----------------------------------------------------------------- */

static void fill_defaults(json_t *json)
{
    json_t *scheduling, *tags;

    json_object_set_new(json, "startRestricted", json_false());
    em_set(json, "cpuPlatform", "Intel Broadwell");
    if (json_object_get(json, "canIpForward") == NULL) {
        json_object_set_new(json, "canIpForward", json_false());
    }
    if (json_object_get(json, "deletionProtection") == NULL) {
        json_object_set_new(json, "deletionProtection", json_false());
    }
    scheduling = json_object_get(json, "scheduling");
    if (scheduling == NULL) {
        scheduling = json_object();
        json_object_set_new(json, "scheduling", scheduling);
    }
    em_default(scheduling, "onHostMaintenance", "MIGRATE");
    em_default(scheduling, "provisioningModel", "STANDARD");
    if (json_object_get(scheduling, "automaticRestart") == NULL) {
        json_object_set_new(scheduling, "automaticRestart", json_true());
    }
    if (json_object_get(scheduling, "preemptible") == NULL) {
        json_object_set_new(scheduling, "preemptible", json_false());
    }
    tags = json_object_get(json, "tags");
    if (tags == NULL) {
        tags = json_object();
        json_object_set_new(json, "tags", tags);
    }
    em_set_fingerprint(tags, "fingerprint");
    em_set_fingerprint(json, "fingerprint");
    em_labels_prepare(json);
}

/* Zones of the region that have room, as the real one's details tell. */
static void zones_available(const struct em_resource *instance, const char *machine_type, char *text, size_t size)
{
    struct em_collection *zones = em_store_collection(instance->collection->project, "", "zones");
    char *region = em_region_of(instance->collection->scope);
    struct em_resource *zone;

    text[0] = '\0';
    EM_FOR_EACH(zone, zones)
    {
        if (strncmp(zone->name, region, strlen(region)) == 0 && !em_faults_out_of_stock(zone->name, machine_type) &&
            strlen(text) + strlen(zone->name) + 2 < size) {
            strcat(strcat(text, text[0] == '\0' ? "" : ","), zone->name);
        }
    }
    free(region);
}

static json_t *stock_error(const struct em_resource *instance)
{
    const char *zone = strchr(instance->collection->scope, '/') + 1, *type = em_text(instance->json, "machineType");
    char available[512], *message;
    json_t *error;

    type = strrchr(type, '/') + 1;
    if (!em_faults_out_of_stock(zone, type)) {
        return NULL;
    }
    zones_available(instance, type, available, sizeof(available));
    message = em_format("The zone 'projects/%s/zones/%s' does not have enough resources available to fulfill the "
                        "request.  '(resource type:compute)'.",
                        instance->collection->project, zone);
    error = em_operation_error("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", message);
    free(message);
    em_operation_error_detail(error, "errorInfo",
                              json_pack("{s:s,s:s,s:{s:s,s:s,s:s}}", "reason", "resource_availability", "domain",
                                        "compute.googleapis.com", "metadatas", "vmType", type, "zone", zone,
                                        "zonesAvailable", available));
    return error;
}

/* The quotas count what is there, and the new instance is. */
static json_t *quota_error(const struct em_resource *instance)
{
    static const char *const metrics[] = {"CPUS", "INSTANCES", "IN_USE_ADDRESSES", "DISKS_TOTAL_GB", "SSD_TOTAL_GB"};
    char *region = em_region_of(instance->collection->scope);
    json_t *error = NULL;

    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]) && error == NULL; i++) {
        error = em_quotas_error(instance->collection->project, region, metrics[i], 0);
    }
    free(region);
    return error;
}

static void run(struct em_resource *instance)
{
    em_set(instance->json, "status", "RUNNING");
    em_set_timestamp(instance->json, "lastStartTimestamp");
    em_machines_network_changed();
    if (em_machines.boot != NULL && !em_faults_zone_down(instance->collection->scope)) {
        em_machines.boot(instance);
    }
}

static void insert_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);
    int status = 503;
    json_t *error = stock_error(instance);

    (void)arguments;
    if (error == NULL) {
        status = 403;
        error = quota_error(instance);
    }
    if (error == NULL) {
        error = em_instance_network_attach(instance, &status);
    }
    if (error != NULL) {
        em_operation_fail(operation, status, error);
        em_operation_undo_insert(operation);
        return;
    }
    em_instance_disks_ready(instance);
    run(instance);
}

static struct em_answer set_machine_type(struct em_request *request)
{
    struct em_answer answer = {0};

    if (em_text(request->body, "machineType") == NULL) {
        return em_error_required("resource.machineType");
    }
    (void)em_links_member(request, request->body, "machineType", request->scope, "machineTypes", &answer);
    return answer;
}

static struct em_answer prepare(struct em_request *request, const char *path)
{
    struct em_answer answer = em_instance_data_prepare(request->body);

    if (answer.status == 0) {
        answer = em_instance_network_prepare(request, request->body, path);
    }
    if (answer.status == 0) {
        answer = em_instance_disks_prepare(request, request->body, path);
        if (answer.status != 0) {
            struct em_resource half = {.json = request->body, .path = (char *)path};

            em_instance_network_release(&half, true);
        }
    }
    return answer;
}

static struct em_answer instance_insert(struct em_request *request)
{
    struct em_answer answer = em_insert_check(request);
    const char *name = em_text(request->body, "name");
    char *path;

    if (answer.status == 0) {
        answer = set_machine_type(request);
    }
    if (answer.status != 0) {
        return answer;
    }
    path = em_format("projects/%s/%s/instances/%s", request->project, request->scope, name);
    answer = prepare(request, path);
    free(path);
    if (answer.status != 0) {
        return answer;
    }
    fill_defaults(request->body);
    em_set(request->body, "status", "PROVISIONING");
    return em_operation_start_alone(
        request, em_store_add(request->project, request->scope, &em_instance_type, name, json_incref(request->body)),
        "insert", insert_done, NULL);
}

/* ---- delete, stop, start, reset ----------------------------------------------- */

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    (void)arguments;
    destroy(em_operation_target(operation), false);
    em_operation_target_gone(operation);
}

static struct em_answer instance_delete(struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);

    if (instance == NULL) {
        return answer;
    }
    if (em_true(instance->json, "deletionProtection")) {
        return em_error(400, "invalid",
                        "Invalid resource usage: 'Resource cannot be deleted if it's protected against "
                        "deletion. Delete protection can be disabled with setDeletionProtection "
                        "API.'.");
    }
    em_set(instance->json, "status", "STOPPING");
    if (em_machines.halt != NULL) {
        em_machines.halt(instance);
    }
    return em_operation_start_alone(request, instance, "delete", delete_done, NULL);
}

static void has_halted(void *operation)
{
    em_operation_finish(operation);
}

static void stop_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);

    (void)arguments;
    if (em_machines.when_halted != NULL && em_machines.when_halted(instance, has_halted, operation)) {
        em_operation_hold(operation);
    }
    em_set(instance->json, "status", "TERMINATED");
    em_set_timestamp(instance->json, "lastStopTimestamp");
    em_instance_network_release(instance, false);
    em_instance_touched(instance);
}

static struct em_answer instance_stop(struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);

    if (instance == NULL) {
        return answer;
    }
    if (strcmp(em_text(instance->json, "status"), "TERMINATED") != 0) {
        em_set(instance->json, "status", "STOPPING");
        if (em_machines.halt != NULL) {
            em_machines.halt(instance);
        }
    }
    return em_operation_start_alone(request, instance, "stop", stop_done, NULL);
}

static void start_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);
    json_t *error = stock_error(instance);
    int status = 503;

    (void)arguments;
    if (error == NULL && strcmp(em_text(instance->json, "status"), "RUNNING") != 0) {
        error = em_instance_network_attach(instance, &status);
    }
    if (error != NULL) {
        em_set(instance->json, "status", "TERMINATED");
        em_operation_fail(operation, status, error);
        return;
    }
    if (strcmp(em_text(instance->json, "status"), "RUNNING") != 0) {
        run(instance);
        em_instance_touched(instance);
    }
}

static struct em_answer instance_start(struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);

    if (instance == NULL) {
        return answer;
    }
    if (strcmp(em_text(instance->json, "status"), "TERMINATED") == 0) {
        em_set(instance->json, "status", "STAGING");
    }
    return em_operation_start_alone(request, instance, "start", start_done, NULL);
}

static void reset_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);

    (void)arguments;
    if (em_machines.boot != NULL && !em_faults_zone_down(instance->collection->scope)) {
        em_machines.boot(instance);
    }
}

static struct em_answer instance_reset(struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);

    if (instance == NULL) {
        return answer;
    }
    if (strcmp(em_text(instance->json, "status"), "RUNNING") != 0) {
        return em_error_not_ready(instance->path);
    }
    if (em_machines.halt != NULL) {
        em_machines.halt(instance);
    }
    return em_operation_start_alone(request, instance, "reset", reset_done, NULL);
}

#define ALL "projects/{project}/zones/{zone}/instances"
#define ONE ALL "/{instance}"

const struct em_method em_instances_methods[] = {
    {"instances.insert", "POST", ALL, EM_CHANGE, &em_instance_type, instance_insert},
    {"instances.get", "GET", ONE, EM_READ, &em_instance_type, em_get},
    {"instances.list", "GET", ALL, EM_LIST, &em_instance_type, em_list},
    {"instances.delete", "DELETE", ONE, EM_CHANGE, &em_instance_type, instance_delete},
    {"instances.aggregatedList", "GET", "projects/{project}/aggregated/instances", EM_LIST, &em_instance_type,
     em_aggregated_list},
    {"instances.start", "POST", ONE "/start", EM_CHANGE, &em_instance_type, instance_start},
    {"instances.stop", "POST", ONE "/stop", EM_CHANGE, &em_instance_type, instance_stop},
    {"instances.reset", "POST", ONE "/reset", EM_CHANGE, &em_instance_type, instance_reset},
    {0},
};
