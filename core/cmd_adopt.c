/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster that hactl made, and a store that is empty. */
#include <stdlib.h>
#include <string.h>

#include "core/adopt.h"
#include "core/change_internal.h"
#include "core/cmd_change.h"
#include "core/commands.h"
#include "core/consent.h"
#include "core/describe.h"

/* Too large for the stack. */
struct work {
    struct ha_adoption adoption;
    struct ha_desired prepared;
    struct ha_plan plan;
    char warnings[HA_WARNING_LINES][256];
    int warning_count;
    struct ha_error plan_error; /* why there is no plan */
    bool planned, written;
};

/* ---- judging */

static int refuse_known(const struct ha_cli *cli, const struct ha_session *session, struct ha_error *error)
{
    char called[HA_CALLED_MAX];

    ha_fail(error, HA_EXIT_REFUSED, "the store (%s) knows %s already, generation %llu: there is nothing to adopt",
            ha_store_directory(session->store), session->configuration->cluster_name,
            (unsigned long long)session->desired.generation);
    ha_advise(error, "%s plan", ha_called_as(cli, called, sizeof called));
    return -1;
}

static int refuse_empty(const struct ha_session *session, struct ha_error *error)
{
    ha_fail(error, HA_EXIT_USAGE, "the cloud has nothing of a cluster %s: there is nothing to adopt",
            session->configuration->cluster_name);
    ha_advise(error, "hactl up makes one; is this the configuration that it was made with?");
    return -1;
}

/* All findings are printed by then; the error names the first. */
static int refuse_found(const struct work *work, bool force, struct ha_error *error)
{
    const struct ha_findings *against = &work->adoption.against, *half_done = &work->adoption.half_done;
    char all[16] = "";

    if (against->count + half_done->count > 1)
        snprintf(all, sizeof all, " (and %d more)", against->count + half_done->count - 1);
    if (against->count > 0)
        return ha_fail(error, HA_EXIT_DECISION, "not adopted: %s%s", against->lines[0], all);
    if (half_done->count == 0 || force)
        return 0;
    ha_fail(error, HA_EXIT_DECISION, "not adopted: an operation is half done: %s%s", half_done->lines[0], all);
    ha_advise(error, "finish it where its store is, or put that store back; else `hactl adopt --force` takes it as it "
                     "is, and `hactl plan` says what would become of it");
    return -1;
}

static int judge(struct ha_cli *cli, struct ha_session *session, struct work *work, struct ha_error *error)
{
    if (session->desired.generation != 0)
        return refuse_known(cli, session, error);
    if (ha_session_observe(session, HA_SCOPE_ALL, error) != 0 || ha_adopt(session, &work->adoption, error) != 0)
        return -1;
    return work->adoption.desired.replica_count == 0 ? refuse_empty(session, error) : 0;
}

/* ---- writing */

/* Recorded when it is done, so that the journal has a copy of what the store holds. */
static int record(struct ha_session *session, struct ha_error *error)
{
    struct ha_journal *journal = NULL;
    struct ha_desired nothing = {.generation = 0};
    char operation[64];
    int rc;

    ha_operation_new_name(operation);
    if (ha_journal_open(session->store, operation, &journal, error) != 0)
        return -1;
    rc = ha_journal_append(journal,
                           json_pack("{ss si ss ss sI sI so}", "type", "begin", "schema", 1, "operation", operation,
                                     "request", "adopt", "generation", (json_int_t)session->desired.generation, "at",
                                     (json_int_t)time(NULL), "previous", ha_desired_to_json(&nothing)),
                           false, error);
    if (rc == 0)
        rc = ha_journal_append(journal,
                               json_pack("{ss sI si ss so}", "type", "end", "at", (json_int_t)time(NULL), "status", 0,
                                         "text", "", "desired", ha_desired_to_json(&session->desired)),
                               true, error);
    ha_journal_close(journal);
    return rc;
}

static int write_store(struct ha_session *session, struct work *work, struct ha_error *error)
{
    char question[160];

    snprintf(question, sizeof question, "Take this up as \"%s\"?", session->configuration->cluster_name);
    if (ha_consent_plain(session->options, question, error) != 0)
        return -1;
    session->desired = work->adoption.desired;
    if (ha_store_write(session->store, &session->desired, error) != 0 || record(session, error) != 0)
        return -1;
    work->written = true;
    return 0;
}

/* What `up` would do with it. */
static void plan(struct ha_session *session, struct work *work)
{
    struct ha_request request = {.kind = HA_REQUEST_UP};

    session->desired = work->written ? session->desired : work->adoption.desired;
    work->planned = ha_session_prepare(session, &request, &work->prepared, &work->plan, work->warnings,
                                       &work->warning_count, &work->plan_error) == 0;
}

/* ---- printing */

static void print_findings(const char *word, enum ha_shade shade, const struct ha_findings *findings)
{
    for (int i = 0; i < findings->count; i++)
        printf("%s%-13s%s %s\n", ha_shade_on(stdout, shade), i == 0 ? word : "", ha_shade_off(stdout),
               findings->lines[i]);
}

static void print_found(const struct ha_session *session, const struct ha_adoption *adoption)
{
    const struct ha_model *model = &session->observed.model;
    char words[160];

    for (int i = 0; i < adoption->desired.replica_count; i++) {
        const struct ha_desired_replica *r = &adoption->desired.replicas[i];

        printf("%-13s %s in %s%s\n", i == 0 ? "replicas" : "", r->name, r->zone[0] != '\0' ? r->zone : "no zone",
               r->leaving ? ", to go" : "");
    }
    for (int g = 0; g < model->group_count; g++) {
        struct ha_budget budget = ha_group_budget(&model->groups[g]);

        printf("%-13s %s%s%s\n", model->groups[g].name, ha_tolerance_text(&budget, words, sizeof words),
               model->groups[g].cluster_id[0] != '\0' ? ", cluster " : "", model->groups[g].cluster_id);
    }
    printf("%-13s %s, held by %s\n", "endpoint",
           model->external_address[0] != '\0' ? model->external_address : "no public address",
           ha_holder_name(model, model->holder, model->holder_replica));
    print_findings("as asked for", HA_SHADE_NONE, &adoption->decided);
    print_findings("not known", HA_SHADE_WARNING, &adoption->unknown);
    print_findings("half done", HA_SHADE_WARNING, &adoption->half_done);
    print_findings("contradictory", HA_SHADE_BAD, &adoption->against);
    printf("%-13s %s\n", "lost", "the history of operations, and names of replicas that are gone");
}

static const char *plan_words(const struct work *work, char *out, size_t size)
{
    char steps[48], first[HA_NAME * 4];

    if (!work->planned) {
        snprintf(out, size, "none: %s", work->plan_error.what);
    } else if (work->plan.count > 0) {
        ha_step_text(&work->plan.steps[0], first, sizeof first);
        snprintf(out, size, "%s, first: %s", ha_plural(work->plan.count, "step", steps, sizeof steps), first);
    } else if (work->plan.blocked_count > 0) {
        snprintf(out, size, "nothing can be done yet: %s", work->plan.blocked[0]);
    } else {
        snprintf(out, size, "nothing to do: it is as it is wanted");
    }
    return out;
}

static void print_after(const struct ha_cli *cli, const struct ha_session *session, const struct work *work)
{
    char words[768], called[HA_CALLED_MAX];

    ha_called_as(cli, called, sizeof called);
    printf("\n%-13s %s\n", "plan", plan_words(work, words, sizeof words));
    if (work->written)
        printf("%-13s generation %llu, in %s\n", "adopted", (unsigned long long)session->desired.generation,
               ha_store_directory(session->store));
    else
        printf("%-13s nothing was written\n", "dry run");
    printf("%-13s %s %s\n", "try next", called, !work->written ? "adopt" : work->plan.count > 0 ? "plan" : "status");
}

static json_t *json_findings(const struct ha_findings *findings)
{
    json_t *list = json_array();

    for (int i = 0; i < findings->count; i++)
        json_array_append_new(list, ha_json_text_or_null(findings->lines[i]));
    return list;
}

static int print_json(const struct ha_session *session, const struct work *work, struct ha_error *error)
{
    const struct ha_adoption *adoption = &work->adoption;
    char words[768];

    return ha_json_print(
        json_pack("{s:s, s:s, s:b, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:s}}", "schema", "hactl.adopt/1",
                  "cluster", session->configuration->cluster_name, "adopted", work->written, "generation",
                  (json_int_t)session->desired.generation, "desired", ha_desired_to_json(&session->desired), "endpoint",
                  ha_json_endpoint(session), "groups", ha_json_groups(session), "decided",
                  json_findings(&adoption->decided), "unknown", json_findings(&adoption->unknown), "half_done",
                  json_findings(&adoption->half_done), "contradictory", json_findings(&adoption->against), "plan",
                  "steps", work->planned ? json_integer(work->plan.count) : json_null(), "text",
                  plan_words(work, words, sizeof words)),
        error);
}

/* ---- the command */

static int adopt(struct ha_cli *cli, struct ha_session *session, struct work *work, struct ha_error *error)
{
    bool force = cli->given[HA_OPTION_FORCE] != NULL, json = cli->options.json;

    if (judge(cli, session, work, error) != 0)
        return -1;
    if (!json)
        print_found(session, &work->adoption);
    fflush(stdout);
    if (refuse_found(work, force, error) != 0 || (!cli->options.dry_run && write_store(session, work, error) != 0))
        return -1;
    plan(session, work);
    if (json && print_json(session, work, error) != 0)
        return -1;
    if (!json)
        print_after(cli, session, work);
    return work->adoption.unknown.count > 0 ? HA_EXIT_WARNING : HA_EXIT_DONE;
}

int ha_cmd_adopt(struct ha_cli *cli, struct ha_error *error)
{
    unsigned needs = HA_NEED_CONFIGURATION | HA_NEED_PLUGINS | (cli->options.dry_run ? 0 : HA_NEED_LOCK);
    struct work *work = calloc(1, sizeof *work);
    struct ha_session *session = NULL;
    int status = -1;

    if (work == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    if (ha_session_open(&cli->options, needs, "adopt", &session, error) == 0)
        status = adopt(cli, session, work, error);
    ha_session_close(session);
    free(work);
    return status;
}
