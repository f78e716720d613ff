/* SPDX-License-Identifier: Apache-2.0 */
#include "addresses.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counts.h"
#include "errors.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "operations.h"
#include "quotas.h"
#include "store.h"

/* 198.18.0.0/15 is set aside for tests of networks: nobody's machine has such an address. */
#define FIRST_EXTERNAL 0xc6120002u
#define LAST_EXTERNAL  0xc613fffdu

const struct em_type em_address_type = {.collection = "addresses",
                                        .kind = "compute#address",
                                        .parameter = "address",
                                        .scopes = "global regions",
                                        .weigh = em_quotas_weigh_address};

static json_t *users;    /* key -> path of the user */
static json_t *reserved; /* key -> path of the address resource */
static bool conflict_at_request;
static uint32_t next_external = FIRST_EXTERNAL;

static json_t *made(json_t **object)
{
    if (*object == NULL) {
        *object = json_object();
    }
    return *object;
}

/* External addresses are known by themselves, internal ones with their network. */
static char *internal_key(const char *network_link, const char *ip)
{
    return em_format("%s %s", em_link_path(network_link), ip);
}

static void mark(const char *key, const char *user, bool used)
{
    struct em_resource *address = em_store_find(em_text(reserved, key));
    char *link;

    if (used) {
        em_set(made(&users), key, user);
    } else {
        json_object_del(made(&users), key);
    }
    if (address == NULL) {
        return;
    }
    link = em_link(user);
    if (used) {
        json_array_append_new(em_array(address->json, "users"), json_string(link));
    } else {
        em_array_drop(address->json, "users", link);
    }
    if (strcmp(em_text(address->json, "addressType"), "EXTERNAL") == 0) {
        em_counts_dark(key, !used);
    }
    if (strcmp(em_text(address->json, "status"), "RESERVING") != 0) {
        em_set(address->json, "status", used ? "IN_USE" : "RESERVED");
    }
    free(link);
}

static void literal(uint32_t address, char *text)
{
    struct in_addr in = {htonl(address)};

    inet_ntop(AF_INET, &in, text, INET_ADDRSTRLEN);
}

/* The next one that nobody has, so that an address comes back late. */
static void free_external(char *text)
{
    for (;;) {
        uint32_t address = next_external;

        next_external = next_external == LAST_EXTERNAL ? FIRST_EXTERNAL : next_external + 1;
        literal(address, text);
        if ((address & 0xff) != 0 && (address & 0xff) != 255 && em_text(users, text) == NULL &&
            em_text(reserved, text) == NULL) {
            return;
        }
    }
}

static json_t *in_use_error(const char *ip)
{
    char *message = em_format("IP '%s' is already being used by another resource.", ip);
    json_t *error = em_operation_error("IP_IN_USE_BY_ANOTHER_RESOURCE", message);

    free(message);
    return error;
}

char *em_addresses_take(const char *project, const char *region, const char *wanted, const char *user, int *status,
                        json_t **error)
{
    struct em_resource *address;
    char text[INET_ADDRSTRLEN], *where, *message;
    bool here;

    if (wanted == NULL) {
        free_external(text);
        mark(text, user, true);
        return em_strdup(text);
    }
    if (em_text(users, wanted) != NULL) {
        *status = 409;
        *error = in_use_error(wanted);
        return NULL;
    }
    address = em_store_find(em_text(reserved, wanted));
    where = em_format("projects/%s/regions/%s/", project, region);
    here = address != NULL && strncmp(address->path, where, strlen(where)) == 0;
    free(where);
    if (!here) {
        message = em_format("Invalid value for field 'natIP': '%s'. The specified external IP address '%s' was not "
                            "found in region '%s'.",
                            wanted, wanted, region);
        *status = 400;
        *error = em_operation_error("INVALID_FIELD_VALUE", message);
        free(message);
        return NULL;
    }
    mark(wanted, user, true);
    return em_strdup(wanted);
}

void em_addresses_give(const char *ip, const char *user)
{
    const char *owner = ip == NULL ? NULL : em_text(users, ip);

    if (owner != NULL && strcmp(owner, user) == 0) {
        mark(ip, user, false);
    }
}

void em_addresses_give_internal(const char *network_link, const char *ip, const char *user)
{
    char *key = internal_key(network_link, ip);

    em_addresses_give(key, user);
    free(key);
}

static bool range_of(const struct em_resource *subnetwork, uint32_t *base, uint32_t *size)
{
    char text[32];
    struct in_addr in;
    char *slash;

    snprintf(text, sizeof(text), "%s", em_text(subnetwork->json, "ipCidrRange"));
    slash = strchr(text, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    *size = 1u << (32 - atoi(slash + 1));
    if (inet_pton(AF_INET, text, &in) != 1) {
        return false;
    }
    *base = ntohl(in.s_addr);
    return true;
}

/* Goes on where it stopped, as the external ones do. */
static char *free_internal(const struct em_resource *subnetwork)
{
    const char *network = em_text(subnetwork->json, "network");
    uint32_t base = 0, size = 0, from = (uint32_t)em_number(subnetwork->hidden, "next", 2);

    if (!range_of(subnetwork, &base, &size)) {
        return NULL;
    }
    for (uint32_t i = 0; i < size - 4; i++) {
        uint32_t offset = 2 + (from - 2 + i) % (size - 4);
        char text[INET_ADDRSTRLEN], *key;
        bool taken;

        literal(base + offset, text);
        key = internal_key(network, text);
        taken = em_text(users, key) != NULL || em_text(reserved, key) != NULL;
        free(key);
        if (!taken) {
            em_set_number(subnetwork->hidden, "next", 2 + (offset - 1) % (size - 4));
            return em_strdup(text);
        }
    }
    return NULL;
}

char *em_addresses_take_internal(const struct em_resource *subnetwork, const char *wanted, const char *user,
                                 struct em_answer *answer)
{
    const char *network = em_text(subnetwork->json, "network");
    char *ip = wanted == NULL ? free_internal(subnetwork) : em_strdup(wanted), *key;
    uint32_t base = 0, size = 0;
    struct in_addr in;

    if (ip == NULL) {
        *answer = em_error(400, "ipSpaceExhausted", "IP space of '%s' is exhausted.", subnetwork->path);
        return NULL;
    }
    if (inet_pton(AF_INET, ip, &in) != 1 || !range_of(subnetwork, &base, &size) || ntohl(in.s_addr) < base ||
        ntohl(in.s_addr) >= base + size) {
        *answer = em_error_invalid("resource.networkInterfaces[0].networkIP", ip,
                                   "Requested internal IP address is outside the network/subnetwork range.");
        free(ip);
        return NULL;
    }
    key = internal_key(network, ip);
    if (em_text(users, key) != NULL) {
        *answer = em_error(400, "resourceInUseByAnotherResource",
                           "IP '%s' is already being used by another resource '%s'", ip, em_text(users, key));
        free(ip);
        ip = NULL;
    } else {
        mark(key, user, true);
    }
    free(key);
    return ip;
}

const char *em_addresses_user(const char *ip)
{
    return em_text(users, ip);
}

void em_addresses_conflict_at_request(bool at_request)
{
    conflict_at_request = at_request;
}

struct em_answer em_addresses_check(const char *ip, const char *tier)
{
    const char *user = ip == NULL ? NULL : em_text(users, ip);
    const struct em_resource *address = ip == NULL ? NULL : em_store_find(em_text(reserved, ip));
    const char *its = address == NULL ? NULL : em_text(address->json, "networkTier");

    if (its != NULL && strcmp(its, tier) != 0) {
        return em_error(400, "invalid", "The network tier of external IP address %s is %s, and must be the same here.",
                        ip, its);
    }
    if (!conflict_at_request || user == NULL) {
        return (struct em_answer){0};
    }
    return em_error(400, "resourceInUseByAnotherResource", "IP '%s' is already being used by '%s'", ip, user);
}

char *em_addresses_literal(const struct em_request *request, const char *region, const char *text, const char *field,
                           struct em_answer *answer)
{
    struct in_addr in;
    struct em_resource *address;
    char *scope;

    if (inet_pton(AF_INET, text, &in) == 1) {
        return em_strdup(text);
    }
    scope = em_format("regions/%s", region);
    address = em_links_resolve(request, text, scope, "addresses", field, answer);
    free(scope);
    return address == NULL ? NULL : em_strdup(em_text(address->json, "address"));
}

/* ---- the methods ------------------------------------------------------------ */

static char *key_of(const struct em_resource *address)
{
    const char *subnetwork = em_text(address->json, "subnetwork"), *ip = em_text(address->json, "address");

    if (subnetwork == NULL) {
        return em_strdup(ip);
    }
    return internal_key(em_text(em_store_find(em_link_path(subnetwork))->json, "network"), ip);
}

/* Chosen when the operation starts, shown when it is done. */
static void insert_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *address = em_operation_target(operation);
    const char *ip = em_text(arguments, "ip");
    char *key, *link;

    em_set(address->json, "address", ip);
    key = key_of(address);
    em_set(address->json, "status", "RESERVED");
    if (em_text(users, key) != NULL) { /* an ephemeral one becomes a static one */
        link = em_link(em_text(users, key));
        json_array_append_new(em_array(address->json, "users"), json_string(link));
        em_set(address->json, "status", "IN_USE");
        free(link);
    }
    free(key);
}

static void unreserve(struct em_resource *address)
{
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe(reserved, next, key, value)
    {
        if (strcmp(json_string_value(value), address->path) == 0) {
            json_object_del(reserved, key);
        }
    }
    em_store_remove(address);
}

static char *choose_external(const struct em_request *request, const char *wanted, struct em_answer *answer)
{
    char text[INET_ADDRSTRLEN];

    if (wanted == NULL) {
        free_external(text);
        return em_strdup(text);
    }
    if (em_text(reserved, wanted) != NULL) {
        *answer = em_error_invalid("resource.address", wanted, "Specified IP address is already reserved.");
        return NULL;
    }
    if (em_text(users, wanted) == NULL) {
        *answer = em_error_invalid("resource.address", wanted,
                                   "Only an address that a resource of the project uses can be reserved by value.");
        return NULL;
    }
    (void)request;
    return em_strdup(wanted);
}

static char *choose_internal(struct em_request *request, const char *wanted, char **key, struct em_answer *answer)
{
    struct em_resource *subnetwork;
    char *ip, *given = NULL;

    em_default(request->body, "subnetwork", "default");
    subnetwork = em_links_member(request, request->body, "subnetwork", request->scope, "subnetworks", answer);
    if (subnetwork == NULL) {
        return NULL;
    }
    em_default(request->body, "purpose", "GCE_ENDPOINT");
    if (wanted == NULL) {
        ip = free_internal(subnetwork);
        if (ip == NULL) {
            *answer = em_error(400, "ipSpaceExhausted", "IP space of '%s' is exhausted.", subnetwork->path);
            return NULL;
        }
    } else {
        given = internal_key(em_text(subnetwork->json, "network"), wanted);
        if (em_text(reserved, given) != NULL) {
            *answer = em_error_invalid("resource.address", wanted, "Specified IP address is already reserved.");
            free(given);
            return NULL;
        }
        free(given);
        ip = em_strdup(wanted);
    }
    *key = internal_key(em_text(subnetwork->json, "network"), ip);
    return ip;
}

static struct em_answer start_insert(struct em_request *request, const char *ip, const char *key)
{
    const char *name = em_text(request->body, "name");
    struct em_resource *address;

    em_set(request->body, "address", NULL);
    em_set(request->body, "status", "RESERVING");
    em_labels_prepare_none(request->body);
    address = em_store_add(request->project, request->scope, &em_address_type, name, json_incref(request->body));
    em_set(made(&reserved), key, address->path);
    return em_operation_start_alone(request, address, "insert", insert_done, json_pack("{s:s}", "ip", ip));
}

static struct em_answer address_insert(struct em_request *request)
{
    struct em_answer answer = em_insert_check(request);
    const char *region = strchr(request->scope, '/') + 1;
    char *ip, *key = NULL;

    if (answer.status != 0) {
        return answer;
    }
    em_default(request->body, "addressType", "EXTERNAL");
    if (strcmp(em_text(request->body, "addressType"), "EXTERNAL") == 0 &&
        json_object_get(request->body, "subnetwork") != NULL) {
        return em_error_invalid("resource.subnetwork", em_text(request->body, "subnetwork"),
                                "An external address lies in no subnetwork.");
    }
    if (strcmp(em_text(request->body, "addressType"), "EXTERNAL") == 0) {
        answer = em_quotas_check(request->project, region, "STATIC_ADDRESSES", 1);
        if (answer.status != 0) {
            return answer;
        }
        em_default(request->body, "networkTier", "PREMIUM");
        ip = choose_external(request, em_text(request->body, "address"), &answer);
        key = em_strdup(ip);
    } else {
        ip = choose_internal(request, em_text(request->body, "address"), &key, &answer);
    }
    if (ip != NULL) {
        answer = start_insert(request, ip, key);
    }
    free(key);
    free(ip);
    return answer;
}

static void delete_done(struct em_operation *operation, json_t *arguments)
{
    (void)arguments;
    unreserve(em_operation_target(operation));
    em_operation_target_gone(operation);
}

static struct em_answer address_delete(struct em_request *request)
{
    struct em_resource *address = em_store_of(request);
    struct em_answer answer;
    const json_t *user;

    if (address == NULL) {
        return em_get(request);
    }
    if (em_operation_busy(address, &answer)) {
        return answer;
    }
    user = json_array_get(json_object_get(address->json, "users"), 0);
    if (user != NULL) {
        return em_error_in_use("addresses", address->path, json_string_value(user));
    }
    return em_operation_start_alone(request, address, "delete", delete_done, NULL);
}

void em_addresses_clear(void)
{
    json_decref(users);
    json_decref(reserved);
    users = reserved = NULL;
    conflict_at_request = false;
}

#define ALL "projects/{project}/regions/{region}/addresses"

const struct em_method em_addresses_methods[] = {
    {"addresses.insert", "POST", ALL, EM_CHANGE, &em_address_type, address_insert},
    {"addresses.get", "GET", ALL "/{address}", EM_READ, &em_address_type, em_get},
    {"addresses.list", "GET", ALL, EM_LIST, &em_address_type, em_list},
    {"addresses.delete", "DELETE", ALL "/{address}", EM_CHANGE, &em_address_type, address_delete},
    {"addresses.aggregatedList", "GET", "projects/{project}/aggregated/addresses", EM_LIST, &em_address_type,
     em_aggregated_list},
    {"addresses.setLabels", "POST", ALL "/{resource}/setLabels", EM_CHANGE, &em_address_type, em_set_labels},
    {0},
};
