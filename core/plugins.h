/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins and their instances: finding, judging, loading, opening, closing. */
#ifndef HACTL_CORE_PLUGINS_H
#define HACTL_CORE_PLUGINS_H

#include "core/configuration.h"
#include "core/error.h"

struct ha_worker;

struct ha_plugin {
    const struct hactl_plugin *descriptor;
    char *path;
    void *handle;
};

struct ha_instance {
    const struct ha_plugin *plugin;
    const struct hactl_conf *conf;
    void *self;
    struct ha_worker *worker; /* its actor: the only thread that enters it between open and close */
};

/* The kinds of plugin.h, in the order of the descriptor. */
enum ha_kind { HA_KIND_CLOUD, HA_KIND_MEMBER, HA_KIND_PAYLOAD, HA_KIND_ISSUER, HA_KIND_BALANCER, HA_KINDS };

struct ha_plugins {
    struct ha_plugin **plugins;
    size_t plugin_count;
    struct ha_instance **instances;
    size_t instance_count;
};

/* Whether a table (or descriptor) has an optional operation: there in the
 * version that the plugin was built for, and not NULL. */
#define ha_offers(table, operation)                                                                          \
    ((table) != NULL &&                                                                                      \
     (table)->struct_size >=                                                                                 \
         (size_t)((const char *)&(table)->operation - (const char *)(table)) + sizeof((table)->operation) && \
     (table)->operation != NULL)

const char *ha_kind_name(enum ha_kind kind); /* "cloud" */
bool ha_plugin_serves(const struct ha_plugin *plugin, enum ha_kind kind);

/* Sets --plugin-dir, before the environment's HACTL_PLUGIN_DIR; NULL: none. Borrowed. */
void ha_plugin_directory_set(const char *directory);

/* Where `plugin = "name"` is looked for, in order: --plugin-dir/HACTL_PLUGIN_DIR,
 * beside an uninstalled hactl (<builddir>/plugins/NAME/.libs/NAME.so), then the
 * configured plugindir. A name with a slash is a path. */
int ha_plugin_path(const char *name, char **out, struct ha_error *error);

/* Judges the file before running any of its code (owner, mode, ELF), loads it
 * RTLD_NOW|RTLD_LOCAL|RTLD_NODELETE, judges the descriptor. Refusals name the
 * plugin's file, the configuration line and, where they matter, both versions. */
int ha_plugin_load(const char *path, struct ha_source source, struct ha_plugin **out, struct ha_error *error);
void ha_plugin_free(struct ha_plugin *plugin);

/* The same judgement of a descriptor alone; `size` is what the symbol table
 * says of it, 0 when that is not known. */
int ha_plugin_judge(const struct hactl_plugin *descriptor, size_t size, const char *path, struct ha_source source,
                    struct ha_error *error);

/* Loads what the configuration names, checks every setting, opens every
 * instance and starts its worker; all or nothing. */
int ha_plugins_open(struct ha_configuration *configuration, struct ha_plugins **out, struct ha_error *error);
/* One more instance of the same plugin and settings, for the prober. */
int ha_instance_open(const struct ha_instance *like, struct ha_instance **out, struct ha_error *error);
void ha_instance_close(struct ha_instance *instance);
void ha_plugins_close(struct ha_plugins *plugins);

/* The instance of that name, or NULL. */
struct ha_instance *ha_plugins_instance(const struct ha_plugins *plugins, const char *name);
/* The instances that serve a kind, in the order of the file; NULL past the end. */
struct ha_instance *ha_plugins_of_kind(const struct ha_plugins *plugins, enum ha_kind kind, size_t index);
/* The one instance that a cluster uses of a kind that it has one of. */
struct ha_instance *ha_plugins_the(const struct ha_plugins *plugins, const struct ha_configuration *configuration,
                                   enum ha_kind kind);

#endif
