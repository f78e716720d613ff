/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replicas tell about themselves: guest attributes below "hactl/",
 * written by the agent of the startup script, read here for all replicas side
 * by side. See doc/gce.md for the keys. Where guest attributes are not allowed
 * the same stands in lines of the serial port's output, the last of a key
 * being the one that holds.
 */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

bool cloud_guest_field(const char *text, const char *name, char *out, size_t size)
{
    size_t length = strlen(name);

    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, name, length) == 0 && line[length] == '=') {
            snprintf(out, size, "%.*s", (int)strcspn(line + length + 1, "\n"), line + length + 1);
            return true;
        }
    if (size > 0)
        out[0] = '\0';
    return false;
}

void cloud_guest_clear(struct cloud_guest *guest)
{
    json_decref(guest->values);
    memset(guest, 0, sizeof(*guest));
}

bool cloud_reports_by_serial(const struct cloud *cloud)
{
    return strcmp(cloud->host->conf_string(cloud->conf, "reports"), "serial-port") == 0;
}

/* "... hactl-told KEY BASE64", after whatever the console puts before it; a
 * line that something else was written into is passed over. */
static void take_line(json_t *values, const char *line, size_t length)
{
    static const char mark[] = "hactl-told ";
    const char *at = memmem(line, length, mark, sizeof(mark) - 1), *end = line + length, *space;
    char key[128];
    unsigned char *text;
    ssize_t size;

    if (!at)
        return;
    at += sizeof(mark) - 1;
    space = memchr(at, ' ', (size_t)(end - at));
    if (!space || space == at || (size_t)(space - at) >= sizeof(key))
        return;
    snprintf(key, sizeof(key), "%.*s", (int)(space - at), at);
    text = malloc((size_t)(end - space) + 1);
    size = text ? ha_base64_decode(space + 1, (size_t)(end - space - 1), text) : -1;
    if (size >= 0 && !memchr(text, '\0', (size_t)size))
        json_object_set_new(values, key, json_stringn((const char *)text, (size_t)size));
    free(text);
}

static void take_serial(struct cloud_guest *guest, const struct gce_request *request)
{
    const char *line = cloud_text(request->json, "contents");

    while (*line) {
        size_t length = strcspn(line, "\r\n");

        take_line(guest->values, line, length);
        line += length + strspn(line + length, "\r\n");
    }
}

/* None at all is answered with 404. */
static void take(struct cloud_guest *guest, const struct gce_request *request, bool serial)
{
    const json_t *items = json_object_get(json_object_get(request->json, "queryValue"), "items");
    size_t index;
    json_t *entry;

    if (request->code != HACTL_OK && request->code != HACTL_E_NOT_FOUND) {
        const char *credential = strstr(request->error, "; asked with");

        if (request->code == HACTL_E_DENIED && !serial)
            snprintf(guest->error, sizeof(guest->error),
                     "%.*s; where they are not allowed, set reports = \"serial-port\"",
                     credential ? (int)(credential - request->error) : (int)strlen(request->error), request->error);
        else
            snprintf(guest->error, sizeof(guest->error), "%s", request->error);
        return;
    }
    guest->values = json_object();
    if (serial) {
        take_serial(guest, request);
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)items, index, entry)
    {
        const char *key = ha_json_string(entry, "key");
        if (key)
            json_object_set(guest->values, key, json_object_get(entry, "value"));
    }
}

int cloud_guest_read(struct cloud *cloud, struct hactl_call *call, const json_t *const *instances, size_t count,
                     struct cloud_guest *guests)
{
    struct gce_request *requests = calloc(count + 1, sizeof(*requests));
    bool serial = cloud_reports_by_serial(cloud);
    int rc;

    if (!requests)
        return cloud_no_memory(cloud, call);
    for (size_t i = 0; i < count; i++)
        gce_prepare(&requests[i], "GET", NULL, "zones/%s/instances/%s/%s",
                    gce_link_name(cloud_text(instances[i], "zone")), cloud_text(instances[i], "name"),
                    serial ? "serialPort?port=1" : "getGuestAttributes?queryPath=" CLOUD_GUEST_NAMESPACE "%2F");
    rc = gce_run(cloud->gce, call, requests, count);
    for (size_t i = 0; i < count; i++) {
        if (rc == HACTL_OK)
            take(&guests[i], &requests[i], serial);
        gce_request_clear(&requests[i]);
    }
    free(requests);
    return rc;
}
