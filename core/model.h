/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model: what is wanted and what is, as plain values. The observer fills
 * it in from the plugins, the planner changes copies of it, nothing else
 * does. It holds no pointer, so a copy is an assignment.
 */
#ifndef HACTL_CORE_MODEL_H
#define HACTL_CORE_MODEL_H

#include <hactl/plugin.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    HA_REPLICAS = 16,
    HA_GROUPS = 3,
    HA_PAYLOADS = 6,
    HA_MEMBERS = 16,
    HA_NAME = 64,
    HA_ADDRESS = 46,
    HA_DETAIL = 192
};

/* Payloads are numbered: those of groups first, by the group's number. */

enum ha_certificates {
    HA_CERTIFICATES_NONE,  /* not one of them is there */
    HA_CERTIFICATES_STALE, /* some are missing or not as wanted */
    HA_CERTIFICATES_READY,
    HA_CERTIFICATES_UNKNOWN
};

enum ha_delivery {
    HA_DELIVERY_NONE,
    HA_DELIVERY_RUNNING,
    HA_DELIVERY_DEAD,  /* delivered, not running */
    HA_DELIVERY_STALE, /* runs on what is no longer wanted, such as an old certificate */
    HA_DELIVERY_UNKNOWN
};

enum ha_backend { HA_BACKEND_NONE, HA_BACKEND_WAITING, HA_BACKEND_SERVING, HA_BACKEND_UNKNOWN };

/* BOTH: the balancer and `holder_replica` say that they have the address. */
enum ha_holder { HA_HOLDER_NONE, HA_HOLDER_REPLICA, HA_HOLDER_BALANCER, HA_HOLDER_UNKNOWN, HA_HOLDER_BOTH };

enum ha_endpoint_want { HA_ENDPOINT_AUTO, HA_ENDPOINT_BALANCER, HA_ENDPOINT_REPLICA };

/* How far the rotation of an authority is to go: a phase of enum
 * hactl_rotation, or all the way to the end of it, or back to its beginning. */
enum ha_rotation_goal { HA_ROTATE_BACK, HA_ROTATE_PREPARE, HA_ROTATE_TRUST, HA_ROTATE_SWITCH, HA_ROTATE_RETIRE };

struct ha_replica {
    char name[HA_NAME], zone[HA_NAME], internal_address[HA_ADDRESS];
    bool wanted;
    bool founding;  /* one of those that a group not yet formed is formed from */
    bool returning; /* was to go, and is wanted again: what it has may be of no use any more */
    enum hactl_tristate address;
    enum ha_certificates certificates;
    enum hactl_instance_state instance;
    enum hactl_tristate data; /* NO: gone */
    enum ha_delivery deliveries[HA_PAYLOADS];
    enum hactl_tristate ready; /* its own port answers */
    enum ha_backend backend;
    enum hactl_tristate temporary_address; /* a public address of its own, while it does not hold the cluster's */
    uint8_t unproved;                      /* bit: payload of which nobody can say what it runs on */
    /* Bits, one for each payload. Of the certificates that are to be issued: it
     * uses none; reads again by itself all that it uses; one gets another key. */
    uint8_t spared, rereads, rekeys;
    /* It runs, and files that it reads again are not as wanted; a key among them. */
    uint8_t outdated, rekeyed;
    char detail[192]; /* for people: why it is not well */
};

struct ha_member {
    char id[24], name[HA_NAME], address[HA_ADDRESS], peer_url[128];
    int replica; /* -1: of no replica that hactl knows */
    bool voter, leader;
    enum hactl_tristate started, healthy, caught_up;
    int64_t lag_entries;
};

struct ha_group {
    char name[HA_NAME];
    bool formed_before; /* the store says that it was formed once; never form it again */
    enum hactl_tristate formed, quorum;
    char cluster_id[24], version[24], alarm[96], detail[192];
    int64_t db_size_bytes;
    int member_count;
    struct ha_member members[HA_MEMBERS];
};

struct ha_model {
    /* wanted */
    bool destroy;
    bool repair; /* replicas that lost their data and members of no replica are dealt with too */
    enum ha_endpoint_want endpoint_want;
    int endpoint_replica; /* with HA_ENDPOINT_REPLICA: which; -1: any */
    bool has_cloud, has_issuer, has_balancer, has_firewall, has_temporary_addresses;
    bool replica_keys;      /* replicas make their own keys: certificates come after the machine */
    char rotation[HA_NAME]; /* the authority that is rotated; "": none */
    enum ha_rotation_goal rotation_goal;

    /* found */
    enum hactl_tristate address;
    char external_address[HA_ADDRESS];
    enum hactl_tristate firewall; /* it is as wanted */
    bool firewall_present;        /* some of it is there, as wanted or not */
    enum hactl_tristate authority;
    enum ha_certificates operator_certificates;
    enum hactl_rotation rotation_found;
    uint8_t rotation_payloads;                  /* bit: payload that has certificates of that authority */
    uint8_t rotation_rereads;                   /* bit: of those, one that reads them again by itself */
    bool rotation_of_cluster, rotation_of_each; /* it signs for the cluster, for replicas */
    bool rotation_of_key;                       /* no authority, but a key that those payloads hold themselves */
    bool rotation_early;                        /* what the old one signed may still be in use */
    bool trust_of_cluster, trust_of_each;       /* what trusts it is among the certificates themselves */
    enum ha_holder holder;
    int holder_replica;
    char holder_detail[HA_DETAIL];       /* for people: why it is unknown, or two */
    enum hactl_tristate balancer;        /* it runs */
    bool balancer_present;               /* something of it is there, running or not */
    enum hactl_tristate balancer_proved; /* its temporary address has answered, all its backends serve */
    char trial_host[HA_ADDRESS];
    uint16_t trial_port;
    enum hactl_tristate endpoint_answers;

    int group_count, payload_count;
    struct ha_group groups[HA_GROUPS];
    int replica_count;
    struct ha_replica replicas[HA_REPLICAS];
    char unlike[256];         /* what runs is not as the configuration has it, and no step changes that; "": nothing */
    int beyond;               /* machines and addresses that the cloud lists and for which there was no room */
    char beyond_one[HA_NAME]; /* the first of them */
};

struct ha_budget {
    int voters, healthy, quorum, tolerates; /* of the group with the least tolerance */
    enum ha_holder holder;
    int holder_replica;
};

void ha_model_init(struct ha_model *model);
/* -1 when there is none. */
int ha_model_replica(const struct ha_model *model, const char *name);
/* Adds an absent one; -1 when there is no room. */
int ha_model_add_replica(struct ha_model *model, const char *name, const char *zone);
int ha_model_member_of(const struct ha_group *group, int replica);
bool ha_model_is_formed(const struct ha_group *group);
int ha_model_wanted(const struct ha_model *model);
int ha_model_zones(const struct ha_model *model);                /* of the wanted replicas */
bool ha_model_joined(const struct ha_model *model, int replica); /* healthy voter of every group */

int ha_quorum_of(int voters);
struct ha_budget ha_group_budget(const struct ha_group *group);
struct ha_budget ha_model_budget(const struct ha_model *model);

#endif
