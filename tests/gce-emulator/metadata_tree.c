/* SPDX-License-Identifier: Apache-2.0 */
#include "metadata_tree.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "instances.h"
#include "members.h"
#include "store.h"

#define NUMERIC_PROJECT "123456789012"

static json_t *service_accounts(const struct em_resource *instance)
{
    const json_t *given =
        instance == NULL ? NULL : json_array_get(json_object_get(instance->json, "serviceAccounts"), 0);
    const char *email = em_text(given, "email");
    json_t *scopes = json_object_get(given, "scopes"), *account, *all;

    if (instance != NULL && given == NULL) {
        return json_object();
    }
    if (email == NULL || strcmp(email, "default") == 0) {
        email = EM_DEFAULT_ACCOUNT;
    }
    scopes = scopes != NULL ? json_incref(scopes) : json_pack("[s]", "https://www.googleapis.com/auth/cloud-platform");
    account = json_pack("{s:[s],s:s,s:o}", "aliases", "default", "email", email, "scopes", scopes);
    all = json_object();
    json_object_set(all, "default", account);
    json_object_set_new(all, email, account);
    return all;
}

static json_t *access_configs(const json_t *interface)
{
    json_t *list = json_array(), *access;
    size_t i;

    json_array_foreach(json_object_get(interface, "accessConfigs"), i, access)
    {
        json_array_append_new(list, json_pack("{s:s,s:s}", "external-ip",
                                              em_text(access, "natIP") == NULL ? "" : em_text(access, "natIP"), "type",
                                              em_text(access, "type")));
    }
    return list;
}

static json_t *interfaces(const struct em_resource *instance)
{
    json_t *list = json_array(), *interface;
    size_t i;

    json_array_foreach(json_object_get(instance->json, "networkInterfaces"), i, interface)
    {
        const struct em_resource *subnetwork = em_store_find(em_link_path(em_text(interface, "subnetwork")));
        const char *network = em_text(interface, "network"), *gateway;

        gateway = subnetwork == NULL ? NULL : em_text(subnetwork->json, "gatewayAddress");
        json_array_append_new(list,
                              json_pack("{s:o,s:o,s:s,s:s,s:s+,s:s,s:i}", "access-configs", access_configs(interface),
                                        "forwarded-ips", em_members_forwarded_ips(instance), "ip",
                                        em_text(interface, "networkIP"), "gateway", gateway == NULL ? "" : gateway,
                                        "network", "projects/" NUMERIC_PROJECT "/networks/", strrchr(network, '/') + 1,
                                        "subnetmask", "255.255.240.0", "mtu", 1460));
    }
    return list;
}

static json_t *disks(const struct em_resource *instance)
{
    json_t *list = json_array(), *disk;
    size_t i;

    json_array_foreach(json_object_get(instance->json, "disks"), i, disk)
    {
        json_array_append_new(list, json_pack("{s:s,s:i,s:s,s:s,s:s}", "device-name", em_text(disk, "deviceName"),
                                              "index", (int)i, "interface", "SCSI", "mode", em_text(disk, "mode"),
                                              "type", "PERSISTENT-BALANCED"));
    }
    return list;
}

/* To know an instance's forwarding rules, all there are have to be looked at: nothing to do for each look at a key. */
static bool is_of_key(const char *path)
{
    return strncmp(path, "instance/attributes/", 20) == 0 || strncmp(path, "instance/guest-attributes/", 26) == 0;
}

static json_t *of_instance(const struct em_resource *instance, const char *path)
{
    const char *zone = strchr(instance->collection->scope, '/') + 1, *type = em_text(instance->json, "machineType");
    json_t *tags = json_object_get(json_object_get(instance->json, "tags"), "items");
    json_t *json = json_object();

    json_object_set_new(json, "id", json_integer((json_int_t)instance->id));
    em_set(json, "name", instance->name);
    em_set_format(json, "hostname", "%s.%s.c.%s.internal", instance->name, zone, instance->collection->project);
    em_set_format(json, "zone", "projects/" NUMERIC_PROJECT "/zones/%s", zone);
    em_set_format(json, "machine-type", "projects/" NUMERIC_PROJECT "/machineTypes/%s",
                  type == NULL ? "" : strrchr(type, '/') + 1);
    em_set(json, "cpu-platform", "Intel Broadwell");
    json_object_set_new(json, "attributes", em_instance_metadata(instance));
    json_object_set_new(json, "network-interfaces", is_of_key(path) ? json_array() : interfaces(instance));
    json_object_set_new(json, "disks", disks(instance));
    json_object_set_new(json, "tags", tags == NULL ? json_array() : json_deep_copy(tags));
    json_object_set_new(json, "service-accounts", service_accounts(instance));
    if (em_instance_guest_attributes_on(instance)) {
        json_t *guest = json_object_get(instance->hidden, "guest");

        json_object_set_new(json, "guest-attributes", guest == NULL ? json_object() : json_deep_copy(guest));
    }
    return json;
}

json_t *em_metadata_tree(const struct em_resource *instance, const char *path)
{
    const char *project = instance != NULL             ? instance->collection->project
                          : em_options.project == NULL ? "emulated"
                                                       : em_options.project;
    json_t *own = instance != NULL ? of_instance(instance, path)
                                   : json_pack("{s:s,s:s,s:{},s:o}", "name", "operator", "zone",
                                               "projects/" NUMERIC_PROJECT "/zones/us-central1-a", "attributes",
                                               "service-accounts", service_accounts(NULL));

    return json_pack("{s:o,s:{s:s,s:I,s:{}},s:{s:s}}", "instance", own, "project", "project-id", project,
                     "numeric-project-id", (json_int_t)strtoll(NUMERIC_PROJECT, NULL, 10), "attributes", "universe",
                     "universe-domain", "googleapis.com");
}

json_t *em_metadata_tree_find(json_t *tree, const char *path)
{
    while (tree != NULL && *path != '\0') {
        size_t length = strcspn(path, "/");
        char *name = em_format("%.*s", (int)length, path), *end;

        if (json_is_array(tree)) {
            unsigned long index = strtoul(name, &end, 10);

            tree = *end == '\0' && *name != '\0' ? json_array_get(tree, index) : NULL;
        } else {
            tree = json_object_get(tree, name);
        }
        free(name);
        path += length;
        if (*path == '/') {
            path++;
            if (*path == '\0' && !json_is_object(tree) && !json_is_array(tree)) {
                return NULL; /* a value is no directory */
            }
        }
    }
    return tree;
}

static char *camel_case(const char *name)
{
    char *out = em_alloc(strlen(name) + 1);
    size_t n = 0;

    for (; *name != '\0'; name++) {
        if (*name == '-' && name[1] != '\0') {
            name++;
            out[n++] = (char)toupper((unsigned char)*name);
        } else {
            out[n++] = *name;
        }
    }
    return out;
}

/* Names that users chose stay as they are. */
static json_t *converted(json_t *part, bool own_names)
{
    json_t *copy, *value;
    const char *name;
    size_t i;

    if (json_is_array(part)) {
        copy = json_array();
        json_array_foreach(part, i, value)
        {
            json_array_append_new(copy, converted(value, own_names));
        }
        return copy;
    }
    if (!json_is_object(part)) {
        return json_incref(part);
    }
    copy = json_object();
    json_object_foreach(part, name, value)
    {
        bool keep = strcmp(name, "attributes") == 0 || strcmp(name, "guest-attributes") == 0 ||
                    strcmp(name, "service-accounts") == 0;
        char *shown = own_names ? em_strdup(name) : camel_case(name);

        json_object_set_new(copy, shown, converted(value, keep));
        free(shown);
    }
    return copy;
}

static char *listing(json_t *part)
{
    char *text = NULL;
    size_t size, i;
    FILE *out = open_memstream(&text, &size);
    const char *name;
    json_t *value;

    if (out == NULL) {
        abort();
    }
    json_object_foreach(part, name, value)
    {
        fprintf(out, "%s%s\n", name, json_is_object(value) || json_is_array(value) ? "/" : "");
    }
    json_array_foreach(part, i, value)
    {
        fprintf(out, "%zu%s\n", i, json_is_object(value) ? "/" : "");
    }
    fclose(out);
    return text;
}

/* "tags" and "aliases" are lists of plain values, shown as JSON or one a line. */
static bool plain_list(const json_t *part)
{
    return json_is_array(part) && !json_is_object(json_array_get(part, 0)) && json_array_size(part) > 0;
}

char *em_metadata_tree_text(json_t *part, bool json)
{
    char *text;

    if (json || plain_list(part)) {
        json_t *copy = converted(part, false);

        text = json_dumps(copy, JSON_COMPACT | JSON_ENCODE_ANY);
        json_decref(copy);
        return text;
    }
    if (json_is_object(part) || json_is_array(part)) {
        return listing(part);
    }
    if (json_is_integer(part)) {
        return em_format("%lld", (long long)json_integer_value(part));
    }
    return em_strdup(json_string_value(part) == NULL ? "" : json_string_value(part));
}

/* FNV-1a */
void em_metadata_tree_etag(const char *text, char *etag, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
    }
    snprintf(etag, size, "%016llx", (unsigned long long)hash);
}
