/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replicas tell about themselves: guest attributes below "hactl/",
 * written by the agent of the startup script, read here for all replicas side
 * by side. See doc/gce.md for the keys.
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

/* None at all is answered with 404. */
static void take(struct cloud_guest *guest, const struct gce_request *request)
{
    const json_t *items = json_object_get(json_object_get(request->json, "queryValue"), "items");
    size_t index;
    json_t *entry;

    if (request->code != HACTL_OK && request->code != HACTL_E_NOT_FOUND) {
        snprintf(guest->error, sizeof(guest->error), "%s", request->error);
        return;
    }
    guest->values = json_object();
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
    int rc;

    if (!requests)
        return cloud_no_memory(cloud, call);
    for (size_t i = 0; i < count; i++)
        gce_prepare(&requests[i], "GET", NULL, "zones/%s/instances/%s/getGuestAttributes?queryPath=%s%%2F",
                    gce_link_name(cloud_text(instances[i], "zone")), cloud_text(instances[i], "name"),
                    CLOUD_GUEST_NAMESPACE);
    rc = gce_run(cloud->gce, call, requests, count);
    for (size_t i = 0; i < count; i++) {
        if (rc == HACTL_OK)
            take(&guests[i], &requests[i]);
        gce_request_clear(&requests[i]);
    }
    free(requests);
    return rc;
}
