/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The look: instances, disks and addresses with the cluster's label, asked
 * side by side, then what the running replicas tell. A zone that did not
 * answer is unknown; a data disk whose instance is gone is a replica that is
 * off: it can be started again with its data, or deleted.
 */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/json.h"

enum { INSTANCES, DISKS, ADDRESSES, FIREWALLS, LISTS };

struct look {
    struct cloud *cloud;
    struct hactl_call *call;
    struct gce_list lists[LISTS];
    const json_t **running; /* of cloud->seen */
    struct cloud_guest *guests;
    size_t running_count;
};

/* ---- zones ----------------------------------------------------------------------- */

static int emit_zone(struct look *look, const char *name, const char *region, bool up)
{
    struct hactl_zone zone = {.struct_size = sizeof(zone), .name = name, .region = region};
    char scope[GCE_NAME + 8];

    snprintf(scope, sizeof(scope), "zones/%s", name);
    zone.up = up ? HACTL_YES : HACTL_NO;
    if (!gce_list_knows(&look->lists[INSTANCES], scope) || !gce_list_knows(&look->lists[DISKS], scope))
        zone.up = HACTL_UNKNOWN;
    return look->cloud->host->emit_zone(look->call, &zone);
}

static bool is_configured(const struct gce_zone *zones, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(zones[i].name, name) == 0)
            return true;
    return false;
}

/* Those of the configuration, and any other that did not answer: a replica may
 * be in a zone that is no longer in the configuration. */
static int emit_zones(struct look *look)
{
    const struct gce_zone *zones;
    const char *region;
    size_t count, index;
    json_t *entry;
    int rc = gce_zones(look->cloud->gce, look->call, &zones, &count);

    if (rc == HACTL_OK)
        rc = gce_region(look->cloud->gce, look->call, &region);
    for (size_t i = 0; rc == HACTL_OK && i < count; i++)
        rc = emit_zone(look, zones[i].name, region, zones[i].up);
    json_array_foreach(look->lists[INSTANCES].unreachable, index, entry)
    {
        const char *scope = json_string_value(entry);
        if (rc == HACTL_OK && strncmp(scope, "zones/", 6) == 0 && !is_configured(zones, count, scope + 6))
            rc = emit_zone(look, scope + 6, region, true);
    }
    return rc;
}

int cloud_zones(struct cloud *cloud, struct hactl_call *call)
{
    const struct gce_zone *zones;
    struct hactl_zone zone = {.struct_size = sizeof(zone)};
    size_t count;
    int rc = gce_zones_refresh(cloud->gce, call);

    if (rc == HACTL_OK)
        rc = gce_zones(cloud->gce, call, &zones, &count);
    if (rc == HACTL_OK)
        rc = gce_region(cloud->gce, call, &zone.region);
    for (size_t i = 0; rc == HACTL_OK && i < count; i++) {
        zone.name = zones[i].name;
        zone.up = zones[i].up ? HACTL_YES : HACTL_NO;
        rc = cloud->host->emit_zone(call, &zone);
    }
    return rc;
}

/* ---- instances --------------------------------------------------------------------- */

static const struct {
    const char *status;
    enum hactl_instance_state state;
    const char *detail;
} states[] = {
    {"PROVISIONING", HACTL_INSTANCE_STARTING, NULL},
    {"STAGING", HACTL_INSTANCE_STARTING, NULL},
    {"RUNNING", HACTL_INSTANCE_RUNNING, NULL},
    {"REPAIRING", HACTL_INSTANCE_STARTING, "Google is repairing its host"},
    {"STOPPING", HACTL_INSTANCE_STOPPED, "it is being stopped"},
    {"TERMINATED", HACTL_INSTANCE_STOPPED, "it is stopped"},
    {"STOPPED", HACTL_INSTANCE_STOPPED, "it is stopped"},
    {"SUSPENDING", HACTL_INSTANCE_STOPPED, "it is being suspended"},
    {"SUSPENDED", HACTL_INSTANCE_STOPPED, "it is suspended"},
    {"DEPROVISIONING", HACTL_INSTANCE_STOPPED, "it is being deleted"},
};

static void set_state(struct hactl_instance *out, const char *status)
{
    out->state = HACTL_INSTANCE_UNKNOWN;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(status, states[i].status) == 0) {
            out->state = states[i].state;
            out->detail = states[i].detail;
        }
}

static const struct cloud_guest *guest_of(const struct look *look, const json_t *instance)
{
    for (size_t i = 0; i < look->running_count; i++)
        if (look->running[i] == instance)
            return &look->guests[i];
    return NULL;
}

/* RFC 3339 with fractions and any zone, as seconds; 0: none. */
static int64_t seconds_of(const char *text)
{
    struct tm when = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &when);
    int hours = 0, minutes = 0;

    if (!rest)
        return 0;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if ((*rest == '+' || *rest == '-') && sscanf(rest + 1, "%2d:%2d", &hours, &minutes) == 2)
        hours *= *rest == '-' ? -1 : 1, minutes *= *rest == '-' ? -1 : 1;
    return (int64_t)timegm(&when) - hours * 3600 - minutes * 60;
}

/* What was written before the machine was started last is of no use now.
 * Clocks differ a little. */
static bool is_of_this_boot(const json_t *instance, const char *at)
{
    int64_t started_s = seconds_of(cloud_text(instance, "lastStartTimestamp"));

    return started_s == 0 || strtoll(at, NULL, 10) + 5 >= started_s;
}

static int emit_delivery(struct look *look, const json_t *instance, const char *key)
{
    const struct cloud_guest *guest = guest_of(look, instance);
    struct hactl_delivery out = {.struct_size = sizeof(out), .running = HACTL_UNKNOWN};
    char digest[512] = "", running[16] = "", at[32] = "", detail[256] = "";
    const char *text;

    out.instance = cloud_text(instance, "name");
    out.payload = key + strlen(CLOUD_PAYLOAD_PREFIX);
    if (strcmp(cloud_text(instance, "status"), "RUNNING") != 0) {
        out.running = HACTL_NO;
        return look->cloud->host->emit_delivery(look->call, &out);
    }
    text = guest && guest->values ? cloud_text(guest->values, key + strlen("hactl-")) : "";
    cloud_guest_field(text, "at", at, sizeof(at));
    if (text[0] && is_of_this_boot(instance, at)) {
        cloud_guest_field(text, "digest", digest, sizeof(digest));
        cloud_guest_field(text, "running", running, sizeof(running));
        cloud_guest_field(text, "detail", detail, sizeof(detail));
        out.running = strcmp(running, "yes") == 0 ? HACTL_YES : strcmp(running, "no") == 0 ? HACTL_NO : HACTL_UNKNOWN;
    } else {
        snprintf(detail, sizeof(detail), "%.250s",
                 guest && guest->error[0] ? guest->error : "nothing was heard of it yet");
    }
    out.digest = digest[0] ? digest : NULL;
    out.detail = detail[0] ? detail : NULL;
    return look->cloud->host->emit_delivery(look->call, &out);
}

static int emit_deliveries(struct look *look, const json_t *instance, bool *any)
{
    size_t index;
    json_t *entry;
    int rc = HACTL_OK;

    *any = false;
    json_array_foreach(json_object_get(json_object_get(instance, "metadata"), "items"), index, entry)
    {
        const char *key = cloud_text(entry, "key");
        if (rc != HACTL_OK || strncmp(key, CLOUD_PAYLOAD_PREFIX, strlen(CLOUD_PAYLOAD_PREFIX)) != 0)
            continue;
        *any = true;
        rc = emit_delivery(look, instance, key);
    }
    return rc;
}

static const json_t *disk_of(const struct look *look, const char *replica)
{
    char name[GCE_NAME];
    size_t index;
    json_t *entry;

    gce_name(name, replica, "-data");
    json_array_foreach(look->lists[DISKS].items, index, entry)
    {
        if (gce_is_ours(entry, look->cloud->cluster) && strcmp(cloud_text(entry, "name"), name) == 0)
            return entry;
    }
    return NULL;
}

static bool is_static(const struct look *look, const char *external)
{
    size_t index;
    json_t *entry;

    json_array_foreach(look->lists[ADDRESSES].items, index, entry)
    {
        if (strcmp(cloud_text(entry, "address"), external) == 0)
            return true;
    }
    return false;
}

/* Its own, and not one of the region's static ones. */
static enum hactl_tristate temporary_address(const struct look *look, const json_t *instance)
{
    const char *external = cloud_external_address(instance);

    if (!cloud_access(instance))
        return cloud_wants_ephemeral(look->cloud) ? HACTL_NO : HACTL_UNKNOWN;
    return external[0] && is_static(look, external) ? HACTL_NO : HACTL_YES;
}

static int emit_instance(struct look *look, const json_t *instance)
{
    const struct cloud_guest *guest = guest_of(look, instance);
    const char *data = guest && guest->values ? cloud_text(guest->values, "data") : "";
    const char *state = guest && guest->values ? cloud_text(guest->values, "state") : "";
    struct hactl_instance out = {.struct_size = sizeof(out)};
    char failure[256] = "";
    bool delivered;
    int rc = emit_deliveries(look, instance, &delivered);

    out.name = cloud_text(instance, "name");
    out.zone = gce_link_name(cloud_text(instance, "zone"));
    out.internal_address = cloud_internal_address(instance);
    out.temporary_address = temporary_address(look, instance);
    set_state(&out, cloud_text(instance, "status"));
    out.data = !delivered || strncmp(data, "ok", 2) == 0 ? HACTL_YES : HACTL_UNKNOWN;
    if (strncmp(data, "lost", 4) == 0) {
        out.data = HACTL_NO;
        out.detail = "its data disk is not the one it had";
    } else if (cloud_guest_field(state, "failed", failure, sizeof(failure))) {
        out.detail = failure;
    } else if (guest && guest->error[0]) {
        out.detail = guest->error;
    }
    return rc == HACTL_OK ? look->cloud->host->emit_instance(look->call, &out) : rc;
}

/* ---- leftovers ----------------------------------------------------------------------- */

static const char *reserved_address(const struct look *look, const char *replica)
{
    char name[GCE_NAME];
    size_t index;
    json_t *entry;

    gce_name(name, replica, "-internal-ip");
    json_array_foreach(look->lists[ADDRESSES].items, index, entry)
    {
        if (strcmp(cloud_text(entry, "name"), name) == 0)
            return cloud_text(entry, "address");
    }
    return "";
}

static int emit_lone_disks(struct look *look)
{
    size_t index;
    json_t *disk;
    int rc = HACTL_OK;

    json_array_foreach(look->lists[DISKS].items, index, disk)
    {
        const char *replica = cloud_text(json_object_get(disk, "labels"), GCE_LABEL_REPLICA);
        char zone[GCE_NAME + 8];
        struct hactl_instance out = {.struct_size = sizeof(out), .state = HACTL_INSTANCE_STOPPED, .data = HACTL_YES};

        out.temporary_address = cloud_wants_ephemeral(look->cloud) ? HACTL_NO : HACTL_UNKNOWN;

        snprintf(zone, sizeof(zone), "zones/%s", gce_link_name(cloud_text(disk, "zone")));
        if (rc != HACTL_OK || !gce_is_ours(disk, look->cloud->cluster) || !replica[0] ||
            cloud_seen_named(look->cloud, replica) || disk_of(look, replica) != disk ||
            !gce_list_knows(&look->lists[INSTANCES], zone))
            continue;
        out.name = replica;
        out.zone = zone + 6;
        out.internal_address = reserved_address(look, replica);
        out.detail = "only its data disk is there";
        rc = look->cloud->host->emit_instance(look->call, &out);
    }
    return rc;
}

/* ---- the look --------------------------------------------------------------------------- */

/* Other clusters of the project are not ours to read through. Names that had to
 * be shortened are looked for among all. */
static void prepare_addresses(struct look *look, const char *region)
{
    const char *cluster = look->cloud->cluster;

    if (strlen(cluster) + sizeof("-0000000000-internal-ip") > GCE_NAME)
        gce_list_prepare(&look->lists[ADDRESSES], "regions/%s/addresses", region);
    else
        gce_list_prepare(&look->lists[ADDRESSES],
                         "regions/%s/addresses?filter=name%%20eq%%20%%22%s-%%28ip%%7C.%%2A-internal-ip%%29%%22", region,
                         cluster);
}

static int ask_lists(struct look *look)
{
    struct cloud *cloud = look->cloud;
    static const char *const names[LISTS] = {"instances", "disks", "addresses", "firewall rules"};
    const char *region;
    int rc = gce_region(cloud->gce, look->call, &region);

    if (rc != HACTL_OK)
        return rc;
    gce_list_prepare(&look->lists[INSTANCES],
                     "aggregated/instances?returnPartialSuccess=true&filter=labels." GCE_LABEL_CLUSTER "%%3D%s",
                     cloud->cluster);
    gce_list_prepare(&look->lists[DISKS],
                     "aggregated/disks?returnPartialSuccess=true&filter=labels." GCE_LABEL_CLUSTER "%%3D%s",
                     cloud->cluster);
    prepare_addresses(look, region);
    cloud_firewall_list_prepare(cloud, &look->lists[FIREWALLS]);
    rc = gce_list_run(cloud->gce, look->call, look->lists, LISTS);
    for (size_t i = 0; rc == HACTL_OK && i < LISTS; i++)
        if (look->lists[i].code != HACTL_OK)
            rc = gce_list_fail(cloud->gce, look->call, &look->lists[i], names[i]);
    return rc == HACTL_OK ? cloud_seen_take(cloud, look->call, look->lists[INSTANCES].items) : rc;
}

static int ask_guests(struct look *look)
{
    struct cloud *cloud = look->cloud;

    look->running = calloc(cloud->seen.count + 1, sizeof(*look->running));
    look->guests = calloc(cloud->seen.count + 1, sizeof(*look->guests));
    if (!look->running || !look->guests)
        return cloud_no_memory(cloud, look->call);
    for (size_t i = 0; i < cloud->seen.count; i++)
        if (strcmp(cloud_text(cloud->seen.instances[i], "status"), "RUNNING") == 0)
            look->running[look->running_count++] = cloud->seen.instances[i];
    return cloud_guest_read(cloud, look->call, look->running, look->running_count, look->guests);
}

static int emit_addresses(struct look *look)
{
    size_t index;
    json_t *entry;
    int rc = HACTL_OK;

    json_array_foreach(look->lists[ADDRESSES].items, index, entry)
    {
        if (rc == HACTL_OK && gce_is_ours(entry, look->cloud->cluster) && cloud_text(entry, "address")[0])
            rc = cloud_address_emit(look->cloud, look->call, entry);
    }
    return rc;
}

/* Two projects may have a cluster of one name, and two regions of one project. */
static int emit_place(const struct look *look)
{
    const char *project, *region;
    char text[160];
    int rc = gce_project(look->cloud->gce, look->call, &project);

    if (rc == HACTL_OK)
        rc = gce_region(look->cloud->gce, look->call, &region);
    if (rc != HACTL_OK)
        return rc;
    snprintf(text, sizeof(text), "project %s, region %s", project, region);
    return look->cloud->host->emit_text(look->call, text);
}

int cloud_list(struct cloud *cloud, struct hactl_call *call)
{
    struct look look = {.cloud = cloud, .call = call};
    int rc = gce_project(cloud->gce, call, NULL);

    if (rc == HACTL_OK)
        rc = cloud_network_check(cloud, call);
    if (rc == HACTL_OK)
        rc = ask_lists(&look);
    if (rc == HACTL_OK)
        rc = ask_guests(&look);
    if (rc == HACTL_OK)
        rc = emit_place(&look);
    if (rc == HACTL_OK)
        rc = emit_zones(&look);
    for (size_t i = 0; rc == HACTL_OK && i < cloud->seen.count; i++)
        rc = emit_instance(&look, cloud->seen.instances[i]);
    if (rc == HACTL_OK)
        rc = emit_lone_disks(&look);
    if (rc == HACTL_OK)
        rc = emit_addresses(&look);
    if (rc == HACTL_OK)
        rc = cloud_firewall_emit(cloud, call, look.lists[FIREWALLS].items);
    for (size_t i = 0; look.guests && i < look.running_count; i++)
        cloud_guest_clear(&look.guests[i]);
    for (size_t i = 0; i < LISTS; i++)
        gce_list_clear(&look.lists[i]);
    free(look.running);
    free(look.guests);
    return rc;
}
