/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages and pipelines. A pipeline is followed once when the file is read,
 * with the set of things that are there by then: what a stage needs and no
 * earlier one makes is a fault of the file, found before anything is touched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/configuration_internal.h"

#define NAMES_MAX 200

/* Reads one group of `stages` or `pipelines`. */
struct part {
    struct ha_configuration *configuration;
    const struct ha_document *document;
    const config_setting_t *group;
    struct ha_source source;
    const char *name;
};

static const struct hactl_key stage_keys[] = {
    {"steps", HACTL_KEY_STRING_LIST, HACTL_KEY_REQUIRED, NULL, 0, 0, NULL, "the kinds of steps that are its own"},
    {"needs", HACTL_KEY_STRING_LIST, 0, NULL, 0, 0, NULL, "what must be there before it"},
    {"provides", HACTL_KEY_STRING_LIST, 0, NULL, 0, 0, NULL, "what is there after it"},
    {"instance", HACTL_KEY_STRING, 0, NULL, 0, 0, NULL, "the only plugin instance that it uses"},
    {NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};

static const struct hactl_key pipeline_keys[] = {
    {"stages", HACTL_KEY_STRING_LIST, HACTL_KEY_REQUIRED, NULL, 0, 0, NULL, "its stages in building order"},
    {"given", HACTL_KEY_STRING_LIST, 0, NULL, 0, 0, NULL, "what is there without a stage of it"},
    {NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};

static bool is_in(char *const *list, const char *word)
{
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

static int list_take(char ***list, struct ha_setting *setting)
{
    *list = setting->list;
    setting->list = NULL; /* handed over */
    if (*list == NULL)
        *list = calloc(1, sizeof **list);
    return *list == NULL ? -1 : 0;
}

static void list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

static int refuse_word(struct ha_error *error, struct ha_source source, const char *of, const char *thing,
                       const char *word, const char *const *candidates)
{
    const char *meant = ha_did_you_mean(word, candidates);

    if (meant != NULL)
        return ha_fail_at(error, source, "%s: unknown %s \"%s\"; did you mean \"%s\"?", of, thing, word, meant);
    return ha_fail_at(error, source, "%s: unknown %s \"%s\"", of, thing, word);
}

/* ---- one group */

static int check_group(const struct part *part, const char *section, const struct hactl_key *keys,
                       struct ha_setting **settings, size_t *count, struct ha_error *error)
{
    struct ha_key_group group = {.parsed = part->configuration->internal, .document = part->document};
    const char *candidates[8] = {NULL};
    char prefix[128];

    snprintf(prefix, sizeof prefix, "%s.%.60s.", section, part->name);
    if (!config_setting_is_group(part->group))
        return ha_fail_at(error, part->source, "%s.%s must be a group: %s = { %s = [...]; };", section, part->name,
                          part->name, keys[0].name);
    for (size_t i = 0; keys[i].name != NULL; i++)
        candidates[i] = keys[i].name;
    for (int i = 0; i < config_setting_length(part->group); i++) {
        const config_setting_t *child = config_setting_get_elem(part->group, (unsigned)i);
        const char *name = config_setting_name(child);
        size_t known = 0;

        while (candidates[known] != NULL && strcmp(candidates[known], name) != 0)
            known++;
        if (candidates[known] == NULL) {
            char of[160];

            snprintf(of, sizeof of, "%s.%.60s", section, part->name);
            return refuse_word(error, ha_document_source(part->document, child), of, "setting", name, candidates);
        }
    }
    group.setting = part->group;
    group.prefix = prefix;
    group.source = part->source;
    return ha_key_group_read(&group, keys, settings, count, error);
}

/* ---- stages */

void ha_stage_free(struct ha_stage *stage)
{
    if (stage == NULL)
        return;
    free(stage->name);
    list_free(stage->needs);
    list_free(stage->provides);
    free(stage->instance);
    free(stage);
}

static int stage_steps(struct ha_stage *stage, const struct ha_setting *setting, struct ha_error *error)
{
    const char *candidates[HA_STEP_KINDS + 1] = {NULL};
    char of[128];

    for (int i = 0; i < HA_STEP_KINDS; i++)
        candidates[i] = ha_step_types[i].name;
    snprintf(of, sizeof of, "stage \"%s\"", stage->name);
    for (size_t i = 0; setting->list != NULL && setting->list[i] != NULL; i++) {
        enum ha_step_kind kind = ha_step_kind_named(setting->list[i]);

        if (kind == HA_STEP_KINDS)
            return refuse_word(error, setting->source, of, "step", setting->list[i], candidates);
        if (stage->steps[kind])
            return ha_fail_at(error, setting->source, "%s names the step \"%s\" twice", of, setting->list[i]);
        stage->steps[kind] = true;
    }
    return 0;
}

static int stage_instance(const struct part *part, struct ha_stage *stage, struct ha_setting *setting,
                          struct ha_error *error)
{
    const struct ha_configuration *configuration = part->configuration;
    const char *candidates[NAMES_MAX + 1] = {NULL};
    char of[128];

    if (setting->string == NULL)
        return 0;
    stage->instance = setting->string;
    setting->string = NULL; /* handed over */
    if (ha_configuration_instance(configuration, stage->instance) != NULL)
        return 0;
    for (size_t i = 0; i < configuration->instance_count && i < NAMES_MAX; i++)
        candidates[i] = configuration->instances[i]->instance;
    snprintf(of, sizeof of, "stage \"%s\"", stage->name);
    return refuse_word(error, setting->source, of, "plugin instance", stage->instance, candidates);
}

static int read_stage(const struct part *part, struct ha_error *error)
{
    struct ha_configuration *configuration = part->configuration;
    struct ha_stage **stages = reallocarray(configuration->stages, configuration->stage_count + 1, sizeof *stages);
    struct ha_stage *stage = calloc(1, sizeof *stage);
    struct ha_setting *settings = NULL;
    size_t count = 0;
    int result = -1;

    if (stages != NULL)
        configuration->stages = stages;
    if (stages == NULL || stage == NULL || (stage->name = strdup(part->name)) == NULL) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        ha_stage_free(stage);
        return -1;
    }
    stages[configuration->stage_count++] = stage;
    stage->source = part->source;
    if (check_group(part, "stages", stage_keys, &settings, &count, error) != 0)
        goto out;
    if (list_take(&stage->needs, &settings[1]) != 0 || list_take(&stage->provides, &settings[2]) != 0) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        goto out;
    }
    if (stage_steps(stage, &settings[0], error) == 0)
        result = stage_instance(part, stage, &settings[3], error);
out:
    ha_settings_free(settings, count);
    return result;
}

/* ---- pipelines */

void ha_pipeline_free(struct ha_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    free(pipeline->name);
    free(pipeline->stages);
    list_free(pipeline->given);
    free(pipeline);
}

/* Those of verbs. */
static const char *const verb_pipelines[] = {
    "up", "down", "replica-add", "replica-remove", "replica-replace", "endpoint", "etcd-reconcile", NULL};

bool ha_pipeline_is_own(const struct ha_pipeline *pipeline)
{
    return !is_in((char *const *)(uintptr_t)verb_pipelines, pipeline->name);
}

static int pipeline_stages(const struct ha_configuration *configuration, struct ha_pipeline *pipeline,
                           const struct ha_setting *setting, struct ha_error *error)
{
    const char *candidates[NAMES_MAX + 1] = {NULL};
    size_t count = 0;
    char of[128];

    for (size_t i = 0; i < configuration->stage_count && i < NAMES_MAX; i++)
        candidates[i] = configuration->stages[i]->name;
    while (setting->list != NULL && setting->list[count] != NULL)
        count++;
    pipeline->stages = calloc(count + 1, sizeof *pipeline->stages);
    if (pipeline->stages == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    snprintf(of, sizeof of, "pipeline \"%s\"", pipeline->name);
    for (size_t i = 0; i < count; i++) {
        const struct ha_stage *stage = ha_configuration_stage(configuration, setting->list[i]);

        if (stage == NULL)
            return refuse_word(error, setting->source, of, "stage", setting->list[i], candidates);
        for (size_t j = 0; j < i; j++)
            if (pipeline->stages[j] == stage)
                return ha_fail_at(error, setting->source, "%s has the stage \"%s\" twice", of, stage->name);
        pipeline->stages[pipeline->stage_count++] = stage;
    }
    return 0;
}

/* A name that no stage makes or needs is a slip of the pen. */
static int check_given(const struct ha_configuration *configuration, const struct ha_pipeline *pipeline,
                       struct ha_error *error)
{
    const char *candidates[NAMES_MAX + 1] = {NULL};
    size_t count = 0;
    char of[128];

    for (size_t i = 0; i < configuration->stage_count; i++) {
        char *const *lists[] = {configuration->stages[i]->provides, configuration->stages[i]->needs};

        for (size_t j = 0; j < 2; j++)
            for (size_t k = 0; lists[j][k] != NULL && count < NAMES_MAX; k++)
                candidates[count++] = lists[j][k];
    }
    snprintf(of, sizeof of, "pipeline \"%s\"", pipeline->name);
    for (size_t i = 0; pipeline->given[i] != NULL; i++) {
        size_t known = 0;

        while (known < count && strcmp(candidates[known], pipeline->given[i]) != 0)
            known++;
        if (known == count)
            return refuse_word(error, pipeline->source, of, "thing given", pipeline->given[i], candidates);
    }
    return 0;
}

static const struct ha_stage *provider(const struct ha_configuration *configuration, const char *need)
{
    for (size_t i = 0; i < configuration->stage_count; i++)
        if (is_in(configuration->stages[i]->provides, need))
            return configuration->stages[i];
    return NULL;
}

static int refuse_need(const struct ha_configuration *configuration, const struct ha_pipeline *pipeline, size_t at,
                       const char *need, struct ha_error *error)
{
    const char *stage = pipeline->stages[at]->name;
    const struct ha_stage *maker = NULL;

    for (size_t i = at + 1; i < pipeline->stage_count && maker == NULL; i++)
        if (is_in(pipeline->stages[i]->provides, need))
            maker = pipeline->stages[i];
    if (maker != NULL) {
        ha_fail_at(error, pipeline->source,
                   "pipeline \"%s\": stage \"%s\" needs \"%s\", which stage \"%s\" provides only after it",
                   pipeline->name, stage, need, maker->name);
        ha_advise(error, "put \"%s\" before \"%s\"", maker->name, stage);
        return -1;
    }
    maker = provider(configuration, need);
    if (maker == NULL || maker == pipeline->stages[at])
        return ha_fail_at(error, pipeline->source,
                          "pipeline \"%s\": stage \"%s\" needs \"%s\", which no other stage provides", pipeline->name,
                          stage, need);
    ha_fail_at(error, pipeline->source,
               "pipeline \"%s\": stage \"%s\" needs \"%s\", which no earlier stage provides; stage \"%s\" would",
               pipeline->name, stage, need, maker->name);
    ha_advise(error, "put \"%s\" before it, or, if that is there already when this pipeline runs: given = [\"%s\"];",
              maker->name, need);
    return -1;
}

static int check_needs(const struct ha_configuration *configuration, const struct ha_pipeline *pipeline,
                       struct ha_error *error)
{
    for (size_t at = 0; at < pipeline->stage_count; at++) {
        char **needs = pipeline->stages[at]->needs;

        for (size_t i = 0; needs[i] != NULL; i++) {
            bool there = is_in(pipeline->given, needs[i]);

            for (size_t before = 0; before < at && !there; before++)
                there = is_in(pipeline->stages[before]->provides, needs[i]);
            if (!there)
                return refuse_need(configuration, pipeline, at, needs[i], error);
        }
    }
    return 0;
}

/* Of the user's own: what has no stage would be run for nothing. */
static int check_not_empty(const struct ha_pipeline *pipeline, struct ha_error *error)
{
    if (pipeline->stage_count > 0 || !ha_pipeline_is_own(pipeline))
        return 0;
    return ha_fail_at(error, pipeline->source, "pipeline \"%s\" has no stages", pipeline->name);
}

static int check_steps_once(const struct ha_pipeline *pipeline, struct ha_error *error)
{
    for (int kind = 0; kind < HA_STEP_KINDS; kind++) {
        const struct ha_stage *first = NULL;

        for (size_t i = 0; i < pipeline->stage_count; i++) {
            if (!pipeline->stages[i]->steps[kind])
                continue;
            if (first != NULL)
                return ha_fail_at(error, pipeline->source,
                                  "pipeline \"%s\": the step \"%s\" is in two of its stages, \"%s\" and \"%s\"",
                                  pipeline->name, ha_step_types[kind].name, first->name, pipeline->stages[i]->name);
            first = pipeline->stages[i];
        }
    }
    return 0;
}

/* One named so would look as if that command used it. */
static int refuse_other_command(const struct part *part, struct ha_error *error)
{
    static const struct {
        const char *name, *uses;
    } others[] = {{"apply", "up"},
                  {"plan", "up"},
                  {"endpoint-promote", "endpoint"},
                  {"endpoint-demote", "endpoint"},
                  {"pki-issue", "up"},
                  {"pki-renew", "up"},
                  {"pki-revoke", "up"},
                  {"pki-rotate", "up"},
                  {"stage-run", "up"},
                  {"op-resume", "up"},
                  {"op-abort", "up"}};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].name, part->name) == 0)
            return ha_fail_at(error, part->source, "pipelines: \"%s\" is a command that uses the pipeline \"%s\"",
                              part->name, others[i].uses);
    return 0;
}

/* The verb of its name uses it; one of another name is the user's own, for `stage run`. A name that is nearly a verb's
 * is a slip of the pen, and the verb would go on without it. */
static int check_pipeline_name(const struct part *part, struct ha_error *error)
{
    if (is_in((char *const *)(uintptr_t)verb_pipelines, part->name))
        return 0;
    if (ha_did_you_mean(part->name, verb_pipelines) != NULL) {
        refuse_word(error, part->source, "pipelines", "verb", part->name, verb_pipelines);
        ha_advise(error, "a pipeline of your own, for `hactl stage run`, needs a name that is not so near a verb's");
        return -1;
    }
    if (refuse_other_command(part, error) != 0)
        return -1;
    if (ha_configuration_stage(part->configuration, part->name) == NULL)
        return 0;
    ha_fail_at(error, part->source, "pipelines: \"%s\" is the name of a stage", part->name);
    ha_advise(error, "give it another name: `hactl stage run %s` runs that stage", part->name);
    return -1;
}

static int read_pipeline(const struct part *part, struct ha_error *error)
{
    struct ha_configuration *configuration = part->configuration;
    struct ha_pipeline **pipelines =
        reallocarray(configuration->pipelines, configuration->pipeline_count + 1, sizeof *pipelines);
    struct ha_pipeline *pipeline = calloc(1, sizeof *pipeline);
    struct ha_setting *settings = NULL;
    size_t count = 0;
    int result = -1;

    if (pipelines != NULL)
        configuration->pipelines = pipelines;
    if (pipelines == NULL || pipeline == NULL || (pipeline->name = strdup(part->name)) == NULL) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        ha_pipeline_free(pipeline);
        return -1;
    }
    pipelines[configuration->pipeline_count++] = pipeline;
    pipeline->source = part->source;
    if (check_pipeline_name(part, error) != 0 ||
        check_group(part, "pipelines", pipeline_keys, &settings, &count, error) != 0)
        goto out;
    if (list_take(&pipeline->given, &settings[1]) != 0) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        goto out;
    }
    if (pipeline_stages(configuration, pipeline, &settings[0], error) == 0 && check_not_empty(pipeline, error) == 0 &&
        check_given(configuration, pipeline, error) == 0 && check_steps_once(pipeline, error) == 0)
        result = check_needs(configuration, pipeline, error);
out:
    ha_settings_free(settings, count);
    return result;
}

/* ---- sections */

typedef int read_part_fn(const struct part *part, struct ha_error *error);

static int read_one(struct ha_configuration *configuration, const struct ha_document *document, const char *section,
                    const config_setting_t *group, read_part_fn *read_part, struct ha_error *error)
{
    struct part part = {.configuration = configuration, .document = document, .group = group};

    part.source = ha_document_source(document, group);
    part.name = config_setting_name(group);
    if (!ha_name_is_label(part.name))
        return ha_fail_at(error, part.source, "%s.%s: a name has lower-case letters, digits and dashes, at most 40",
                          section, part.name);
    return read_part(&part, error);
}

static int read_section(struct ha_configuration *configuration, const struct ha_document *document, const char *section,
                        read_part_fn *read_part, struct ha_error *error)
{
    const config_setting_t *group = config_lookup(&document->config, section);

    for (int i = 0; group != NULL && i < config_setting_length(group); i++)
        if (read_one(configuration, document, section, config_setting_get_elem(group, (unsigned)i), read_part, error) !=
            0)
            return -1;
    return 0;
}

static int read_packaged(struct ha_parsed *parsed, struct ha_error *error)
{
    char *path = ha_data_file("pipelines.conf");
    int result;

    if (path == NULL) {
        ha_fail(error, HA_EXIT_USAGE,
                "the configuration has no stages and pipelines, and hactl's own pipelines.conf is nowhere to be found");
        ha_advise(error, "install hactl whole, or set HACTL_DATA_DIR to the directory of pipelines.conf");
        return -1;
    }
    result = ha_document_read(&parsed->packaged, path, error);
    free(path);
    return result;
}

/* Who adds a pipeline to the packaged stages need not write out `up`. */
static int read_packaged_up(struct ha_configuration *configuration, struct ha_error *error)
{
    const struct ha_document *packaged = &((struct ha_parsed *)configuration->internal)->packaged;
    const config_setting_t *up = config_lookup(&packaged->config, "pipelines.up");

    return up == NULL ? 0 : read_one(configuration, packaged, "pipelines", up, read_pipeline, error);
}

int ha_pipelines_read(struct ha_configuration *configuration, struct ha_error *error)
{
    struct ha_parsed *parsed = configuration->internal;
    bool own_stages = config_lookup(&parsed->own.config, "stages") != NULL;
    bool own_pipelines = config_lookup(&parsed->own.config, "pipelines") != NULL;
    bool own_up = config_lookup(&parsed->own.config, "pipelines.up") != NULL;
    struct ha_source whole = {parsed->own.file_count == 0 ? NULL : parsed->own.files[0], 0};

    if ((!own_stages || !own_pipelines) && read_packaged(parsed, error) != 0)
        return -1;
    if (read_section(configuration, own_stages ? &parsed->own : &parsed->packaged, "stages", read_stage, error) != 0)
        return -1;
    if (own_pipelines && !own_up && !own_stages && read_packaged_up(configuration, error) != 0)
        return -1;
    if (read_section(configuration, own_pipelines ? &parsed->own : &parsed->packaged, "pipelines", read_pipeline,
                     error) != 0)
        return -1;
    if (ha_configuration_pipeline(configuration, "up") != NULL)
        return 0;
    return ha_fail_at(error, whole, "there is no pipeline \"up\", which every verb uses that has none of its own");
}
