/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings against tables of keys: the core's own, a stage's, a plugin's. A
 * value comes from --set, else from the file, else from the table's default.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/configuration_internal.h"

static const char *const type_names[] = {
    [HACTL_KEY_STRING] = "a string",       [HACTL_KEY_INTEGER] = "an integer",
    [HACTL_KEY_BOOLEAN] = "true or false", [HACTL_KEY_STRING_LIST] = "a list of strings such as [\"a\", \"b\"]",
    [HACTL_KEY_PATH] = "a path in quotes", [HACTL_KEY_INSTANCE] = "the name of a plugin instance in quotes",
};
/* ---- messages */

int ha_fail_at(struct ha_error *error, struct ha_source source, const char *format, ...)
{
    char where[300], what[sizeof error->what];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return ha_fail(error, HA_EXIT_USAGE, "%s%s", ha_source_text(source, where, sizeof where), what);
}

const char *ha_source_text(struct ha_source source, char *out, size_t size)
{
    if (source.file == NULL)
        snprintf(out, size, "%s", "");
    else if (source.line == 0)
        snprintf(out, size, "%.280s: ", source.file);
    else
        snprintf(out, size, "%.280s:%u: ", source.file, source.line);
    return out;
}

/* The setting that is being read, for the functions below. */
struct reading {
    const struct ha_key_group *group;
    struct ha_setting *setting;
    struct ha_error *error;
};

static int refuse(const struct reading *reading, const char *format, ...) HACTL_FORMAT(2, 3);

static int refuse(const struct reading *reading, const char *format, ...)
{
    char what[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return ha_fail_at(reading->error, reading->setting->source, "%s%s %s", reading->group->prefix,
                      reading->setting->key->name, what);
}

static int out_of_memory(const struct reading *reading)
{
    return ha_fail(reading->error, HA_EXIT_INTERNAL, "out of memory");
}

/* ---- values */

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);

    for (const char *choice = choices; choice != NULL; choice = strchr(choice, '|')) {
        choice += *choice == '|' ? 1 : 0;
        if (strncmp(choice, value, length) == 0 && (choice[length] == '|' || choice[length] == '\0'))
            return length > 0;
    }
    return false;
}

static int take_string(const struct reading *reading, const char *value)
{
    struct ha_setting *setting = reading->setting;
    char *directory;

    if (setting->key->choices != NULL && setting->key->type == HACTL_KEY_STRING &&
        !is_choice(setting->key->choices, value)) {
        if ((setting->key->flags & HACTL_KEY_SECRET) != 0)
            return refuse(reading, "is none of %s", setting->key->choices);
        return refuse(reading, "is \"%s\"; it can be %s", value, setting->key->choices);
    }
    if (setting->key->type == HACTL_KEY_STRING || setting->key->type == HACTL_KEY_INSTANCE) {
        setting->string = strdup(value);
        return setting->string == NULL ? out_of_memory(reading) : 0;
    }
    if (value[0] == '\0')
        return refuse(reading, "is empty");
    /* --set speaks of the working directory, a file of its own. */
    if (setting->source.file == NULL && reading->group->source.file != NULL)
        directory = ha_path_directory(reading->group->source.file);
    else
        directory = setting->source.line == 0 ? strdup(".") : ha_path_directory(setting->source.file);
    setting->string = directory == NULL ? NULL : ha_path_resolve(value, directory);
    free(directory);
    return setting->string == NULL ? out_of_memory(reading) : 0;
}

static int take_integer(const struct reading *reading, int64_t value)
{
    const struct hactl_key *key = reading->setting->key;

    if ((key->minimum != 0 || key->maximum != 0) && (value < key->minimum || value > key->maximum))
        return refuse(reading, "is %lld; it can be %lld to %lld: %s", (long long)value, (long long)key->minimum,
                      (long long)key->maximum, key->help);
    reading->setting->integer = value;
    return 0;
}

static int list_add(const struct reading *reading, const char *value, size_t length)
{
    struct ha_setting *setting = reading->setting;
    size_t count = 0;
    char **list;

    while (setting->list != NULL && setting->list[count] != NULL)
        count++;
    list = reallocarray(setting->list, count + 2, sizeof *list);
    if (list == NULL)
        return out_of_memory(reading);
    setting->list = list;
    list[count + 1] = NULL;
    list[count] = strndup(value, length);
    return list[count] == NULL ? out_of_memory(reading) : 0;
}

/* From --set or a default, where every value is written as plain text. */
static int take_text(const struct reading *reading, const char *text)
{
    enum hactl_key_type type = reading->setting->key->type;
    char *end;
    long long integer;

    if (type == HACTL_KEY_STRING || type == HACTL_KEY_PATH || type == HACTL_KEY_INSTANCE)
        return take_string(reading, text);
    if (type == HACTL_KEY_BOOLEAN) {
        reading->setting->integer = strcmp(text, "true") == 0;
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ? 0 : refuse(reading, "must be true or false");
    }
    if (type == HACTL_KEY_INTEGER) {
        errno = 0;
        integer = strtoll(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0')
            return refuse(reading, "must be an integer, not \"%s\"", text);
        return take_integer(reading, integer);
    }
    for (text += strspn(text, " ,"); *text != '\0'; text += strspn(text, " ,")) {
        size_t length = strcspn(text, " ,");

        if (list_add(reading, text, length) != 0)
            return -1;
        text += length;
    }
    return 0;
}

static int take_list(const struct reading *reading, const config_setting_t *value)
{
    if (config_setting_type(value) != CONFIG_TYPE_ARRAY && config_setting_type(value) != CONFIG_TYPE_LIST)
        return refuse(reading, "must be %s", type_names[HACTL_KEY_STRING_LIST]);
    for (int i = 0; i < config_setting_length(value); i++) {
        const char *string = config_setting_get_string(config_setting_get_elem(value, (unsigned)i));

        if (string == NULL || string[0] == '\0')
            return refuse(reading, "must be %s; its element %d is %s", type_names[HACTL_KEY_STRING_LIST], i + 1,
                          string == NULL ? "no string" : "empty");
        if (list_add(reading, string, strlen(string)) != 0)
            return -1;
    }
    return 0;
}

static int take_value(const struct reading *reading, const config_setting_t *value)
{
    enum hactl_key_type type = reading->setting->key->type;
    int given = config_setting_type(value);

    if ((type == HACTL_KEY_STRING || type == HACTL_KEY_PATH || type == HACTL_KEY_INSTANCE) &&
        given == CONFIG_TYPE_STRING)
        return take_string(reading, config_setting_get_string(value));
    if (type == HACTL_KEY_INTEGER && (given == CONFIG_TYPE_INT || given == CONFIG_TYPE_INT64))
        return take_integer(reading,
                            given == CONFIG_TYPE_INT ? config_setting_get_int(value) : config_setting_get_int64(value));
    if (type == HACTL_KEY_BOOLEAN && given == CONFIG_TYPE_BOOL) {
        reading->setting->integer = config_setting_get_bool(value) != 0;
        return 0;
    }
    if (type == HACTL_KEY_STRING_LIST)
        return take_list(reading, value);
    return refuse(reading, "must be %s", type_names[type]);
}

/* ---- groups */

const char *ha_set_value(const struct ha_parsed *parsed, const char *key)
{
    for (size_t i = parsed->set_count; i > 0; i--)
        if (strcmp(parsed->sets[i - 1].key, key) == 0)
            return parsed->sets[i - 1].value;
    return NULL;
}

static int read_setting(const struct ha_key_group *group, const struct hactl_key *key, struct ha_setting *setting,
                        struct ha_error *error)
{
    struct reading reading = {.group = group, .setting = setting, .error = error};
    const config_setting_t *value = NULL;
    const char *text;
    char full_name[200];

    setting->key = key;
    setting->is_set = true;
    snprintf(full_name, sizeof full_name, "%s%s", group->prefix, key->name);
    text = ha_set_value(group->parsed, full_name);
    if (text != NULL) {
        setting->source.file = "--set";
        return take_text(&reading, text);
    }
    if (group->setting != NULL)
        value = config_setting_lookup((config_setting_t *)(uintptr_t)group->setting, key->name);
    if (value != NULL) {
        setting->source = ha_document_source(group->document, value);
        return take_value(&reading, value);
    }
    if (key->default_value != NULL)
        return take_text(&reading, key->default_value);
    setting->is_set = false;
    if ((key->flags & HACTL_KEY_REQUIRED) == 0)
        return 0;
    ha_fail_at(error, group->source, "%s is missing%s%s", full_name, key->help == NULL ? "" : ": ",
               key->help == NULL ? "" : key->help);
    return -1;
}

bool ha_word_is_among(const char *word, const char *const *candidates)
{
    for (; *candidates != NULL; candidates++)
        if (strcmp(word, *candidates) == 0)
            return true;
    return false;
}

int ha_refuse_unknown(struct ha_source source, const char *prefix, const char *name, const char *const *candidates,
                      struct ha_error *error)
{
    const char *meant = ha_did_you_mean(name, candidates);

    if (meant != NULL)
        return ha_fail_at(error, source, "unknown setting %s%s; did you mean \"%s\"?", prefix, name, meant);
    ha_fail_at(error, source, "unknown setting %s%s", prefix, name);
    ha_advise(error, "`hactl config show` and `hactl plugin info` list the settings there are");
    return -1;
}

/* The keys of one group of the file, `part` of the table ("cluster."). */
static int refuse_unknown_in(const struct ha_key_group *group, const struct hactl_key *keys, const char *part,
                             const config_setting_t *setting, struct ha_error *error)
{
    const char *candidates[HA_CANDIDATES_MAX + 2];
    char prefix[300], name[300], words[HA_CANDIDATES_MAX * 4];

    ha_key_candidates(keys, part, part[0] == '\0' ? group->reserved : NULL, candidates, HA_CANDIDATES_MAX, words,
                      sizeof words);
    snprintf(prefix, sizeof prefix, "%s%s", group->prefix, part);
    for (int i = 0; setting != NULL && i < config_setting_length(setting); i++) {
        const config_setting_t *child = config_setting_get_elem(setting, (unsigned)i);
        struct ha_source source = ha_document_source(group->document, child);
        enum ha_key_match match;

        snprintf(name, sizeof name, "%s%.100s", part, config_setting_name(child));
        match = ha_key_match(keys, name);
        if (match == HA_KEY_IS || (part[0] == '\0' && group->reserved != NULL && strcmp(name, group->reserved) == 0))
            continue;
        if (match == HA_KEY_NONE)
            return ha_refuse_unknown(source, prefix, config_setting_name(child), candidates, error);
        if (!config_setting_is_group(child))
            return ha_fail_at(error, source, "%s%s must be a group: %s = { ... };", prefix, config_setting_name(child),
                              config_setting_name(child));
        if (ha_key_is_named(keys, name) && ha_name_check(source, name, config_setting_name(child), error) != 0)
            return -1;
        snprintf(name, sizeof name, "%s%.100s.", part, config_setting_name(child));
        if (refuse_unknown_in(group, keys, name, child, error) != 0)
            return -1;
    }
    return 0;
}

int ha_refuse_unknown_keys(const struct ha_key_group *group, const struct hactl_key *keys, const char *part,
                           struct ha_error *error)
{
    const char *candidates[HA_CANDIDATES_MAX + 2];
    char prefix[300], words[HA_CANDIDATES_MAX * 4];
    size_t length, whole = strlen(group->prefix);
    struct ha_source source = {"--set", 0};

    if (refuse_unknown_in(group, keys, part, group->setting, error) != 0)
        return -1;
    ha_key_candidates(keys, part, group->reserved, candidates, HA_CANDIDATES_MAX, words, sizeof words);
    length = (size_t)snprintf(prefix, sizeof prefix, "%s%s", group->prefix, part);
    for (size_t i = 0; i < group->parsed->set_count; i++) {
        const char *key = group->parsed->sets[i].key;

        if (strncmp(key, prefix, length) == 0 && ha_key_match(keys, key + whole) != HA_KEY_IS &&
            (group->reserved == NULL || strcmp(key + whole, group->reserved) != 0))
            return ha_refuse_unknown(source, prefix, key + length, candidates, error);
    }
    return 0;
}

/* Those of a table that stand for themselves, and those whose `*` stands for
 * each of the names that the file or --set gives. */
int ha_key_group_read(const struct ha_key_group *group, const struct hactl_key *keys, struct ha_setting **out,
                      size_t *count, struct ha_error *error)
{
    struct ha_setting *settings = NULL;
    size_t expanded = 0, done = 0;

    if (ha_keys_expand(group, keys, &settings, &expanded) != 0) {
        ha_settings_free(settings, expanded);
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    }
    for (; done < expanded; done++)
        if (settings[done].list == NULL && read_setting(group, settings[done].key, &settings[done], error) != 0) {
            ha_settings_free(settings, expanded);
            return -1;
        }
    *out = settings;
    *count = expanded;
    return 0;
}

void ha_settings_free(struct ha_setting *settings, size_t count)
{
    for (size_t i = 0; settings != NULL && i < count; i++) {
        if (settings[i].string != NULL)
            explicit_bzero(settings[i].string, strlen(settings[i].string));
        free(settings[i].string);
        for (size_t j = 0; settings[i].list != NULL && settings[i].list[j] != NULL; j++)
            free(settings[i].list[j]);
        free(settings[i].list);
        if (settings[i].own_key != NULL)
            free((char *)(uintptr_t)settings[i].own_key->name);
        free(settings[i].own_key);
    }
    free(settings);
}

/* ---- a plugin's */

/* A key of type HACTL_KEY_INSTANCE names another instance of the same file. */
static int link_instances(const struct ha_configuration *configuration, const struct hactl_conf *of,
                          struct ha_error *error)
{
    const char *names[HA_CANDIDATES_MAX + 1] = {NULL}, *meant;
    size_t count = 0;

    for (size_t i = 0; i < configuration->instance_count && count < HA_CANDIDATES_MAX; i++)
        if (configuration->instances[i] != of)
            names[count++] = configuration->instances[i]->instance;
    for (size_t i = 0; i < of->setting_count; i++) {
        struct ha_setting *setting = &of->settings[i];

        if (setting->key->type != HACTL_KEY_INSTANCE || setting->string == NULL)
            continue;
        setting->instance = ha_configuration_instance(configuration, setting->string);
        if (setting->instance != NULL && setting->instance != of)
            continue;
        meant = ha_did_you_mean(setting->string, names);
        return ha_fail_at(error, setting->source,
                          "plugins.%s.%s is \"%s\", and there is no other plugin instance of that name%s%s%s",
                          of->instance, setting->key->name, setting->string, meant != NULL ? "; did you mean \"" : "",
                          meant != NULL ? meant : "", meant != NULL ? "\"?" : "");
    }
    return 0;
}

int ha_configuration_check_keys(struct ha_configuration *configuration, struct hactl_conf *instance,
                                const struct hactl_key *keys, struct ha_error *error)
{
    const struct ha_parsed *parsed = configuration->internal;
    struct ha_key_group group = {.parsed = parsed, .document = &parsed->own, .reserved = "plugin"};
    char path[128], prefix[128];

    snprintf(path, sizeof path, "plugins.%.60s", instance->instance);
    snprintf(prefix, sizeof prefix, "plugins.%.60s.", instance->instance);
    group.setting = config_lookup(&parsed->own.config, path);
    group.prefix = prefix;
    group.source = instance->source;
    if (instance->keys_checked)
        return 0;
    if (ha_refuse_unknown_keys(&group, keys, "", error) != 0 ||
        ha_key_group_read(&group, keys, &instance->settings, &instance->setting_count, error) != 0)
        return -1;
    instance->keys_checked = true;
    return link_instances(configuration, instance, error);
}
