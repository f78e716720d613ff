/* SPDX-License-Identifier: Apache-2.0 */
/* Firewall rules. Who enforces them is the booting mode (network.c). */
#include "firewalls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"

const struct em_type em_firewall_type = {
    .collection = "firewalls", .kind = "compute#firewall", .parameter = "firewall"};

static bool range_good(const char *text)
{
    char address[64], *slash;
    unsigned char bytes[16];

    snprintf(address, sizeof(address), "%s", text == NULL ? "" : text);
    slash = strchr(address, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (strspn(slash + 1, "0123456789") != strlen(slash + 1) || atoi(slash + 1) > 128) {
            return false;
        }
    }
    return inet_pton(AF_INET, address, bytes) == 1 || inet_pton(AF_INET6, address, bytes) == 1;
}

/* "22" or "8000-8100" */
static bool ports_good(const char *text)
{
    unsigned from, to;
    char rest;

    if (text == NULL) {
        return false;
    }
    if (sscanf(text, "%u-%u%c", &from, &to, &rest) == 2) {
        return from <= to && to <= 65535;
    }
    return sscanf(text, "%u%c", &from, &rest) == 1 && from <= 65535;
}

static struct em_answer check_protocols(const json_t *list, const char *name)
{
    json_t *element, *port;
    size_t i, k;

    json_array_foreach(list, i, element)
    {
        const char *protocol = em_text(element, "IPProtocol");
        const json_t *ports = json_object_get(element, "ports");

        if (protocol == NULL) {
            return em_error(400, "required", "Required field 'resource.%s[%zu].IPProtocol' not specified", name, i);
        }
        if (ports != NULL && strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0 &&
            strcmp(protocol, "sctp") != 0) {
            return em_error(400, "invalid",
                            "Invalid value for field 'resource.%s[%zu].ports': ports may only be "
                            "specified for the protocols tcp, udp and sctp.",
                            name, i);
        }
        json_array_foreach(ports, k, port)
        {
            if (!ports_good(json_string_value(port))) {
                return em_error(400, "invalid",
                                "Invalid value for field 'resource.%s[%zu].ports[%zu]': '%s'. Specified "
                                "port range is invalid.",
                                name, i, k, json_string_value(port));
            }
        }
    }
    return (struct em_answer){0};
}

/* What a rule must be, new or changed. Fills in what was left out. */
static struct em_answer check(struct em_request *request, json_t *rule)
{
    const json_t *allowed = json_object_get(rule, "allowed"), *denied = json_object_get(rule, "denied"), *range;
    struct em_answer answer = {0};
    const char *direction;
    size_t i;

    em_default(rule, "network", "global/networks/default");
    em_default(rule, "direction", "INGRESS");
    direction = em_text(rule, "direction");
    if (em_links_member(request, rule, "network", "global", "networks", &answer) == NULL) {
        return answer;
    }
    if ((json_array_size(allowed) == 0) == (json_array_size(denied) == 0)) {
        return em_error(400, "invalid", "Firewall rule should have either allowed or denied, and one of them only.");
    }
    answer = check_protocols(allowed != NULL ? allowed : denied, allowed != NULL ? "allowed" : "denied");
    if (answer.status != 0) {
        return answer;
    }
    json_array_foreach(json_object_get(rule, "sourceRanges"), i, range)
    {
        if (!range_good(json_string_value(range))) {
            return em_error_invalid("resource.sourceRanges", json_string_value(range),
                                    "Must be a valid CIDR address range.");
        }
    }
    if (strcmp(direction, "INGRESS") == 0 && json_object_get(rule, "sourceRanges") == NULL &&
        json_object_get(rule, "sourceTags") == NULL && json_object_get(rule, "sourceServiceAccounts") == NULL) {
        json_array_append_new(em_array(rule, "sourceRanges"), json_string("0.0.0.0/0"));
    }
    if (json_object_get(rule, "priority") == NULL) {
        em_set_number(rule, "priority", 1000);
    }
    if (em_number(rule, "priority", 0) < 0 || em_number(rule, "priority", 0) > 65535) {
        return em_error(400, "invalid", "Invalid value for field 'resource.priority'. Must be between 0 and 65535.");
    }
    if (json_object_get(rule, "disabled") == NULL) {
        json_object_set_new(rule, "disabled", json_false());
    }
    if (json_object_get(rule, "logConfig") == NULL) {
        json_object_set_new(rule, "logConfig", json_pack("{s:b}", "enable", 0));
    }
    return (struct em_answer){0};
}

static void changed(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *rule = em_operation_target(operation);
    json_t *json = json_object_get(arguments, "json");

    if (rule != NULL && json != NULL) {
        em_store_replace(rule, json);
    }
    if (rule != NULL) {
        json_object_set_new(rule->hidden, "active", json_true());
    }
    em_machines_network_changed();
}

static struct em_answer firewall_insert(struct em_request *request)
{
    struct em_answer answer = em_insert_check(request);
    const char *name = em_text(request->body, "name");

    if (answer.status == 0) {
        answer = check(request, request->body);
    }
    if (answer.status == 0) {
        answer = em_quotas_check(request->project, "", "FIREWALLS", 1);
    }
    if (answer.status != 0) {
        return answer;
    }
    return em_operation_start_alone(
        request, em_store_add(request->project, request->scope, &em_firewall_type, name, json_incref(request->body)),
        "insert", changed, NULL);
}

/* patch lays the body over what is there, update replaces it. */
static struct em_answer change(struct em_request *request, json_t *json, const char *type)
{
    struct em_resource *rule = em_store_of(request);
    struct em_answer answer;

    if (em_operation_busy(rule, &answer)) {
        return answer;
    }
    answer = check(request, json);
    if (answer.status != 0) {
        return answer;
    }
    return em_operation_start(request, rule, type, changed, json_pack("{s:O}", "json", json));
}

static struct em_answer firewall_patch(struct em_request *request)
{
    struct em_resource *rule = em_store_of(request);
    struct em_answer answer;
    json_t *json;

    if (rule == NULL) {
        return em_get(request);
    }
    json = json_deep_copy(rule->json);
    em_merge(json, request->body);
    answer = change(request, json, "patch");
    json_decref(json);
    return answer;
}

static struct em_answer firewall_update(struct em_request *request)
{
    if (em_store_of(request) == NULL) {
        return em_get(request);
    }
    return change(request, request->body, "update");
}

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    (void)arguments;
    em_store_remove(em_operation_target(operation));
    em_operation_target_gone(operation);
    em_machines_network_changed();
}

static struct em_answer firewall_delete(struct em_request *request)
{
    struct em_resource *rule = em_store_of(request);
    struct em_answer answer;

    if (rule == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(rule, &answer)) {
        return answer;
    }
    return em_operation_start_alone(request, rule, "delete", delete_done, NULL);
}

#define ALL "projects/{project}/global/firewalls"

const struct em_method em_firewalls_methods[] = {
    {"firewalls.insert", "POST", ALL, EM_CHANGE, &em_firewall_type, firewall_insert},
    {"firewalls.get", "GET", ALL "/{firewall}", EM_READ, &em_firewall_type, em_get},
    {"firewalls.list", "GET", ALL, EM_LIST, &em_firewall_type, em_list},
    {"firewalls.delete", "DELETE", ALL "/{firewall}", EM_CHANGE, &em_firewall_type, firewall_delete},
    {"firewalls.patch", "PATCH", ALL "/{firewall}", EM_CHANGE, &em_firewall_type, firewall_patch},
    {"firewalls.update", "PUT", ALL "/{firewall}", EM_CHANGE, &em_firewall_type, firewall_update},
    {0},
};
