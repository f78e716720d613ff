/* SPDX-License-Identifier: Apache-2.0 */
/* Regional forwarding rules: an address and ports, and the pool or service that gets what comes there. */
#include "forwarding_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addresses.h"
#include "errors.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"

static void undo(struct em_resource *rule);

const struct em_type em_forwarding_rule_type = {.collection = "forwardingRules",
                                                .kind = "compute#forwardingRule",
                                                .parameter = "forwardingRule",
                                                .scopes = "global regions",
                                                .leads = {"backendService", "target"},
                                                .undo = undo};

struct search {
    const struct em_resource *target;
    em_forwarding_rule_visitor *visitor;
    void *context;
};

static void search_pointing(struct em_collection *collection, void *context)
{
    static const char *const fields[] = {".backendService", ".target"};
    const struct search *search = context;

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        size_t count;
        struct em_resource **rules = em_store_indexed(collection, fields[i], search->target->path, &count);

        for (size_t k = 0; k < count; k++) {
            search->visitor(rules[k], search->context);
        }
        free(rules);
    }
}

void em_forwarding_rules_visit(const struct em_resource *target, em_forwarding_rule_visitor *visitor, void *context)
{
    struct search search = {target, visitor, context};

    em_store_visit(target->collection->project, &em_forwarding_rule_type, search_pointing, &search);
}

static void note_first(struct em_resource *rule, void *context)
{
    const char **found = context;

    if (*found == NULL) {
        *found = rule->path;
    }
}

const char *em_forwarding_rules_user(const struct em_resource *target)
{
    const char *found = NULL;

    em_forwarding_rules_visit(target, note_first, &found);
    return found;
}

static void undo(struct em_resource *rule)
{
    em_addresses_give(em_text(rule->json, "IPAddress"), rule->path);
    em_store_remove(rule);
    em_machines_network_changed();
}

/* ---- insert -------------------------------------------------------------------- */

/* "443" -> "443-443" */
static struct em_answer check_ports(json_t *json)
{
    const char *range = em_text(json, "portRange");
    unsigned from, to;
    char rest;

    if (range == NULL) {
        if (json_object_get(json, "ports") == NULL && !em_true(json, "allPorts")) {
            json_object_set_new(json, "portRange", json_string("1-65535"));
        }
        return (struct em_answer){0};
    }
    if (sscanf(range, "%u-%u%c", &from, &to, &rest) != 2) {
        if (sscanf(range, "%u%c", &from, &rest) != 1) {
            return em_error_invalid("resource.portRange", range, "Invalid port range.");
        }
        to = from;
    }
    if (from > to || to > 65535) {
        return em_error_invalid("resource.portRange", range, "Invalid port range.");
    }
    em_set_format(json, "portRange", "%u-%u", from, to);
    return (struct em_answer){0};
}

static struct em_answer check_target(struct em_request *request, json_t *json)
{
    const char *target = em_text(json, "target"), *service = em_text(json, "backendService");
    struct em_answer answer = {0};
    struct em_resource *resource;

    if ((target == NULL) == (service == NULL)) {
        return em_error(400, "invalid",
                        "Invalid value for field 'resource': a forwarding rule has a target or a backend "
                        "service, and one of them only.");
    }
    if (target != NULL) {
        (void)em_links_member(request, json, "target", request->scope, "targetPools", &answer);
        return answer;
    }
    resource = em_links_member(request, json, "backendService", request->scope, "backendServices", &answer);
    if (resource == NULL) {
        return answer;
    }
    if (strcmp(resource->collection->scope, request->scope) != 0) {
        return em_error_invalid("resource.backendService", em_text(json, "backendService"),
                                "The backend service lies in another region.");
    }
    if (strcmp(em_text(resource->json, "loadBalancingScheme"), em_text(json, "loadBalancingScheme")) != 0) {
        return em_error_invalid("resource.backendService", em_text(json, "backendService"),
                                "The load balancing schemes of rule and backend service differ.");
    }
    if (strcmp(em_text(resource->json, "protocol"), em_text(json, "IPProtocol")) != 0) {
        return em_error_invalid("resource.IPProtocol", em_text(json, "IPProtocol"),
                                "The protocols of rule and backend service differ.");
    }
    return answer;
}

static void insert_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *rule = em_operation_target(operation);
    const char *wanted = em_text(arguments, "ip"), *region = strchr(rule->collection->scope, '/') + 1;
    json_t *error = NULL;
    int status = 400;
    char *ip = em_addresses_take(rule->collection->project, region, wanted, rule->path, &status, &error);

    if (ip == NULL) {
        em_operation_fail(operation, status, error);
        em_operation_undo_insert(operation);
        return;
    }
    em_set(rule->json, "IPAddress", ip);
    free(ip);
    em_machines_network_changed();
}

static struct em_answer check(struct em_request *request, json_t *json)
{
    struct em_answer answer = em_insert_check(request);

    em_default(json, "loadBalancingScheme", "EXTERNAL");
    em_default(json, "IPProtocol", "TCP");
    em_default(json, "networkTier", "PREMIUM");
    if (answer.status == 0) {
        answer = check_target(request, json);
    }
    if (answer.status == 0) {
        answer = check_ports(json);
    }
    if (answer.status == 0) {
        answer = em_quotas_check(request->project, "", "FORWARDING_RULES", 1);
    }
    return answer;
}

static struct em_answer insert(struct em_request *request)
{
    json_t *json = request->body;
    struct em_answer answer = check(request, json);
    const char *wanted = em_text(json, "IPAddress");
    char *ip = NULL;

    if (answer.status != 0) {
        return answer;
    }
    if (strcmp(em_text(json, "loadBalancingScheme"), "EXTERNAL") != 0) {
        return em_error_invalid("resource.loadBalancingScheme", em_text(json, "loadBalancingScheme"),
                                "Only EXTERNAL is emulated.");
    }
    if (wanted != NULL) {
        ip = em_addresses_literal(request, strchr(request->scope, '/') + 1, wanted, "resource.IPAddress", &answer);
        if (ip == NULL) {
            return answer;
        }
        answer = em_addresses_check(ip, em_text(json, "networkTier"));
    }
    if (answer.status == 0) {
        em_set(json, "IPAddress", NULL); /* shown when it has it */
        em_set_fingerprint(json, "fingerprint");
        em_labels_prepare_none(json);
        answer = em_operation_start_alone(request,
                                          em_store_add(request->project, request->scope, &em_forwarding_rule_type,
                                                       em_text(json, "name"), json_incref(json)),
                                          "insert", insert_done, json_pack("{s:s?}", "ip", ip));
    }
    free(ip);
    return answer;
}

/* ---- the other methods ----------------------------------------------------------- */

static struct em_resource *rule_of(struct em_request *request, struct em_answer *answer)
{
    struct em_resource *rule = em_store_of(request);

    if (rule == NULL) {
        *answer = em_get(request);
        return NULL;
    }
    return em_operation_busy(rule, answer) ? NULL : rule;
}

static void changed(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *rule = em_operation_target(operation);

    if (rule != NULL) {
        em_merge(rule->json, arguments);
        em_set_fingerprint(rule->json, "fingerprint");
    }
    em_machines_network_changed();
}

/* Between pools only: whether the real one lets a rule change its kind in place is not known, so this one does not. */
static struct em_answer set_target(struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *rule = rule_of(request, &answer);

    if (rule == NULL) {
        return answer;
    }
    if (em_text(rule->json, "target") == NULL) {
        return em_error(400, "unsupportedOperation",
                        "The target of a forwarding rule with a backend service cannot be "
                        "set.");
    }
    if (em_links_member(request, request->body, "target", request->scope, "targetPools", &answer) == NULL) {
        return answer;
    }
    return em_operation_start(request, rule, "SetTarget", changed,
                              json_pack("{s:s}", "target", em_text(request->body, "target")));
}

static struct em_answer patch(struct em_request *request)
{
    static const char *const fixed[] = {"IPAddress", "IPProtocol", "portRange", "loadBalancingScheme", "networkTier"};
    struct em_answer answer = {0};
    struct em_resource *rule = rule_of(request, &answer);
    const char *given = em_text(request->body, "fingerprint");

    if (rule == NULL) {
        return answer;
    }
    if (given != NULL && !em_fingerprint_equal(given, em_text(rule->json, "fingerprint"))) {
        return em_error_fingerprint("Invalid fingerprint.");
    }
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        const char *text = em_text(request->body, fixed[i]), *is = em_text(rule->json, fixed[i]);

        if (text != NULL && (is == NULL || strcmp(text, is) != 0)) {
            return em_error(400, "invalid", "Invalid value for field 'resource.%s': '%s'. It cannot be changed.",
                            fixed[i], text);
        }
    }
    json_object_del(request->body, "fingerprint");
    return em_operation_start(request, rule, "patch", changed, json_incref(request->body));
}

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    (void)arguments;
    undo(em_operation_target(operation));
    em_operation_target_gone(operation);
}

static struct em_answer delete (struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *rule = rule_of(request, &answer);

    return rule == NULL ? answer : em_operation_start_alone(request, rule, "delete", delete_done, NULL);
}

#define ALL "projects/{project}/regions/{region}/forwardingRules"
#define ONE ALL "/{forwardingRule}"
#define T   &em_forwarding_rule_type

const struct em_method em_forwarding_rules_methods[] = {
    {"forwardingRules.insert", "POST", ALL, EM_CHANGE, T, insert},
    {"forwardingRules.get", "GET", ONE, EM_READ, T, em_get},
    {"forwardingRules.list", "GET", ALL, EM_LIST, T, em_list},
    {"forwardingRules.delete", "DELETE", ONE, EM_CHANGE, T, delete},
    {"forwardingRules.aggregatedList", "GET", "projects/{project}/aggregated/forwardingRules", EM_LIST, T,
     em_aggregated_list},
    {"forwardingRules.setTarget", "POST", ONE "/setTarget", EM_CHANGE, T, set_target},
    {"forwardingRules.patch", "PATCH", ONE, EM_CHANGE, T, patch},
    {"forwardingRules.setLabels", "POST", ALL "/{resource}/setLabels", EM_CHANGE, T, em_set_labels},
    {0},
};
