/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata, tags, labels, guest attributes and the serial port of an instance. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "instances.h"
#include "labels.h"
#include "links.h"
#include "lists.h"
#include "machines.h"
#include "operations.h"
#include "store.h"

#define METADATA_MOST (512u * 1024)
#define VALUE_MOST    (256u * 1024)
#define SERIAL_MOST   (1024u * 1024)

static bool key_good(const char *key)
{
    size_t length = key == NULL ? 0 : strlen(key);

    if (length < 1 || length > 128) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)key[i]) && key[i] != '-' && key[i] != '_') {
            return false;
        }
    }
    return true;
}

static struct em_answer check_metadata(const json_t *metadata)
{
    json_t *items = json_object_get(metadata, "items"), *item, *seen = json_object();
    struct em_answer answer = {0};
    size_t i, total = 0;

    json_array_foreach(items, i, item)
    {
        const char *key = em_text(item, "key"), *value = em_text(item, "value");

        if (!key_good(key)) {
            answer = em_error_invalid("metadata.items.key", key, "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'.");
        } else if (json_object_get(seen, key) != NULL) {
            answer = em_error_invalid("metadata.items.key", key, "Duplicate metadata key.");
        } else if (value != NULL && strlen(value) > VALUE_MOST) {
            answer = em_error(400, "invalid",
                              "Value for metadata key '%s' is too large: maximum size 262144 "
                              "character(s); actual size %zu.",
                              key, strlen(value));
        }
        if (answer.status != 0) {
            break;
        }
        json_object_set_new(seen, key, json_true());
        total += strlen(key) + (value == NULL ? 0 : strlen(value));
    }
    json_decref(seen);
    if (answer.status == 0 && total > METADATA_MOST) {
        answer = em_error(400, "invalid",
                          "Metadata has exceeded its maximum total size of 524288 bytes; actual size %zu.", total);
    }
    return answer;
}

static struct em_answer check_tags(const json_t *tags)
{
    json_t *tag;
    size_t i;

    json_array_foreach(json_object_get(tags, "items"), i, tag)
    {
        if (!em_name_good(json_string_value(tag))) {
            return em_error_invalid("tags.items", json_string_value(tag),
                                    "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'");
        }
    }
    if (json_array_size(json_object_get(tags, "items")) > 64) {
        return em_error(400, "invalid", "An instance has at most 64 tags.");
    }
    return (struct em_answer){0};
}

struct em_answer em_instance_data_prepare(json_t *instance)
{
    json_t *metadata = json_object_get(instance, "metadata");
    struct em_answer answer;

    if (metadata == NULL) {
        metadata = json_object();
        json_object_set_new(instance, "metadata", metadata);
    }
    answer = check_metadata(metadata);
    if (answer.status == 0) {
        answer = check_tags(json_object_get(instance, "tags"));
    }
    em_set(metadata, "kind", "compute#metadata");
    em_set_fingerprint(metadata, "fingerprint");
    return answer;
}

json_t *em_instance_metadata(const struct em_resource *instance)
{
    json_t *all = json_object(), *item;
    size_t i;

    json_array_foreach(json_object_get(json_object_get(instance->json, "metadata"), "items"), i, item)
    {
        em_set(all, em_text(item, "key"), em_text(item, "value") == NULL ? "" : em_text(item, "value"));
    }
    return all;
}

/* ---- setMetadata, setTags --------------------------------------------------- */

#define METADATA_WORDS "Supplied fingerprint does not match current metadata fingerprint."
#define TAGS_WORDS     "Supplied fingerprint does not match current tags fingerprint."

/* Both have the same form: {fingerprint, items}. */
static void items_done(struct em_operation *operation, json_t *arguments)
{
    struct em_resource *instance = em_operation_target(operation);
    const char *member = em_text(arguments, "member");
    json_t *given = json_object_get(arguments, "given"), *current = json_object_get(instance->json, member);
    bool metadata = strcmp(member, "metadata") == 0;
    struct em_answer late = em_fingerprint_check(given, current, "fingerprint", metadata ? METADATA_WORDS : TAGS_WORDS);

    if (late.status != 0) {
        json_decref(late.body);
        em_operation_fail(operation, 412,
                          em_operation_error("CONDITION_NOT_MET", metadata ? METADATA_WORDS : TAGS_WORDS));
        return;
    }
    if (json_array_size(json_object_get(given, "items")) > 0) {
        json_object_set(current, "items", json_object_get(given, "items"));
    } else {
        json_object_del(current, "items");
    }
    em_set_fingerprint(current, "fingerprint");
    em_instance_touched(instance);
}

static struct em_answer set_items(struct em_request *request, const char *member, const char *type, const char *words)
{
    struct em_answer answer = {0};
    struct em_resource *instance = em_instance_of(request, &answer);

    if (instance == NULL) {
        return answer;
    }
    answer = em_fingerprint_check(request->body, json_object_get(instance->json, member), "fingerprint", words);
    if (answer.status != 0) {
        return answer;
    }
    return em_operation_start(request, instance, type, items_done,
                              json_pack("{s:s,s:O}", "member", member, "given", request->body));
}

static struct em_answer set_metadata(struct em_request *request)
{
    struct em_answer answer = check_metadata(request->body);

    return answer.status != 0 ? answer : set_items(request, "metadata", "setMetadata", METADATA_WORDS);
}

static struct em_answer set_tags(struct em_request *request)
{
    struct em_answer answer = check_tags(request->body);

    return answer.status != 0 ? answer : set_items(request, "tags", "setTags", TAGS_WORDS);
}

/* ---- guest attributes ---------------------------------------------------------- */

bool em_instance_guest_attributes_on(const struct em_resource *instance)
{
    json_t *metadata = em_instance_metadata(instance);
    const char *text = em_text(metadata, "enable-guest-attributes");
    bool on = text != NULL && strcasecmp(text, "true") == 0;

    json_decref(metadata);
    return on;
}

void em_instance_guest_attribute_set(struct em_resource *instance, const char *space, const char *key,
                                     const char *value)
{
    json_t *all = json_object_get(instance->hidden, "guest");

    if (all == NULL) {
        all = json_object();
        json_object_set_new(instance->hidden, "guest", all);
    }
    if (json_object_get(all, space) == NULL) {
        json_object_set_new(all, space, json_object());
    }
    em_set(json_object_get(all, space), key, value);
}

const char *em_instance_guest_attribute(const struct em_resource *instance, const char *space, const char *key)
{
    return em_text(json_object_get(json_object_get(instance->hidden, "guest"), space), key);
}

static void add_space(json_t *items, const char *space, const json_t *keys, const char *only)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)keys, key, value)
    {
        if (only[0] == '\0' || strcmp(only, key) == 0) {
            json_array_append_new(items, json_pack("{s:s,s:s,s:O}", "namespace", space, "key", key, "value", value));
        }
    }
}

/* "namespace/", "namespace/key" or nothing. */
static json_t *query_path(const struct em_resource *instance, const char *path)
{
    const char *slash = path == NULL ? NULL : strchr(path, '/'), *space;
    json_t *items = json_array(), *keys;

    json_object_foreach(json_object_get(instance->hidden, "guest"), space, keys)
    {
        size_t length = slash == NULL ? 0 : (size_t)(slash - path);

        if (path == NULL || path[0] == '\0' || (slash == NULL && strcmp(path, space) == 0) ||
            (slash != NULL && strlen(space) == length && strncmp(path, space, length) == 0)) {
            add_space(items, space, keys, slash == NULL ? "" : slash + 1);
        }
    }
    return items;
}

static struct em_answer guest_attribute_missing(const char *what)
{
    return em_error(404, "notFound", "The resource '%s' of type 'Guest Attribute' was not found.",
                    what == NULL ? "" : what);
}

static struct em_answer get_guest_attributes(struct em_request *request)
{
    const char *path = em_text(request->query, "queryPath"), *variable = em_text(request->query, "variableKey"), *slash;
    struct em_resource *instance = em_store_of(request);
    json_t *json, *items;

    if (instance == NULL) {
        return em_get(request);
    }
    if (!em_instance_guest_attributes_on(instance)) {
        return guest_attribute_missing(path != NULL ? path : variable);
    }
    json = json_pack("{s:s}", "kind", "compute#guestAttributes");
    em_set_format(json, "selfLink", EM_LINK_PREFIX "%s/guestAttributes", instance->path);
    if (variable != NULL && (slash = strchr(variable, '/')) != NULL) {
        char *space = em_format("%.*s", (int)(slash - variable), variable);
        const char *value = em_instance_guest_attribute(instance, space, slash + 1);

        free(space);
        if (value == NULL) {
            json_decref(json);
            return guest_attribute_missing(variable);
        }
        em_set(json, "variableKey", variable);
        em_set(json, "variableValue", value);
        return em_ok(json);
    }
    items = query_path(instance, path);
    if (json_array_size(items) == 0) {
        json_decref(items);
        json_decref(json);
        return guest_attribute_missing(path);
    }
    em_set(json, "queryPath", path == NULL ? "" : path);
    json_object_set_new(json, "queryValue", json_pack("{s:o}", "items", items));
    return em_ok(json);
}

/* ---- serial port ----------------------------------------------------------------- */

void em_instance_serial_write(struct em_resource *instance, const char *text)
{
    const char *before = em_text(instance->hidden, "serial");

    em_set_format(instance->hidden, "serial", "%s%s", before == NULL ? "" : before, text);
}

static struct em_answer get_serial_port(struct em_request *request)
{
    struct em_resource *instance = em_store_of(request);
    long long start = em_number(request->query, "start", 0);
    char *all;
    size_t length, from;
    json_t *json;

    if (instance == NULL) {
        return em_get(request);
    }
    all = em_machines.serial != NULL ? em_machines.serial(instance) : em_strdup(em_text(instance->hidden, "serial"));
    length = all == NULL ? 0 : strlen(all);
    from = start < 0 || (size_t)start > length ? length : (size_t)start;
    if (length - from > SERIAL_MOST) {
        from = length - SERIAL_MOST;
    }
    json = json_pack("{s:s,s:o}", "kind", "compute#serialPortOutput", "contents",
                     json_string_nocheck(all == NULL ? "" : all + from));
    em_set_u64(json, "start", from);
    em_set_u64(json, "next", length);
    em_set_format(json, "selfLink", EM_LINK_PREFIX "%s/serialPort", instance->path);
    free(all);
    return em_ok(json);
}

#define ONE "projects/{project}/zones/{zone}/instances/{instance}"

const struct em_method em_instance_data_methods[] = {
    {"instances.setMetadata", "POST", ONE "/setMetadata", EM_CHANGE, &em_instance_type, set_metadata},
    {"instances.setTags", "POST", ONE "/setTags", EM_CHANGE, &em_instance_type, set_tags},
    {"instances.setLabels", "POST", ONE "/setLabels", EM_CHANGE, &em_instance_type, em_set_labels},
    {"instances.getGuestAttributes", "GET", ONE "/getGuestAttributes", EM_READ, &em_instance_type,
     get_guest_attributes},
    {"instances.getSerialPortOutput", "GET", ONE "/serialPort", EM_READ, &em_instance_type, get_serial_port},
    {0},
};
