/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "links.h"
#include "lists.h"
#include "operations.h"
#include "store.h"

struct em_answer em_insert_check(const struct em_request *request)
{
    const char *name = em_text(request->body, "name"), *wrong;
    /* The server's own; who sends them is not heard. */
    static const char *const output_only[] = {"users",
                                              "status",
                                              "id",
                                              "selfLink",
                                              "creationTimestamp",
                                              "size",
                                              "lastStartTimestamp",
                                              "lastStopTimestamp",
                                              "lastAttachTimestamp",
                                              "lastDetachTimestamp",
                                              "zone",
                                              "region"};
    struct em_answer answer = {0};
    char *path;

    for (size_t i = 0; i < sizeof(output_only) / sizeof(output_only[0]); i++) {
        json_object_del(request->body, output_only[i]);
    }
    if (name == NULL) {
        return em_error_required("resource.name");
    }
    if (!em_name_good(name)) {
        return em_error_invalid("resource.name", name,
                                "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'");
    }
    wrong = em_labels_wrong(json_object_get(request->body, "labels"));
    if (wrong != NULL) {
        return em_error_invalid("resource.labels", "", wrong);
    }
    path = em_format("projects/%s/%s/%s/%s", request->project, request->scope, request->method->type->collection, name);
    if (em_store_find(path) != NULL) {
        answer = em_error_exists(path);
    }
    free(path);
    return answer;
}

void em_labels_prepare(json_t *json)
{
    em_set_fingerprint(json, "labelFingerprint");
}

void em_labels_prepare_none(json_t *json)
{
    json_object_del(json, "labels");
    em_labels_prepare(json);
}

struct em_answer em_fingerprint_check(const json_t *given, const json_t *current, const char *name, const char *what)
{
    if (em_fingerprint_equal(em_text(given, name), em_text(current, name))) {
        return (struct em_answer){0};
    }
    return em_error_fingerprint(what);
}

#define WORDS "Labels fingerprint either invalid or resource labels have changed"

/* Two that began with the same fingerprint: the second one loses. */
static void labels_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *resource = em_operation_target(operation);
    struct em_answer late;
    json_t *labels;

    if (resource == NULL) {
        em_operation_fail(operation, 404, em_operation_error("RESOURCE_NOT_FOUND", "The resource is gone."));
        return;
    }
    late = em_fingerprint_check(arguments, resource->json, "labelFingerprint", WORDS);
    if (late.status != 0) {
        json_decref(late.body);
        em_operation_fail(operation, 412, em_operation_error("CONDITION_NOT_MET", WORDS));
        return;
    }
    labels = json_object_get(arguments, "labels");
    if (json_object_size(labels) > 0) {
        json_object_set(resource->json, "labels", labels);
    } else {
        json_object_del(resource->json, "labels");
    }
    em_set_fingerprint(resource->json, "labelFingerprint");
}

struct em_answer em_set_labels(struct em_request *request)
{
    struct em_resource *resource = em_store_of(request);
    struct em_answer answer = {0};
    const char *wrong;

    if (resource == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(resource, &answer)) {
        return answer;
    }
    wrong = em_labels_wrong(json_object_get(request->body, "labels"));
    if (wrong != NULL) {
        return em_error_invalid("labels", "", wrong);
    }
    answer = em_fingerprint_check(request->body, resource->json, "labelFingerprint", WORDS);
    if (answer.status != 0) {
        return answer;
    }
    return em_operation_start(request, resource, "setLabels", labels_done, json_incref(request->body));
}
