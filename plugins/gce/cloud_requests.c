/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate requests that a machine has handed out: guest attributes
 * "request-PURPOSE", for the purposes in its attribute "hactl-keys". */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int emit_one(struct cloud *cloud, struct hactl_call *call, const char *instance, const char *purpose,
                    const json_t *values)
{
    struct hactl_request request = {.struct_size = sizeof(request), .instance = instance, .purpose = purpose};
    char key[128];

    snprintf(key, sizeof(key), "request-%.100s", purpose);
    request.content = cloud_text(values, key);
    if (!request.content[0]) {
        cloud->host->retry_after(call, 1000);
        return cloud->host->fail(call, HACTL_E_BUSY,
                                 "replica %s has handed out no certificate request for %s yet (if it never does, guest "
                                 "attributes may be switched off: see hactl-gce(8))",
                                 instance, purpose);
    }
    return cloud->host->emit_request(call, &request);
}

static int emit_all(struct cloud *cloud, struct hactl_call *call, const char *instance, const char *purposes,
                    const json_t *values)
{
    char *copy = strdup(purposes), *rest = NULL;
    int rc = copy ? HACTL_OK : cloud_no_memory(cloud, call);

    for (char *purpose = copy ? strtok_r(copy, "\n", &rest) : NULL; rc == HACTL_OK && purpose;
         purpose = strtok_r(NULL, "\n", &rest))
        rc = emit_one(cloud, call, instance, purpose, values);
    free(copy);
    return rc;
}

int cloud_requests(struct cloud *cloud, struct hactl_call *call, const char *instance)
{
    struct cloud_guest guest = {0};
    char zone[GCE_NAME];
    json_t *found = NULL;
    const json_t *asked;
    int rc = cloud_instance_need(cloud, call, instance, zone, &found);

    asked = found;
    if (rc == HACTL_OK)
        rc = cloud_guest_read(cloud, call, &asked, 1, &guest);
    if (rc == HACTL_OK && !guest.values)
        rc = cloud->host->fail(call, HACTL_E_UNAVAILABLE, "what replica %s tells: %s", instance, guest.error);
    if (rc == HACTL_OK && !cloud_metadata(found, "hactl-keys"))
        rc = cloud->host->fail(call, HACTL_E_FAILED,
                               "replica %s was made to get its keys, not to make them: hactl replica replace %s",
                               instance, instance);
    if (rc == HACTL_OK)
        rc = emit_all(cloud, call, instance, cloud_metadata(found, "hactl-keys"), guest.values);
    cloud_guest_clear(&guest);
    json_decref(found);
    return rc;
}
