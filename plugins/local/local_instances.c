/* SPDX-License-Identifier: Apache-2.0 */
/* An instance is a directory. Its record is the last thing that is removed:
 * one without a record was never used, and can be made or destroyed; one with
 * "going" in it is half removed, and can only be destroyed. */
#define _GNU_SOURCE
#include "plugins/local/local.h"

#include "lib/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void local_instance_clear(struct local_instance *instance)
{
    free(instance->name);
    free(instance->zone);
    free(instance->address);
    memset(instance, 0, sizeof(*instance));
}

int local_instance_read(struct local *local, const char *name, struct local_instance *out)
{
    char path[PATH_MAX];
    json_t *record;

    memset(out, 0, sizeof(*out));
    if (!local_name_valid(name) || access(local_path(local, path, "instances/%s", name), F_OK) < 0)
        return -ENOENT;
    record = local_json_read(local_path(local, path, "instances/%s/instance.json", name));
    out->name = strdup(name);
    out->zone = strdup(local_json_text(record, "zone"));
    out->address = strdup(local_json_text(record, "address"));
    out->recorded = access(path, F_OK) == 0;
    out->whole = record && !json_is_true(json_object_get(record, "going"));
    json_decref(record);
    if (out->name && out->zone && out->address)
        return 0;
    local_instance_clear(out);
    return -ENOMEM;
}

int local_instance_need(struct local *local, struct hactl_call *call, const char *name, struct local_instance *out)
{
    if (local_instance_read(local, name, out) < 0)
        return local->host->fail(call, HACTL_E_NOT_FOUND, "replica %s does not exist", name);
    if (!out->recorded)
        return local->host->fail(call, HACTL_E_NOT_FOUND, "replica %s is half made", name);
    if (!out->whole)
        return local->host->fail(call, HACTL_E_LOST, "replica %s is half removed: remove it again", name);
    return HACTL_OK;
}

/* ---- list ------------------------------------------------------------------- */

static int list_one(struct local *local, struct hactl_call *call, const struct local_instance *found)
{
    struct hactl_instance instance = {.struct_size = sizeof(instance), .data = HACTL_NO};
    size_t units = 0, running = 0;
    int rc = HACTL_OK;

    instance.name = found->name;
    instance.zone = found->zone;
    instance.internal_address = found->address;
    instance.state = HACTL_INSTANCE_STOPPED;
    if (!found->whole) {
        instance.data = found->recorded ? HACTL_NO : HACTL_YES; /* there was none that could be lost */
        instance.detail = found->recorded ? "half removed" : "half made";
        return local->host->emit_instance(call, &instance);
    }
    rc = local_deliveries_list(local, call, found->name, &units, &running);
    instance.data = local_data_state(local, found->name);
    if (instance.data == HACTL_NO)
        instance.detail = "its data directory is not the one it had";
    /* A machine that is a group of processes is off when none of them runs. */
    if (running > 0 || units == 0)
        instance.state = HACTL_INSTANCE_RUNNING;
    return rc < 0 ? rc : local->host->emit_instance(call, &instance);
}

int local_instances_list(struct local *local, struct hactl_call *call)
{
    char path[PATH_MAX], **names;
    size_t count;
    int rc = local_names(local_path(local, path, "instances"), &names, &count);

    if (rc < 0)
        return local_error(local, call, rc, "%s", path);
    for (size_t i = 0; rc == HACTL_OK && i < count; i++) {
        struct local_instance found;
        if (local_instance_read(local, names[i], &found) == 0)
            rc = list_one(local, call, &found);
        local_instance_clear(&found);
    }
    local_names_free(names, count);
    return rc;
}

/* ---- ensure ------------------------------------------------------------------ */

static int zone_check(struct local *local, struct hactl_call *call, const char *zone)
{
    const char *known;
    char all[256] = "";
    size_t used = 0;

    for (size_t i = 0; (known = local->host->conf_list(local->conf, "zones", i)); i++) {
        if (strcmp(known, zone) == 0)
            return HACTL_OK;
        if (used < sizeof(all))
            used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "", known);
    }
    return local->host->fail(call, HACTL_E_INVALID, "zone %s is not one of this cloud's: %s", zone, all);
}

static int instance_write(struct local *local, struct hactl_call *call, const char *name, const char *zone,
                          const char *address, bool going)
{
    char path[PATH_MAX];
    json_t *record = json_pack("{s:s, s:s, s:s, s:b}", "name", name, "zone", zone, "address", address, "going", going);
    int rc =
        record ? local_json_write(local_path(local, path, "instances/%s/instance.json", name), record, true) : -ENOMEM;

    json_decref(record);
    return rc < 0 ? local_error(local, call, rc, "%s", path) : HACTL_OK;
}

static int instance_make(struct local *local, struct hactl_call *call, const struct hactl_replica *want)
{
    static const char *const directories[] = {"delivered", "payloads", "data", "run", "log", LOCAL_RELAY};
    char path[PATH_MAX], *address;
    int rc = HACTL_OK;

    rc = local_network_ensure(local, call);
    if (rc != HACTL_OK)
        return rc;
    address = local_address_of(local, want->name);
    if (!address)
        return local->host->fail(call, HACTL_E_NOT_FOUND, "replica %s has no internal address: reserve one first",
                                 want->name);
    if (want->internal_address && strcmp(want->internal_address, address) != 0)
        rc = local->host->fail(call, HACTL_E_CONFLICT, "replica %s is wanted at %s, and %s is reserved for it",
                               want->name, want->internal_address, address);
    for (size_t i = 0; rc == HACTL_OK && i < sizeof(directories) / sizeof(directories[0]); i++) {
        rc = ha_directory_make(local_path(local, path, "instances/%s/%s", want->name, directories[i]), 0700);
        if (rc < 0)
            rc = local_error(local, call, rc, "%s", path);
    }
    if (rc == HACTL_OK)
        rc = instance_write(local, call, want->name, want->zone, address, false);
    free(address);
    return rc;
}

static int start_delivered(struct local *local, struct hactl_call *call, const struct local_instance *instance)
{
    char path[PATH_MAX], **names;
    size_t count;
    int rc = local_data_need(local, call, instance->name);

    if (rc != HACTL_OK)
        return rc;
    rc = local_names(local_path(local, path, "instances/%s/delivered", instance->name), &names, &count);
    if (rc < 0)
        return local_error(local, call, rc, "%s", path);
    for (size_t i = 0; rc == HACTL_OK && i < count; i++) {
        json_t *record =
            local_json_read(local_path(local, path, "instances/%s/delivered/%s", instance->name, names[i]));
        if (record)
            rc = local_units_start(local, call, instance, local_json_text(record, "payload"), record, false);
        json_decref(record);
    }
    local_names_free(names, count);
    return rc;
}

int local_instance_ensure(struct local *local, struct hactl_call *call, const struct hactl_replica *want)
{
    struct local_instance found;
    int rc = local_name_check(local, call, "replica", want->name);

    if (rc == HACTL_OK)
        rc = zone_check(local, call, want->zone);
    if (rc != HACTL_OK)
        return rc;
    /* Made half and never used: no record, so nothing was ever delivered. */
    if (local_instance_read(local, want->name, &found) < 0 || !found.recorded)
        rc = instance_make(local, call, want);
    else if (!found.whole)
        rc = local->host->fail(call, HACTL_E_LOST, "replica %s is half removed: remove it again", want->name);
    else if (strcmp(found.zone, want->zone) != 0)
        rc = local->host->fail(call, HACTL_E_CONFLICT, "replica %s is in zone %s, not %s", want->name, found.zone,
                               want->zone);
    else if (want->internal_address && strcmp(found.address, want->internal_address) != 0)
        rc = local->host->fail(call, HACTL_E_CONFLICT, "replica %s is at %s, not %s", want->name, found.address,
                               want->internal_address);
    else
        rc = start_delivered(local, call, &found);
    local_instance_clear(&found);
    return rc;
}

/* ---- destroy ----------------------------------------------------------------- */

/* The record last, and then the empty directory. */
static int instance_remove(struct local *local, struct hactl_call *call, const char *name)
{
    char path[PATH_MAX], **names;
    size_t count;
    int rc = local_names(local_path(local, path, "instances/%s", name), &names, &count);

    for (size_t i = 0; rc == 0 && i < count; i++)
        if (strcmp(names[i], "instance.json") != 0)
            rc = ha_tree_remove(local_path(local, path, "instances/%s/%s", name, names[i]));
    local_names_free(names, count);
    if (rc == 0)
        rc = ha_tree_remove(local_path(local, path, "instances/%s", name));
    return rc < 0 ? local_error(local, call, rc, "%s", path) : HACTL_OK;
}

int local_instance_destroy(struct local *local, struct hactl_call *call, const char *name)
{
    struct local_instance found;
    int rc;

    if (local_instance_read(local, name, &found) < 0)
        return HACTL_OK;
    rc = instance_write(local, call, name, found.zone, found.address, true);
    local_instance_clear(&found);
    if (rc == HACTL_OK)
        rc = local_units_kill(local, call, name);
    return rc == HACTL_OK ? instance_remove(local, call, name) : rc;
}
