/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces and their access configs: how an instance has an external address, or has none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addresses.h"
#include "errors.h"
#include "instances.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"

/* The subnetwork that an interface lies in: named, or that of its network in the region. */
static struct em_resource *subnetwork_of(struct em_request *request, json_t *interface, struct em_answer *answer)
{
    char *region = em_region_of(request->scope), *scope = em_format("regions/%s", region);
    struct em_resource *network, *subnetwork = NULL;
    char *path;

    free(region);
    if (em_text(interface, "subnetwork") != NULL) {
        subnetwork = em_links_member(request, interface, "subnetwork", scope, "subnetworks", answer);
        if (subnetwork != NULL) {
            em_set(interface, "network", em_text(subnetwork->json, "network"));
        }
    } else {
        em_default(interface, "network", "global/networks/default");
        network = em_links_member(request, interface, "network", "global", "networks", answer);
        if (network != NULL) {
            path = em_format("projects/%s/%s/subnetworks/%s", network->collection->project, scope, network->name);
            subnetwork = em_store_find(path);
            if (subnetwork == NULL) {
                *answer = em_error_not_found(path);
            } else {
                em_set_link(interface, "subnetwork", path);
            }
            free(path);
        }
    }
    free(scope);
    return subnetwork;
}

/* One access config as the API keeps it. */
static struct em_answer complete_access(struct em_request *request, json_t *access, const char *field)
{
    char *region = em_region_of(request->scope), *ip = NULL;
    struct em_answer answer = {0};

    em_set(access, "kind", "compute#accessConfig");
    em_default(access, "type", "ONE_TO_ONE_NAT");
    em_default(access, "name", "External NAT");
    em_default(access, "networkTier", "PREMIUM");
    if (strcmp(em_text(access, "type"), "ONE_TO_ONE_NAT") != 0) {
        answer = em_error_invalid(field, em_text(access, "type"), "Only ONE_TO_ONE_NAT is emulated.");
    } else if (em_text(access, "natIP") != NULL) {
        ip = em_addresses_literal(request, region, em_text(access, "natIP"), "natIP", &answer);
        if (ip != NULL) {
            em_set(access, "natIP", ip);
            answer = em_addresses_check(ip, em_text(access, "networkTier"));
        }
    }
    free(ip);
    free(region);
    return answer;
}

static struct em_answer prepare_one(struct em_request *request, json_t *interface, const char *instance_path, size_t i)
{
    struct em_answer answer = {0};
    struct em_resource *subnetwork = subnetwork_of(request, interface, &answer);
    json_t *configs = json_object_get(interface, "accessConfigs"), *access;
    char name[16], *ip;
    size_t k;

    if (subnetwork == NULL) {
        return answer;
    }
    if (json_array_size(configs) > 1) {
        return em_error(400, "invalid",
                        "Invalid value for field 'resource.networkInterfaces[%zu].accessConfigs': at "
                        "most one access config currently supported.",
                        i);
    }
    json_array_foreach(configs, k, access)
    {
        answer = complete_access(request, access, "resource.networkInterfaces.accessConfigs.type");
        if (answer.status != 0) {
            return answer;
        }
    }
    ip = em_addresses_take_internal(subnetwork, em_text(interface, "networkIP"), instance_path, &answer);
    if (ip == NULL) {
        return answer;
    }
    em_set(interface, "networkIP", ip);
    free(ip);
    snprintf(name, sizeof(name), "nic%zu", i);
    em_set(interface, "name", name);
    em_set(interface, "kind", "compute#networkInterface");
    em_default(interface, "stackType", "IPV4_ONLY");
    em_set_fingerprint(interface, "fingerprint");
    return (struct em_answer){0};
}

/* A literal address that another resource has may be given as networkIP's reservation; then its user is us. */
struct em_answer em_instance_network_prepare(struct em_request *request, json_t *instance, const char *instance_path)
{
    json_t *interfaces = json_object_get(instance, "networkInterfaces"), *interface;
    size_t i;

    if (json_array_size(interfaces) == 0) {
        return em_error(400, "invalid",
                        "Invalid value for field 'resource.networkInterfaces': ''. At least one network "
                        "interface is required.");
    }
    json_array_foreach(interfaces, i, interface)
    {
        struct em_answer answer = prepare_one(request, interface, instance_path, i);

        if (answer.status != 0) {
            struct em_resource half = {.json = instance, .path = (char *)instance_path};

            while (json_array_size(interfaces) > i) { /* those that have no address of ours */
                json_array_remove(interfaces, json_array_size(interfaces) - 1);
            }
            em_instance_network_release(&half, true);
            return answer;
        }
    }
    return (struct em_answer){0};
}

json_t *em_instance_network_attach(struct em_resource *instance, int *status)
{
    char *region = em_region_of(instance->collection->scope);
    json_t *interface, *access, *error = NULL;
    size_t i, k;

    json_array_foreach(json_object_get(instance->json, "networkInterfaces"), i, interface)
    {
        json_array_foreach(json_object_get(interface, "accessConfigs"), k, access)
        {
            const char *user = em_addresses_user(em_text(access, "natIP") == NULL ? "" : em_text(access, "natIP"));
            char *ip;

            if (user != NULL && strcmp(user, instance->path) == 0) {
                continue; /* a static one that it kept while it was stopped */
            }
            if (em_text(access, "natIP") == NULL) {
                json_object_set_new(instance->hidden, "ephemeral", json_true());
            }
            ip = em_addresses_take(instance->collection->project, region, em_text(access, "natIP"), instance->path,
                                   status, &error);
            if (ip == NULL) {
                em_set(access, "natIP", NULL);
                break;
            }
            em_set(access, "natIP", ip);
            free(ip);
        }
    }
    free(region);
    return error;
}

void em_instance_network_release(struct em_resource *instance, bool all)
{
    bool ephemeral = em_true(instance->hidden, "ephemeral");
    json_t *interface, *access;
    size_t i, k;

    json_array_foreach(json_object_get(instance->json, "networkInterfaces"), i, interface)
    {
        if (all && em_text(interface, "networkIP") != NULL) {
            em_addresses_give_internal(em_text(interface, "network"), em_text(interface, "networkIP"), instance->path);
        }
        json_array_foreach(json_object_get(interface, "accessConfigs"), k, access)
        {
            if (all || ephemeral) {
                em_addresses_give(em_text(access, "natIP"), instance->path);
            }
            if (!all && ephemeral) {
                em_set(access, "natIP", NULL);
            }
        }
    }
}

/* ---- the methods ------------------------------------------------------------ */

static json_t *interface_of(struct em_request *request, const struct em_resource *instance, struct em_answer *answer)
{
    const char *name = em_text(request->query, "networkInterface");
    json_t *interface;
    size_t i;

    json_array_foreach(json_object_get(instance->json, "networkInterfaces"), i, interface)
    {
        if (name != NULL && strcmp(em_text(interface, "name"), name) == 0) {
            return interface;
        }
    }
    *answer = em_error_invalid("networkInterface", name, "The specified network interface does not exist.");
    return NULL;
}

static json_t *nic_by_name(struct em_resource *instance, const char *name)
{
    json_t *interface;
    size_t i;

    json_array_foreach(json_object_get(instance->json, "networkInterfaces"), i, interface)
    {
        if (strcmp(em_text(interface, "name"), name) == 0) {
            return interface;
        }
    }
    return NULL;
}

static void touched(struct em_resource *instance, json_t *interface)
{
    em_set_fingerprint(interface, "fingerprint");
    em_instance_touched(instance);
}

static void add_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);
    json_t *interface = nic_by_name(instance, em_text(arguments, "nic")), *error = NULL;
    json_t *access = json_object_get(arguments, "access");
    const char *wanted = em_text(access, "natIP");
    char *region = em_region_of(instance->collection->scope), *ip;
    int status = 400;

    if (json_array_size(json_object_get(interface, "accessConfigs")) > 0) {
        em_operation_fail(operation, 400,
                          em_operation_error("INVALID_USAGE", "At most one access config currently supported."));
        free(region);
        return;
    }
    ip = em_addresses_take(instance->collection->project, region, wanted, instance->path, &status, &error);
    free(region);
    if (ip == NULL) {
        em_operation_fail(operation, status, error);
        return;
    }
    json_object_set_new(instance->hidden, "ephemeral", json_boolean(wanted == NULL));
    em_set(access, "natIP", ip);
    free(ip);
    json_array_append(em_array(interface, "accessConfigs"), access);
    touched(instance, interface);
}

static struct em_answer add_access_config(struct em_request *request)
{
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);
    json_t *interface;
    char *region;

    if (instance == NULL || (interface = interface_of(request, instance, &answer)) == NULL) {
        return answer;
    }
    if (json_array_size(json_object_get(interface, "accessConfigs")) > 0) {
        return em_error(400, "invalid",
                        "Invalid value for field 'accessConfigs': ''. At most one access config currently "
                        "supported.");
    }
    answer = complete_access(request, request->body, "type");
    if (answer.status != 0) {
        return answer;
    }
    region = em_region_of(request->scope);
    answer = em_quotas_check(request->project, region, "IN_USE_ADDRESSES", 1);
    free(region);
    if (answer.status != 0) {
        return answer;
    }
    return em_operation_start(request, instance, "addAccessConfig", add_done,
                              json_pack("{s:O,s:s}", "access", request->body, "nic", em_text(interface, "name")));
}

static json_t *find_access(json_t *interface, const char *name, size_t *at)
{
    json_t *access;
    size_t i;

    json_array_foreach(json_object_get(interface, "accessConfigs"), i, access)
    {
        if (name != NULL && strcmp(em_text(access, "name"), name) == 0) {
            *at = i;
            return access;
        }
    }
    return NULL;
}

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);
    json_t *interface = nic_by_name(instance, em_text(arguments, "nic"));
    size_t at = 0;
    json_t *access = find_access(interface, em_text(arguments, "name"), &at), *all;

    if (access == NULL) {
        em_operation_fail(operation, 400, em_operation_error("INVALID_USAGE", "The access config is not there."));
        return;
    }
    em_addresses_give(em_text(access, "natIP"), instance->path);
    all = json_object_get(interface, "accessConfigs");
    json_array_remove(all, at);
    if (json_array_size(all) == 0) {
        json_object_del(interface, "accessConfigs");
    }
    touched(instance, interface);
}

static struct em_answer delete_access_config(struct em_request *request)
{
    const char *name = em_text(request->query, "accessConfig");
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);
    json_t *interface;
    size_t at = 0;

    if (instance == NULL || (interface = interface_of(request, instance, &answer)) == NULL) {
        return answer;
    }
    if (find_access(interface, name, &at) == NULL) {
        return em_error_invalid("accessConfig", name, "The specified access config does not exist.");
    }
    return em_operation_start(request, instance, "deleteAccessConfig", delete_done,
                              json_pack("{s:s,s:s}", "nic", em_text(interface, "name"), "name", name));
}

static void update_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);
    json_t *interface = nic_by_name(instance, em_text(arguments, "nic"));
    json_t *wanted = json_object_get(arguments, "access"), *access;
    size_t at = 0;

    access = find_access(interface, em_text(wanted, "name"), &at);
    if (access != NULL) {
        json_object_update_existing(access, wanted);
        touched(instance, interface);
    }
}

/* Changes a PTR record or the tier; never the address: that takes a delete and an add. */
static struct em_answer update_access_config(struct em_request *request)
{
    const char *name = em_text(request->body, "name"), *wanted = em_text(request->body, "natIP");
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);
    json_t *interface, *access;
    size_t at = 0;

    if (instance == NULL || (interface = interface_of(request, instance, &answer)) == NULL) {
        return answer;
    }
    access = find_access(interface, name == NULL ? "External NAT" : name, &at);
    if (access == NULL) {
        return em_error_invalid("name", name, "The specified access config does not exist.");
    }
    if (wanted != NULL && (em_text(access, "natIP") == NULL || strcmp(wanted, em_text(access, "natIP")) != 0)) {
        return em_error_invalid("natIP", wanted, "The external IP address of an access config cannot be changed.");
    }
    return em_operation_start(request, instance, "updateAccessConfig", update_done,
                              json_pack("{s:O,s:s}", "access", request->body, "nic", em_text(interface, "name")));
}

#define ONE "projects/{project}/zones/{zone}/instances/{instance}"

const struct em_method em_instance_network_methods[] = {
    {"instances.addAccessConfig", "POST", ONE "/addAccessConfig", EM_CHANGE, &em_instance_type, add_access_config},
    {"instances.deleteAccessConfig", "POST", ONE "/deleteAccessConfig", EM_CHANGE, &em_instance_type,
     delete_access_config},
    {"instances.updateAccessConfig", "POST", ONE "/updateAccessConfig", EM_CHANGE, &em_instance_type,
     update_access_config},
    {0},
};
