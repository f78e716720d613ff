/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor: settings and the table of operations. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

const struct hactl_key cloud_keys[] = {
    GCE_KEYS,
    {.name = "network",
     .type = HACTL_KEY_STRING,
     .help = "Network of the replicas; that of the subnetwork, an existing replica's, else default."},
    {.name = "subnetwork",
     .type = HACTL_KEY_STRING,
     .help = "Subnetwork in the region; an existing replica's, else the only one that the network has there."},
    {.name = "machine_type",
     .type = HACTL_KEY_STRING,
     .help = "Machine type; an existing replica's, else e2-standard-2."},
    {.name = "image",
     .type = HACTL_KEY_STRING,
     .help = "Boot image or family, as a path; an existing replica's, else Debian 12."},
    {.name = "boot_disk_gb",
     .type = HACTL_KEY_INTEGER,
     .minimum = 0,
     .maximum = 65536,
     .help = "Size of boot disks; 0: an existing replica's, else 20."},
    {.name = "boot_disk_type",
     .type = HACTL_KEY_STRING,
     .help = "Type of boot disks; an existing replica's, else pd-balanced."},
    {.name = "data_disk_gb",
     .type = HACTL_KEY_INTEGER,
     .minimum = 0,
     .maximum = 65536,
     .help = "Size of data disks; 0: an existing replica's, else 20."},
    {.name = "data_disk_type",
     .type = HACTL_KEY_STRING,
     .help = "Type of data disks; an existing replica's, else pd-ssd."},
    {.name = "service_account",
     .type = HACTL_KEY_STRING,
     .help = "E-mail of the replicas' service account, or \"none\"; an existing replica's, else none."},
    {.name = "scopes",
     .type = HACTL_KEY_STRING_LIST,
     .default_value = "https://www.googleapis.com/auth/cloud-platform",
     .help = "Access scopes of that account."},
    {.name = "tags", .type = HACTL_KEY_STRING_LIST, .help = "More network tags for the replicas."},
    {.name = "labels", .type = HACTL_KEY_STRING_LIST, .help = "More labels, each \"key=value\"."},
    {.name = "network_tier",
     .type = HACTL_KEY_STRING,
     .default_value = "PREMIUM",
     .choices = "PREMIUM|STANDARD",
     .help = "Network service tier of external addresses."},
    {.name = "ephemeral_addresses",
     .type = HACTL_KEY_BOOLEAN,
     .default_value = "true",
     .help = "Replicas have ephemeral external addresses for their way out; needed for reach = \"external\"."},
    {.name = "reach",
     .type = HACTL_KEY_STRING,
     .default_value = "internal",
     .choices = "internal|external|tunnel",
     .help = "How hactl reaches the replicas' ports."},
    {.name = "admin_ranges",
     .type = HACTL_KEY_STRING_LIST,
     .help = "Source ranges that hactl reaches the replicas from."},
    {.name = "api_ranges",
     .type = HACTL_KEY_STRING_LIST,
     .default_value = "0.0.0.0/0",
     .help = "Source ranges that may use the public endpoint."},
    {.name = "health_check_ranges",
     .type = HACTL_KEY_STRING_LIST,
     .default_value = "35.191.0.0/16 130.211.0.0/22 209.85.152.0/22 209.85.204.0/22",
     .help = "Source ranges of Google's health checks."},
    {.name = "tunnel_command",
     .type = HACTL_KEY_STRING_LIST,
     .help = "Program and arguments that make a local port a replica's; see TUNNELS."},
    {.name = "programs",
     .type = HACTL_KEY_STRING_LIST,
     .help = "Each \"NAME URL SHA256 [MEMBER]\": where replicas get a program, and what it must be."},
    {.name = "reports",
     .type = HACTL_KEY_STRING,
     .default_value = "guest-attributes",
     .choices = "guest-attributes|serial-port",
     .help = "What replicas tell through; the serial port is for projects that allow no guest attributes."},
    {.name = "private_keys",
     .type = HACTL_KEY_STRING,
     .default_value = "replica",
     .choices = "replica|metadata",
     .help = "Where replicas' private keys come from: made there, or sent through instance metadata."},
    {.name = NULL},
};

const char *cloud_text(const json_t *object, const char *name)
{
    const char *text = ha_json_string(object, name);

    return text ? text : "";
}

const char *cloud_setting(const struct cloud *cloud, const char *key)
{
    const char *value = cloud->host->conf_string(cloud->conf, key);

    return value && value[0] ? value : NULL;
}

bool cloud_wants_ephemeral(const struct cloud *cloud)
{
    return cloud->host->conf_boolean(cloud->conf, "ephemeral_addresses");
}

int cloud_no_memory(const struct cloud *cloud, struct hactl_call *call)
{
    return cloud->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

int cloud_conflict(const struct cloud *cloud, struct hactl_call *call, const char *kind, const char *name)
{
    return cloud->host->fail(call, HACTL_E_CONFLICT,
                             "there is a %s %s already, and neither its label " GCE_LABEL_CLUSTER
                             " nor its description says that it is of cluster %s: remove it, or name the cluster "
                             "otherwise",
                             kind, name, cloud->cluster);
}

static void cloud_close(void *self)
{
    struct cloud *cloud = self;

    if (!cloud)
        return;
    cloud_tunnels_stop(cloud, NULL);
    cloud_seen_clear(cloud);
    gce_free(cloud->gce);
    free(cloud);
}

static int check_settings(struct cloud *cloud, struct hactl_call *call)
{
    int rc = gce_name_check(cloud->gce, call, "cluster", cloud->cluster);

    if (rc == HACTL_OK && cloud->reach != CLOUD_REACH_INTERNAL &&
        !cloud->host->conf_list(cloud->conf, "tunnel_command", 0) && cloud->reach == CLOUD_REACH_TUNNEL)
        rc = cloud->host->fail(call, HACTL_E_INVALID, "reach = \"tunnel\" needs tunnel_command");
    if (rc == HACTL_OK && cloud->reach == CLOUD_REACH_EXTERNAL && !cloud_wants_ephemeral(cloud))
        rc = cloud->host->fail(call, HACTL_E_INVALID, "reach = \"external\" needs ephemeral_addresses = true");
    if (rc == HACTL_OK && cloud->reach == CLOUD_REACH_EXTERNAL &&
        !cloud->host->conf_list(cloud->conf, "admin_ranges", 0))
        rc = cloud->host->fail(call, HACTL_E_INVALID,
                               "reach = \"external\" needs admin_ranges: the addresses that hactl comes from, such as "
                               "\"203.0.113.7/32\"");
    if (rc == HACTL_OK)
        rc = cloud_ranges_check(cloud, call);
    if (rc == HACTL_OK)
        rc = cloud_network_check(cloud, call);
    if (rc == HACTL_OK)
        rc = cloud_programs_check(cloud, call);
    return rc == HACTL_OK ? cloud_template_check(cloud, call) : rc;
}

static int cloud_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                      void **self)
{
    struct cloud *cloud = calloc(1, sizeof(*cloud));
    const char *reach;
    int rc;

    if (!cloud)
        return host->fail(call, HACTL_E_INTERNAL, "no memory");
    cloud->host = host;
    cloud->conf = conf;
    cloud->cluster = host->conf_cluster(conf);
    reach = host->conf_string(conf, "reach");
    cloud->reach = strcmp(reach, "external") == 0 ? CLOUD_REACH_EXTERNAL
                   : strcmp(reach, "tunnel") == 0 ? CLOUD_REACH_TUNNEL
                                                  : CLOUD_REACH_INTERNAL;
    gce_name(cloud->tag, cloud->cluster, "-master");
    rc = gce_new(host, conf, call, &cloud->gce);
    if (rc == HACTL_OK)
        rc = check_settings(cloud, call);
    if (rc != HACTL_OK) {
        gce_free(cloud->gce);
        free(cloud);
        return rc;
    }
    *self = cloud;
    return HACTL_OK;
}

static int op_check(void *self, struct hactl_call *call)
{
    return cloud_check(self, call);
}

static int op_poll(void *self, struct hactl_call *call, const char *token)
{
    struct cloud *cloud = self;

    return gce_poll(cloud->gce, call, token);
}

static int op_zones(void *self, struct hactl_call *call)
{
    return cloud_zones(self, call);
}

static int op_list(void *self, struct hactl_call *call)
{
    return cloud_list(self, call);
}

static int op_address_ensure(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                             const char *instance, const char *zone)
{
    (void)zone; /* addresses are the region's */
    return cloud_address_ensure(self, call, name, kind, instance);
}

static int op_address_destroy(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind)
{
    return cloud_address_destroy(self, call, name, kind);
}

static int op_instance_ensure(void *self, struct hactl_call *call, const struct hactl_instance_want *want)
{
    return cloud_instance_ensure(self, call, want);
}

static int op_instance_destroy(void *self, struct hactl_call *call, const char *name)
{
    return cloud_instance_destroy(self, call, name);
}

static int op_deliver(void *self, struct hactl_call *call, const char *instance, const struct hactl_payload *payload)
{
    return cloud_deliver(self, call, instance, payload);
}

static int op_claim(void *self, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                    uint16_t instance_port)
{
    return cloud_claim(self, call, address, instance, port, instance_port);
}

static int op_release(void *self, struct hactl_call *call, const char *address, const char *instance)
{
    return cloud_release(self, call, address, instance);
}

static int op_reach(void *self, struct hactl_call *call, const char *instance, uint16_t port)
{
    return cloud_reach(self, call, instance, port);
}

static int op_firewall_ensure(void *self, struct hactl_call *call, const struct hactl_firewall_want *want)
{
    return cloud_firewall_ensure(self, call, want);
}

static int op_firewall_destroy(void *self, struct hactl_call *call)
{
    return cloud_firewall_destroy(self, call);
}

static int op_unit_log(void *self, struct hactl_call *call, const char *instance, const char *unit)
{
    return cloud_unit_log(self, call, instance, unit);
}

static int op_requests(void *self, struct hactl_call *call, const char *instance)
{
    return cloud_requests(self, call, instance);
}

static int op_temporary_address_ensure(void *self, struct hactl_call *call, const char *instance)
{
    return cloud_temporary_address_ensure(self, call, instance);
}

static int op_temporary_address_destroy(void *self, struct hactl_call *call, const char *instance)
{
    return cloud_temporary_address_destroy(self, call, instance);
}

static int op_forget(void *self, struct hactl_call *call)
{
    cloud_tunnels_stop(self, NULL);
    cloud_leftovers_tell(self, call);
    return HACTL_OK;
}

static const struct hactl_cloud_ops cloud_ops = {
    .struct_size = sizeof(cloud_ops),
    .zones = op_zones,
    .list = op_list,
    .address_ensure = op_address_ensure,
    .address_destroy = op_address_destroy,
    .instance_ensure = op_instance_ensure,
    .instance_destroy = op_instance_destroy,
    .deliver = op_deliver,
    .claim = op_claim,
    .release = op_release,
    .reach = op_reach,
    .firewall_ensure = op_firewall_ensure,
    .firewall_destroy = op_firewall_destroy,
    .unit_log = op_unit_log,
    .forget = op_forget,
    .requests = op_requests,
    .temporary_address_ensure = op_temporary_address_ensure,
    .temporary_address_destroy = op_temporary_address_destroy,
};

const struct hactl_plugin hactl_plugin = {
    .struct_size = sizeof(hactl_plugin),
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .name = "gce",
    .version = "0.1.0",
    .summary = "Replicas as virtual machines of Google Compute Engine",
    .keys = cloud_keys,
    .open = cloud_open,
    .close = cloud_close,
    .check = op_check,
    .poll = op_poll,
    .cloud = &cloud_ops,
};
