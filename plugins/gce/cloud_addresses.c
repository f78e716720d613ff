/* SPDX-License-Identifier: Apache-2.0 */
/* The public address, a static one of the region, and the replicas' internal
 * ones, reserved in their subnetwork. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

static void resource_name(char out[GCE_NAME], const char *name, enum hactl_address_kind kind)
{
    gce_name(out, name, kind == HACTL_ADDRESS_EXTERNAL ? "-ip" : "-internal-ip");
}

/* ---- emit ------------------------------------------------------------------------ */

/* The name that the core knows it by: the replica's, respectively the cluster's.
 * Google gives an address its labels by a call of their own only, so whose it
 * is stands in the description: "hactl cluster CLUSTER replica REPLICA". */
static const char *core_name(const struct cloud *cloud, const json_t *address, char out[GCE_NAME])
{
    static const char word[] = " replica ";
    const char *description = cloud_text(address, "description");
    char ours[128];

    if (strcmp(cloud_text(address, "addressType"), "INTERNAL") != 0)
        return cloud->cluster;
    gce_description(ours, cloud->cluster);
    if (strncmp(description, ours, strlen(ours)) == 0 &&
        strncmp(description + strlen(ours), word, sizeof(word) - 1) == 0)
        snprintf(out, GCE_NAME, "%s", description + strlen(ours) + sizeof(word) - 1);
    else
        snprintf(out, GCE_NAME, "%s", cloud_text(address, "name"));
    return out;
}

/* Who uses it: an instance of ours, or whoever it is. */
static void set_holder(const struct cloud *cloud, const json_t *address, struct hactl_address *out,
                       char instance[GCE_NAME])
{
    const json_t *users = json_object_get(address, "users");
    const char *user = json_string_value(json_array_get(users, 0));

    out->held = HACTL_NO;
    if (!user) {
        /* Between two states, as while it is being given over. */
        if (strcmp(cloud_text(address, "status"), "IN_USE") == 0)
            out->held = HACTL_UNKNOWN;
        return;
    }
    out->held = HACTL_YES;
    if (gce_link_part(user, "instances", instance) && (!cloud->seen.valid || cloud_seen_named(cloud, instance))) {
        out->instance = instance;
        return;
    }
    out->holder = gce_link_path(user);
    if (strstr(user, "/instances/"))
        out->held = HACTL_UNKNOWN; /* a machine that is none of ours */
}

int cloud_address_emit(struct cloud *cloud, struct hactl_call *call, const json_t *address)
{
    struct hactl_address out = {.struct_size = sizeof(out)};
    char name[GCE_NAME], instance[GCE_NAME];

    out.name = core_name(cloud, address, name);
    out.kind =
        strcmp(cloud_text(address, "addressType"), "INTERNAL") == 0 ? HACTL_ADDRESS_INTERNAL : HACTL_ADDRESS_EXTERNAL;
    out.address = cloud_text(address, "address");
    set_holder(cloud, address, &out, instance);
    return cloud->host->emit_address(call, &out);
}

/* ---- ensure ----------------------------------------------------------------------- */

static json_t *body_of(struct cloud *cloud, const char *resource, enum hactl_address_kind kind, const char *instance,
                       const char *subnetwork)
{
    bool internal = kind == HACTL_ADDRESS_INTERNAL;
    json_t *body = json_object();
    const json_t *existing = internal ? cloud_seen_named(cloud, instance) : NULL;
    char description[128], whole[224];

    gce_description(description, cloud->cluster);
    snprintf(whole, sizeof(whole), "%s%s%s", description, internal ? " replica " : "", internal ? instance : "");
    if (!body || json_object_set_new(body, "name", json_string(resource)) < 0 ||
        json_object_set_new(body, "description", json_string(whole)) < 0 ||
        json_object_set_new(body, "addressType", json_string(internal ? "INTERNAL" : "EXTERNAL")) < 0)
        goto out;
    if (internal) {
        json_object_set_new(body, "subnetwork", json_string(subnetwork));
        json_object_set_new(body, "purpose", json_string("GCE_ENDPOINT"));
        if (existing && cloud_internal_address(existing)[0]) /* it has one: that is the one to keep */
            json_object_set_new(body, "address", json_string(cloud_internal_address(existing)));
    } else { /* said even if it is the standard: a project may have another */
        json_object_set_new(body, "networkTier", json_string(cloud->host->conf_string(cloud->conf, "network_tier")));
    }
    return body;
out:
    json_decref(body);
    return NULL;
}

static int reserve(struct cloud *cloud, struct hactl_call *call, const char *region, const char *resource,
                   enum hactl_address_kind kind, const char *instance)
{
    struct gce_request request;
    const char *subnetwork = NULL;
    json_t *body;
    int rc = kind == HACTL_ADDRESS_INTERNAL ? cloud_subnetwork(cloud, call, &subnetwork) : HACTL_OK;

    if (rc != HACTL_OK)
        return rc;
    body = body_of(cloud, resource, kind, instance, subnetwork);
    if (!body)
        return cloud_no_memory(cloud, call);
    gce_prepare(&request, "POST", body, "regions/%s/addresses", region);
    rc = gce_change(cloud->gce, call, &request, 1, "address %s", resource);
    gce_request_clear(&request);
    return rc;
}

/* What is there already: ours and of that kind, or in the way. */
static int accept(struct cloud *cloud, struct hactl_call *call, const char *resource, enum hactl_address_kind kind,
                  const json_t *address)
{
    bool internal = strcmp(cloud_text(address, "addressType"), "INTERNAL") == 0;

    if (!gce_is_ours(address, cloud->cluster))
        return cloud_conflict(cloud, call, "address", resource);
    if (internal != (kind == HACTL_ADDRESS_INTERNAL))
        return cloud->host->fail(call, HACTL_E_CONFLICT, "address %s is %s, and is to be %s", resource,
                                 internal ? "internal" : "external", internal ? "external" : "internal");
    if (!cloud_text(address, "address")[0] || strcmp(cloud_text(address, "status"), "RESERVING") == 0)
        return cloud->host->fail(call, HACTL_E_BUSY, "address %s is being reserved", resource);
    return cloud_address_emit(cloud, call, address);
}

int cloud_address_ensure(struct cloud *cloud, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                         const char *instance)
{
    char resource[GCE_NAME];
    const char *region;
    json_t *address = NULL;
    int rc;

    if (kind == HACTL_ADDRESS_INTERNAL && !instance)
        return cloud->host->fail(call, HACTL_E_INVALID, "internal address %s: for which replica?", name);
    resource_name(resource, name, kind);
    rc = gce_name_check(cloud->gce, call, "address", resource);
    if (rc == HACTL_OK)
        rc = gce_region(cloud->gce, call, &region);
    if (rc == HACTL_OK)
        rc = gce_get(cloud->gce, call, &address, "regions/%s/addresses/%s", region, resource);
    if (rc == HACTL_OK)
        rc = accept(cloud, call, resource, kind, address);
    else if (rc == HACTL_E_NOT_FOUND)
        rc = reserve(cloud, call, region, resource, kind, instance);
    json_decref(address);
    /* An operation that is done at once is looked at once more for the address. */
    if (rc == HACTL_OK && !address) {
        rc = gce_get(cloud->gce, call, &address, "regions/%s/addresses/%s", region, resource);
        if (rc == HACTL_OK)
            rc = accept(cloud, call, resource, kind, address);
        else if (rc == HACTL_E_NOT_FOUND)
            rc = cloud->host->fail(call, HACTL_E_BUSY, "address %s is not to be seen yet", resource);
        json_decref(address);
    }
    return rc;
}

int cloud_address_destroy(struct cloud *cloud, struct hactl_call *call, const char *name, enum hactl_address_kind kind)
{
    char resource[GCE_NAME];
    const char *region;
    struct gce_request request;
    json_t *address = NULL;
    int rc = gce_region(cloud->gce, call, &region);

    resource_name(resource, name, kind);
    if (rc == HACTL_OK)
        rc = gce_get(cloud->gce, call, &address, "regions/%s/addresses/%s", region, resource);
    if (rc == HACTL_E_NOT_FOUND)
        return HACTL_OK;
    if (rc == HACTL_OK && !gce_is_ours(address, cloud->cluster))
        rc = cloud_conflict(cloud, call, "address", resource);
    json_decref(address);
    if (rc != HACTL_OK)
        return rc;
    gce_prepare(&request, "DELETE", NULL, "regions/%s/addresses/%s", region, resource);
    rc = gce_change(cloud->gce, call, &request, 1, "address %s", resource);
    gce_request_clear(&request);
    return rc;
}
