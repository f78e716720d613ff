/* SPDX-License-Identifier: Apache-2.0 */
#include "health_checks.h"

#include <string.h>

#include "backend_services.h"
#include "errors.h"
#include "labels.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"
#include "target_pools.h"

const struct em_type em_health_check_type = {.collection = "healthChecks",
                                             .kind = "compute#healthCheck",
                                             .parameter = "healthCheck",
                                             .scopes = "global regions"};
const struct em_type em_http_health_check_type = {
    .collection = "httpHealthChecks", .kind = "compute#httpHealthCheck", .parameter = "httpHealthCheck"};

/* Which member of the body belongs to which type, and the port that it has by itself. */
static const struct {
    const char *type, *member;
    int port;
} kinds[] = {
    {"TCP", "tcpHealthCheck", 80},      {"SSL", "sslHealthCheck", 443},     {"HTTP", "httpHealthCheck", 80},
    {"HTTPS", "httpsHealthCheck", 443}, {"HTTP2", "http2HealthCheck", 443}, {"GRPC", "grpcHealthCheck", 0},
};

static struct em_answer check_times(json_t *json)
{
    static const struct {
        const char *name;
        int otherwise, least, most;
    } numbers[] = {{"checkIntervalSec", 5, 1, 300},
                   {"timeoutSec", 5, 1, 300},
                   {"healthyThreshold", 2, 1, 10},
                   {"unhealthyThreshold", 2, 1, 10}};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        long long value = em_number(json, numbers[i].name, numbers[i].otherwise);

        if (value < numbers[i].least || value > numbers[i].most) {
            return em_error(400, "invalid", "Invalid value for field 'resource.%s': '%lld'. Must be between %d and %d.",
                            numbers[i].name, value, numbers[i].least, numbers[i].most);
        }
        em_set_number(json, numbers[i].name, value);
    }
    if (em_number(json, "timeoutSec", 5) > em_number(json, "checkIntervalSec", 5)) {
        return em_error(400, "invalid",
                        "Invalid value for field 'resource.timeoutSec': '%lld'. Must be less than or "
                        "equal to checkIntervalSec.",
                        em_number(json, "timeoutSec", 5));
    }
    return (struct em_answer){0};
}

static struct em_answer check_kind(json_t *json)
{
    const char *type = em_text(json, "type");
    json_t *inside;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        bool this = type != NULL && strcmp(type, kinds[i].type) == 0;

        inside = json_object_get(json, kinds[i].member);
        if (!this && inside != NULL) {
            return em_error(400, "invalid",
                            "Invalid value for field 'resource.%s': it does not belong to a health check "
                            "of type %s.",
                            kinds[i].member, type == NULL ? "(none)" : type);
        }
        if (!this) {
            continue;
        }
        if (inside == NULL) {
            inside = json_object();
            json_object_set_new(json, kinds[i].member, inside);
        }
        if (json_object_get(inside, "port") == NULL && kinds[i].port != 0) {
            em_set_number(inside, "port", kinds[i].port);
        }
        em_default(inside, "proxyHeader", "NONE");
        if (strstr(type, "HTTP") != NULL) {
            em_default(inside, "requestPath", "/");
        }
    }
    return type == NULL ? em_error_required("resource.type") : (struct em_answer){0};
}

static struct em_answer check(const struct em_request *request, json_t *json)
{
    struct em_answer answer = check_times(json);

    if (answer.status != 0) {
        return answer;
    }
    if (request->method->type == &em_health_check_type) {
        return check_kind(json);
    }
    em_default(json, "requestPath", "/");
    if (json_object_get(json, "port") == NULL) {
        em_set_number(json, "port", 80);
    }
    return answer;
}

static void changed(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *resource = em_operation_target(operation);
    const json_t *json = json_object_get(arguments, "json");

    if (resource != NULL && json != NULL) {
        em_store_replace(resource, json);
    }
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
        answer = em_quotas_check(request->project, "", "HEALTH_CHECKS", 1);
    }
    if (answer.status != 0) {
        return answer;
    }
    return em_operation_start_alone(
        request,
        em_store_add(request->project, request->scope, request->method->type, name, json_incref(request->body)),
        "insert", changed, NULL);
}

static struct em_answer patch(struct em_request *request)
{
    struct em_resource *resource = em_store_of(request);
    struct em_answer answer;
    json_t *json;

    if (resource == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(resource, &answer)) {
        return answer;
    }
    json = json_deep_copy(resource->json);
    em_merge(json, request->body);
    answer = check(request, json);
    if (answer.status != 0) {
        json_decref(json);
        return answer;
    }
    return em_operation_start(request, resource, "patch", changed, json_pack("{s:o}", "json", json));
}

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    (void)arguments;
    em_store_remove(em_operation_target(operation));
    em_operation_target_gone(operation);
}

static struct em_answer delete (struct em_request *request)
{
    struct em_resource *resource = em_store_of(request);
    struct em_answer answer;
    const char *user;

    if (resource == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(resource, &answer)) {
        return answer;
    }
    user = em_backend_services_user(resource, "healthChecks");
    if (user == NULL) {
        user = em_target_pools_user(resource, "healthChecks");
    }
    if (user != NULL) {
        return em_error_in_use(resource->collection->type->collection, resource->path, user);
    }
    return em_operation_start_alone(request, resource, "delete", delete_done, NULL);
}

#define G    "projects/{project}/global/healthChecks"
#define R    "projects/{project}/regions/{region}/healthChecks"
#define H    "projects/{project}/global/httpHealthChecks"
#define ONE  "/{healthCheck}"
#define ONEH "/{httpHealthCheck}"
#define T    &em_health_check_type
#define TH   &em_http_health_check_type

const struct em_method em_health_checks_methods[] = {
    {"healthChecks.insert", "POST", G, EM_CHANGE, T, insert},
    {"healthChecks.get", "GET", G ONE, EM_READ, T, em_get},
    {"healthChecks.list", "GET", G, EM_LIST, T, em_list},
    {"healthChecks.delete", "DELETE", G ONE, EM_CHANGE, T, delete},
    {"healthChecks.patch", "PATCH", G ONE, EM_CHANGE, T, patch},
    {"regionHealthChecks.insert", "POST", R, EM_CHANGE, T, insert},
    {"regionHealthChecks.get", "GET", R ONE, EM_READ, T, em_get},
    {"regionHealthChecks.list", "GET", R, EM_LIST, T, em_list},
    {"regionHealthChecks.delete", "DELETE", R ONE, EM_CHANGE, T, delete},
    {"regionHealthChecks.patch", "PATCH", R ONE, EM_CHANGE, T, patch},
    {"httpHealthChecks.insert", "POST", H, EM_CHANGE, TH, insert},
    {"httpHealthChecks.get", "GET", H ONEH, EM_READ, TH, em_get},
    {"httpHealthChecks.list", "GET", H, EM_LIST, TH, em_list},
    {"httpHealthChecks.delete", "DELETE", H ONEH, EM_CHANGE, TH, delete},
    {"httpHealthChecks.patch", "PATCH", H ONEH, EM_CHANGE, TH, patch},
    {0},
};
