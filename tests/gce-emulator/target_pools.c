/* SPDX-License-Identifier: Apache-2.0 */
/* Target pools. An instance that is deleted stays named in them, as in the real ones. */
#include "target_pools.h"

#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "forwarding_rules.h"
#include "health.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"

const struct em_type em_target_pool_type = {
    .collection = "targetPools", .kind = "compute#targetPool", .parameter = "targetPool", .scopes = "regions"};

struct search {
    const char *member;
    char *link;
    const char *found;
};

static void search_user(struct em_collection *collection, void *context)
{
    struct search *search = context;
    struct em_resource *pool;

    EM_FOR_EACH(pool, collection)
    {
        if (em_array_find(json_object_get(pool->json, search->member), search->link) >= 0) {
            search->found = pool->path;
        }
    }
}

const char *em_target_pools_user(const struct em_resource *resource, const char *member)
{
    struct search search = {.member = member, .link = em_link(resource->path)};

    em_store_visit(resource->collection->project, &em_target_pool_type, search_user, &search);
    free(search.link);
    return search.found;
}

static struct em_resource *pool_of(struct em_request *request, struct em_answer *answer)
{
    struct em_resource *pool = em_store_of(request);

    if (pool == NULL) {
        *answer = em_get(request);
        return NULL;
    }
    return em_operation_busy(pool, answer) ? NULL : pool;
}

/* Makes links of what the body says, in place. `instances` must exist unless they are to be removed. */
static struct em_answer resolve(struct em_request *request, json_t *list, const char *collection, bool must_exist)
{
    json_t *element;
    size_t i;

    json_array_foreach(list, i, element)
    {
        struct em_answer answer = {0};
        char *path = em_links_path(json_string_value(element), request->project, "global", collection), *link;

        if (path == NULL) {
            return em_error_invalid(collection, json_string_value(element), "The URL is malformed.");
        }
        if (must_exist && em_store_find(path) == NULL) {
            answer = em_error_not_found(path);
        }
        link = em_link(path);
        json_array_set_new(list, i, json_string(link));
        free(link);
        free(path);
        if (answer.status != 0) {
            return answer;
        }
    }
    return (struct em_answer){0};
}

static struct em_answer check_zones(const struct em_request *request, const json_t *instances)
{
    json_t *link;
    size_t i;

    json_array_foreach(instances, i, link)
    {
        const struct em_resource *instance = em_store_find(em_link_path(json_string_value(link)));
        char *region = em_region_of(instance->collection->scope);
        bool here = strcmp(region, strchr(request->scope, '/') + 1) == 0;

        free(region);
        if (!here) {
            return em_error_invalid("instances", json_string_value(link), "The instance lies in another region.");
        }
    }
    return (struct em_answer){0};
}

static void changed(struct em_operation *operation, json_t *arguments)
{
    (void)operation;
    (void)arguments;
    em_machines_network_changed();
}

static struct em_answer insert(struct em_request *request)
{
    json_t *json = request->body;
    struct em_answer answer = em_insert_check(request);

    em_default(json, "sessionAffinity", "NONE");
    if (answer.status == 0) {
        answer = resolve(request, json_object_get(json, "instances"), "instances", true);
    }
    if (answer.status == 0) {
        answer = check_zones(request, json_object_get(json, "instances"));
    }
    if (answer.status == 0) {
        answer = resolve(request, json_object_get(json, "healthChecks"), "httpHealthChecks", true);
    }
    if (answer.status == 0 && json_array_size(json_object_get(json, "healthChecks")) > 1) {
        answer = em_error(400, "invalid", "A target pool has at most one health check.");
    }
    if (answer.status == 0) {
        answer = em_quotas_check(request->project, "", "TARGET_POOLS", 1);
    }
    if (answer.status != 0) {
        return answer;
    }
    return em_operation_start_alone(
        request,
        em_store_add(request->project, request->scope, &em_target_pool_type, em_text(json, "name"), json_incref(json)),
        "insert", changed, NULL);
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
    struct em_answer answer = {0};
    struct em_resource *pool = pool_of(request, &answer);
    const char *user;

    if (pool == NULL) {
        return answer;
    }
    user = em_forwarding_rules_user(pool);
    if (user != NULL) {
        return em_error_in_use("targetPools", pool->path, user);
    }
    return em_operation_start_alone(request, pool, "delete", delete_done, NULL);
}

/* ---- members and health checks ------------------------------------------------------ */

static void list_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *pool = em_operation_target(operation);
    const char *member = em_text(arguments, "member");
    bool add = em_true(arguments, "add");
    json_t *link;
    size_t i;

    if (pool == NULL) {
        return;
    }
    json_array_foreach(json_object_get(arguments, "links"), i, link)
    {
        if (!add) {
            em_array_drop(pool->json, member, json_string_value(link));
        } else if (em_array_find(json_object_get(pool->json, member), json_string_value(link)) < 0) {
            json_array_append(em_array(pool->json, member), link);
        }
    }
    em_machines_network_changed();
}

/* {"instances": [{"instance": LINK}]} -> [LINK] */
static json_t *links_of(const json_t *body, const char *member, const char *inner)
{
    json_t *links = json_array(), *reference;
    size_t i;

    json_array_foreach(json_object_get(body, member), i, reference)
    {
        json_array_append_new(links, json_string(em_text(reference, inner) == NULL ? "" : em_text(reference, inner)));
    }
    return links;
}

static struct em_answer change_list(struct em_request *request, const char *member, const char *inner,
                                    const char *collection, bool add, const char *type)
{
    struct em_answer answer = {0};
    struct em_resource *pool = pool_of(request, &answer);
    json_t *links;

    if (pool == NULL) {
        return answer;
    }
    links = links_of(request->body, member, inner);
    if (json_array_size(links) == 0) {
        json_decref(links);
        return em_error_required(member);
    }
    answer = resolve(request, links, collection, add);
    if (answer.status == 0 && add && strcmp(member, "instances") == 0) {
        answer = check_zones(request, links);
    }
    if (answer.status != 0) {
        json_decref(links);
        return answer;
    }
    return em_operation_start(request, pool, type, list_done,
                              json_pack("{s:s,s:o,s:b}", "member", member, "links", links, "add", add));
}

static struct em_answer add_instance(struct em_request *request)
{
    return change_list(request, "instances", "instance", "instances", true, "AddInstance");
}

static struct em_answer remove_instance(struct em_request *request)
{
    return change_list(request, "instances", "instance", "instances", false, "RemoveInstance");
}

static struct em_answer add_health_check(struct em_request *request)
{
    return change_list(request, "healthChecks", "healthCheck", "httpHealthChecks", true, "AddHealthCheck");
}

static struct em_answer remove_health_check(struct em_request *request)
{
    return change_list(request, "healthChecks", "healthCheck", "httpHealthChecks", false, "RemoveHealthCheck");
}

static struct em_answer get_health(struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *pool = pool_of(request, &answer), *instance;
    json_t *json;

    if (pool == NULL) {
        return answer;
    }
    instance = em_links_member(request, request->body, "instance", "global", "instances", &answer);
    if (instance == NULL) {
        return answer;
    }
    if (em_array_find(json_object_get(pool->json, "instances"), em_text(request->body, "instance")) < 0) {
        return em_error_invalid("instance", em_text(request->body, "instance"), "The instance is not in the pool.");
    }
    json = json_pack("{s:s}", "kind", "compute#targetPoolInstanceHealth");
    em_health_add(json, pool, instance);
    return em_ok(json);
}

static void backup_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *pool = em_operation_target(operation);

    if (pool != NULL) {
        em_merge(pool->json, arguments);
    }
}

static struct em_answer set_backup(struct em_request *request)
{
    const char *ratio = em_text(request->query, "failoverRatio");
    struct em_answer answer = {0};
    struct em_resource *pool = pool_of(request, &answer);
    json_t *arguments;

    if (pool == NULL ||
        em_links_member(request, request->body, "target", request->scope, "targetPools", &answer) == NULL) {
        return answer;
    }
    arguments = json_pack("{s:s}", "backupPool", em_text(request->body, "target"));
    if (ratio != NULL) {
        json_object_set_new(arguments, "failoverRatio", json_real(strtod(ratio, NULL)));
    }
    return em_operation_start(request, pool, "SetBackup", backup_done, arguments);
}

#define ALL "projects/{project}/regions/{region}/targetPools"
#define ONE ALL "/{targetPool}"
#define T   &em_target_pool_type

const struct em_method em_target_pools_methods[] = {
    {"targetPools.insert", "POST", ALL, EM_CHANGE, T, insert},
    {"targetPools.get", "GET", ONE, EM_READ, T, em_get},
    {"targetPools.list", "GET", ALL, EM_LIST, T, em_list},
    {"targetPools.delete", "DELETE", ONE, EM_CHANGE, T, delete},
    {"targetPools.aggregatedList", "GET", "projects/{project}/aggregated/targetPools", EM_LIST, T, em_aggregated_list},
    {"targetPools.addInstance", "POST", ONE "/addInstance", EM_CHANGE, T, add_instance},
    {"targetPools.removeInstance", "POST", ONE "/removeInstance", EM_CHANGE, T, remove_instance},
    {"targetPools.addHealthCheck", "POST", ONE "/addHealthCheck", EM_CHANGE, T, add_health_check},
    {"targetPools.removeHealthCheck", "POST", ONE "/removeHealthCheck", EM_CHANGE, T, remove_health_check},
    {"targetPools.getHealth", "POST", ONE "/getHealth", EM_READ, T, get_health},
    {"targetPools.setBackup", "POST", ONE "/setBackup", EM_CHANGE, T, set_backup},
    {0},
};
