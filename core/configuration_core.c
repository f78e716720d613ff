/* SPDX-License-Identifier: Apache-2.0 */
/* The core's own settings: its table of keys, and what must hold of their values. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/configuration_internal.h"
#include "core/duration.h"

#define NAME_MAX_LENGTH 40u

static const struct hactl_key core_keys[] = {
    {"cluster.name", HACTL_KEY_STRING, HACTL_KEY_REQUIRED, NULL, 0, 0, NULL,
     "The cluster's name: lower-case letters, digits and dashes, at most 40."},
    {"cluster.replicas", HACTL_KEY_INTEGER, 0, "3", 1, 7, NULL,
     "How many master replicas a new cluster has; an odd number tolerates the most."},
    {"cluster.zones", HACTL_KEY_STRING_LIST, 0, NULL, 0, 0, NULL,
     "Zones for replicas, in order of preference; without it those of the cloud."},
    {"cluster.names", HACTL_KEY_STRING_LIST, 0, NULL, 0, 0, NULL,
     "More names or addresses for the API server's certificates."},
    {"cluster.service_address", HACTL_KEY_STRING, 0, "10.0.0.1", 0, 0, NULL,
     "The first address of the cluster's service range."},
    {"cluster.dns_domain", HACTL_KEY_STRING, 0, "cluster.local", 0, 0, NULL, "The cluster's own DNS domain."},
    {"replicas.*.address", HACTL_KEY_STRING, HACTL_KEY_REQUIRED, NULL, 0, 0, NULL,
     "The internal address of that replica, where no cloud plugin says it."},
    {"replicas.*.zone", HACTL_KEY_STRING, 0, NULL, 0, 0, NULL, "The zone of that replica."},
    {"endpoint.address", HACTL_KEY_STRING, 0, NULL, 0, 0, NULL,
     "The cluster's one public address, where no cloud plugin keeps it."},
    {"endpoint.port", HACTL_KEY_INTEGER, 0, "0", 0, 65535, NULL,
     "The port of the public endpoint; 0 takes the one that the payload declares."},
    {"endpoint.mode", HACTL_KEY_STRING, 0, "auto", 0, 0, "auto|balancer",
     "auto: a lone replica holds the public address itself; balancer: there is always a balancer."},
    {"endpoint.drain", HACTL_KEY_STRING, 0, "1s", 0, 0, NULL,
     "How long a replica that was taken out of the balancer finishes handshakes before it is restarted: 0s, 1s."},
    {"keys.mode", HACTL_KEY_STRING, 0, "operator", 0, 0, "operator|replica",
     "Where the private keys of replicas are made: operator means by hactl, on this machine; replica means on the "
     "replica itself, which they never leave, if the cloud can hand its certificate requests out."},
    {"state.directory", HACTL_KEY_PATH, 0, NULL, 0, 0, NULL,
     "Where hactl keeps what it knows, one directory per cluster; without it $XDG_STATE_HOME/hactl or "
     "~/.local/state/hactl."},
    {"snapshots.directory", HACTL_KEY_PATH, 0, NULL, 0, 0, NULL,
     "Where a snapshot of every group is written before its members change; without it none is."},
    {"snapshots.keep", HACTL_KEY_INTEGER, 0, "5", 0, 10000, NULL,
     "How many snapshots of each group are kept there, older ones are deleted; 0: none is written."},
    {"lock.timeout", HACTL_KEY_STRING, 0, "0s", 0, 0, NULL,
     "How long to wait for another hactl that works on the same cluster: 0s, 30s, 5m."},
    {NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};

static const char *const sections[] = {"cluster", "replicas", "endpoint", "keys",      "state", "snapshots",
                                       "lock",    "plugins",  "stages",   "pipelines", NULL};
const struct hactl_key *ha_configuration_core_keys(void)
{
    return core_keys;
}

bool ha_section_is_known(const char *name, size_t length)
{
    for (size_t i = 0; sections[i] != NULL; i++)
        if (strncmp(sections[i], name, length) == 0 && sections[i][length] == '\0')
            return true;
    return false;
}

/* "replicas = 3" outside of any group is a likely slip. */
static const char *core_key_ending(const char *name)
{
    for (const struct hactl_key *key = core_keys; key->name != NULL; key++)
        if (strcmp(strchr(key->name, '.') + 1, name) == 0)
            return key->name;
    return NULL;
}

static int check_section(const struct ha_configuration *configuration, const config_setting_t *section,
                         struct ha_error *error)
{
    const struct ha_parsed *parsed = configuration->internal;
    const char *name = config_setting_name(section);
    struct ha_source source = ha_document_source(&parsed->own, section);
    struct ha_key_group group = {.parsed = parsed, .document = &parsed->own, .setting = section, .prefix = ""};
    char part[64];

    if (!ha_word_is_among(name, sections)) {
        if (core_key_ending(name) != NULL)
            return ha_fail_at(error, source, "unknown setting %s; did you mean \"%s\"?", name, core_key_ending(name));
        return ha_refuse_unknown(source, "", name, sections, error);
    }
    if (!config_setting_is_group(section) && core_key_ending(name) != NULL)
        return ha_fail_at(error, source, "%s must be a group: %s = { ... }; did you mean \"%s\"?", name, name,
                          core_key_ending(name));
    if (!config_setting_is_group(section))
        return ha_fail_at(error, source, "%s must be a group: %s = { ... };", name, name);
    if (strcmp(name, "plugins") == 0 || strcmp(name, "stages") == 0 || strcmp(name, "pipelines") == 0)
        return 0;
    snprintf(part, sizeof part, "%.60s.", name);
    return ha_refuse_unknown_keys(&group, core_keys, part, error);
}

/* A --set of a plugin's key waits for that plugin's table. */
static int check_sets(const struct ha_parsed *parsed, struct ha_error *error)
{
    const char *candidates[HA_CANDIDATES_MAX + 2];
    struct ha_source source = {"--set", 0};
    size_t count = 0;

    for (const struct hactl_key *key = core_keys; key->name != NULL && count < HA_CANDIDATES_MAX; key++)
        candidates[count++] = key->name;
    candidates[count] = NULL;
    for (size_t i = 0; i < parsed->set_count; i++) {
        const char *key = parsed->sets[i].key;

        if (strncmp(key, "plugins.", 8) == 0 || ha_key_match(core_keys, key) == HA_KEY_IS)
            continue;
        if (strncmp(key, "stages.", 7) == 0 || strncmp(key, "pipelines.", 10) == 0)
            return ha_fail_at(error, source, "%s: stages and pipelines are written in the file only", key);
        if (strchr(key, '.') == NULL && core_key_ending(key) != NULL)
            return ha_fail_at(error, source, "unknown setting %s; did you mean \"%s\"?", key, core_key_ending(key));
        return ha_refuse_unknown(source, "", key, candidates, error);
    }
    return 0;
}

bool ha_name_is_label(const char *name)
{
    size_t length = strlen(name);

    return length >= 1 && length <= NAME_MAX_LENGTH && name[0] >= 'a' && name[0] <= 'z' && name[length - 1] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

int ha_name_check(struct ha_source source, const char *what, const char *name, struct ha_error *error)
{
    if (ha_name_is_label(name))
        return 0;
    return ha_fail_at(error, source,
                      "%s is \"%.60s\"; a name begins with a lower-case letter, goes on with lower-case letters, "
                      "digits and dashes, does not end with a dash, and has at most %u characters",
                      what, name, NAME_MAX_LENGTH);
}

static int take_duration(const struct ha_setting *setting, int64_t *ms, struct ha_error *error)
{
    if (ha_duration_parse(setting->string, ms) == 0)
        return 0;
    return ha_fail_at(error, setting->source, "%s is \"%s\"; it must be a number with ms, s, m or h, such as 30s",
                      setting->key->name, setting->string);
}

static char *default_state_directory(void)
{
    const char *base = getenv("XDG_STATE_HOME");
    char *path;

    if (base != NULL && base[0] == '/')
        return asprintf(&path, "%s/hactl", base) < 0 ? NULL : path;
    return ha_path_resolve("~/.local/state/hactl", "/");
}

static struct ha_setting *core_setting(struct ha_configuration *configuration, const char *name)
{
    for (size_t i = 0; i < configuration->core_setting_count; i++)
        if (strcmp(configuration->core_settings[i].key->name, name) == 0)
            return &configuration->core_settings[i];
    abort(); /* the table above lacks a name that is written below */
}

static char **list_of(struct ha_configuration *configuration, const char *name)
{
    struct ha_setting *setting = core_setting(configuration, name);

    if (setting->list == NULL)
        setting->list = calloc(1, sizeof *setting->list);
    return setting->list;
}

static int check_address(const struct ha_setting *setting, struct ha_error *error)
{
    unsigned char octets[16];

    if (setting->string == NULL || inet_pton(AF_INET, setting->string, octets) == 1 ||
        inet_pton(AF_INET6, setting->string, octets) == 1)
        return 0;
    return ha_fail_at(error, setting->source, "%s is \"%s\", which is not an IP address", setting->key->name,
                      setting->string);
}

/* Replicas that the file itself lists, for work that needs no cloud. */
static int take_replicas(struct ha_configuration *configuration, struct ha_error *error)
{
    char **names = list_of(configuration, "replicas.*");
    char key[128];
    size_t count = 0;

    while (names != NULL && names[count] != NULL)
        count++;
    configuration->replicas = calloc(count + 1, sizeof *configuration->replicas);
    if (names == NULL || configuration->replicas == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct ha_listed_replica *replica = &configuration->replicas[configuration->listed_replica_count++];
        const struct ha_setting *address;

        snprintf(key, sizeof key, "replicas.%s.address", names[i]);
        address = core_setting(configuration, key);
        if (check_address(address, error) != 0)
            return -1;
        replica->name = names[i];
        replica->address = address->string;
        snprintf(key, sizeof key, "replicas.%s.zone", names[i]);
        replica->zone = core_setting(configuration, key)->string;
    }
    return 0;
}

static int take_core(struct ha_configuration *configuration, struct ha_error *error)
{
    struct ha_setting *state = core_setting(configuration, "state.directory");
    struct ha_setting *name = core_setting(configuration, "cluster.name");

    if (state->string == NULL)
        state->string = default_state_directory();
    configuration->cluster_name = name->string;
    configuration->cluster_replicas = core_setting(configuration, "cluster.replicas")->integer;
    configuration->cluster_zones = list_of(configuration, "cluster.zones");
    configuration->cluster_names = list_of(configuration, "cluster.names");
    configuration->cluster_service_address = core_setting(configuration, "cluster.service_address")->string;
    configuration->cluster_dns_domain = core_setting(configuration, "cluster.dns_domain")->string;
    configuration->endpoint_port = core_setting(configuration, "endpoint.port")->integer;
    configuration->endpoint_mode = core_setting(configuration, "endpoint.mode")->string;
    configuration->endpoint_address = core_setting(configuration, "endpoint.address")->string;
    configuration->keys_mode = core_setting(configuration, "keys.mode")->string;
    configuration->snapshots_directory = core_setting(configuration, "snapshots.directory")->string;
    configuration->snapshots_keep = core_setting(configuration, "snapshots.keep")->integer;
    if (ha_name_check(name->source, "cluster.name", name->string, error) != 0 ||
        take_duration(core_setting(configuration, "lock.timeout"), &configuration->lock_timeout_ms, error) != 0 ||
        take_duration(core_setting(configuration, "endpoint.drain"), &configuration->endpoint_drain_ms, error) != 0 ||
        check_address(core_setting(configuration, "endpoint.address"), error) != 0 ||
        take_replicas(configuration, error) != 0)
        return -1;
    if (state->string == NULL || configuration->cluster_zones == NULL || configuration->cluster_names == NULL ||
        asprintf(&configuration->state_directory, "%s/%s", state->string, name->string) < 0) {
        configuration->state_directory = NULL;
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    }
    state->is_set = true;
    return 0;
}

int ha_core_settings_read(struct ha_configuration *configuration, struct ha_error *error)
{
    const struct ha_parsed *parsed = configuration->internal;
    const config_setting_t *root = config_root_setting(&parsed->own.config);
    struct ha_key_group group = {.parsed = parsed, .document = &parsed->own, .setting = root, .prefix = ""};

    group.source.file = parsed->own.file_count == 0 ? NULL : parsed->own.files[0];
    if (check_sets(parsed, error) != 0)
        return -1;
    for (int i = 0; i < config_setting_length(root); i++)
        if (check_section(configuration, config_setting_get_elem(root, (unsigned)i), error) != 0)
            return -1;
    if (ha_key_group_read(&group, core_keys, &configuration->core_settings, &configuration->core_setting_count,
                          error) != 0)
        return -1;
    return take_core(configuration, error);
}
