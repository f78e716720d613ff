/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/cmd_change.h"
#include "core/commands.h"

static json_t *json_words(char *const *list)
{
    json_t *words = json_array();

    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        json_array_append_new(words, json_string(list[i]));
    return words;
}

static json_t *json_stage(const struct ha_stage *stage)
{
    json_t *steps = json_array();

    for (int kind = 0; kind < HA_STEP_KINDS; kind++)
        if (stage->steps[kind])
            json_array_append_new(steps, json_string(ha_step_types[kind].name));
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "name", stage->name, "steps", steps, "needs",
                     json_words(stage->needs), "provides", json_words(stage->provides), "instance",
                     ha_json_text_or_null(stage->instance));
}

static json_t *json_pipeline(const struct ha_pipeline *pipeline)
{
    json_t *stages = json_array();

    for (size_t i = 0; i < pipeline->stage_count; i++)
        json_array_append_new(stages, json_string(pipeline->stages[i]->name));
    return json_pack("{s:s, s:o, s:o}", "name", pipeline->name, "stages", stages, "given", json_words(pipeline->given));
}

static int print_json(const struct ha_configuration *configuration, struct ha_error *error)
{
    json_t *stages = json_array(), *pipelines = json_array();

    for (size_t i = 0; i < configuration->stage_count; i++)
        json_array_append_new(stages, json_stage(configuration->stages[i]));
    for (size_t i = 0; i < configuration->pipeline_count; i++)
        json_array_append_new(pipelines, json_pipeline(configuration->pipelines[i]));
    return ha_json_print(json_pack("{s:s, s:s, s:o, s:o}", "schema", "hactl.stages/1", "cluster",
                                   configuration->cluster_name, "stages", stages, "pipelines", pipelines),
                         error);
}

/* "a, b, c"; caller frees. */
static char *joined(char *const *list)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream == NULL)
        return NULL;
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        fprintf(stream, "%s%s", i == 0 ? "" : ", ", list[i]);
    fclose(stream);
    return text;
}

static char *joined_steps(const struct ha_stage *stage)
{
    char *names[HA_STEP_KINDS + 1] = {NULL};
    int count = 0;

    for (int kind = 0; kind < HA_STEP_KINDS; kind++)
        if (stage->steps[kind])
            names[count++] = (char *)(uintptr_t)ha_step_types[kind].name;
    return joined(names);
}

static void print_stage(const struct ha_stage *stage, struct ha_table *table)
{
    char *steps = joined_steps(stage), *needs = joined(stage->needs), *provides = joined(stage->provides);

    ha_row(table, stage->name, needs, provides, stage->instance, steps);
    free(steps);
    free(needs);
    free(provides);
}

static void print_pipelines(const struct ha_configuration *configuration)
{
    for (size_t i = 0; i < configuration->pipeline_count; i++) {
        const struct ha_pipeline *pipeline = configuration->pipelines[i];

        printf("\npipeline %s:", pipeline->name);
        for (size_t j = 0; j < pipeline->stage_count; j++)
            printf(" %s", pipeline->stages[j]->name);
    }
    putchar('\n');
}

int ha_cmd_stage_list(struct ha_cli *cli, struct ha_error *error)
{
    static const char *const headings[] = {"STAGE", "NEEDS", "PROVIDES", "INSTANCE", "~STEPS", NULL};
    struct ha_configuration *configuration = NULL;
    struct ha_table *table;
    int status = HA_EXIT_DONE;

    if (ha_configuration_read(cli->options.config, cli->options.sets, &configuration, error) != 0)
        return -1;
    if (cli->options.json) {
        status = print_json(configuration, error);
        goto out;
    }
    table = ha_table_new(headings);
    for (size_t i = 0; i < configuration->stage_count; i++)
        print_stage(configuration->stages[i], table);
    ha_table_print(table, stdout);
    print_pipelines(configuration);
out:
    ha_configuration_free(configuration);
    return status;
}

/* One that `stage run` can run by its name. */
static const struct ha_pipeline *own_pipeline(const struct ha_configuration *configuration, const char *name)
{
    const struct ha_pipeline *pipeline = ha_configuration_pipeline(configuration, name);

    return pipeline != NULL && ha_pipeline_is_own(pipeline) ? pipeline : NULL;
}

static int check_name(const struct ha_cli *cli, const struct ha_configuration *configuration, struct ha_error *error)
{
    const char *names[256] = {NULL}, *meant;
    size_t count = 0;

    if (ha_configuration_stage(configuration, cli->words[0]) != NULL ||
        own_pipeline(configuration, cli->words[0]) != NULL)
        return 0;
    for (size_t i = 0; i < configuration->stage_count && count < 255; i++)
        names[count++] = configuration->stages[i]->name;
    for (size_t i = 0; i < configuration->pipeline_count && count < 255; i++)
        if (ha_pipeline_is_own(configuration->pipelines[i]))
            names[count++] = configuration->pipelines[i]->name;
    if (ha_configuration_pipeline(configuration, cli->words[0]) != NULL) {
        ha_fail(error, HA_EXIT_USAGE, "the pipeline \"%s\" is run by the verb that it is named for", cli->words[0]);
        return -1;
    }
    ha_fail(error, HA_EXIT_USAGE, "there is no stage \"%s\", nor a pipeline of your own of that name", cli->words[0]);
    meant = ha_did_you_mean(cli->words[0], names);
    if (meant != NULL)
        ha_advise(error, "did you mean \"%s\"?", meant);
    ha_advise(error, "hactl stage list");
    return -1;
}

int ha_cmd_stage_run(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_STAGE, .name = cli->words[0]};
    struct ha_configuration *configuration = NULL;
    int status = -1;

    if (ha_configuration_read(cli->options.config, cli->options.sets, &configuration, error) != 0)
        return -1;
    cli->options.stage = request.name;
    cli->options.configuration = &configuration;
    /* The verb names the pipeline, by which the steps' stages are shown. */
    if (check_name(cli, configuration, error) == 0)
        status = ha_change_run(cli, own_pipeline(configuration, request.name) != NULL ? request.name : "stage-run",
                               &request, error);
    cli->options.configuration = NULL;
    ha_configuration_free(configuration);
    return status;
}
