/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/commands.h"

/* As it would be written in a file; "(set)" for a secret; caller frees. */
static char *value_text(const struct ha_setting *setting)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream == NULL)
        return NULL;
    if (!setting->is_set)
        fputs("", stream);
    else if ((setting->key->flags & HACTL_KEY_SECRET) != 0)
        fputs("(set)", stream);
    else if (setting->key->type == HACTL_KEY_INTEGER)
        fprintf(stream, "%lld", (long long)setting->integer);
    else if (setting->key->type == HACTL_KEY_BOOLEAN)
        fputs(setting->integer ? "true" : "false", stream);
    else if (setting->key->type != HACTL_KEY_STRING_LIST)
        fprintf(stream, "\"%s\"", setting->string != NULL ? setting->string : "");
    else {
        fputc('[', stream);
        for (size_t i = 0; setting->list != NULL && setting->list[i] != NULL; i++)
            fprintf(stream, "%s\"%s\"", i == 0 ? "" : ", ", setting->list[i]);
        fputc(']', stream);
    }
    fclose(stream);
    return text;
}

static json_t *value_json(const struct ha_setting *setting)
{
    json_t *list;

    if (!setting->is_set)
        return json_null();
    if ((setting->key->flags & HACTL_KEY_SECRET) != 0)
        return json_string("(set)");
    switch (setting->key->type) {
    case HACTL_KEY_INTEGER:
        return json_integer(setting->integer);
    case HACTL_KEY_BOOLEAN:
        return json_boolean(setting->integer != 0);
    case HACTL_KEY_STRING_LIST:
        list = json_array();
        for (size_t i = 0; setting->list != NULL && setting->list[i] != NULL; i++)
            json_array_append_new(list, ha_json_text_or_null(setting->list[i]));
        return list;
    default:
        return ha_json_text_or_null(setting->string);
    }
}

/* "file:12", "--set", "default" or "not set". */
static const char *source_text(const struct ha_setting *setting, char *out, size_t size)
{
    size_t length;

    if (setting->source.file == NULL)
        return setting->is_set ? "default" : "not set";
    ha_source_text(setting->source, out, size);
    length = strlen(out);
    while (length > 0 && strchr(": ", out[length - 1]) != NULL)
        out[--length] = '\0';
    return out;
}

/* Called for every setting, the core's and then each instance's. */
typedef void visit_setting(void *context, const char *key, const struct ha_setting *setting);

static void visit_all(const struct ha_configuration *configuration, visit_setting *visit, void *context)
{
    char key[256];

    for (size_t i = 0; i < configuration->core_setting_count; i++)
        visit(context, configuration->core_settings[i].key->name, &configuration->core_settings[i]);
    for (size_t i = 0; i < configuration->instance_count; i++) {
        const struct hactl_conf *instance = configuration->instances[i];
        static const struct hactl_key plugin_key = {.name = "plugin", .type = HACTL_KEY_STRING};
        struct ha_setting plugin = {
            .key = &plugin_key, .source = instance->source, .is_set = true, .string = instance->plugin};

        snprintf(key, sizeof key, "plugins.%s.plugin", instance->instance);
        visit(context, key, &plugin);
        for (size_t j = 0; j < instance->setting_count; j++) {
            snprintf(key, sizeof key, "plugins.%s.%s", instance->instance, instance->settings[j].key->name);
            visit(context, key, &instance->settings[j]);
        }
    }
}

static void visit_row(void *context, const char *key, const struct ha_setting *setting)
{
    char source[320], *value = value_text(setting);

    ha_row(context, key, value, source_text(setting, source, sizeof source));
    if (setting->source.file == NULL)
        ha_table_shade(context, 2, HA_SHADE_FAINT);
    free(value);
}

static void visit_json(void *context, const char *key, const struct ha_setting *setting)
{
    char source[320];

    json_array_append_new(context, json_pack("{s:s, s:o, s:s}", "key", key, "value", value_json(setting), "source",
                                             source_text(setting, source, sizeof source)));
}

int ha_cmd_config_show(struct ha_cli *cli, struct ha_error *error)
{
    static const char *const headings[] = {"KEY", "~VALUE", "FROM", NULL};
    struct ha_session *session = NULL;
    struct ha_table *table;
    json_t *settings;
    int status = HA_EXIT_DONE;

    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS | HA_OF_ANY_CLOUD, "config-show",
                        &session, error) != 0)
        return -1;
    if (cli->options.json) {
        settings = json_array();
        visit_all(session->configuration, visit_json, settings);
        status = ha_json_print(json_pack("{s:s, s:s, s:o, s:o}", "schema", "hactl.config/1", "cluster",
                                         session->configuration->cluster_name, "file",
                                         ha_json_text_or_null(session->configuration->file), "settings", settings),
                               error);
    } else {
        table = ha_table_new(headings);
        visit_all(session->configuration, visit_row, table);
        ha_table_print(table, stdout);
    }
    ha_session_close(session);
    return status;
}

/* Opening every plugin checks every key: a session that opens is a configuration that is right. */
int ha_cmd_config_check(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    const struct ha_configuration *configuration;
    const char *file;
    char instances[48], stages[48], pipelines[48];
    int status = HA_EXIT_DONE;

    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "config-check", &session, error) != 0)
        return -1;
    configuration = session->configuration;
    file = configuration->file != NULL ? configuration->file : "standard input";
    if (cli->options.json)
        status = ha_json_print(json_pack("{s:s, s:s, s:s, s:b}", "schema", "hactl.config-check/1", "cluster",
                                         configuration->cluster_name, "file", file, "valid", 1),
                               error);
    else
        printf("%s: the configuration of \"%s\" is right (%s, %s, %s)\n", file, configuration->cluster_name,
               ha_plural((int)configuration->instance_count, "plugin instance", instances, sizeof instances),
               ha_plural((int)configuration->stage_count, "stage", stages, sizeof stages),
               ha_plural((int)configuration->pipeline_count, "pipeline", pipelines, sizeof pipelines));
    ha_session_close(session);
    return status;
}
