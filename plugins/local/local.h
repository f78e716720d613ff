/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local cloud. All it knows is files below the directory that the core
 * gives it, so a run that was killed anywhere is continued by the next:
 *
 *     addresses.json                 the network and every reserved address
 *     instances/NAME/instance.json   written last when made, removed last
 *         delivered/PAYLOAD.json     units, ports, fingerprint, token of the data
 *         payloads/PAYLOAD/          the payload's files, ${directory}
 *         payloads/PAYLOAD.hactl-aside/  that takes its place, or has left it
 *         data/PAYLOAD/              ${data}; .hactl-data holds the token again
 *         run/UNIT.pid               whom lib/process.h started
 *         run/UNIT.started           the fingerprint it was started with
 *         run/UNIT.stopping          since when it has been asked to end
 *         relay/                     haproxy's configuration, claim.json
 *         log/UNIT.log
 *
 * and one symbolic link in the registry of networks.
 */
#ifndef HACTL_PLUGINS_LOCAL_H
#define HACTL_PLUGINS_LOCAL_H

#include <hactl/plugin.h>

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

#define LOCAL_RELAY   "relay" /* the unit that holds the external address */
#define LOCAL_STEP_MS 1500    /* the longest that an operation waits for processes */

struct local {
    const struct hactl_host *host;
    const struct hactl_conf *conf;
    const char *cluster;
    char directory[PATH_MAX];
    char registry[PATH_MAX];
    char network[16]; /* "127.80.1" when the configuration says so, else empty */
};

struct local_instance {
    char *name, *zone, *address;
    bool recorded; /* its record is there, which is written last */
    bool whole;    /* and it is not being removed */
};

/* local.c */
int local_error(const struct local *local, struct hactl_call *call, int error, const char *format, ...)
    HACTL_FORMAT(4, 5);
/* A path below the state directory; empty (and so never found) if too long. */
const char *local_path(const struct local *local, char out[PATH_MAX], const char *format, ...) HACTL_FORMAT(3, 4);
bool local_name_valid(const char *name);
int local_name_check(const struct local *local, struct hactl_call *call, const char *kind, const char *name);
int64_t local_now_ms(void);                /* CLOCK_BOOTTIME: the same for every process */
json_t *local_json_read(const char *path); /* NULL: missing or damaged */
int local_json_write(const char *path, const json_t *json, bool durable);
const char *local_json_text(const json_t *object, const char *key); /* "" when there is none */
/* Names in a directory, sorted, those that begin with a dot left out. */
int local_names(const char *path, char ***out, size_t *count);
void local_names_free(char **names, size_t count);

/* local_network.c */
int local_network_parse(const char *text, char out[16]);
int local_network_ensure(struct local *local, struct hactl_call *call);
int local_network_forget(struct local *local, struct hactl_call *call);
int local_network_check(struct local *local, struct hactl_call *call);
int local_addresses_list(struct local *local, struct hactl_call *call);
int local_address_ensure(struct local *local, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                         const char *instance);
int local_address_destroy(struct local *local, struct hactl_call *call, const char *name, enum hactl_address_kind kind);
/* The reserved address of an instance, respectively the one of that name (or
 * which is that address already); caller frees; NULL when there is none. */
char *local_address_of(struct local *local, const char *instance);
char *local_address_named(struct local *local, const char *name);

/* local_instances.c */
int local_instance_read(struct local *local, const char *name, struct local_instance *out);
void local_instance_clear(struct local_instance *instance);
/* The instance, whole; NOT_FOUND or LOST otherwise. */
int local_instance_need(struct local *local, struct hactl_call *call, const char *name, struct local_instance *out);
int local_instances_list(struct local *local, struct hactl_call *call);
int local_instance_ensure(struct local *local, struct hactl_call *call, const struct hactl_replica *want);
int local_instance_destroy(struct local *local, struct hactl_call *call, const char *name);

/* local_data.c */
enum hactl_tristate local_data_state(struct local *local, const char *instance);
/* Makes the directory with its token, or proves that it is still the one. */
int local_data_ensure(struct local *local, struct hactl_call *call, const char *instance, const char *payload,
                      char token[33]);
int local_data_need(struct local *local, struct hactl_call *call, const char *instance);

/* local_disk.c */
/* HACTL_E_QUOTA: no room for another replica beside those that there are. */
int local_disk_check(struct local *local, struct hactl_call *call);

/* local_deliver.c */
int local_deliver(struct local *local, struct hactl_call *call, const char *instance,
                  const struct hactl_payload *payload);

/* local_exchange.c */
#define LOCAL_STAGED ".hactl-new"

/* Where a file is and where it is written before it takes its name, with the
 * directory of both. */
struct local_place {
    char path[PATH_MAX], staged[PATH_MAX + sizeof(LOCAL_STAGED)], parent[PATH_MAX];
    bool changes; /* it is staged */
};

/* Every file of a payload, and the directory of all of them. */
struct local_placing {
    const char *directory;
    struct local_place *places;
    size_t count;
};

/* All that is staged takes its name in one instant. False: that cannot be done here, and nothing was. */
bool local_exchange(const struct local_placing *placing);
/* Removes what one that was killed has left. 0 or a negative errno. */
int local_exchange_clear(const char *directory);

/* local_units.c */
/* `keep_running`: one that runs is left alone, whatever it was started with. */
int local_units_start(struct local *local, struct hactl_call *call, const struct local_instance *instance,
                      const char *payload, const json_t *record, bool keep_running);
int local_unit_stop(struct local *local, const char *instance, const char *unit, unsigned timeout_ms, unsigned wait_ms);
int local_units_kill(struct local *local, struct hactl_call *call, const char *instance);
int local_deliveries_list(struct local *local, struct hactl_call *call, const char *instance, size_t *units,
                          size_t *running);
int local_unit_log(struct local *local, struct hactl_call *call, const char *instance, const char *unit);

/* local_relay.c */
int local_claim(struct local *local, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                uint16_t instance_port);
int local_release(struct local *local, struct hactl_call *call, const char *address, const char *instance);
/* The instance whose relay listens on that address; caller frees; NULL: none. */
char *local_relay_owner(struct local *local, const char *address);
/* One that runs without its pid file gets it again. */
void local_relay_adopt(struct local *local, struct hactl_call *call, const char *instance);
/* A socket that listens there, or -1 with errno. */
int local_listen(const char *address, uint16_t port);

#endif
