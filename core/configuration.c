/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as a whole: which file, in which order its parts are
 * read, and what is looked up in it afterwards. */
#include "core/configuration.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/configuration_internal.h"
#include "core/log.h"
#include "lib/file.h"

#define FILE_NAME "hactl.conf"

#ifndef HACTL_SYSCONFDIR
#define HACTL_SYSCONFDIR "/etc"
#endif

/* ---- which file */

static char *existing(const char *directory, const char *rest)
{
    char *path;

    if (asprintf(&path, "%s%s", directory, rest) < 0)
        return NULL;
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static char *find_upwards(void)
{
    char *directory, *path;

    if (access(FILE_NAME, F_OK) == 0)
        return strdup(FILE_NAME);
    directory = getcwd(NULL, 0);
    path = NULL;
    while (directory != NULL && path == NULL && strrchr(directory, '/') != NULL) {
        *strrchr(directory, '/') = '\0';
        path = existing(directory, "/" FILE_NAME);
    }
    free(directory);
    return path;
}

static char *find_for_user(void)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    char *directory, *path = NULL;

    if (base != NULL && base[0] == '/')
        return existing(base, "/hactl/" FILE_NAME);
    directory = ha_path_resolve("~/.config", "/");
    if (directory != NULL)
        path = existing(directory, "/hactl/" FILE_NAME);
    free(directory);
    return path;
}

/* A file that was found rather than chosen must not be a stranger's: it says
 * which plugins are loaded and where state is kept. */
static int judge_found(const char *path, struct ha_error *error)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return ha_fail_errno(error, HA_EXIT_USAGE, errno, "cannot read %s", path);
    if (status.st_uid == 0 || status.st_uid == geteuid())
        return 0;
    ha_fail(error, HA_EXIT_USAGE, "%s belongs to user %u, neither to root nor to you", path, (unsigned)status.st_uid);
    ha_advise(error, "if that is the one you want: -c %s", path);
    return -1;
}

static int find_file(char **out, struct ha_error *error)
{
    const char *chosen = getenv("HACTL_CONFIG");
    char *path;

    if (chosen != NULL && chosen[0] != '\0') {
        *out = strdup(chosen);
        return *out == NULL ? ha_fail(error, HA_EXIT_INTERNAL, "out of memory") : 0;
    }
    path = find_upwards();
    if (path == NULL)
        path = find_for_user();
    if (path == NULL)
        path = existing(HACTL_SYSCONFDIR, "/hactl/" FILE_NAME);
    if (path == NULL) {
        ha_fail(error, HA_EXIT_USAGE,
                "no configuration: no %s here or in a directory above, in ~/.config/hactl or in %s/hactl", FILE_NAME,
                HACTL_SYSCONFDIR);
        ha_advise(error, "`hactl init` writes one; -c FILE names another");
        return -1;
    }
    if (judge_found(path, error) != 0) {
        free(path);
        return -1;
    }
    ha_log(HACTL_LOG_INFO, "configuration: %s", path);
    *out = path;
    return 0;
}

/* ---- reading */

static int keep_sets(struct ha_parsed *parsed, const char *const *sets, struct ha_error *error)
{
    size_t count = 0;

    while (sets != NULL && sets[count] != NULL)
        count++;
    parsed->sets = calloc(count + 1, sizeof *parsed->sets);
    if (parsed->sets == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(sets[i], '=');
        struct ha_set *set = &parsed->sets[i];

        /* Not printed whole: the value may be a secret. */
        if (equals == NULL || equals == sets[i])
            return ha_fail(error, HA_EXIT_USAGE, "--set wants KEY=VALUE, such as cluster.replicas=5");
        set->key = strndup(sets[i], (size_t)(equals - sets[i]));
        set->value = strdup(equals + 1);
        parsed->set_count++;
        if (set->key == NULL || set->value == NULL)
            return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    }
    return 0;
}

/* --set pki.directory=X, where pki is an instance, is plugins.pki.directory. */
static int complete_sets(struct ha_parsed *parsed, struct ha_error *error)
{
    for (size_t i = 0; i < parsed->set_count; i++) {
        struct ha_set *set = &parsed->sets[i];
        size_t length = strcspn(set->key, ".");
        char path[128], *whole;

        snprintf(path, sizeof path, "plugins.%.*s", (int)(length < 60 ? length : 60), set->key);
        if (set->key[length] != '.' || config_lookup(&parsed->own.config, path) == NULL ||
            ha_section_is_known(set->key, length))
            continue;
        if (asprintf(&whole, "plugins.%s", set->key) < 0)
            return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        free(set->key);
        set->key = whole;
    }
    return 0;
}

int ha_configuration_read(const char *path, const char *const *sets, struct ha_configuration **out,
                          struct ha_error *error)
{
    struct ha_configuration *configuration = calloc(1, sizeof *configuration);
    struct ha_parsed *parsed = calloc(1, sizeof *parsed);
    char *file = NULL;
    int result = -1;

    if (configuration == NULL || parsed == NULL) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        free(parsed);
        goto out;
    }
    configuration->internal = parsed;
    if (path != NULL && (file = strdup(path)) == NULL) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        goto out;
    }
    if ((file == NULL && find_file(&file, error) != 0) || keep_sets(parsed, sets, error) != 0 ||
        ha_document_read(&parsed->own, file, error) != 0 || complete_sets(parsed, error) != 0 ||
        ha_core_settings_read(configuration, error) != 0 || ha_instances_read(configuration, error) != 0 ||
        ha_pipelines_read(configuration, error) != 0)
        goto out;
    if (strcmp(file, "-") != 0) {
        configuration->file = file;
        file = NULL; /* handed over */
    }
    *out = configuration;
    configuration = NULL; /* handed over */
    result = 0;
out:
    ha_configuration_free(configuration);
    free(file);
    return result;
}

static void conf_free(struct hactl_conf *conf)
{
    ha_settings_free(conf->settings, conf->setting_count);
    free(conf->instance);
    free(conf->plugin);
    free(conf->cluster);
    free(conf->directory);
    free(conf);
}

static void parsed_free(struct ha_parsed *parsed)
{
    if (parsed == NULL)
        return;
    ha_document_clear(&parsed->own);
    ha_document_clear(&parsed->packaged);
    for (size_t i = 0; i < parsed->set_count; i++) {
        free(parsed->sets[i].key);
        ha_secret_free(parsed->sets[i].value, parsed->sets[i].value == NULL ? 0 : strlen(parsed->sets[i].value));
    }
    free(parsed->sets);
    free(parsed);
}

void ha_configuration_free(struct ha_configuration *configuration)
{
    if (configuration == NULL)
        return;
    for (size_t i = 0; i < configuration->instance_count; i++)
        conf_free(configuration->instances[i]);
    for (size_t i = 0; i < configuration->pipeline_count; i++)
        ha_pipeline_free(configuration->pipelines[i]);
    for (size_t i = 0; i < configuration->stage_count; i++)
        ha_stage_free(configuration->stages[i]);
    free(configuration->instances);
    free(configuration->pipelines);
    free(configuration->stages);
    ha_settings_free(configuration->core_settings, configuration->core_setting_count);
    free(configuration->replicas);
    free(configuration->state_directory);
    free(configuration->file);
    parsed_free(configuration->internal); /* last: sources point into it */
    free(configuration);
}

/* ---- looking up */

struct hactl_conf *ha_configuration_instance(const struct ha_configuration *configuration, const char *name)
{
    for (size_t i = 0; i < configuration->instance_count; i++)
        if (strcmp(configuration->instances[i]->instance, name) == 0)
            return configuration->instances[i];
    return NULL;
}

const struct ha_pipeline *ha_configuration_pipeline(const struct ha_configuration *configuration, const char *name)
{
    for (size_t i = 0; i < configuration->pipeline_count; i++)
        if (strcmp(configuration->pipelines[i]->name, name) == 0)
            return configuration->pipelines[i];
    return NULL;
}

const struct ha_pipeline *ha_configuration_pipeline_of_verb(const struct ha_configuration *configuration,
                                                            const char *verb)
{
    const struct ha_pipeline *own = ha_configuration_pipeline(configuration, verb);

    return own != NULL ? own : ha_configuration_pipeline(configuration, "up");
}

const struct ha_stage *ha_configuration_stage(const struct ha_configuration *configuration, const char *name)
{
    for (size_t i = 0; i < configuration->stage_count; i++)
        if (strcmp(configuration->stages[i]->name, name) == 0)
            return configuration->stages[i];
    return NULL;
}
