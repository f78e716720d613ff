/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody who was woken by this cluster wants to see first. */
#include <stdlib.h>
#include <string.h>

#include "core/cmd_change.h"
#include "core/commands.h"
#include "core/describe.h"

/* What `up` would do now. */
struct drift {
    struct ha_desired desired;
    struct ha_plan plan;
    char warnings[HA_WARNING_LINES][256];
    int warning_count;
    struct ha_error error; /* why it cannot be told */
};

/* Preparing looks at everything already; of a cluster not yet made, or on its
 * way down, there is no drift to tell, and it is looked at alone. */
static int look(struct ha_session *session, struct drift *drift, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_UP};

    if (session->desired.generation == 0)
        ha_fail(&drift->error, HA_EXIT_FAILED, "nothing has been made yet");
    else if (ha_session_prepare(session, &request, &drift->desired, &drift->plan, drift->warnings,
                                &drift->warning_count, &drift->error) == 0)
        return 0;
    return ha_session_observe(session, HA_SCOPE_ALL, error);
}

static const char *drift_text(const struct drift *drift, char *out, size_t size)
{
    char steps[48], first[HA_NAME * 4];

    if (drift->error.status != HA_EXIT_DONE) {
        snprintf(out, size, "cannot be told: %s", drift->error.what);
    } else if (drift->plan.count > 0) {
        ha_step_text(&drift->plan.steps[0], first, sizeof first);
        snprintf(out, size, "up would take %s, first: %s", ha_plural(drift->plan.count, "step", steps, sizeof steps),
                 first);
    } else if (drift->plan.blocked_count > 0) {
        snprintf(out, size, "up could not go on: %s", drift->plan.blocked[0]);
    } else if (drift->plan.end.unlike[0] != '\0') {
        snprintf(out, size, "up would not put right: %s", drift->plan.end.unlike);
    } else {
        snprintf(out, size, "none: up would do nothing");
    }
    return out;
}

/* ---- JSON */

static json_t *json_drift(const struct drift *drift)
{
    char text[768];
    bool known = drift->error.status == HA_EXIT_DONE;

    return json_pack("{s:o, s:s}", "steps", known ? json_integer(drift->plan.count) : json_null(), "text",
                     drift_text(drift, text, sizeof text));
}

static json_t *json_running(const struct ha_lock_info *lock)
{
    if (!lock->held)
        return json_null();
    return json_pack("{s:s, s:i, s:s, s:s, s:o}", "command", lock->verb, "pid", lock->pid, "user", lock->user, "host",
                     lock->host, "since", ha_json_time(lock->since_s));
}

static json_t *json_status(const struct ha_session *session, const struct drift *drift, const struct ha_lock_info *lock)
{
    const struct ha_model *model = &session->observed.model;
    const struct ha_certificate *next = ha_next_expiry(&session->observed);

    return json_pack(
        "{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:{s:i, s:o, s:o}, s:o, s:o, s:o}", "schema", "hactl.status/1", "cluster",
        session->configuration->cluster_name, "generation", (json_int_t)session->desired.generation, "endpoint",
        ha_json_endpoint(session), "replicas", ha_json_replicas(session), "etcd",
        model->group_count > 0 ? ha_json_group(&model->groups[0]) : json_null(), "groups", ha_json_groups(session),
        "certificates", "count", (int)session->observed.certificate_count, "next_expiry",
        ha_json_time(next == NULL ? 0 : next->not_after_s), "next_purpose",
        ha_json_text_or_null(next == NULL ? "" : next->purpose), "operation",
        ha_json_text_or_null(session->desired.operation), "running", json_running(lock), "drift", json_drift(drift));
}

/* ---- people */

static void print_head(const struct ha_session *session)
{
    const struct ha_observation *observed = &session->observed;
    const struct ha_model *model = &observed->model;
    const char *owner = ha_holder_name(model, model->holder, model->holder_replica);
    const char *answers = ha_tristate_word(model->endpoint_answers, "answers", "does not answer");
    enum ha_shade shade = ha_tristate_shade(model->endpoint_answers);

    printf("cluster       %s%s%s, generation %llu\n", ha_shade_on(stdout, HA_SHADE_STRONG),
           session->configuration->cluster_name, ha_shade_off(stdout), (unsigned long long)session->desired.generation);
    if (observed->model.external_address[0] == '\0') {
        if (model->address == HACTL_UNKNOWN)
            printf("endpoint      the public address could not be read: %s\n", model->holder_detail);
        else
            printf("endpoint      no public address is reserved\n");
        return;
    }
    printf("endpoint      %s:%u, held by %s, %s%s%s\n", observed->model.external_address, observed->endpoint_port,
           owner, ha_shade_on(stdout, shade), model->endpoint_answers == HACTL_UNKNOWN ? "could not be asked" : answers,
           ha_shade_off(stdout));
    if (model->holder_detail[0] != '\0')
        printf("              %s\n", model->holder_detail);
    if (ha_balancer_trouble(observed)[0] != '\0')
        printf("              the balancer: %s\n", ha_balancer_trouble(observed));
    if (strcmp(observed->fronts, "etcd-client") == 0)
        printf("              it fronts etcd's client port: no Kubernetes payload is configured\n");
}

static void print_groups(const struct ha_session *session)
{
    const struct ha_model *model = &session->observed.model;

    for (int g = 0; g < model->group_count; g++) {
        const struct ha_group *group = &model->groups[g];
        struct ha_budget budget = ha_group_budget(group);
        enum ha_shade shade = budget.tolerates < 0 || budget.voters == 0 ? HA_SHADE_BAD
                              : budget.tolerates == 0                    ? HA_SHADE_WARNING
                                                                         : HA_SHADE_GOOD;
        char words[160];

        printf("%-13s %s%s%s\n", group->name, ha_shade_on(stdout, shade),
               ha_tolerance_text(&budget, words, sizeof words), ha_shade_off(stdout));
        if (group->alarm[0] != '\0')
            printf("              %salarm: %s%s\n", ha_shade_on(stdout, HA_SHADE_BAD), group->alarm,
                   ha_shade_off(stdout));
        if (group->detail[0] != '\0')
            printf("              %s\n", group->detail);
    }
}

static void print_certificates(const struct ha_session *session)
{
    const struct ha_certificate *next = ha_next_expiry(&session->observed);
    int not_ready = 0;
    char expires[32], when[48];

    for (size_t i = 0; i < session->observed.certificate_count; i++)
        not_ready += session->observed.certificates[i].ready == HACTL_NO;
    if (next == NULL)
        printf("certificates  none\n");
    else
        printf("certificates  next expiry %s (%s), %s%s%s\n", ha_time_iso(next->not_after_s, expires, sizeof expires),
               ha_time_relative(next->not_after_s, when, sizeof when), next->purpose,
               next->replica[0] != '\0' ? " of " : "", next->replica);
    if (not_ready > 0 && next != NULL)
        printf("              %d not as wanted: hactl pki list\n", not_ready);
}

/* A replica's place in the group: "leader", "voter, lag 12", "learner", "-". */
static const char *member_text(const struct ha_group *group, int replica, char *out, size_t size)
{
    int m = ha_model_member_of(group, replica);
    const struct ha_member *member;
    char lag[32] = "";

    if (m < 0)
        return "-";
    member = &group->members[m];
    if (member->lag_entries > 0)
        snprintf(lag, sizeof lag, ", lag %lld", (long long)member->lag_entries);
    snprintf(out, size, "%s%s%s",
             member->leader  ? "leader"
             : member->voter ? "voter"
                             : "learner",
             member->started == HACTL_NO        ? ", not started"
             : member->healthy == HACTL_NO      ? ", unhealthy"
             : member->healthy == HACTL_UNKNOWN ? ", unknown"
                                                : "",
             lag);
    return out;
}

static void print_replicas(const struct ha_session *session)
{
    static const char *const backends[] = {[HA_BACKEND_NONE] = "-",
                                           [HA_BACKEND_WAITING] = "waiting",
                                           [HA_BACKEND_SERVING] = "serving",
                                           [HA_BACKEND_UNKNOWN] = "unknown"};
    const struct ha_model *model = &session->observed.model;
    const char *headings[6 + HA_GROUPS] = {"REPLICA", "ZONE", "INTERNAL IP", "STATE"};
    const char *cells[6 + HA_GROUPS] = {NULL};
    char members[HA_GROUPS][64];
    struct ha_table *table;
    int column = 4;

    for (int g = 0; g < model->group_count; g++)
        headings[column++] = model->groups[g].name;
    headings[column] = "BALANCER";
    headings[column + 1] = "~DETAIL";
    table = ha_table_new(headings);
    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *replica = &model->replicas[i];
        enum ha_shade shade = HA_SHADE_NONE;

        cells[0] = replica->name;
        cells[1] = replica->zone;
        cells[2] = replica->internal_address;
        cells[3] = ha_replica_state(session, i, &shade);
        for (int g = 0; g < model->group_count; g++)
            cells[4 + g] = member_text(&model->groups[g], i, members[g], sizeof members[g]);
        cells[column] = backends[replica->backend];
        cells[column + 1] = replica->detail;
        ha_table_add(table, cells);
        ha_table_shade(table, 3, shade);
    }
    putchar('\n');
    ha_table_print(table, stdout);
}

/* Members that no replica explains would otherwise be seen nowhere. */
static void print_strangers(const struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++)
        for (int m = 0; m < model->groups[g].member_count; m++)
            if (model->groups[g].members[m].replica < 0)
                printf("%s has a member of no known replica: %s at %s (hactl etcd reconcile)\n", model->groups[g].name,
                       model->groups[g].members[m].id, model->groups[g].members[m].peer_url);
}

static void print_unfinished(const struct ha_session *session, const char *called)
{
    struct ha_error ignored = {0};
    struct ha_operation operation;
    const char *id = session->desired.operation;
    bool known = ha_operation_read(session->store, id, &operation, &ignored) == 0;

    printf("unfinished    %s: `%s op resume` goes on", id, called);
    if (known && operation.way_back == HA_BACK_BY_DOWN)
        printf(", `%s down` takes all of it away", called);
    if (known && operation.way_back <= HA_BACK_BY_ABORT_PERHAPS)
        printf(", `%s op abort` goes back%s", called,
               operation.way_back == HA_BACK_BY_ABORT ? "" : " as long as enough is left");
    putchar('\n');
}

/* An operation that somebody works on is not one that was left behind. */
static void print_operation(const struct ha_session *session, const struct ha_lock_info *lock, const char *called)
{
    char since[32], ago[48];

    if (lock->held)
        printf("running       `hactl %s`, process %d of %s on %s, since %s (%s)\n", lock->verb, lock->pid, lock->user,
               lock->host, ha_time_iso(lock->since_s, since, sizeof since),
               ha_time_relative(lock->since_s, ago, sizeof ago));
    else if (session->desired.operation[0] != '\0')
        print_unfinished(session, called);
}

static void print_status(const struct ha_cli *cli, const struct ha_session *session, const struct drift *drift,
                         const struct ha_lock_info *lock)
{
    char text[768], called[512];
    int told = 0;

    ha_called_as(cli, called, sizeof called);
    if (session->desired.generation == 0 && session->observed.model.replica_count == 0) {
        printf("cluster       %s: nothing has been made yet\nnext          %s up\n",
               session->configuration->cluster_name, called);
        return;
    }
    print_head(session);
    print_groups(session);
    print_certificates(session);
    printf("drift         %s\n", drift_text(drift, text, sizeof text));
    for (int i = 0; i < drift->warning_count; i++)
        if (drift->plan.count > 0 || strcmp(drift->warnings[i], drift->plan.end.unlike) != 0)
            printf("%-13s %s\n", told++ == 0 ? "warnings" : "", drift->warnings[i]);
    print_operation(session, lock, called);
    print_replicas(session);
    print_strangers(&session->observed.model);
}

int ha_cmd_status(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    struct drift *drift = calloc(1, sizeof *drift);
    struct ha_lock_info lock = {.held = false};
    int status = -1;

    if (drift == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "status", &session, error) != 0 ||
        ha_store_lock_show(session->store, &lock, error) != 0 || look(session, drift, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json)
        status = ha_json_print(json_status(session, drift, &lock), error);
    else
        print_status(cli, session, drift, &lock);
out:
    free(drift);
    ha_session_close(session);
    return status;
}
