/* SPDX-License-Identifier: Apache-2.0 */
/* What a new replica is made of: the configuration's word, else what an
 * existing replica is made of, else a plain default. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

#define MACHINE_TYPE "e2-standard-2"
#define IMAGE        "projects/debian-cloud/global/images/family/debian-12"
#define DISK_GB      20

/* ---- labels and tags ------------------------------------------------------------------ */

static bool label_is_sound(const char *text)
{
    const char *equals = strchr(text, '=');
    size_t length = strlen(text);

    return equals && equals > text && equals - text < 64 && length - (size_t)(equals - text) - 1 < 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-=") == length && !strchr(equals + 1, '=') &&
           strncmp(text, "hactl-", 6) != 0;
}

int cloud_template_check(struct cloud *cloud, struct hactl_call *call)
{
    const char *label;

    for (size_t i = 0; (label = cloud->host->conf_list(cloud->conf, "labels", i)); i++)
        if (!label_is_sound(label))
            return cloud->host->fail(
                call, HACTL_E_INVALID,
                "labels: \"%.80s\" is no \"key=value\" of small letters, digits, '_' and '-' (keys "
                "beginning with hactl- are hactl's own)",
                label);
    return HACTL_OK;
}

static json_t *labels_of(const struct cloud *cloud, const char *replica)
{
    json_t *labels = gce_labels(cloud->cluster, replica);
    const char *label;

    for (size_t i = 0; labels && (label = cloud->host->conf_list(cloud->conf, "labels", i)); i++) {
        size_t length = strcspn(label, "=");
        json_object_setn_new(labels, label, length, json_string(label + length + 1));
    }
    return labels;
}

static json_t *tags_of(const struct cloud *cloud)
{
    json_t *items = json_pack("[s]", cloud->tag);
    const char *tag;

    for (size_t i = 0; items && (tag = cloud->host->conf_list(cloud->conf, "tags", i)); i++)
        json_array_append_new(items, json_string(tag));
    return items ? json_pack("{s:o}", "items", items) : NULL;
}

/* ---- disks ---------------------------------------------------------------------------- */

/* jansson takes sizes as the strings that 64-bit numbers are here. */
static json_t *size_of(const struct cloud *cloud, const char *key, const json_t *model)
{
    int64_t gigabytes = cloud->host->conf_integer(cloud->conf, key);
    char text[24];

    if (gigabytes == 0)
        gigabytes = ha_json_i64(model, "sizeGb");
    snprintf(text, sizeof(text), "%lld", (long long)(gigabytes > 0 ? gigabytes : DISK_GB));
    return json_string(text);
}

static json_t *type_of(const struct cloud *cloud, const char *key, const json_t *model, const char *standard,
                       const char *zone)
{
    const char *set = cloud_setting(cloud, key), *type = set ? set : cloud_text(model, "type");
    char link[GCE_PATH];

    gce_link(cloud->gce, link, "zones/%s/diskTypes/%s", zone, type[0] ? gce_link_name(type) : standard);
    return json_string(link);
}

static const char *image_of(const struct cloud *cloud, const json_t *model)
{
    const char *set = cloud_setting(cloud, "image");

    return set ? set : cloud_text(model, "sourceImage")[0] ? cloud_text(model, "sourceImage") : IMAGE;
}

static json_t *boot_disk(const struct cloud *cloud, const struct cloud_template *template)
{
    const struct hactl_replica *replica = template->replica;

    return json_pack("{s:b, s:b, s:s, s:s, s:{s:s, s:o, s:o, s:o}}", "boot", 1, "autoDelete", 1, "type", "PERSISTENT",
                     "mode", "READ_WRITE", "initializeParams", "sourceImage", image_of(cloud, template->model_boot),
                     "diskSizeGb", size_of(cloud, "boot_disk_gb", template->model_boot), "diskType",
                     type_of(cloud, "boot_disk_type", template->model_boot, "pd-balanced", replica->zone), "labels",
                     labels_of(cloud, replica->name));
}

static json_t *data_disk(const struct cloud *cloud, const struct cloud_template *template)
{
    const struct hactl_replica *replica = template->replica;
    json_t *disk = json_pack("{s:b, s:b, s:s, s:s, s:s}", "boot", 0, "autoDelete", 0, "type", "PERSISTENT", "mode",
                             "READ_WRITE", "deviceName", CLOUD_DATA_DEVICE);
    char name[GCE_NAME];

    gce_name(name, replica->name, "-data");
    if (disk && template->data_disk)
        json_object_set_new(disk, "source", json_string(template->data_disk));
    else if (disk)
        json_object_set_new(disk, "initializeParams",
                            json_pack("{s:s, s:o, s:o, s:o}", "diskName", name, "diskSizeGb",
                                      size_of(cloud, "data_disk_gb", template->model_data), "diskType",
                                      type_of(cloud, "data_disk_type", template->model_data, "pd-ssd", replica->zone),
                                      "labels", labels_of(cloud, replica->name)));
    return disk;
}

/* ---- network ---------------------------------------------------------------------------- */

static json_t *interface_of(const struct cloud *cloud, const struct cloud_template *template)
{
    json_t *nic = json_pack("{s:s}", "subnetwork", template->subnetwork);

    if (nic && template->replica->internal_address)
        json_object_set_new(nic, "networkIP", json_string(template->replica->internal_address));
    if (nic && cloud_wants_ephemeral(cloud))
        json_object_set_new(nic, "accessConfigs",
                            json_pack("[{s:s, s:s, s:s}]", "name", CLOUD_ACCESS, "type", "ONE_TO_ONE_NAT",
                                      "networkTier", cloud->host->conf_string(cloud->conf, "network_tier")));
    return nic;
}

/* ---- service account ---------------------------------------------------------------------- */

static json_t *accounts_of(const struct cloud *cloud, const json_t *model)
{
    const char *set = cloud_setting(cloud, "service_account"), *scope;
    json_t *scopes, *existing = json_object_get(model, "serviceAccounts");

    if (!set && json_is_array(existing))
        return json_deep_copy(existing);
    if (!set || strcmp(set, "none") == 0)
        return json_array();
    scopes = json_array();
    for (size_t i = 0; (scope = cloud->host->conf_list(cloud->conf, "scopes", i)); i++)
        json_array_append_new(scopes, json_string(scope));
    return json_pack("[{s:s, s:o}]", "email", set, "scopes", scopes);
}

/* ---- metadata ------------------------------------------------------------------------------- */

static void add_item(json_t *items, const char *key, json_t *value)
{
    json_array_append_new(items, json_pack("{s:s, s:o}", "key", key, "value", value));
}

/* What an existing replica has beside hactl's own (ssh-keys, say) is copied. */
static void copy_items(json_t *items, const json_t *model)
{
    static const char *const own[] = {"startup-script", "enable-guest-attributes"};
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(json_object_get(model, "metadata"), "items"), index, entry)
    {
        const char *key = cloud_text(entry, "key");
        if (strncmp(key, "hactl-", 6) != 0 && strcmp(key, own[0]) != 0 && strcmp(key, own[1]) != 0)
            json_array_append(items, entry);
    }
}

/* The purposes for which the machine makes a key, one a line. */
static char *key_lines(const char *const *purposes)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    for (; out && purposes && *purposes; purposes++)
        fprintf(out, "%s\n", *purposes);
    if (out && fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static json_t *metadata_of(struct cloud *cloud, const struct cloud_template *template)
{
    json_t *items = json_array();
    char *boot = cloud_boot_text(cloud), *keys = key_lines(template->key_purposes);

    if (!items || !boot || !keys) {
        json_decref(items);
        free(boot);
        free(keys);
        return NULL;
    }
    add_item(items, "startup-script", json_string(cloud_startup_script));
    add_item(items, "enable-guest-attributes", json_string("TRUE"));
    add_item(items, "hactl-cluster", json_string(cloud->cluster));
    add_item(items, "hactl-replica", json_string(template->replica->name));
    add_item(items, "hactl-boot", json_string(boot));
    add_item(items, "hactl-keys", json_string(keys));
    copy_items(items, template->model);
    free(keys);
    free(boot);
    return json_pack("{s:o}", "items", items);
}

/* ---- all of it --------------------------------------------------------------------------------- */

json_t *cloud_template_body(struct cloud *cloud, const struct cloud_template *template)
{
    const char *set = cloud_setting(cloud, "machine_type"), *machine_type;
    const char *zone = template->replica->zone;
    char link[GCE_PATH], description[128];

    machine_type = set ? set : cloud_text(template->model, "machineType");
    gce_description(description, cloud->cluster);
    gce_link(cloud->gce, link, "zones/%s/machineTypes/%s", zone,
             machine_type[0] ? gce_link_name(machine_type) : MACHINE_TYPE);
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:[o,o], s:[o], s:o, s:o, s:{s:b, s:s}}", "name",
                     template->replica->name, "description", description, "machineType", link, "labels",
                     labels_of(cloud, template->replica->name), "tags", tags_of(cloud), "disks",
                     boot_disk(cloud, template), data_disk(cloud, template), "networkInterfaces",
                     interface_of(cloud, template), "serviceAccounts", accounts_of(cloud, template->model), "metadata",
                     metadata_of(cloud, template), "scheduling", "automaticRestart", 1, "onHostMaintenance", "MIGRATE");
}
