/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cloud that is Google Compute Engine. It keeps nothing on the operator's
 * machine but the process ids of tunnels: names, labels and descriptions in
 * the project say what belongs to a cluster.
 *
 *     CLUSTER-ip              regional static address, the public one
 *     REPLICA-internal-ip     reserved internal address
 *     REPLICA                 instance, with its boot disk
 *     REPLICA-data            data disk, which outlives the instance
 *     CLUSTER-api, -peers, -operator, -health    firewall rules
 */
#ifndef HACTL_PLUGINS_GCE_CLOUD_H
#define HACTL_PLUGINS_GCE_CLOUD_H

#include <hactl/plugin.h>

#include <jansson.h>
#include <stdbool.h>

#include "lib/gce/gce.h"

#define CLOUD_DATA_DEVICE     "hactl-data" /* /dev/disk/by-id/google-hactl-data */
#define CLOUD_ACCESS          "external-nat"
#define CLOUD_PAYLOAD_PREFIX  "hactl-payload-"
#define CLOUD_GUEST_NAMESPACE "hactl"
#define CLOUD_DIRECTORY       "/var/lib/hactl" /* on a replica */
/* Google's limits, for one value and for all of an instance's metadata. */
#define CLOUD_VALUE_LIMIT    ((size_t)256 << 10)
#define CLOUD_METADATA_LIMIT ((size_t)512 << 10)

enum cloud_reach { CLOUD_REACH_INTERNAL, CLOUD_REACH_EXTERNAL, CLOUD_REACH_TUNNEL };

/* Instances as the last look saw them. */
struct cloud_seen {
    json_t **instances; /* each as the API gave it */
    size_t count;
    bool valid;
};

struct cloud {
    const struct hactl_host *host;
    const struct hactl_conf *conf;
    const char *cluster;
    struct gce *gce;
    enum cloud_reach reach;
    char tag[GCE_NAME]; /* network tag of the replicas */
    char subnetwork[GCE_PATH];
    char tunnel_said[320]; /* why a tunnel has ended, as it was said last */
    struct cloud_seen seen;
};

extern const struct hactl_key cloud_keys[];

/* cloud.c */
const char *cloud_text(const json_t *object, const char *name);        /* "" when there is none */
const char *cloud_setting(const struct cloud *cloud, const char *key); /* NULL: not set */
bool cloud_wants_ephemeral(const struct cloud *cloud);
int cloud_no_memory(const struct cloud *cloud, struct hactl_call *call);
/* Not ours, though it has our name. */
int cloud_conflict(const struct cloud *cloud, struct hactl_call *call, const char *kind, const char *name);

/* cloud_list.c */
int cloud_zones(struct cloud *cloud, struct hactl_call *call);
int cloud_list(struct cloud *cloud, struct hactl_call *call);

/* cloud_seen.c */
int cloud_seen_take(struct cloud *cloud, struct hactl_call *call, json_t *instances);
void cloud_seen_clear(struct cloud *cloud);
const json_t *cloud_seen_named(const struct cloud *cloud, const char *name);
/* One to take machine type, image, disks, network from; NULL: there is none. */
int cloud_seen_model(struct cloud *cloud, struct hactl_call *call, const json_t **model);
/* The zone of an instance of ours: from the last look, else asked for.
 * HACTL_E_NOT_FOUND without a text. */
int cloud_zone_of(struct cloud *cloud, struct hactl_call *call, const char *name, char zone[GCE_NAME]);
/* The instance as it is now; HACTL_E_NOT_FOUND with a text. */
int cloud_instance_need(struct cloud *cloud, struct hactl_call *call, const char *name, char zone[GCE_NAME],
                        json_t **instance);
/* Parts of an instance. */
const json_t *cloud_interface(const json_t *instance);               /* nic0 */
const json_t *cloud_access(const json_t *instance);                  /* its access config, or NULL */
const char *cloud_internal_address(const json_t *instance);          /* "" when there is none */
const char *cloud_external_address(const json_t *instance);          /* "" when there is none */
const json_t *cloud_disk(const json_t *instance, bool boot);         /* the boot disk, respectively the data disk */
const char *cloud_metadata(const json_t *instance, const char *key); /* NULL: none */

/* cloud_addresses.c */
int cloud_address_ensure(struct cloud *cloud, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                         const char *instance);
int cloud_address_destroy(struct cloud *cloud, struct hactl_call *call, const char *name, enum hactl_address_kind kind);
int cloud_address_emit(struct cloud *cloud, struct hactl_call *call, const json_t *address);

/* cloud_network.c */
/* HACTL_E_INVALID when the project is known and the network is another's. */
int cloud_network_check(struct cloud *cloud, struct hactl_call *call);
/* The question whether what is to be used is there: the subnetwork that is set, else the network; and whether the
 * answer fits region and settings. */
int cloud_network_prepare(struct cloud *cloud, struct hactl_call *call, const char *region,
                          struct gce_request *request);
int cloud_network_judge(const struct cloud *cloud, struct hactl_call *call, const char *region, const json_t *answer);
/* Links to the network and to the subnetwork of the replicas. */
int cloud_network(struct cloud *cloud, struct hactl_call *call, char out[GCE_PATH]);
int cloud_subnetwork(struct cloud *cloud, struct hactl_call *call, const char **link);

/* cloud_instances.c */
int cloud_instance_ensure(struct cloud *cloud, struct hactl_call *call, const struct hactl_instance_want *want);
int cloud_instance_destroy(struct cloud *cloud, struct hactl_call *call, const char *name);

/* cloud_template.c */
/* What a new instance is made of; `data_disk`: link of one that is there already, or NULL. */
struct cloud_template {
    const struct hactl_replica *replica;
    const char *const *key_purposes; /* optional */
    const char *subnetwork;
    const char *data_disk;
    const json_t *model, *model_boot, *model_data; /* instance and disks to take after, or NULL */
};
json_t *cloud_template_body(struct cloud *cloud, const struct cloud_template *template); /* NULL: no memory */
int cloud_template_check(struct cloud *cloud, struct hactl_call *call);

/* cloud_claim.c */
int cloud_claim(struct cloud *cloud, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                uint16_t instance_port);
int cloud_release(struct cloud *cloud, struct hactl_call *call, const char *address, const char *instance);
int cloud_temporary_address_ensure(struct cloud *cloud, struct hactl_call *call, const char *instance);
int cloud_temporary_address_destroy(struct cloud *cloud, struct hactl_call *call, const char *instance);

/* cloud_firewall.c */
int cloud_firewall_ensure(struct cloud *cloud, struct hactl_call *call, const struct hactl_firewall_want *want);
int cloud_firewall_destroy(struct cloud *cloud, struct hactl_call *call);
/* The list of those that are, or bear the names of, the cluster's. */
void cloud_firewall_list_prepare(const struct cloud *cloud, struct gce_list *list);
/* Emits the firewall, if any rule of it is among those of the project. */
int cloud_firewall_emit(struct cloud *cloud, struct hactl_call *call, const json_t *rules);

/* cloud_leftovers.c */
/* Names, in warnings, load balancers that Services may have left in the region. */
void cloud_leftovers_tell(struct cloud *cloud, struct hactl_call *call);

/* cloud_ranges.c */
int cloud_ranges_check(struct cloud *cloud, struct hactl_call *call);
/* Whether a range lets in so many that it is no limit. */
bool cloud_range_is_everybody(const char *text);

/* cloud_reach.c */
int cloud_reach(struct cloud *cloud, struct hactl_call *call, const char *instance, uint16_t port);
void cloud_tunnels_stop(struct cloud *cloud, const char *instance); /* NULL: all */

/* cloud_payload.c */
/* A payload as the text that the startup script reads; NULL after host->fail(). */
char *cloud_payload_text(struct cloud *cloud, struct hactl_call *call, const struct hactl_payload *payload);
/* Delivering the one where the other is would change nothing. */
bool cloud_payload_same(const char *one, const char *other);
/* The settings of the script, attribute "hactl-boot". NULL: no memory. */
char *cloud_boot_text(struct cloud *cloud);
int cloud_programs_check(struct cloud *cloud, struct hactl_call *call);
extern const char cloud_startup_script[]; /* made from startup.sh when hactl is built */

/* cloud_deliver.c */
int cloud_deliver(struct cloud *cloud, struct hactl_call *call, const char *instance,
                  const struct hactl_payload *payload);
/* HACTL_E_INVALID when they are more than Google takes. */
int cloud_metadata_check(const struct cloud *cloud, struct hactl_call *call, const char *replica, const json_t *items);
int cloud_unit_log(struct cloud *cloud, struct hactl_call *call, const char *instance, const char *unit);

/* cloud_requests.c */
int cloud_requests(struct cloud *cloud, struct hactl_call *call, const char *instance);

/* cloud_guest.c: what replicas tell through guest attributes, or the serial port */
bool cloud_reports_by_serial(const struct cloud *cloud);
struct cloud_guest {
    json_t *values; /* key -> text; NULL: could not be asked */
    char error[GCE_ERROR];
};
/* Of all instances, side by side. */
int cloud_guest_read(struct cloud *cloud, struct hactl_call *call, const json_t *const *instances, size_t count,
                     struct cloud_guest *guests);
void cloud_guest_clear(struct cloud_guest *guest);
/* The value of NAME in lines "NAME=VALUE"; false when there is none. */
bool cloud_guest_field(const char *text, const char *name, char *out, size_t size);

/* cloud_check.c */
int cloud_check(struct cloud *cloud, struct hactl_call *call);

#endif
