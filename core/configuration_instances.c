/* SPDX-License-Identifier: Apache-2.0 */
/* The instances of plugins that a configuration and --set name. Their own
 * keys wait until their plugin is loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/configuration_internal.h"

#define CANDIDATES_MAX 200

static int add_instance(struct ha_configuration *configuration, const char *name, const char *plugin,
                        struct ha_source source, struct ha_error *error)
{
    struct hactl_conf **instances, *conf;

    if (ha_name_check(source, "the name of a plugin instance", name, error) != 0)
        return -1;
    if (plugin == NULL || plugin[0] == '\0')
        return ha_fail_at(error, source,
                          "plugins.%s.plugin is missing: which plugin, as plugin = \"local\"; or a path with a slash",
                          name);
    instances = reallocarray(configuration->instances, configuration->instance_count + 1, sizeof *instances);
    conf = calloc(1, sizeof *conf);
    if (instances != NULL)
        configuration->instances = instances;
    if (instances == NULL || conf == NULL) {
        free(conf);
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    }
    instances[configuration->instance_count++] = conf;
    conf->source = source;
    conf->instance = strdup(name);
    conf->cluster = strdup(configuration->cluster_name);
    if (asprintf(&conf->directory, "%s/%s", configuration->state_directory, name) < 0)
        conf->directory = NULL;
    if (strchr(plugin, '/') == NULL) {
        conf->plugin = strdup(plugin);
    } else {
        char *directory = source.line == 0 ? strdup(".") : ha_path_directory(source.file);

        conf->plugin = directory == NULL ? NULL : ha_path_resolve(plugin, directory);
        free(directory);
    }
    if (conf->instance == NULL || conf->cluster == NULL || conf->directory == NULL || conf->plugin == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    return 0;
}

static int read_instance(struct ha_configuration *configuration, const config_setting_t *group, struct ha_error *error)
{
    const struct ha_parsed *parsed = configuration->internal;
    struct ha_source source = ha_document_source(&parsed->own, group), command_line = {"--set", 0};
    const config_setting_t *named;
    const char *plugin;
    char key[128];

    if (!config_setting_is_group(group))
        return ha_fail_at(error, source, "plugins.%s must be a group: %s = { plugin = \"...\"; };",
                          config_setting_name(group), config_setting_name(group));
    snprintf(key, sizeof key, "plugins.%.60s.plugin", config_setting_name(group));
    plugin = ha_set_value(parsed, key);
    if (plugin != NULL)
        return add_instance(configuration, config_setting_name(group), plugin, command_line, error);
    named = config_setting_get_member(group, "plugin");
    if (named != NULL)
        source = ha_document_source(&parsed->own, named);
    if (named != NULL && config_setting_type(named) != CONFIG_TYPE_STRING)
        return ha_fail_at(error, source, "%s must be a string", key);
    plugin = named == NULL ? NULL : config_setting_get_string(named);
    return add_instance(configuration, config_setting_name(group), plugin, source, error);
}

/* --set plugins.NAME.KEY: NAME must be there, or be made by its own plugin key. */
static int check_instance_set(struct ha_configuration *configuration, const char *key, struct ha_error *error)
{
    const struct ha_parsed *parsed = configuration->internal;
    const char *candidates[CANDIDATES_MAX + 2], *dot = strchr(key + 8, '.');
    struct ha_source source = {"--set", 0};
    char name[64], plugin_key[128];

    if (dot == NULL || dot[1] == '\0' || dot - key - 8 >= (ptrdiff_t)sizeof name)
        return ha_fail_at(error, source, "%s: a plugin's setting is written plugins.INSTANCE.KEY=VALUE", key);
    snprintf(name, sizeof name, "%.*s", (int)(dot - key - 8), key + 8);
    if (ha_configuration_instance(configuration, name) != NULL)
        return 0;
    snprintf(plugin_key, sizeof plugin_key, "plugins.%s.plugin", name);
    if (ha_set_value(parsed, plugin_key) != NULL)
        return add_instance(configuration, name, ha_set_value(parsed, plugin_key), source, error);
    for (size_t i = 0; i < configuration->instance_count && i < CANDIDATES_MAX; i++)
        candidates[i] = configuration->instances[i]->instance;
    candidates[configuration->instance_count < CANDIDATES_MAX ? configuration->instance_count : CANDIDATES_MAX] = NULL;
    if (ha_did_you_mean(name, candidates) != NULL)
        return ha_fail_at(error, source, "%s: no plugin instance \"%s\"; did you mean \"%s\"?", key, name,
                          ha_did_you_mean(name, candidates));
    return ha_fail_at(error, source, "%s: no plugin instance \"%s\"", key, name);
}

int ha_instances_read(struct ha_configuration *configuration, struct ha_error *error)
{
    const struct ha_parsed *parsed = configuration->internal;
    const config_setting_t *plugins = config_lookup(&parsed->own.config, "plugins");
    struct ha_source whole = {parsed->own.file_count == 0 ? NULL : parsed->own.files[0], 0};

    for (int i = 0; plugins != NULL && i < config_setting_length(plugins); i++)
        if (read_instance(configuration, config_setting_get_elem(plugins, (unsigned)i), error) != 0)
            return -1;
    for (size_t i = 0; i < parsed->set_count; i++)
        if (strncmp(parsed->sets[i].key, "plugins.", 8) == 0 &&
            check_instance_set(configuration, parsed->sets[i].key, error) != 0)
            return -1;
    if (configuration->instance_count > 0)
        return 0;
    ha_fail_at(error, whole, "there is no plugin in it");
    ha_advise(error, "add plugins = { cloud = { plugin = \"local\"; }; ... }; or see conf/local.conf");
    return -1;
}
