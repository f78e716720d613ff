/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/cmd_change.h"
#include "core/commands.h"

static const char *operation_state(const struct ha_operation *operation, const char *unfinished)
{
    if (strcmp(operation->id, unfinished) == 0)
        return "unfinished";
    return operation->ended_s == 0                    ? "not ended"
           : operation->taken_over                    ? "taken over"
           : operation->status == 0                   ? "done"
           : operation->status == HA_EXIT_INTERRUPTED ? "aborted"
                                                      : "failed";
}

static json_t *json_operation(const struct ha_operation *operation, const char *unfinished)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:i, s:i}", "id", operation->id, "request",
                     operation->request, "state", operation_state(operation, unfinished), "generation",
                     (json_int_t)operation->generation, "begun", ha_json_time(operation->begun_s), "ended",
                     ha_json_time(operation->ended_s), "status",
                     operation->ended_s == 0 ? json_null() : json_integer(operation->status), "text",
                     ha_json_text_or_null(operation->text), "steps_done", operation->steps_done, "damaged_lines",
                     operation->damaged_lines);
}

static void operation_row(const struct ha_operation *operation, const char *unfinished, struct ha_table *table)
{
    const char *state = operation_state(operation, unfinished);
    char steps[16], begun[32];

    snprintf(steps, sizeof steps, "%d", operation->steps_done);
    ha_row(table, operation->id, operation->request, state, steps, ha_time_iso(operation->begun_s, begun, sizeof begun),
           operation->text);
    ha_table_shade(table, 2,
                   strcmp(state, "done") == 0     ? HA_SHADE_GOOD
                   : strcmp(state, "failed") == 0 ? HA_SHADE_BAD
                                                  : HA_SHADE_WARNING);
}

static int list_json(const struct ha_session *session, const struct ha_operation *operations, size_t count,
                     struct ha_error *error)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_operation(&operations[i], session->desired.operation));
    return ha_json_print(json_pack("{s:s, s:s, s:o, s:o}", "schema", "hactl.operations/1", "cluster",
                                   session->configuration->cluster_name, "unfinished",
                                   ha_json_text_or_null(session->desired.operation), "operations", list),
                         error);
}

/* Commands about operations need the store alone, and so work while plugins do not. */
static int open_store(struct ha_cli *cli, struct ha_session **out, struct ha_error *error)
{
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION, "op", out, error) != 0)
        return -1;
    return ha_store_read((*out)->store, &(*out)->desired, error);
}

int ha_cmd_op_list(struct ha_cli *cli, struct ha_error *error)
{
    static const char *const headings[] = {"OPERATION", "REQUEST", "STATE", ">STEPS", "BEGUN", "~TEXT", NULL};
    struct ha_operation *operations = NULL;
    struct ha_session *session = NULL;
    struct ha_table *table;
    size_t count = 0;
    int status = -1;

    if (open_store(cli, &session, error) != 0 || ha_operations_list(session->store, &operations, &count, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    for (size_t i = 0; i < count; i++)
        ha_journal_warn(operations[i].id, operations[i].damaged_lines);
    if (cli->options.json) {
        status = list_json(session, operations, count, error);
    } else if (count == 0) {
        ha_say("hactl: no operation has been recorded for \"%s\"", session->configuration->cluster_name);
    } else {
        table = ha_table_new(headings);
        for (size_t i = 0; i < count; i++)
            operation_row(&operations[i], session->desired.operation, table);
        ha_table_print(table, stdout);
    }
out:
    free(operations);
    ha_session_close(session);
    return status;
}

/* The named operation, else the unfinished one, else the newest. */
static int choose(struct ha_cli *cli, const struct ha_session *session, struct ha_operation *out,
                  struct ha_error *error)
{
    struct ha_operation *operations = NULL;
    const char *id = cli->word_count > 0 ? cli->words[0] : session->desired.operation;
    size_t count = 0;

    if (id[0] != '\0')
        return ha_operation_read(session->store, id, out, error);
    if (ha_operations_list(session->store, &operations, &count, error) != 0)
        return -1;
    if (count > 0)
        *out = operations[0];
    free(operations);
    return count > 0 ? 0
                     : ha_fail(error, HA_EXIT_USAGE, "no operation has been recorded for \"%s\"",
                               session->configuration->cluster_name);
}

static const char *member_of(const json_t *record, const char *name)
{
    const char *text = json_string_value(json_object_get(record, name));

    return text != NULL ? text : "";
}

static void print_records(const json_t *records)
{
    static const char *const headings[] = {">SEQ", "AT", "RECORD", "STEP", "SUBJECT", "RESULT", ">MS", "~TEXT", NULL};
    struct ha_table *table = ha_table_new(headings);
    const json_t *record;
    char seq[24], ms[24], at[32];
    size_t index;

    json_array_foreach(records, index, record)
    {
        const json_t *number = json_object_get(record, "seq"), *took = json_object_get(record, "ms");

        snprintf(seq, sizeof seq, "%lld", (long long)json_integer_value(number));
        snprintf(ms, sizeof ms, "%lld", (long long)json_integer_value(took));
        ha_row(table, number != NULL ? seq : "",
               ha_time_iso(json_integer_value(json_object_get(record, "at")), at, sizeof at), member_of(record, "type"),
               member_of(record, "step"), member_of(record, "subject"), member_of(record, "code"),
               took != NULL ? ms : "", member_of(record, "text"));
    }
    ha_table_print(table, stdout);
}

static void print_operation(const struct ha_operation *operation, const char *unfinished)
{
    static const char *const way_back[] = {[HA_BACK_BY_ABORT] = ", or hactl op abort",
                                           [HA_BACK_BY_ABORT_PERHAPS] =
                                               ", or, as long as enough is left to go back, hactl op abort",
                                           [HA_BACK_BY_DOWN] = ", or hactl down",
                                           [HA_BACK_BY_NOTHING] = ""};
    char text[32];

    printf("operation   %s\n", operation->id);
    printf("request     %s\n", operation->request);
    printf("state       %s\n", operation_state(operation, unfinished));
    printf("generation  %llu\n", (unsigned long long)operation->generation);
    printf("begun       %s\n", ha_time_iso(operation->begun_s, text, sizeof text));
    if (operation->ended_s != 0)
        printf("ended       %s (exit status %d)\n", ha_time_iso(operation->ended_s, text, sizeof text),
               operation->status);
    if (operation->text[0] != '\0')
        printf("text        %s\n", operation->text);
    if (strcmp(operation->id, unfinished) == 0)
        printf("next        hactl op resume%s\n", way_back[operation->way_back]);
    putchar('\n');
}

int ha_cmd_op_show(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_operation operation = {.id = ""};
    struct ha_session *session = NULL;
    json_t *records = NULL;
    int status = -1;

    if (open_store(cli, &session, error) != 0 || choose(cli, session, &operation, error) != 0 ||
        ha_journal_read(session->store, operation.id, &records, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json) {
        status = ha_json_print(json_pack("{s:s, s:s, s:o, s:O}", "schema", "hactl.operation/1", "cluster",
                                         session->configuration->cluster_name, "operation",
                                         json_operation(&operation, session->desired.operation), "records", records),
                               error);
    } else {
        print_operation(&operation, session->desired.operation);
        print_records(records);
    }
out:
    json_decref(records);
    ha_session_close(session);
    return status;
}

int ha_cmd_op_resume(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_RESUME, .name = cli->word_count > 0 ? cli->words[0] : NULL};

    return ha_change_run(cli, "op-resume", &request, error);
}

int ha_cmd_op_abort(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_ABORT, .name = cli->word_count > 0 ? cli->words[0] : NULL};

    return ha_change_run(cli, "op-abort", &request, error);
}
