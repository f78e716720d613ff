/* SPDX-License-Identifier: Apache-2.0 */
/* Unmanaged instance groups. A machine may be in several, but in one only that a load balancer uses. */
#include "instance_groups.h"

#include <stdlib.h>
#include <string.h>

#include "backend_services.h"
#include "errors.h"
#include "instances.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "store.h"

static json_t *present(const struct em_resource *group)
{
    json_t *json = json_deep_copy(group->json);

    em_set_number(json, "size", (long long)json_array_size(em_instance_group_members(group)));
    return json;
}

const struct em_type em_instance_group_type = {.collection = "instanceGroups",
                                               .kind = "compute#instanceGroup",
                                               .parameter = "instanceGroup",
                                               .scopes = "regions zones",
                                               .present = present};

json_t *em_instance_group_members(const struct em_resource *group)
{
    return em_array(group->hidden, "members");
}

static void forget(struct em_collection *collection, void *link)
{
    struct em_resource *group;

    EM_FOR_EACH(group, collection)
    {
        em_array_drop(group->hidden, "members", link);
    }
}

void em_instance_groups_forget(const char *project, const char *instance_link)
{
    em_store_visit(project, &em_instance_group_type, forget, (void *)instance_link);
}

static struct em_answer insert(struct em_request *request)
{
    struct em_answer answer = em_insert_check(request);
    const char *name = em_text(request->body, "name");

    if (answer.status != 0) {
        return answer;
    }
    if (em_text(request->body, "network") != NULL &&
        em_links_member(request, request->body, "network", "global", "networks", &answer) == NULL) {
        return answer;
    }
    em_set_fingerprint(request->body, "fingerprint");
    return em_operation_start_alone(
        request,
        em_store_add(request->project, request->scope, &em_instance_group_type, name, json_incref(request->body)),
        "insert", NULL, NULL);
}

/* ---- members ------------------------------------------------------------------ */

static struct em_answer member_error(const char *reason, const struct em_resource *group, const char *path)
{
    return em_error(400, reason, "Resource '%s' is %s member of '%s'.", path,
                    strcmp(reason, "memberNotFound") == 0 ? "no" : "already a", group->path);
}

/* A group that a backend service uses may not get a machine that another such group has. */
static struct em_answer check_groups(const struct em_resource *group, const struct em_resource *instance)
{
    if (em_backend_services_user(group, "backends") != NULL && em_backend_services_holding(instance, group) != NULL) {
        return em_error(
            400, "INSTANCE_IN_MULTIPLE_LOAD_BALANCED_IGS",
            "Validation failed for instance '%s': instance may belong to at most one load-balanced instance "
            "group.",
            instance->path);
    }
    return (struct em_answer){0};
}

static struct em_answer check_member(const struct em_resource *group, const struct em_resource *instance, bool add)
{
    json_t *members = em_instance_group_members(group);
    char *link = em_link(instance->path);
    bool there = em_array_find(members, link) >= 0;
    const json_t *interface = json_array_get(json_object_get(instance->json, "networkInterfaces"), 0);
    const char *network = em_text(group->json, "network"), *subnetwork = em_text(group->json, "subnetwork");

    free(link);
    if (!add) {
        return there ? (struct em_answer){0} : member_error("memberNotFound", group, instance->path);
    }
    if (there) {
        return member_error("memberAlreadyExists", group, instance->path);
    }
    if (strcmp(instance->collection->scope, group->collection->scope) != 0) {
        return em_error_invalid("instances", instance->path, "The instance lies in another zone than the group.");
    }
    if ((network != NULL && strcmp(network, em_text(interface, "network")) != 0) ||
        (subnetwork != NULL && strcmp(subnetwork, em_text(interface, "subnetwork")) != 0)) {
        return em_error_invalid("instances", instance->path,
                                "All instances of a group must be in the same network and subnetwork.");
    }
    return check_groups(group, instance);
}

static void members_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *group = em_operation_target(operation);
    json_t *links = json_object_get(arguments, "links"), *link;
    bool add = em_true(arguments, "add");
    size_t i;

    if (group == NULL) {
        return;
    }
    json_array_foreach(links, i, link)
    {
        struct em_resource *instance = em_store_find(em_link_path(json_string_value(link)));
        json_t *members = em_instance_group_members(group);

        if (!add) {
            em_array_drop(group->hidden, "members", json_string_value(link));
        } else if (instance != NULL && em_array_find(members, json_string_value(link)) < 0) {
            const json_t *interface = json_array_get(json_object_get(instance->json, "networkInterfaces"), 0);

            json_array_append(members, link);
            em_default(group->json, "network", em_text(interface, "network"));
            em_default(group->json, "subnetwork", em_text(interface, "subnetwork"));
        }
    }
    em_set_fingerprint(group->json, "fingerprint");
    em_machines_network_changed();
}

static struct em_answer change_members(struct em_request *request, bool add)
{
    struct em_resource *group = em_store_of(request);
    json_t *given = json_object_get(request->body, "instances"), *reference, *links;
    struct em_answer answer = {0};
    size_t i;

    if (group == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(group, &answer)) {
        return answer;
    }
    if (json_array_size(given) == 0) {
        return em_error_required("instances");
    }
    links = json_array();
    json_array_foreach(given, i, reference)
    {
        struct em_resource *instance =
            em_links_member(request, reference, "instance", request->scope, "instances", &answer);

        if (instance != NULL) {
            answer = check_member(group, instance, add);
        }
        if (answer.status != 0) {
            json_decref(links);
            return answer;
        }
        json_array_append(links, json_object_get(reference, "instance"));
    }
    return em_operation_start(request, group, add ? "addInstances" : "removeInstances", members_done,
                              json_pack("{s:o,s:b}", "links", links, "add", add));
}

static struct em_answer add_instances(struct em_request *request)
{
    return change_members(request, true);
}

static struct em_answer remove_instances(struct em_request *request)
{
    return change_members(request, false);
}

static struct em_answer list_instances(struct em_request *request)
{
    struct em_resource *group = em_store_of(request);
    const char *state = em_text(request->body, "instanceState");
    json_t *json, *link;
    size_t i;

    if (group == NULL) {
        return em_get(request);
    }
    json = json_pack("{s:s}", "kind", "compute#instanceGroupsListInstances");
    em_set_format(json, "id", "%s/listInstances", group->path);
    em_set_format(json, "selfLink", EM_LINK_PREFIX "%s/listInstances", group->path);
    json_array_foreach(em_instance_group_members(group), i, link)
    {
        const struct em_resource *instance = em_store_find(em_link_path(json_string_value(link)));
        const char *status = instance == NULL ? "TERMINATED" : em_text(instance->json, "status");

        if (state == NULL || strcmp(state, "ALL") == 0 || strcmp(status, "RUNNING") == 0) {
            json_array_append_new(em_array(json, "items"), json_pack("{s:O,s:s}", "instance", link, "status", status));
        }
    }
    return em_ok(json);
}

/* ---- named ports, delete --------------------------------------------------------- */

static void ports_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *group = em_operation_target(operation);

    if (group != NULL) {
        json_object_set(group->json, "namedPorts", json_object_get(arguments, "namedPorts"));
        em_set_fingerprint(group->json, "fingerprint");
    }
}

static struct em_answer set_named_ports(struct em_request *request)
{
    struct em_resource *group = em_store_of(request);

    if (group == NULL) {
        return em_get(request);
    }
    if (em_text(request->body, "fingerprint") != NULL &&
        !em_fingerprint_equal(em_text(request->body, "fingerprint"), em_text(group->json, "fingerprint"))) {
        return em_error_fingerprint("Supplied fingerprint does not match the group's.");
    }
    return em_operation_start(request, group, "setNamedPorts", ports_done, json_incref(request->body));
}

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    (void)arguments;
    em_store_remove(em_operation_target(operation));
    em_operation_target_gone(operation);
}

static struct em_answer delete (struct em_request *request)
{
    struct em_resource *group = em_store_of(request);
    struct em_answer answer;
    const char *user;

    if (group == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(group, &answer)) {
        return answer;
    }
    user = em_backend_services_user(group, "backends");
    if (user != NULL) {
        return em_error_in_use("instanceGroups", group->path, user);
    }
    return em_operation_start_alone(request, group, "delete", delete_done, NULL);
}

#define ALL "projects/{project}/zones/{zone}/instanceGroups"
#define ONE ALL "/{instanceGroup}"
#define T   &em_instance_group_type

const struct em_method em_instance_groups_methods[] = {
    {"instanceGroups.insert", "POST", ALL, EM_CHANGE, T, insert},
    {"instanceGroups.get", "GET", ONE, EM_READ, T, em_get},
    {"instanceGroups.list", "GET", ALL, EM_LIST, T, em_list},
    {"instanceGroups.delete", "DELETE", ONE, EM_CHANGE, T, delete},
    {"instanceGroups.aggregatedList", "GET", "projects/{project}/aggregated/instanceGroups", EM_LIST, T,
     em_aggregated_list},
    {"instanceGroups.addInstances", "POST", ONE "/addInstances", EM_CHANGE, T, add_instances},
    {"instanceGroups.removeInstances", "POST", ONE "/removeInstances", EM_CHANGE, T, remove_instances},
    {"instanceGroups.listInstances", "POST", ONE "/listInstances", EM_LIST, T, list_instances},
    {"instanceGroups.setNamedPorts", "POST", ONE "/setNamedPorts", EM_CHANGE, T, set_named_ports},
    {0},
};
