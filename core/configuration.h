/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: a libconfig file (with @include), checked against tables
 * of keys before anything else happens. Every fault names file and line, and
 * for a misspelt key what was probably meant.
 *
 *   cluster = { name = "demo"; replicas = 3; zones = ["a", "b", "c"]; };
 *   replicas = { demo-1 = { address = "10.0.0.11"; }; ... };   # without a cloud plugin
 *   endpoint = { port = 2379; mode = "auto"; };
 *   state = { directory = "..."; };
 *   plugins = {
 *     cloud = { plugin = "local"; ... keys of that plugin ... };
 *     etcd  = { plugin = "etcd"; };           # instance name = group name here
 *     ...
 *   };
 *   stages = { certificates = { steps = ["authority-create", ...]; instance = "pki"; needs = [...]; provides = [...];
 * }; }; pipelines = { up = { stages = ["address", ...]; given = [...]; }; };
 */
#ifndef HACTL_CORE_CONFIGURATION_H
#define HACTL_CORE_CONFIGURATION_H

#include <hactl/plugin.h>
#include <stdbool.h>

#include "core/error.h"
#include "core/steps.h"

struct ha_source {
    const char *file;
    unsigned line;
}; /* file NULL: a default; "--set": the command line */

/* One checked setting of a table of keys. */
struct ha_setting {
    const struct hactl_key *key;
    struct ha_source source;
    bool is_set;                       /* in the file or by --set or by its default */
    char *string;                      /* STRING, PATH, INSTANCE */
    const struct hactl_conf *instance; /* INSTANCE: the one that `string` names */
    int64_t integer;                   /* INTEGER, BOOLEAN */
    char **list;                       /* STRING_LIST; ends with NULL */
    struct hactl_key *own_key;         /* of a name with a `*`: what `key` points at */
};

/* A replica that the file itself lists. */
struct ha_listed_replica {
    const char *name, *address;
    const char *zone; /* NULL: not said */
};

/* What plugins see as an opaque `struct hactl_conf`: one instance's settings. */
struct hactl_conf {
    char *instance; /* "cloud" */
    char *plugin;   /* "local", or a path that contains a slash */
    char *cluster;
    char *directory; /* <state>/<cluster>/<instance> */
    struct ha_source source;
    struct ha_setting *settings; /* in the order of the plugin's key table */
    size_t setting_count;
    bool keys_checked; /* false until the plugin's own table has been seen */
};

struct ha_stage {
    char *name;
    struct ha_source source;
    bool steps[HA_STEP_KINDS];
    char **needs, **provides; /* end with NULL */
    char *instance;           /* optional; restricts the stage to one plugin instance */
};

struct ha_pipeline {
    char *name;
    struct ha_source source;
    const struct ha_stage **stages; /* building order; taken down in the opposite order */
    size_t stage_count;
    char **given; /* what is there without a stage making it */
};

struct ha_configuration {
    char *file; /* as chosen; NULL when read from standard input */
    /* core keys, named for their place in the file */
    char *cluster_name;
    int64_t cluster_replicas;
    char **cluster_zones; /* order of preference; empty: the cloud's own */
    char **cluster_names; /* extra names or addresses for API certificates */
    char *cluster_service_address, *cluster_dns_domain;
    struct ha_listed_replica *replicas;
    size_t listed_replica_count;
    char *endpoint_address;    /* NULL: the cloud's */
    int64_t endpoint_port;     /* 0: the port that the payload declares */
    char *endpoint_mode;       /* auto|balancer */
    char *keys_mode;           /* operator|replica */
    char *state_directory;     /* of this cluster: base/<cluster> */
    char *snapshots_directory; /* NULL: none are made */
    int64_t snapshots_keep;
    int64_t endpoint_drain_ms; /* between leaving the balancer and a restart */
    int64_t lock_timeout_ms;   /* how long to wait for another hactl */
    struct ha_setting *core_settings;
    size_t core_setting_count; /* the same, for config show */

    struct hactl_conf **instances;
    size_t instance_count;
    struct ha_stage **stages;
    size_t stage_count;
    struct ha_pipeline **pipelines;
    size_t pipeline_count;
    void *internal; /* the parsed file, until every plugin's keys are checked */
};

/* `path` NULL: $HACTL_CONFIG, ./hactl.conf, the nearest parent's, XDG,
 * /etc/hactl/hactl.conf; "-": standard input. `sets`: "key.path=value", ends
 * with NULL; they override the file and obey the same tables. */
int ha_configuration_read(const char *path, const char *const *sets, struct ha_configuration **out,
                          struct ha_error *error);
/* Checks an instance's settings against its plugin's table (called by the
 * loader), fills in defaults and resolves paths. */
int ha_configuration_check_keys(struct ha_configuration *configuration, struct hactl_conf *instance,
                                const struct hactl_key *keys, struct ha_error *error);
void ha_configuration_free(struct ha_configuration *configuration);

struct hactl_conf *ha_configuration_instance(const struct ha_configuration *configuration, const char *name);
const struct ha_pipeline *ha_configuration_pipeline(const struct ha_configuration *configuration, const char *name);
/* The pipeline of the verb's own name, else `up`; never NULL. */
const struct ha_pipeline *ha_configuration_pipeline_of_verb(const struct ha_configuration *configuration,
                                                            const char *verb);
/* No verb's: only `stage run` runs it. */
bool ha_pipeline_is_own(const struct ha_pipeline *pipeline);
const struct ha_stage *ha_configuration_stage(const struct ha_configuration *configuration, const char *name);
/* The core's own table, ending with a name of NULL: for `config show` and the manual. */
const struct hactl_key *ha_configuration_core_keys(void);
/* "file.conf:12: " or "--set: "; into `out`, at least 300 bytes. */
const char *ha_source_text(struct ha_source source, char *out, size_t size);
/* The nearest of `candidates` (end with NULL) within a sensible edit distance, or NULL. */
const char *ha_did_you_mean(const char *word, const char *const *candidates);

#endif
