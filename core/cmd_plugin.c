/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/commands.h"

static const char *type_word(enum hactl_key_type type)
{
    static const char *const words[] = {
        [HACTL_KEY_STRING] = "string",    [HACTL_KEY_INTEGER] = "integer", [HACTL_KEY_BOOLEAN] = "boolean",
        [HACTL_KEY_STRING_LIST] = "list", [HACTL_KEY_PATH] = "path",       [HACTL_KEY_INSTANCE] = "instance",
    };

    return (size_t)type < sizeof words / sizeof *words && words[type] != NULL ? words[type] : "unknown";
}

static const char *kinds_text(const struct ha_plugin *plugin, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int kind = 0; kind < HA_KINDS && used < size; kind++)
        if (ha_plugin_serves(plugin, (enum ha_kind)kind))
            used += (size_t)snprintf(out + used, size - used, "%s%s", used == 0 ? "" : ", ",
                                     ha_kind_name((enum ha_kind)kind));
    return out;
}

static json_t *json_kinds(const struct ha_plugin *plugin)
{
    json_t *list = json_array();

    for (int kind = 0; kind < HA_KINDS; kind++)
        if (ha_plugin_serves(plugin, (enum ha_kind)kind))
            json_array_append_new(list, json_string(ha_kind_name((enum ha_kind)kind)));
    return list;
}

static json_t *json_key(const struct hactl_key *key)
{
    return json_pack("{s:s, s:s, s:b, s:b, s:o, s:o, s:o}", "name", key->name, "type", type_word(key->type), "required",
                     (key->flags & HACTL_KEY_REQUIRED) != 0, "secret", (key->flags & HACTL_KEY_SECRET) != 0, "default",
                     ha_json_text_or_null(key->default_value), "choices", ha_json_text_or_null(key->choices), "help",
                     ha_json_text_or_null(key->help));
}

static json_t *json_plugin(const struct ha_plugin *plugin)
{
    const struct hactl_plugin *descriptor = plugin->descriptor;
    json_t *keys = json_array();
    char abi[24];

    snprintf(abi, sizeof abi, "%u.%u", descriptor->abi_major, descriptor->abi_minor);
    for (const struct hactl_key *key = descriptor->keys; key != NULL && key->name != NULL; key++)
        json_array_append_new(keys, json_key(key));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o}", "name", descriptor->name, "version", descriptor->version,
                     "summary", descriptor->summary, "abi", abi, "kinds", json_kinds(plugin), "path", plugin->path,
                     "keys", keys);
}

/* ---- list */

static int list_json(const struct ha_session *session, struct ha_error *error)
{
    json_t *plugins = json_array(), *instances = json_array();

    for (size_t i = 0; i < session->plugins->plugin_count; i++)
        json_array_append_new(plugins, json_plugin(session->plugins->plugins[i]));
    for (size_t i = 0; i < session->plugins->instance_count; i++) {
        const struct ha_instance *instance = session->plugins->instances[i];

        json_array_append_new(instances, json_pack("{s:s, s:s}", "name", instance->conf->instance, "plugin",
                                                   instance->plugin->descriptor->name));
    }
    return ha_json_print(json_pack("{s:s, s:s, s:o, s:o}", "schema", "hactl.plugins/1", "cluster",
                                   session->configuration->cluster_name, "plugins", plugins, "instances", instances),
                         error);
}

int ha_cmd_plugin_list(struct ha_cli *cli, struct ha_error *error)
{
    static const char *const headings[] = {"INSTANCE", "PLUGIN", "VERSION", "ABI", "KINDS", "~PATH", NULL};
    struct ha_session *session = NULL;
    struct ha_table *table;
    char kinds[96], abi[24];
    int status = HA_EXIT_DONE;

    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS | HA_OF_ANY_CLOUD, "plugin-list",
                        &session, error) != 0)
        return -1;
    if (cli->options.json) {
        status = list_json(session, error);
        goto out;
    }
    table = ha_table_new(headings);
    for (size_t i = 0; i < session->plugins->instance_count; i++) {
        const struct ha_instance *instance = session->plugins->instances[i];
        const struct hactl_plugin *descriptor = instance->plugin->descriptor;

        snprintf(abi, sizeof abi, "%u.%u", descriptor->abi_major, descriptor->abi_minor);
        ha_row(table, instance->conf->instance, descriptor->name, descriptor->version, abi,
               kinds_text(instance->plugin, kinds, sizeof kinds), instance->plugin->path);
    }
    ha_table_print(table, stdout);
out:
    ha_session_close(session);
    return status;
}

/* ---- info */

static void print_keys(const struct hactl_key *keys)
{
    static const char *const headings[] = {"KEY", "TYPE", "DEFAULT", "~MEANING", NULL};
    struct ha_table *table = ha_table_new(headings);
    char meaning[512];

    for (; keys->name != NULL; keys++) {
        snprintf(meaning, sizeof meaning, "%s%s%s%s", keys->help != NULL ? keys->help : "",
                 keys->choices != NULL ? " One of " : "", keys->choices != NULL ? keys->choices : "",
                 (keys->flags & HACTL_KEY_SECRET) != 0 ? " (a secret)" : "");
        ha_row(table, keys->name, type_word(keys->type),
               (keys->flags & HACTL_KEY_REQUIRED) != 0 ? "(required)" : keys->default_value, meaning);
    }
    ha_table_print(table, stdout);
}

static void print_plugin(const struct ha_plugin *plugin)
{
    const struct hactl_plugin *descriptor = plugin->descriptor;
    char kinds[96];

    printf("name     %s\n", descriptor->name);
    printf("version  %s\n", descriptor->version);
    printf("summary  %s\n", descriptor->summary);
    printf("abi      %u.%u (this hactl: %d.%d)\n", descriptor->abi_major, descriptor->abi_minor, HACTL_ABI_MAJOR,
           HACTL_ABI_MINOR);
    printf("kinds    %s\n", kinds_text(plugin, kinds, sizeof kinds));
    printf("path     %s\n", plugin->path);
    if (descriptor->keys == NULL || descriptor->keys[0].name == NULL) {
        printf("keys     none\n");
        return;
    }
    putchar('\n');
    print_keys(descriptor->keys);
}

int ha_cmd_plugin_info(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_source nowhere = {NULL, 0};
    struct ha_plugin *plugin = NULL;
    char *path = NULL;
    json_t *document;
    int status = -1;

    if (ha_plugin_path(cli->words[0], &path, error) != 0 || ha_plugin_load(path, nowhere, &plugin, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json) {
        document = json_plugin(plugin);
        json_object_set_new(document, "schema", json_string("hactl.plugin/1"));
        status = ha_json_print(document, error);
    } else {
        print_plugin(plugin);
    }
out:
    ha_plugin_free(plugin);
    free(path);
    return status;
}
