/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The home of the desired state: a directory of the operator's machine,
 * <state.directory>/<cluster>:
 *
 *   desired.json          the replica set, numbered by generation
 *   lock                  flock(2); its text says who holds it and since when
 *   operations/ID.ndjson  the journal of each operation
 *   <instance>/           what each plugin instance keeps (CA keys, processes, ...)
 *
 * Every write replaces a file atomically and durably.
 */
#ifndef HACTL_CORE_STORE_H
#define HACTL_CORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "core/error.h"
#include "core/model.h"

struct ha_desired_replica {
    char name[HA_NAME], zone[HA_NAME];
    bool leaving;   /* no longer wanted, not yet gone */
    bool founding;  /* see struct ha_replica */
    bool returning; /* the same */
};

struct ha_desired {
    uint64_t generation; /* 0: nothing has been written yet */
    int next_ordinal;    /* names are never used again */
    bool destroy;
    char cloud[HA_NAME], cloud_plugin[HA_NAME]; /* the instance that made the machines, and its plugin; "": none yet */
    char cloud_place[HA_DETAIL]; /* where they are, in the plugin's words; "": not known, or it has none */
    char balancer[HA_NAME], balancer_plugin[HA_NAME]; /* the instance whose balancer is there; "": there is none */
    char issuer[HA_NAME], issuer_plugin[HA_NAME];     /* the instance that has made certificates; "": none has yet */
    int endpoint_port;                                /* that clients were told of; 0: nobody was yet */
    enum ha_endpoint_want endpoint_want;
    char endpoint_replica[HA_NAME];
    char rotation[HA_NAME]; /* the authority on its way to another; "": none */
    enum ha_rotation_goal rotation_goal;
    int replica_count;
    struct ha_desired_replica replicas[HA_REPLICAS];
    int formed_count;
    struct {
        char group[HA_NAME];
        char cluster_id[24];
    } formed[HA_GROUPS];
    char operation[64]; /* the unfinished one; "" none */
};

/* "back", "prepare", "trust", "switch", "retire", by enum ha_rotation_goal. */
enum { HA_ROTATION_GOALS = 5 };
extern const char *const ha_rotation_words[HA_ROTATION_GOALS];

struct ha_store;

/* Makes nothing: an absent directory is an empty store. */
int ha_store_open(const char *directory, struct ha_store **out, struct ha_error *error);
void ha_store_close(struct ha_store *store); /* releases the lock; accepts NULL */
const char *ha_store_directory(const struct ha_store *store);

int ha_store_read(struct ha_store *store, struct ha_desired *out, struct ha_error *error);
/* Numbers it with the next generation. Needs the lock. */
int ha_store_write(struct ha_store *store, struct ha_desired *desired, struct ha_error *error);
/* The cluster is gone: removes everything, the lock last. */
int ha_store_destroy(struct ha_store *store, struct ha_error *error);

struct ha_lock_info {
    bool held;
    int pid;
    char host[HA_NAME], user[HA_NAME], verb[128];
    time_t since_s;
};

/* HA_EXIT_LOCKED says who has it, since when. Waits at most `timeout_ms`. */
int ha_store_lock(struct ha_store *store, const char *verb, int64_t timeout_ms, struct ha_error *error);
int ha_store_lock_show(struct ha_store *store, struct ha_lock_info *out, struct ha_error *error);

json_t *ha_desired_to_json(const struct ha_desired *desired);
int ha_desired_from_json(const json_t *json, struct ha_desired *out, struct ha_error *error);

int ha_desired_find(const struct ha_desired *desired, const char *name); /* -1: none */
/* A new one in `zone`, named by cluster and ordinal unless `name` is given; its index or -1. */
int ha_desired_add(struct ha_desired *desired, const char *cluster, const char *name, const char *zone,
                   struct ha_error *error);

#endif
