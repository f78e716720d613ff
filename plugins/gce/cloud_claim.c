/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public address on an instance: its access config. A network interface
 * has at most one, so an ephemeral one makes room first; the core has it taken
 * away before the address is dark, and a claim does it for whoever did not.
 * Who holds the address is Google's to enforce: an address in use is refused,
 * never taken.
 */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

static int change_access(struct cloud *cloud, struct hactl_call *call, const char *zone, const char *instance,
                         const char *verb, const char *query, json_t *body)
{
    struct gce_request request;
    int rc;

    gce_prepare(&request, "POST", body, "zones/%s/instances/%s/%s?networkInterface=nic0%s", zone, instance, verb,
                query);
    rc = gce_change(cloud->gce, call, &request, 1, "external address of replica %s", instance);
    gce_request_clear(&request);
    return rc;
}

/* `address` NULL: an ephemeral one. */
static int add_access(struct cloud *cloud, struct hactl_call *call, const char *zone, const char *instance,
                      const char *address)
{
    json_t *body = json_pack("{s:s, s:s, s:s}", "name", CLOUD_ACCESS, "type", "ONE_TO_ONE_NAT", "networkTier",
                             cloud->host->conf_string(cloud->conf, "network_tier"));

    if (body && address)
        json_object_set_new(body, "natIP", json_string(address));
    return body ? change_access(cloud, call, zone, instance, "addAccessConfig", "", body)
                : cloud_no_memory(cloud, call);
}

/* By the name that it has: "External NAT" where a console made it. */
static int delete_access(struct cloud *cloud, struct hactl_call *call, const char *zone, const char *instance,
                         const json_t *access)
{
    char *name = gce_escape(cloud_text(access, "name")), query[GCE_PATH];
    int rc;

    if (!name)
        return cloud_no_memory(cloud, call);
    snprintf(query, sizeof(query), "&accessConfig=%.300s", name);
    rc = change_access(cloud, call, zone, instance, "deleteAccessConfig", query, NULL);
    free(name);
    return rc;
}

int cloud_claim(struct cloud *cloud, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                uint16_t instance_port)
{
    char zone[GCE_NAME];
    json_t *found = NULL;
    const char *held;
    int rc;

    if (port != instance_port)
        return cloud->host->fail(call, HACTL_E_INVALID,
                                 "Compute Engine changes no ports: the endpoint's port %u must be the %u at which the "
                                 "replicas serve",
                                 port, instance_port);
    rc = cloud_instance_need(cloud, call, instance, zone, &found);
    if (rc != HACTL_OK)
        return rc;
    held = cloud_external_address(found);
    if (strcmp(held, address) == 0)
        rc = HACTL_OK;
    else if (cloud_access(found))
        rc = delete_access(cloud, call, zone, instance, cloud_access(found));
    else
        rc = add_access(cloud, call, zone, instance, address);
    /* Made room, and already done: go on at once. */
    if (rc == HACTL_OK && strcmp(held, address) != 0 && cloud_access(found))
        rc = add_access(cloud, call, zone, instance, address);
    json_decref(found);
    return rc;
}

int cloud_release(struct cloud *cloud, struct hactl_call *call, const char *address, const char *instance)
{
    char zone[GCE_NAME];
    json_t *found = NULL;
    int rc = cloud_zone_of(cloud, call, instance, zone);

    if (rc == HACTL_OK)
        rc = gce_get(cloud->gce, call, &found, "zones/%s/instances/%s", zone, instance);
    if (rc == HACTL_E_NOT_FOUND)
        return HACTL_OK; /* who is not there holds nothing */
    if (rc == HACTL_OK && !gce_is_ours(found, cloud->cluster))
        rc = cloud_conflict(cloud, call, "instance", instance);
    if (rc == HACTL_OK && strcmp(cloud_external_address(found), address) == 0)
        rc = delete_access(cloud, call, zone, instance, cloud_access(found));
    json_decref(found);
    return rc;
}

/* ---- an address of its own --------------------------------------------------------------- */

/* Whether the instance's external address is the cluster's and not its own. */
static int holds_static(struct cloud *cloud, struct hactl_call *call, const json_t *instance, bool *holds)
{
    char name[GCE_NAME];
    const char *region;
    json_t *address = NULL;
    int rc = gce_region(cloud->gce, call, &region);

    *holds = false;
    gce_name(name, cloud->cluster, "-ip");
    if (rc == HACTL_OK)
        rc = gce_get(cloud->gce, call, &address, "regions/%s/addresses/%s", region, name);
    if (rc == HACTL_OK)
        *holds = strcmp(cloud_text(address, "address"), cloud_external_address(instance)) == 0;
    json_decref(address);
    return rc == HACTL_E_NOT_FOUND ? HACTL_OK : rc;
}

int cloud_temporary_address_ensure(struct cloud *cloud, struct hactl_call *call, const char *instance)
{
    char zone[GCE_NAME];
    json_t *found = NULL;
    int rc;

    if (!cloud_wants_ephemeral(cloud))
        return HACTL_OK;
    rc = cloud_instance_need(cloud, call, instance, zone, &found);
    if (rc == HACTL_OK && !cloud_access(found))
        rc = add_access(cloud, call, zone, instance, NULL);
    json_decref(found);
    return rc;
}

int cloud_temporary_address_destroy(struct cloud *cloud, struct hactl_call *call, const char *instance)
{
    char zone[GCE_NAME];
    json_t *found = NULL;
    bool keeps = false;
    int rc = cloud_instance_need(cloud, call, instance, zone, &found);

    if (rc == HACTL_OK && cloud_access(found))
        rc = holds_static(cloud, call, found, &keeps);
    if (rc == HACTL_OK && cloud_access(found) && !keeps)
        rc = delete_access(cloud, call, zone, instance, cloud_access(found));
    json_decref(found);
    return rc;
}
