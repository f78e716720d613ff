/* SPDX-License-Identifier: Apache-2.0 */
/* A payload goes into the instance's metadata, under a key of its own; the
 * agent there waits for changes and does the rest. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"

/* ---- deliver ------------------------------------------------------------------------------- */

static size_t item_size(const json_t *item)
{
    return strlen(cloud_text(item, "key")) + json_string_length(json_object_get(item, "value"));
}

/* Google says so too, after a change was begun for it, and without saying what is the most of it. */
int cloud_metadata_check(const struct cloud *cloud, struct hactl_call *call, const char *replica, const json_t *items)
{
    const json_t *largest = NULL;
    size_t index, size = 0;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)items, index, entry)
    {
        size += item_size(entry);
        if (!largest || item_size(entry) > item_size(largest))
            largest = entry;
    }
    if (size <= CLOUD_METADATA_LIMIT &&
        (!largest || json_string_length(json_object_get(largest, "value")) <= CLOUD_VALUE_LIMIT))
        return HACTL_OK;
    return cloud->host->fail(
        call, HACTL_E_INVALID,
        "metadata of replica %s would be %zu bytes, %.128s alone %zu: Google allows %zu for one key "
        "and %zu in all; keys that are not hactl's own are copied from replica to replica",
        replica, size, cloud_text(largest, "key"), item_size(largest), CLOUD_VALUE_LIMIT, CLOUD_METADATA_LIMIT);
}

/* setMetadata replaces all items, so all go back with the new one among them.
 * Script and settings are brought up to date on the way. */
static int set_items(struct cloud *cloud, struct hactl_call *call, const json_t *instance, const char *key,
                     const char *text, json_t **out)
{
    char *boot = cloud_boot_text(cloud);
    const char *keys[] = {key, "startup-script", "hactl-boot"}, *texts[] = {text, cloud_startup_script, boot};
    json_t *items = json_array(), *entry;
    size_t index;

    *out = items;
    json_array_foreach(json_object_get(json_object_get(instance, "metadata"), "items"), index, entry)
    {
        const char *name = cloud_text(entry, "key");
        if (strcmp(name, keys[0]) != 0 && strcmp(name, keys[1]) != 0 && strcmp(name, keys[2]) != 0)
            json_array_append(items, entry);
    }
    for (size_t i = 0; boot && i < 3; i++)
        json_array_append_new(items, json_pack("{s:s, s:s}", "key", keys[i], "value", texts[i]));
    free(boot);
    if (!items || !boot)
        return cloud_no_memory(cloud, call);
    return cloud_metadata_check(cloud, call, cloud_text(instance, "name"), items);
}

static int send(struct cloud *cloud, struct hactl_call *call, const char *name, const char *zone,
                const json_t *instance, const char *key, const char *text)
{
    struct gce_request request;
    json_t *items = NULL;
    int rc = set_items(cloud, call, instance, key, text, &items);

    if (rc != HACTL_OK) {
        json_decref(items);
        return rc;
    }
    gce_prepare(&request, "POST",
                json_pack("{s:s, s:o}", "fingerprint", cloud_text(json_object_get(instance, "metadata"), "fingerprint"),
                          "items", items),
                "zones/%s/instances/%s/setMetadata", zone, name);
    rc = gce_change(cloud->gce, call, &request, 1, "metadata of replica %s", name);
    gce_request_clear(&request);
    return rc;
}

/* A stale fingerprint is HACTL_E_BUSY: asked again, this reads a new one. */
int cloud_deliver(struct cloud *cloud, struct hactl_call *call, const char *instance,
                  const struct hactl_payload *payload)
{
    char zone[GCE_NAME], key[128], *text = NULL;
    const char *before;
    json_t *found = NULL;
    int rc = cloud_instance_need(cloud, call, instance, zone, &found);

    if (rc != HACTL_OK)
        return rc;
    snprintf(key, sizeof(key), CLOUD_PAYLOAD_PREFIX "%.100s", payload->name);
    text = cloud_payload_text(cloud, call, payload);
    before = cloud_metadata(found, key);
    if (!text)
        rc = HACTL_E_INVALID; /* said already */
    else if (!before || !cloud_payload_same(before, text))
        rc = send(cloud, call, instance, zone, found, key, text);
    ha_secret_free(text, text ? strlen(text) : 0);
    json_decref(found);
    return rc;
}

/* ---- unit log ----------------------------------------------------------------------------------- */

enum { LOG_LINES = 20 };

/* The agent marks what units wrote: "hactl-unit NAME: TEXT". */
static char *lines_of(const char *contents, const char *unit)
{
    char mark[128], *kept[LOG_LINES] = {NULL}, *text = NULL;
    size_t size = 0, count = 0;
    FILE *out = open_memstream(&text, &size);

    snprintf(mark, sizeof(mark), "hactl-unit %.100s: ", unit);
    for (const char *line = contents; out && line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        size_t length = strcspn(line, "\r\n");
        const char *at = memmem(line, length, mark, strlen(mark));

        if (!at)
            continue;
        at += strlen(mark);
        free(kept[count % LOG_LINES]);
        kept[count++ % LOG_LINES] = strndup(at, length - (size_t)(at - line));
    }
    for (size_t i = 0; out && i < LOG_LINES; i++) {
        char *line = kept[(count + i) % LOG_LINES];
        if (line)
            fprintf(out, "%s\n", line);
        free(line);
    }
    if (out && fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

int cloud_unit_log(struct cloud *cloud, struct hactl_call *call, const char *instance, const char *unit)
{
    char zone[GCE_NAME], *text;
    json_t *found = NULL, *serial = NULL;
    int rc = cloud_instance_need(cloud, call, instance, zone, &found);

    json_decref(found);
    if (rc == HACTL_OK)
        rc = gce_get(cloud->gce, call, &serial, "zones/%s/instances/%s/serialPort?port=1", zone, instance);
    if (rc == HACTL_E_NOT_FOUND)
        return cloud->host->fail(call, rc, "replica %s has no serial port output", instance);
    if (rc != HACTL_OK)
        return rc;
    text = lines_of(cloud_text(serial, "contents"), unit);
    rc = text ? cloud->host->emit_text(call, text) : cloud_no_memory(cloud, call);
    free(text);
    json_decref(serial);
    return rc;
}
