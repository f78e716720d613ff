/* SPDX-License-Identifier: Apache-2.0 */
#include "operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "counts.h"
#include "errors.h"
#include "faults.h"
#include "latency.h"
#include "lists.h"
#include "server.h"
#include "store.h"
#include "timers.h"

/* A connection that waits for an operation. */
struct waiter {
    struct em_connection *connection;
    struct em_operation *operation;
    struct em_timer timer; /* the cap */
    struct waiter *next;
};

struct em_operation {
    char *path;   /* of the operation */
    char *target; /* path of what it changes */
    em_effect *effect;
    json_t *arguments;
    struct em_timer timer;
    unsigned rest_ms; /* after PENDING */
    bool alone, held, target_gone;
    struct em_call_count count; /* the call that began it */
    struct waiter *waiters;
    struct em_operation *next, *previous; /* of those that are not done */
};

static struct em_operation *running;
static size_t running_count;
static unsigned wait_cap_ms = 120000;
static json_t *request_ids; /* "project/id" -> {operation, call} */

const struct em_type em_operation_type = {.collection = "operations",
                                          .kind = "compute#operation",
                                          .parameter = "operation",
                                          .scopes = "global regions zones"};

static json_t *json_of(const struct em_operation *operation)
{
    struct em_resource *resource = em_store_find(operation->path);

    return resource == NULL ? NULL : resource->json;
}

struct em_resource *em_operation_target(const struct em_operation *operation)
{
    return operation->target_gone ? NULL : em_store_find(operation->target);
}

void em_operation_target_gone(struct em_operation *operation)
{
    operation->target_gone = true;
}

static void answer_waiters(struct em_operation *operation)
{
    while (operation->waiters != NULL) {
        struct waiter *waiter = operation->waiters;

        operation->waiters = waiter->next;
        em_timer_clear(&waiter->timer);
        em_connection_answer(waiter->connection, em_ok(json_deep_copy(json_of(operation))));
        free(waiter);
    }
}

static void free_operation(struct em_operation *operation)
{
    em_timer_clear(&operation->timer);
    if (operation->previous != NULL) {
        operation->previous->next = operation->next;
    } else {
        running = operation->next;
    }
    if (operation->next != NULL) {
        operation->next->previous = operation->previous;
    }
    running_count--;
    json_decref(operation->arguments);
    free(operation->path);
    free(operation->target);
    free(operation);
}

void em_operation_finish(struct em_operation *operation)
{
    json_t *json = json_of(operation);
    struct em_resource *target = em_operation_target(operation);

    em_set(json, "status", "DONE");
    em_set_number(json, "progress", 100);
    em_set_timestamp(json, "endTime");
    if (target != NULL && target->busy == operation) {
        target->busy = NULL;
    }
    if (target != NULL) {
        em_store_changed(target);
    }
    em_counts_done(&operation->count);
    answer_waiters(operation);
    free_operation(operation);
}

void em_operation_hold(struct em_operation *operation)
{
    operation->held = true;
}

void em_operation_fail(struct em_operation *operation, int status, json_t *error)
{
    static const struct {
        int status;
        const char *words;
    } names[] = {{400, "BAD REQUEST"}, {403, "FORBIDDEN"},           {404, "NOT FOUND"},
                 {409, "CONFLICT"},    {412, "PRECONDITION FAILED"}, {503, "SERVICE UNAVAILABLE"}};
    json_t *json = json_of(operation);

    em_set_number(json, "httpErrorStatusCode", status);
    em_set(json, "httpErrorMessage", "INTERNAL SERVER ERROR");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].status == status) {
            em_set(json, "httpErrorMessage", names[i].words);
        }
    }
    json_object_set_new(json, "error", json_pack("{s:[o]}", "errors", error));
}

void em_operation_undo_insert(struct em_operation *operation)
{
    struct em_resource *target = em_operation_target(operation);

    if (target == NULL) {
        return;
    }
    if (target->collection->type->undo != NULL) {
        target->collection->type->undo(target);
    } else {
        em_store_remove(target);
    }
    em_operation_target_gone(operation);
}

/* An injected failure ends what an insert had begun. */
static bool fail_by_fault(struct em_operation *operation)
{
    json_t *json = json_of(operation), *fault = json_object_get(operation->arguments, " fault");
    struct em_resource *target = em_operation_target(operation);
    const char *type = em_text(json, "operationType");

    if (fault == NULL) {
        return false;
    }
    em_operation_fail(operation, (int)em_number(fault, "http", 500),
                      em_operation_error(em_text(fault, "code"), em_text(fault, "message")));
    if (target != NULL && strcmp(type, "insert") == 0) {
        em_operation_undo_insert(operation);
    }
    return true;
}

static void run_effect(void *context)
{
    struct em_operation *operation = context;

    em_counts_effect(&operation->count);
    if (!fail_by_fault(operation) && operation->effect != NULL) {
        operation->effect(operation, operation->arguments);
    }
    em_counts_effect(NULL);
    if (!operation->held) {
        em_operation_finish(operation);
    }
}

static void begin_running(void *context)
{
    struct em_operation *operation = context;
    json_t *json = json_of(operation);

    em_set(json, "status", "RUNNING");
    em_set_timestamp(json, "startTime");
    em_timer_set(&operation->timer, operation->rest_ms, run_effect, operation);
}

static void remember(const struct em_request *request, const char *operation_path)
{
    const char *id = em_text(request->query, "requestId");
    char *key;

    if (id == NULL) {
        return;
    }
    if (request_ids == NULL) {
        request_ids = json_object();
    }
    key = em_format("%s/%s", request->project, id);
    json_object_set_new(request_ids, key,
                        json_pack("{s:s,s:s,s:O,s:O?}", "operation", operation_path, "method", request->method->id,
                                  "variables", request->variables, "body", request->sent));
    free(key);
}

struct em_answer em_operations_repeated(const struct em_request *request)
{
    const char *id = em_text(request->query, "requestId");
    const json_t *before;
    struct em_resource *resource;
    char *key;

    if (id == NULL || request_ids == NULL) {
        return (struct em_answer){0};
    }
    key = em_format("%s/%s", request->project, id);
    before = json_object_get(request_ids, key);
    free(key);
    if (before == NULL) {
        return (struct em_answer){0};
    }
    if (strcmp(em_text(before, "method"), request->method->id) != 0 ||
        !json_equal(json_object_get(before, "variables"), request->variables) ||
        !json_equal(json_object_get(before, "body"), request->body == NULL ? json_null() : request->body)) {
        return em_error(400, "invalid",
                        "Invalid value for field 'requestId': '%s'. The request id was used before, "
                        "for another request.",
                        id);
    }
    resource = em_store_find(em_text(before, "operation"));
    return resource == NULL ? (struct em_answer){0} : em_ok(json_deep_copy(resource->json));
}

const char *em_operations_request_id_wrong(const char *id)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (strlen(id) != sizeof(form) - 1) {
        return "Request id must be a valid UUID.";
    }
    for (size_t i = 0; form[i] != '\0'; i++) {
        if (form[i] == '-' ? id[i] != '-' : strchr("0123456789abcdefABCDEF", id[i]) == NULL) {
            return "Request id must be a valid UUID.";
        }
    }
    return strspn(id, "0-") == strlen(id) ? "Zero UUID is not supported." : NULL;
}

static json_t *new_json(struct em_request *request, struct em_resource *target, const char *type)
{
    json_t *json = json_pack("{s:s,s:s,s:i}", "operationType", type, "status", "PENDING", "progress", 0);

    em_set_link(json, "targetLink", target->path);
    em_set_u64(json, "targetId", target->id);
    em_set_timestamp(json, "insertTime");
    em_set(json, "user", request->user);
    em_set(json, "clientOperationId", em_text(request->query, "requestId"));
    return json;
}

static void link_running(struct em_operation *operation)
{
    operation->next = running;
    if (running != NULL) {
        running->previous = operation;
    }
    running = operation;
    running_count++;
}

static struct em_answer start(struct em_request *request, struct em_resource *target, const char *type,
                              em_effect *effect, json_t *arguments, bool alone)
{
    struct em_operation *operation = em_alloc(sizeof(*operation));
    struct em_resource *resource;
    unsigned latency_ms = em_latency_operation_ms(request->method->id);
    json_t *fault = em_faults_operation_error(request);
    char name[96];

    snprintf(name, sizeof(name), "operation-%lld-%08llx-%08llx", (long long)time(NULL) * 1000,
             (unsigned long long)(em_random() & 0xffffffff), (unsigned long long)(em_random() & 0xffffffff));
    resource =
        em_store_add(request->project, request->scope, &em_operation_type, name, new_json(request, target, type));
    operation->path = em_strdup(resource->path);
    operation->target = em_strdup(target->path);
    operation->effect = effect;
    operation->arguments = arguments == NULL ? json_object() : arguments;
    if (fault != NULL) {
        json_object_set_new(operation->arguments, " fault", fault);
    }
    operation->count = request->connection->count;
    operation->alone = alone;
    if (alone) {
        target->busy = operation;
    }
    link_running(operation);
    operation->rest_ms = latency_ms - latency_ms / 4;
    em_timer_set(&operation->timer, latency_ms / 4, begin_running, operation);
    remember(request, resource->path);
    return em_ok(json_deep_copy(resource->json));
}

struct em_answer em_operation_start(struct em_request *request, struct em_resource *target, const char *type,
                                    em_effect *effect, json_t *arguments)
{
    return start(request, target, type, effect, arguments, false);
}

struct em_answer em_operation_start_alone(struct em_request *request, struct em_resource *target, const char *type,
                                          em_effect *effect, json_t *arguments)
{
    return start(request, target, type, effect, arguments, true);
}

bool em_operation_busy(const struct em_resource *resource, struct em_answer *answer)
{
    if (resource->busy == NULL) {
        return false;
    }
    *answer = em_error_not_ready(resource->path);
    return true;
}

static struct em_operation *find_running(const char *path)
{
    for (struct em_operation *operation = running; operation != NULL; operation = operation->next) {
        if (strcmp(operation->path, path) == 0) {
            return operation;
        }
    }
    return NULL;
}

static void wait_is_over(void *context)
{
    struct waiter *waiter = context, **place = &waiter->operation->waiters;

    while (*place != waiter) {
        place = &(*place)->next;
    }
    *place = waiter->next;
    em_connection_answer(waiter->connection, em_ok(json_deep_copy(json_of(waiter->operation))));
    free(waiter);
}

static struct em_answer operation_wait(struct em_request *request)
{
    struct em_resource *resource = em_store_of(request);
    struct em_operation *operation;
    struct waiter *waiter;

    if (resource == NULL) {
        return em_get(request);
    }
    operation = find_running(resource->path);
    if (operation == NULL) {
        return em_get(request);
    }
    waiter = em_alloc(sizeof(*waiter));
    waiter->connection = request->connection;
    waiter->connection->forget = em_operations_forget;
    waiter->operation = operation;
    waiter->next = operation->waiters;
    operation->waiters = waiter;
    em_timer_set(&waiter->timer, wait_cap_ms, wait_is_over, waiter);
    return (struct em_answer){0};
}

static struct em_answer operation_delete(struct em_request *request)
{
    struct em_resource *resource = em_store_of(request);

    if (resource == NULL) {
        return em_get(request);
    }
    if (find_running(resource->path) != NULL) {
        return em_error_not_ready(resource->path);
    }
    em_store_remove(resource);
    return (struct em_answer){.status = 204};
}

void em_operations_forget(struct em_connection *connection)
{
    for (struct em_operation *operation = running; operation != NULL; operation = operation->next) {
        struct waiter **place = &operation->waiters;

        while (*place != NULL) {
            struct waiter *waiter = *place;

            if (waiter->connection == connection) {
                *place = waiter->next;
                em_timer_clear(&waiter->timer);
                free(waiter);
            } else {
                place = &waiter->next;
            }
        }
    }
}

void em_operations_set_wait_cap(unsigned cap_ms)
{
    wait_cap_ms = cap_ms;
}

size_t em_operations_running(void)
{
    return running_count;
}

void em_operations_clear(void)
{
    while (running != NULL) {
        while (running->waiters != NULL) {
            struct waiter *waiter = running->waiters;

            running->waiters = waiter->next;
            em_timer_clear(&waiter->timer);
            free(waiter);
        }
        free_operation(running);
    }
    json_decref(request_ids);
    request_ids = NULL;
}

#define ZONE   "projects/{project}/zones/{zone}/operations"
#define REGION "projects/{project}/regions/{region}/operations"
#define GLOBAL "projects/{project}/global/operations"
#define ONE    "/{operation}"
#define TYPE   &em_operation_type

const struct em_method em_operations_methods[] = {
    {"zoneOperations.get", "GET", ZONE ONE, EM_OPERATION_READ, TYPE, em_get},
    {"zoneOperations.wait", "POST", ZONE ONE "/wait", EM_OPERATION_READ, TYPE, operation_wait},
    {"zoneOperations.list", "GET", ZONE, EM_LIST, TYPE, em_list},
    {"zoneOperations.delete", "DELETE", ZONE ONE, EM_OPERATION_READ, TYPE, operation_delete},
    {"regionOperations.get", "GET", REGION ONE, EM_OPERATION_READ, TYPE, em_get},
    {"regionOperations.wait", "POST", REGION ONE "/wait", EM_OPERATION_READ, TYPE, operation_wait},
    {"regionOperations.list", "GET", REGION, EM_LIST, TYPE, em_list},
    {"regionOperations.delete", "DELETE", REGION ONE, EM_OPERATION_READ, TYPE, operation_delete},
    {"globalOperations.get", "GET", GLOBAL ONE, EM_OPERATION_READ, TYPE, em_get},
    {"globalOperations.wait", "POST", GLOBAL ONE "/wait", EM_OPERATION_READ, TYPE, operation_wait},
    {"globalOperations.list", "GET", GLOBAL, EM_LIST, TYPE, em_list},
    {"globalOperations.delete", "DELETE", GLOBAL ONE, EM_OPERATION_READ, TYPE, operation_delete},
    {"globalOperations.aggregatedList", "GET", "projects/{project}/aggregated/operations", EM_LIST, TYPE,
     em_aggregated_list},
    {0},
};
