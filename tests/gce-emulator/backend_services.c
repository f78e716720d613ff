/* SPDX-License-Identifier: Apache-2.0 */
/* Backend services of passthrough load balancers, regional; global ones are kept as they come. */
#include "backend_services.h"

#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "forwarding_rules.h"
#include "health.h"
#include "instance_groups.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"

const struct em_type em_backend_service_type = {.collection = "backendServices",
                                                .kind = "compute#backendService",
                                                .parameter = "backendService",
                                                .scopes = "global regions"};

/* ---- who uses what ---------------------------------------------------------------- */

struct search {
    const struct em_resource *resource; /* wanted */
    const char *member;
    const struct em_resource *except;
    const char *found;
};

static bool refers(const json_t *service, const char *member, const char *link)
{
    const json_t *list = json_object_get(service, member), *element;
    size_t i;

    json_array_foreach(list, i, element)
    {
        const char *text = json_is_object(element) ? em_text(element, "group") : json_string_value(element);

        if (text != NULL && strcmp(text, link) == 0) {
            return true;
        }
    }
    return false;
}

static void search_user(struct em_collection *collection, void *context)
{
    struct search *search = context;
    char *link = em_link(search->resource->path);
    struct em_resource *service;

    EM_FOR_EACH(service, collection)
    {
        if (search->found == NULL && refers(service->json, search->member, link)) {
            search->found = service->path;
        }
    }
    free(link);
}

const char *em_backend_services_user(const struct em_resource *resource, const char *member)
{
    struct search search = {.resource = resource, .member = member};

    em_store_visit(resource->collection->project, &em_backend_service_type, search_user, &search);
    return search.found;
}

static void search_holding(struct em_collection *collection, void *context)
{
    struct search *search = context;
    char *link = em_link(search->resource->path);
    struct em_resource *group;

    EM_FOR_EACH(group, collection)
    {
        if (search->found == NULL && group != search->except &&
            em_array_find(em_instance_group_members(group), link) >= 0 &&
            em_backend_services_user(group, "backends") != NULL) {
            search->found = group->path;
        }
    }
    free(link);
}

const char *em_backend_services_holding(const struct em_resource *instance, const struct em_resource *except)
{
    struct search search = {.resource = instance, .except = except};

    em_store_visit(instance->collection->project, &em_instance_group_type, search_holding, &search);
    return search.found;
}

/* ---- what a service must be ----------------------------------------------------------- */

static struct em_answer check_health_checks(struct em_request *request, json_t *json)
{
    json_t *checks = json_object_get(json, "healthChecks");
    const char *text = json_string_value(json_array_get(checks, 0));
    struct em_answer answer = {0};
    struct em_resource *check;
    char *link;

    if (json_array_size(checks) != 1 || text == NULL) {
        return em_error(400, "invalid",
                        "Invalid value for field 'resource.healthChecks': ''. Exactly one health check "
                        "must be specified.");
    }
    check = em_links_resolve(request, text, request->scope,
                             strstr(text, "httpHealthChecks/") != NULL ? "httpHealthChecks" : "healthChecks",
                             "resource.healthChecks[0]", &answer);
    if (check == NULL) {
        return answer;
    }
    if (strncmp(check->collection->scope, "regions/", 8) == 0 &&
        strcmp(check->collection->scope, request->scope) != 0) {
        return em_error_invalid("resource.healthChecks[0]", text, "The health check lies in another region.");
    }
    link = em_link(check->path);
    json_array_set_new(checks, 0, json_string(link));
    free(link);
    return answer;
}

static bool in_region(const struct em_resource *group, const char *scope)
{
    char *region = em_region_of(group->collection->scope), *wanted = em_region_of(scope);
    bool same = strcmp(scope, "global") == 0 || strcmp(region, wanted) == 0;

    free(region);
    free(wanted);
    return same;
}

/* Members of a group that gets load balanced may be in no other such group. */
static struct em_answer check_members(const struct em_resource *group)
{
    const json_t *link;
    size_t i;

    json_array_foreach(em_instance_group_members(group), i, link)
    {
        const struct em_resource *instance = em_store_find(em_link_path(json_string_value(link)));
        const char *other = instance == NULL ? NULL : em_backend_services_holding(instance, group);

        if (other != NULL) {
            return em_error(400, "INSTANCE_IN_MULTIPLE_LOAD_BALANCED_IGS",
                            "Validation failed for instance '%s': instance may belong to at most one load-balanced "
                            "instance group.",
                            instance->path);
        }
    }
    return (struct em_answer){0};
}

static struct em_answer check_backends(struct em_request *request, json_t *json)
{
    json_t *backends = json_object_get(json, "backends"), *backend, *seen = json_object();
    struct em_answer answer = {0};
    size_t i;

    json_array_foreach(backends, i, backend)
    {
        const char *given = em_text(backend, "group");
        struct em_resource *group;

        if (given != NULL && strncmp(given, "https://", 8) != 0 && strncmp(given, "http://", 7) != 0) {
            answer = em_error_invalid("resource.backends.group", given, "The URL is malformed: it must be whole.");
            break;
        }
        group = em_links_member(request, backend, "group", request->scope, "instanceGroups", &answer);
        if (group == NULL) {
            break;
        }
        em_default(backend, "balancingMode", "CONNECTION");
        if (strcmp(em_text(backend, "balancingMode"), "CONNECTION") != 0) {
            answer = em_error_invalid("resource.backends.balancingMode", em_text(backend, "balancingMode"),
                                      "Must be CONNECTION for this protocol.");
        } else if (!in_region(group, request->scope)) {
            answer = em_error_invalid("resource.backends.group", group->path, "The group lies in another region.");
        } else if (em_text(group->json, "network") == NULL) {
            answer = em_error_invalid("resource.backends.group", group->path,
                                      "Instance group must have a network to be attached to a backend service. Add an "
                                      "instance to give the instance group a network.");
        } else if (json_object_get(seen, group->path) != NULL) {
            answer = em_error_invalid("resource.backends.group", group->path, "Duplicate instance groups.");
        } else {
            answer = check_members(group);
        }
        if (answer.status != 0) {
            break;
        }
        json_object_set_new(seen, group->path, json_true());
    }
    json_decref(seen);
    return answer;
}

static struct em_answer check(struct em_request *request, json_t *json)
{
    struct em_answer answer;

    em_default(json, "loadBalancingScheme", "EXTERNAL");
    em_default(json, "protocol", "TCP");
    em_default(json, "sessionAffinity", "NONE");
    if (json_object_get(json, "timeoutSec") == NULL) {
        em_set_number(json, "timeoutSec", 30);
    }
    if (json_object_get(json, "connectionDraining") == NULL) {
        json_object_set_new(json, "connectionDraining", json_pack("{s:i}", "drainingTimeoutSec", 0));
    }
    answer = check_health_checks(request, json);
    return answer.status != 0 ? answer : check_backends(request, json);
}

/* ---- the methods ------------------------------------------------------------------------ */

static void changed(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *service = em_operation_target(operation);
    const json_t *json = json_object_get(arguments, "json");
    const char *given = em_text(arguments, "fingerprint");

    if (service == NULL) {
        return;
    }
    if (given != NULL && !em_fingerprint_equal(given, em_text(service->json, "fingerprint"))) {
        em_operation_fail(operation, 412, em_operation_error("CONDITION_NOT_MET", "Invalid fingerprint."));
        return;
    }
    if (json != NULL) {
        em_store_replace(service, json);
    }
    em_set_fingerprint(service->json, "fingerprint");
    em_machines_network_changed();
}

static struct em_answer insert(struct em_request *request)
{
    struct em_answer answer = em_insert_check(request);
    const char *name = em_text(request->body, "name");

    if (answer.status == 0) {
        answer = check(request, request->body);
    }
    if (answer.status == 0) {
        answer = em_quotas_check(request->project, "", "BACKEND_SERVICES", 1);
    }
    if (answer.status != 0) {
        return answer;
    }
    em_set_fingerprint(request->body, "fingerprint");
    return em_operation_start_alone(
        request,
        em_store_add(request->project, request->scope, &em_backend_service_type, name, json_incref(request->body)),
        "insert", changed, NULL);
}

/* `json` is taken. */
static struct em_answer change(struct em_request *request, struct em_resource *service, json_t *json, const char *type)
{
    const char *given = em_text(request->body, "fingerprint"), *scheme = em_text(service->json, "loadBalancingScheme");
    struct em_answer answer = {0};

    if (em_operation_busy(service, &answer)) {
    } else if (!em_fingerprint_equal(given, em_text(service->json, "fingerprint"))) {
        answer = em_error_fingerprint("Invalid fingerprint.");
    } else if (em_text(json, "loadBalancingScheme") != NULL &&
               strcmp(em_text(json, "loadBalancingScheme"), scheme) != 0) {
        answer = em_error_invalid("resource.loadBalancingScheme", em_text(json, "loadBalancingScheme"),
                                  "The load balancing scheme cannot be changed.");
    } else {
        em_default(json, "loadBalancingScheme", scheme);
        answer = check(request, json);
    }
    if (answer.status != 0) {
        json_decref(json);
        return answer;
    }
    return em_operation_start(request, service, type, changed,
                              json_pack("{s:o,s:s}", "json", json, "fingerprint", given));
}

static struct em_answer patch(struct em_request *request)
{
    struct em_resource *service = em_store_of(request);
    json_t *json;

    if (service == NULL) {
        return em_get(request);
    }
    json = json_deep_copy(service->json);
    em_merge(json, request->body);
    if (json_array_size(json_object_get(json, "backends")) == 0) {
        json_object_del(json, "backends");
    }
    return change(request, service, json, "patch");
}

static struct em_answer update(struct em_request *request)
{
    struct em_resource *service = em_store_of(request);

    return service == NULL ? em_get(request) : change(request, service, json_deep_copy(request->body), "update");
}

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    (void)arguments;
    em_store_remove(em_operation_target(operation));
    em_operation_target_gone(operation);
    em_machines_network_changed();
}

static struct em_answer delete (struct em_request *request)
{
    struct em_resource *service = em_store_of(request);
    struct em_answer answer;
    const char *user;

    if (service == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(service, &answer)) {
        return answer;
    }
    user = em_forwarding_rules_user(service);
    if (user != NULL) {
        return em_error_in_use("backendServices", service->path, user);
    }
    return em_operation_start_alone(request, service, "delete", delete_done, NULL);
}

/* The answer has one entry for each member and each rule: without a rule nothing is probed. */
static struct em_answer get_health(struct em_request *request)
{
    struct em_resource *service = em_store_of(request), *group;
    struct em_answer answer = {0};
    json_t *json, *link;
    size_t i;

    if (service == NULL) {
        return em_get(request);
    }
    group = em_links_member(request, request->body, "group", request->scope, "instanceGroups", &answer);
    if (group == NULL) {
        return answer;
    }
    if (!refers(service->json, "backends", em_text(request->body, "group"))) {
        return em_error_invalid("group", em_text(request->body, "group"), "The group is no backend of the service.");
    }
    json = json_pack("{s:s}", "kind", "compute#backendServiceGroupHealth");
    json_array_foreach(em_instance_group_members(group), i, link)
    {
        em_health_add(json, service, em_store_find(em_link_path(json_string_value(link))));
    }
    return em_ok(json);
}

#define R   "projects/{project}/regions/{region}/backendServices"
#define G   "projects/{project}/global/backendServices"
#define ONE "/{backendService}"
#define T   &em_backend_service_type

const struct em_method em_backend_services_methods[] = {
    {"regionBackendServices.insert", "POST", R, EM_CHANGE, T, insert},
    {"regionBackendServices.get", "GET", R ONE, EM_READ, T, em_get},
    {"regionBackendServices.list", "GET", R, EM_LIST, T, em_list},
    {"regionBackendServices.delete", "DELETE", R ONE, EM_CHANGE, T, delete},
    {"regionBackendServices.patch", "PATCH", R ONE, EM_CHANGE, T, patch},
    {"regionBackendServices.update", "PUT", R ONE, EM_CHANGE, T, update},
    {"regionBackendServices.getHealth", "POST", R ONE "/getHealth", EM_READ, T, get_health},
    {"backendServices.insert", "POST", G, EM_CHANGE, T, insert},
    {"backendServices.get", "GET", G ONE, EM_READ, T, em_get},
    {"backendServices.list", "GET", G, EM_LIST, T, em_list},
    {"backendServices.delete", "DELETE", G ONE, EM_CHANGE, T, delete},
    {"backendServices.patch", "PATCH", G ONE, EM_CHANGE, T, patch},
    {"backendServices.getHealth", "POST", G ONE "/getHealth", EM_READ, T, get_health},
    {0},
};
