/* SPDX-License-Identifier: Apache-2.0 */
/* The plugins and instances that a configuration names: all of them, or none
 * and a reason. */
#include "core/plugins.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/call_internal.h"
#include "core/log.h"

#define OPEN_TIMEOUT_MS 10000

/* ---- instances */

static int call_open(struct hactl_call *call)
{
    return call->instance->plugin->descriptor->open(&ha_host, call->instance->conf, call, call->context);
}

/* Where the setting is that a text begins with, else where the instance is. */
static struct ha_source source_of(const struct hactl_conf *conf, const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

    for (size_t i = 0; i < conf->setting_count; i++) {
        const struct ha_setting *setting = &conf->settings[i];

        if (length > 0 && strlen(setting->key->name) == length && strncmp(setting->key->name, text, length) == 0 &&
            setting->source.file != NULL)
            return setting->source;
    }
    return conf->source;
}

static int open_failed(const struct ha_instance *instance, const struct hactl_call *call, struct ha_error *error)
{
    char where[300];

    ha_source_text(source_of(instance->conf, call->text), where, sizeof where);
    return ha_fail(error, ha_exit_of_code(call->code), "%sinstance \"%s\" (plugin %s): %s", where,
                   instance->conf->instance, instance->plugin->path, call->text);
}

/* In this thread: `open` overlaps nothing, so the worker starts afterwards. */
static int instance_open(struct ha_instance *instance, struct ha_error *error)
{
    struct hactl_call *call = ha_call_new(instance, "open", OPEN_TIMEOUT_MS);
    void *self = NULL;
    int result = -1;

    if (call == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    call->run = call_open;
    call->context = &self;
    ha_call_run(call);
    if (call->code != HACTL_OK) {
        open_failed(instance, call, error);
        goto out;
    }
    instance->self = self;
    instance->worker = ha_worker_start(instance->conf->instance);
    if (instance->worker == NULL) {
        ha_fail_errno(error, HA_EXIT_FAILED, errno, "cannot start a thread for instance \"%s\"",
                      instance->conf->instance);
        instance->plugin->descriptor->close(self);
        goto out;
    }
    result = 0;
out:
    ha_call_free(call);
    return result;
}

static int instance_new(const struct ha_plugin *plugin, const struct hactl_conf *conf, struct ha_instance **out,
                        struct ha_error *error)
{
    struct ha_instance *instance = calloc(1, sizeof *instance);

    if (instance == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    instance->plugin = plugin;
    instance->conf = conf;
    if (instance_open(instance, error) != 0) {
        free(instance);
        return -1;
    }
    *out = instance;
    return 0;
}

int ha_instance_open(const struct ha_instance *like, struct ha_instance **out, struct ha_error *error)
{
    return instance_new(like->plugin, like->conf, out, error);
}

void ha_instance_close(struct ha_instance *instance)
{
    if (instance == NULL)
        return;
    ha_worker_stop(instance->worker);
    instance->plugin->descriptor->close(instance->self);
    free(instance);
}

/* ---- plugins */

static const struct ha_plugin *loaded_already(const struct ha_plugins *plugins, const char *path)
{
    for (size_t i = 0; i < plugins->plugin_count; i++)
        if (strcmp(plugins->plugins[i]->path, path) == 0)
            return plugins->plugins[i];
    return NULL;
}

static int refuse_duplicate(const struct ha_plugins *plugins, const struct ha_plugin *plugin, const char *where,
                            struct ha_error *error)
{
    for (size_t i = 0; i < plugins->plugin_count; i++)
        if (strcmp(plugins->plugins[i]->descriptor->name, plugin->descriptor->name) == 0)
            return ha_fail(error, HA_EXIT_PLUGIN, "%splugin %s calls itself \"%s\", and so does %s, loaded before it",
                           where, plugin->path, plugin->descriptor->name, plugins->plugins[i]->path);
    return 0;
}

/* Loads the instance's plugin unless another instance has brought it. */
static int plugin_of(struct ha_plugins *plugins, const struct hactl_conf *conf, const struct ha_plugin **out,
                     struct ha_error *error)
{
    struct ha_plugin *plugin = NULL;
    char *path = NULL;
    char where[300];

    ha_source_text(conf->source, where, sizeof where);
    if (ha_plugin_path(conf->plugin, &path, error) != 0) {
        if (where[0] != '\0') /* less its ": ", which the prefix brings */
            ha_error_prefix(error, "%.*s", (int)strlen(where) - 2, where);
        return -1;
    }
    *out = loaded_already(plugins, path);
    if (*out == NULL && ha_plugin_load(path, conf->source, &plugin, error) == 0) {
        if (refuse_duplicate(plugins, plugin, where, error) == 0) {
            plugins->plugins[plugins->plugin_count++] = plugin;
            *out = plugin;
        } else {
            ha_plugin_free(plugin);
        }
    }
    free(path);
    return *out == NULL ? -1 : 0;
}

/* A cluster has one cloud, issuer and balancer; where several instances serve
 * such a kind, the one that a stage names is meant. Groups and payloads may be
 * many. */
static bool is_picked(const struct ha_configuration *configuration, const char *instance)
{
    for (size_t i = 0; i < configuration->stage_count; i++) {
        const char *picked = configuration->stages[i]->instance;

        if (picked != NULL && strcmp(picked, instance) == 0)
            return true;
    }
    return false;
}

static int refuse_ambiguous(const struct ha_configuration *configuration, const struct ha_plugin *const *loaded,
                            enum ha_kind kind, struct ha_error *error)
{
    const struct hactl_conf *first = NULL, *picked = NULL, *second = NULL;
    bool ambiguous = false;
    char where[300];

    for (size_t i = 0; i < configuration->instance_count; i++) {
        const struct hactl_conf *conf = configuration->instances[i];

        if (!ha_plugin_serves(loaded[i], kind))
            continue;
        if (is_picked(configuration, conf->instance)) {
            ambiguous |= picked != NULL;
            picked = picked == NULL ? conf : picked;
        }
        second = first != NULL ? conf : NULL;
        first = first == NULL ? conf : first;
    }
    if (second == NULL || (picked != NULL && !ambiguous))
        return 0;
    ha_fail(error, HA_EXIT_USAGE, "%s\"%s\" and \"%s\" both serve the kind %s, and %s",
            ha_source_text(second->source, where, sizeof where), first->instance, second->instance, ha_kind_name(kind),
            ambiguous ? "stages name more than one of them" : "no stage says which is meant");
    ha_advise(error, "leave one out, or write instance = \"%s\"; in the stage that it is for, and no other there",
              second->instance);
    return -1;
}

static int load_all(struct ha_configuration *configuration, struct ha_plugins *plugins, const struct ha_plugin **loaded,
                    struct ha_error *error)
{
    for (size_t i = 0; i < configuration->instance_count; i++) {
        struct hactl_conf *conf = configuration->instances[i];

        if (plugin_of(plugins, conf, &loaded[i], error) != 0 ||
            ha_configuration_check_keys(configuration, conf, loaded[i]->descriptor->keys, error) != 0)
            return -1;
    }
    if (refuse_ambiguous(configuration, loaded, HA_KIND_CLOUD, error) != 0 ||
        refuse_ambiguous(configuration, loaded, HA_KIND_ISSUER, error) != 0)
        return -1;
    return refuse_ambiguous(configuration, loaded, HA_KIND_BALANCER, error);
}

int ha_plugins_open(struct ha_configuration *configuration, struct ha_plugins **out, struct ha_error *error)
{
    size_t count = configuration->instance_count;
    struct ha_plugins *plugins = calloc(1, sizeof *plugins);
    const struct ha_plugin **loaded = calloc(count + 1, sizeof *loaded);
    int result = -1;

    if (plugins != NULL) {
        plugins->plugins = calloc(count + 1, sizeof *plugins->plugins);
        plugins->instances = calloc(count + 1, sizeof *plugins->instances);
    }
    if (plugins == NULL || loaded == NULL || plugins->plugins == NULL || plugins->instances == NULL) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        goto out;
    }
    if (load_all(configuration, plugins, loaded, error) != 0)
        goto out;
    for (size_t i = 0; i < count; i++) {
        struct ha_instance **instance = &plugins->instances[i];

        if (instance_new(loaded[i], configuration->instances[i], instance, error) != 0)
            goto out;
        plugins->instance_count++;
    }
    *out = plugins;
    plugins = NULL; /* handed over */
    result = 0;
out:
    ha_plugins_close(plugins);
    free(loaded);
    return result;
}

void ha_plugins_close(struct ha_plugins *plugins)
{
    if (plugins == NULL)
        return;
    /* Every worker first: `close` overlaps no other operation. */
    for (size_t i = 0; i < plugins->instance_count; i++) {
        ha_worker_stop(plugins->instances[i]->worker);
        plugins->instances[i]->worker = NULL;
    }
    for (size_t i = plugins->instance_count; i > 0; i--)
        ha_instance_close(plugins->instances[i - 1]);
    for (size_t i = plugins->plugin_count; i > 0; i--)
        ha_plugin_free(plugins->plugins[i - 1]);
    free(plugins->instances);
    free(plugins->plugins);
    free(plugins);
}

struct ha_instance *ha_plugins_instance(const struct ha_plugins *plugins, const char *name)
{
    for (size_t i = 0; i < plugins->instance_count; i++)
        if (strcmp(plugins->instances[i]->conf->instance, name) == 0)
            return plugins->instances[i];
    return NULL;
}

struct ha_instance *ha_plugins_of_kind(const struct ha_plugins *plugins, enum ha_kind kind, size_t index)
{
    for (size_t i = 0; i < plugins->instance_count; i++)
        if (ha_plugin_serves(plugins->instances[i]->plugin, kind) && index-- == 0)
            return plugins->instances[i];
    return NULL;
}

struct ha_instance *ha_plugins_the(const struct ha_plugins *plugins, const struct ha_configuration *configuration,
                                   enum ha_kind kind)
{
    struct ha_instance *one = NULL;

    for (size_t i = 0; i < plugins->instance_count; i++) {
        struct ha_instance *instance = plugins->instances[i];

        if (!ha_plugin_serves(instance->plugin, kind))
            continue;
        if (is_picked(configuration, instance->conf->instance))
            return instance;
        one = instance;
    }
    return one;
}
