/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration's files share and nobody else needs. */
#ifndef HACTL_CORE_CONFIGURATION_INTERNAL_H
#define HACTL_CORE_CONFIGURATION_INTERNAL_H

#include <libconfig.h>

#include "core/configuration.h"

/* One file with all that it includes. libconfig parses the joined text; each
 * of its lines knows where it came from, so that every message can say so. */
struct ha_document {
    config_t config;
    bool parsed;
    char *text;
    size_t length, room;
    struct ha_source *lines; /* lines[0] is line 1 */
    size_t line_count;
    char **files; /* the names that sources point at */
    size_t file_count;
};

struct ha_set {
    char *key, *value;
};

/* Behind ha_configuration.internal. */
struct ha_parsed {
    struct ha_document own;      /* the user's */
    struct ha_document packaged; /* pipelines.conf, for what the user's leaves out */
    struct ha_set *sets;
    size_t set_count;
};

/* configuration_source.c */
int ha_document_read(struct ha_document *document, const char *path, struct ha_error *error); /* "-": stdin */
void ha_document_clear(struct ha_document *document);
struct ha_source ha_document_source(const struct ha_document *document, const config_setting_t *setting);
/* pipelines.conf and the like: beside an uninstalled hactl, else installed. Caller frees; NULL: none. */
char *ha_data_file(const char *name);
/* ~ and relative paths against `directory`; caller frees. */
char *ha_path_resolve(const char *path, const char *directory);
char *ha_path_directory(const char *path); /* "." for a bare name; caller frees */

/* configuration_keys.c */

/* A group of the file (NULL: not there) to be read by a table of keys. */
struct ha_key_group {
    const struct ha_parsed *parsed;
    const struct ha_document *document;
    const config_setting_t *setting;
    const char *prefix;      /* of its keys in messages and in --set: "plugins.cloud." */
    const char *reserved;    /* a key of it that is not in the table; NULL: none */
    struct ha_source source; /* of the group, or of the whole file */
};

int ha_key_group_read(const struct ha_key_group *group, const struct hactl_key *keys, struct ha_setting **out,
                      size_t *count, struct ha_error *error);
void ha_settings_free(struct ha_setting *settings, size_t count);
const char *ha_set_value(const struct ha_parsed *parsed, const char *key); /* NULL: not set */
int ha_fail_at(struct ha_error *error, struct ha_source source, const char *format, ...) HACTL_FORMAT(3, 4);
enum { HA_CANDIDATES_MAX = 600 };
bool ha_word_is_among(const char *word, const char *const *candidates);
/* With the candidate that was perhaps meant. */
int ha_refuse_unknown(struct ha_source source, const char *prefix, const char *name, const char *const *candidates,
                      struct ha_error *error);
int ha_refuse_unknown_keys(const struct ha_key_group *group, const struct hactl_key *keys, const char *part,
                           struct ha_error *error);

/* configuration_core.c */
bool ha_section_is_known(const char *name, size_t length); /* of the file: cluster, plugins, ... */
int ha_core_settings_read(struct ha_configuration *configuration, struct ha_error *error);
bool ha_name_is_label(const char *name);
/* Refuses a name of a cluster or an instance that is no label; `what` it is the name of. */
int ha_name_check(struct ha_source source, const char *what, const char *name, struct ha_error *error);

/* configuration_wildcards.c */
enum ha_key_match { HA_KEY_NONE, HA_KEY_CONTAINS, HA_KEY_IS }; /* CONTAINS: keys begin with it and a dot */
enum ha_key_match ha_key_match(const struct hactl_key *keys, const char *name);
/* The words that may follow `part` ("cluster."), at most `limit`, and `reserved` (optional); ends with NULL. */
void ha_key_candidates(const struct hactl_key *keys, const char *part, const char *reserved, const char **out,
                       size_t limit, char *words, size_t size);
bool ha_key_is_named(const struct hactl_key *keys, const char *name);
/* One setting for each key, yet without a value; those with a `*` for each name, after the list of names. */
int ha_keys_expand(const struct ha_key_group *group, const struct hactl_key *keys, struct ha_setting **settings,
                   size_t *count);

/* configuration_instances.c */
int ha_instances_read(struct ha_configuration *configuration, struct ha_error *error);

/* configuration_pipeline.c */
int ha_pipelines_read(struct ha_configuration *configuration, struct ha_error *error);
void ha_stage_free(struct ha_stage *stage);
void ha_pipeline_free(struct ha_pipeline *pipeline);

#endif
