/* SPDX-License-Identifier: Apache-2.0 */
/* What every changing command does: plan, ask, carry out, report. */
#include "core/cmd_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/commands.h"
#include "core/consent.h"
#include "core/describe.h"
#include "core/plan_print.h"
#include "core/progress.h"
#include "core/request.h"

/* A word as a shell takes it. */
static void print_word(FILE *stream, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";

    if (*word != '\0' && word[strspn(word, plain)] == '\0') {
        fputs(word, stream);
        return;
    }
    fputc('\'', stream);
    for (; *word != '\0'; word++)
        fputs(*word == '\'' ? "'\\''" : (const char[]){*word, '\0'}, stream);
    fputc('\'', stream);
}

/* With what says which cluster is meant. */
const char *ha_called_as(const struct ha_cli *cli, char *out, size_t size)
{
    const char *name = program_invocation_name;
    FILE *stream = fmemopen(out, size, "w");

    out[0] = '\0';
    if (stream == NULL)
        return out;
    /* libtool's wrapper calls the program by another name than the user did. */
    fputs(strstr(name, "/.libs/") != NULL ? "./hactl" : name, stream);
    if (cli->options.config != NULL) {
        fputs(" -c ", stream);
        print_word(stream, cli->options.config);
    }
    for (size_t i = 0; cli->options.sets != NULL && cli->options.sets[i] != NULL; i++) {
        fputs(" --set ", stream);
        print_word(stream, cli->options.sets[i]);
    }
    fclose(stream);
    out[size - 1] = '\0';
    return out;
}

/* ---- plan */

/* The verb as JSON has it: "endpoint-promote", where the pipeline is "endpoint". */
static json_t *json_verb(const struct ha_cli *cli)
{
    char text[sizeof cli->command_text];

    memcpy(text, cli->command_text, sizeof text);
    for (char *c = text; *c != '\0'; c++)
        if (*c == ' ')
            *c = '-';
    return json_string(text);
}

/* What is made anew needs room and programs, which every plugin's `check` looks
 * for: better before the first step than after the twelfth. */
static bool makes_something(const struct ha_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].kind == HA_STEP_INSTANCE_CREATE || plan->steps[i].kind == HA_STEP_BALANCER_BUILD)
            return true;
    return false;
}

/* Too large for the stack. */
struct planned {
    struct ha_desired desired;
    struct ha_plan plan;
    char warnings[HA_WARNING_LINES][256];
    int warning_count;
};

static void warn_of_plugins(struct ha_session *session, struct planned *planned)
{
    struct ha_error why = {.status = HA_EXIT_DONE};

    if (makes_something(&planned->plan) && planned->warning_count < HA_WARNING_LINES &&
        ha_session_check(session, NULL, NULL, &why) != 0)
        snprintf(planned->warnings[planned->warning_count++], 256, "this would be refused: %.220s", why.what);
}

static int plan_status(const struct ha_cli *cli, const struct ha_request *request, const struct ha_plan *plan)
{
    if (plan->blocked_count > 0 && ha_request_is_refused(request->kind, plan))
        return ha_changes_barred(&plan->end) ? HA_EXIT_REFUSED : HA_EXIT_DECISION;
    return cli->options.detailed_exitcode && plan->count > 0 ? HA_EXIT_CHANGES : HA_EXIT_DONE;
}

int ha_change_plan(struct ha_cli *cli, const char *verb, const struct ha_request *request, struct ha_error *error)
{
    struct ha_session *session = NULL;
    struct planned *planned = calloc(1, sizeof *planned);
    const char(*warnings)[256];
    int status = -1;

    if (planned == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, verb, &session, error) != 0 ||
        ha_session_prepare(session, request, &planned->desired, &planned->plan, planned->warnings,
                           &planned->warning_count, error) != 0)
        goto out;
    warn_of_plugins(session, planned);
    warnings = (const char(*)[256])planned->warnings;
    status = plan_status(cli, request, &planned->plan);
    if (!cli->options.json) {
        ha_plan_print_table(session, verb, &planned->plan, warnings, planned->warning_count, stdout);
    } else {
        json_t *document = ha_plan_to_json(session, verb, &planned->plan, warnings, planned->warning_count);

        json_object_set_new(document, "verb", json_verb(cli));
        if (ha_json_print(document, error) != 0)
            status = -1;
    }
out:
    ha_session_close(session);
    free(planned);
    return status;
}

/* ---- report */

/* Ends with NULL: what somebody who has just done this wants next. */
static const char *const *next_commands(const struct ha_session *session, enum ha_request_kind kind)
{
    static const char *const with_certificates_alone[] = {"pki list", "pki check", NULL};
    static const char *const after_up[] = {"status", "etcd members", "replica add --zone %s", "check", "down", NULL};
    static const char *const after_down[] = {"up", NULL};
    static const char *const after_other[] = {"status", "etcd members", NULL};

    if (kind == HA_REQUEST_DOWN)
        return after_down;
    if (session->group_count == 0 && session->issuer != NULL)
        return with_certificates_alone;
    return kind == HA_REQUEST_UP ? after_up : after_other;
}

static void next_command(const struct ha_cli *cli, const struct ha_session *session, const char *command, char *out,
                         size_t size)
{
    char **zones = session->configuration->cluster_zones;
    char called[HA_CALLED_MAX];
    int used = snprintf(out, size, "%s ", ha_called_as(cli, called, sizeof called));

    if (used > 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, command, zones != NULL && zones[0] != NULL ? zones[0] : "ZONE");
}

static json_t *json_next(const struct ha_cli *cli, const struct ha_session *session, enum ha_request_kind kind)
{
    const char *const *next = next_commands(session, kind);
    json_t *list = json_array();
    char command[HA_CALLED_MAX + 128];

    for (int i = 0; next[i] != NULL; i++) {
        next_command(cli, session, next[i], command, sizeof command);
        json_array_append_new(list, ha_json_text_or_null(command));
    }
    return list;
}

static json_t *json_timings(const struct ha_report *report)
{
    json_t *list = json_array();

    for (int i = 0; i < report->timing_count; i++)
        json_array_append_new(list, json_pack("{s:o, s:I}", "text", ha_json_text_or_null(report->timings[i].text), "ms",
                                              (json_int_t)report->timings[i].ms));
    return list;
}

static json_t *json_gap(const struct ha_report *report)
{
    return json_pack("{s:b, s:o, s:i, s:i}", "measured", report->gap_measured, "gap_ms",
                     report->gap_measured ? json_integer(report->endpoint_gap_ms) : json_null(), "probes",
                     (int)report->probes, "probes_failed", (int)report->probes_failed);
}

static json_t *json_report(const struct ha_cli *cli, const struct ha_session *session, const struct ha_request *request,
                           const struct ha_report *report)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:b, s:i, s:i, s:I, s:I, s:i, s:i, s:o, s:o, s:o}", "schema",
                     "hactl.report/1", "cluster", session->configuration->cluster_name, "verb", json_verb(cli),
                     "operation", ha_json_text_or_null(report->nothing_to_do ? "" : report->operation), "generation",
                     (json_int_t)report->generation, "nothing_to_do", report->nothing_to_do, "steps_done",
                     report->steps, "replans", report->replans, "wall_ms", (json_int_t)report->wall_ms, "cpu_ms",
                     (json_int_t)report->cpu_ms, "calls", (int)report->calls, "syncs", (int)report->syncs,
                     "endpoint_gap", json_gap(report), "steps", json_timings(report), "next",
                     json_next(cli, session, request->kind));
}

static void print_timings(const struct ha_report *report)
{
    static const char *const headings[] = {"~STEP", ">TIME", NULL};
    struct ha_table *table = ha_table_new(headings);
    char took[32];

    for (int i = 0; i < report->timing_count; i++)
        ha_row(table, report->timings[i].text, ha_ms_text(report->timings[i].ms, took, sizeof took));
    ha_table_print(table, stdout);
    putchar('\n');
}

static void print_gap(const struct ha_report *report)
{
    if (report->probes == 0)
        return;
    if (!report->gap_measured)
        printf("endpoint    answered none of %u probes: how long nobody answered was not measured\n", report->probes);
    else if (report->probes_failed == 0)
        printf("endpoint    answered all the time (%u probes)\n", report->probes);
    else
        printf("endpoint    did not answer for %lld ms (%u of %u probes failed)\n", (long long)report->endpoint_gap_ms,
               report->probes_failed, report->probes);
}

static void print_next(const struct ha_cli *cli, const struct ha_session *session, const struct ha_request *request)
{
    const char *const *next = next_commands(session, request->kind);
    const struct ha_observation *observed = &session->observed;
    char command[HA_CALLED_MAX + 128];

    /* It may have been kept with the state, and be gone with it. */
    if (request->kind == HA_REQUEST_DOWN && session->configuration->file != NULL &&
        access(session->configuration->file, F_OK) != 0)
        return;
    if (request->kind != HA_REQUEST_DOWN && observed->model.endpoint_answers == HACTL_YES)
        printf("reach it    https://%s:%u%s\n", observed->model.external_address, observed->endpoint_port,
               strcmp(observed->fronts, "etcd-client") == 0
                   ? " (etcd's client port: no Kubernetes payload is configured)"
                   : "");
    for (int i = 0; next[i] != NULL; i++) {
        next_command(cli, session, next[i], command, sizeof command);
        printf("%-11s %s\n", i == 0 ? "try next" : "", command);
    }
}

static void print_report(const struct ha_cli *cli, const struct ha_session *session, const struct ha_request *request,
                         const struct ha_report *report)
{
    char took[32], steps[48];

    if (ha_output_quiet())
        return;
    if (report->nothing_to_do && request->kind == HA_REQUEST_DOWN) {
        printf("Nothing to do: there is no cluster \"%s\".\n", session->configuration->cluster_name);
        return;
    }
    if (report->nothing_to_do && request->kind == HA_REQUEST_STAGE) {
        printf("Nothing to do: the %s \"%s\" of \"%s\" finds everything as it is wanted.\n",
               ha_configuration_stage(session->configuration, request->name) != NULL ? "stage" : "pipeline",
               request->name, session->configuration->cluster_name);
        return;
    }
    if (report->nothing_to_do) {
        printf("Nothing to do: \"%s\" is as it is wanted%s.\n", session->configuration->cluster_name,
               session->observed.model.unlike[0] != '\0' ? ", but for the warning" : "");
        return;
    }
    print_timings(report);
    printf("done        %s in %s%s\n", ha_plural(report->steps, "step", steps, sizeof steps),
           ha_ms_text(report->wall_ms, took, sizeof took), report->replans > 0 ? ", planned again on the way" : "");
    if (report->operation[0] != '\0')
        printf("operation   %s (generation %llu)\n", report->operation, (unsigned long long)report->generation);
    print_gap(report);
    print_next(cli, session, request);
}

/* ---- change */

struct asking {
    struct ha_session *session;
    struct ha_consent_context consent;
};

static bool check_and_ask(void *context, const struct ha_plan *plan, const char (*warnings)[256], int warning_count)
{
    struct asking *asking = context;

    if (makes_something(plan) && ha_session_check(asking->session, NULL, NULL, asking->consent.error) != 0) {
        ha_advise(asking->consent.error, "nothing was changed; mend that first (`hactl check` looks at all of it)");
        return false;
    }
    return ha_consent_ask(&asking->consent, plan, warnings, warning_count);
}

/* Of a voter that does not answer while the others decide: what waits for it may wait for ever. NULL: none. */
static const char *who_hangs(const struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++)
        for (int m = 0; model->groups[g].quorum == HACTL_YES && m < model->groups[g].member_count; m++) {
            const struct ha_member *member = &model->groups[g].members[m];

            if (member->voter && member->healthy == HACTL_NO && member->replica >= 0)
                return model->replicas[member->replica].name;
        }
    return NULL;
}

/* Whatever stopped it: an operation that was left open says how it goes on, unless something better is said already. */
static void advise_going_on(const struct ha_session *session, const struct ha_report *report, struct ha_error *error)
{
    const char *open = session->desired.operation;
    const char *hangs = who_hangs(&session->observed.model);
    bool failed = error->status == HA_EXIT_FAILED || error->status == HA_EXIT_DENIED;

    if (error->status == HA_EXIT_TIMEOUT || error->status == HA_EXIT_INTERRUPTED)
        ha_advise(error, "the same command, or hactl op resume%s%s, goes on where this stopped%s%s%s",
                  open[0] != '\0' ? " " : "", open, hangs != NULL ? "; or hactl replica replace " : "",
                  hangs != NULL ? hangs : "", hangs != NULL ? " puts another in the place of one that hangs" : "");
    else if (failed && open[0] != '\0' && strcmp(open, report->operation) == 0)
        ha_advise(error, "once that is mended, the same command, or hactl op resume %s, goes on where this stopped",
                  open);
}

static int carry_out(struct ha_cli *cli, struct ha_session *session, const char *verb, const struct ha_request *request,
                     struct ha_report *report, struct ha_error *error)
{
    struct asking asking = {session, {session, verb, request->kind == HA_REQUEST_DOWN, error}};
    const struct ha_command *command = cli->command;
    struct ha_progress *progress;
    struct ha_listener listener;
    char title[160];
    int result;

    snprintf(title, sizeof title, "%s: %s%s%s", session->configuration->cluster_name, command->noun,
             command->verb != NULL ? " " : "", command->verb != NULL ? command->verb : "");
    progress = ha_progress_new(session->configuration, verb, title);
    if (progress == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    listener = ha_progress_listener(progress);
    result = ha_session_change(session, request, check_and_ask, &asking, &listener, report, error);
    ha_progress_free(progress);
    if (result != 0)
        advise_going_on(session, report, error);
    return result;
}

int ha_change_run(struct ha_cli *cli, const char *verb, const struct ha_request *request, struct ha_error *error)
{
    struct ha_session *session = NULL;
    struct ha_report *report;
    int status = -1;

    if (cli->options.dry_run)
        return ha_change_plan(cli, verb, request, error);
    report = calloc(1, sizeof *report);
    if (report == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS | HA_NEED_LOCK, verb, &session, error) !=
            0 ||
        carry_out(cli, session, verb, request, report, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (!cli->options.json)
        print_report(cli, session, request, report);
    else if (ha_json_print(json_report(cli, session, request, report), error) != 0)
        status = -1;
out:
    ha_session_close(session);
    free(report);
    return status;
}
