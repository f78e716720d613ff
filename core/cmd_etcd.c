/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cmd_change.h"
#include "core/commands.h"
#include "core/consent.h"
#include "core/describe.h"
#include "core/interrupts.h"

static int open_observed(struct ha_cli *cli, struct ha_session **out, struct ha_error *error)
{
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "status", out, error) != 0)
        return -1;
    return ha_session_observe(*out, HA_SCOPE_ALL, error);
}

static int group_named(const struct ha_model *model, const char *name)
{
    for (int g = 0; g < model->group_count; g++)
        if (strcmp(model->groups[g].name, name) == 0)
            return g;
    return -1;
}

/* Refuses a --group that there is not; without one, every group is shown. */
static int check_group(const struct ha_cli *cli, const struct ha_model *model, struct ha_error *error)
{
    const char *wanted = cli->given[HA_OPTION_GROUP];
    const char *names[HA_GROUPS + 1] = {NULL};
    const char *meant;

    if (wanted == NULL || group_named(model, wanted) >= 0)
        return 0;
    for (int g = 0; g < model->group_count; g++)
        names[g] = model->groups[g].name;
    meant = ha_did_you_mean(wanted, names);
    ha_fail(error, HA_EXIT_USAGE, "there is no etcd group \"%s\"", wanted);
    if (meant != NULL)
        ha_advise(error, "did you mean \"%s\"?", meant);
    else if (names[0] != NULL)
        ha_advise(error, "the configuration has the group \"%s\"", names[0]);
    return -1;
}

static bool is_shown(const struct ha_cli *cli, const struct ha_group *group)
{
    return cli->given[HA_OPTION_GROUP] == NULL || strcmp(cli->given[HA_OPTION_GROUP], group->name) == 0;
}

static int print_json(const struct ha_cli *cli, const struct ha_session *session, const char *schema,
                      struct ha_error *error)
{
    json_t *groups = json_array();

    for (int g = 0; g < session->observed.model.group_count; g++)
        if (is_shown(cli, &session->observed.model.groups[g]))
            json_array_append_new(groups, ha_json_group(&session->observed.model.groups[g]));
    return ha_json_print(json_pack("{s:s, s:s, s:o}", "schema", schema, "cluster", session->configuration->cluster_name,
                                   "groups", groups),
                         error);
}

static const char *member_role(const struct ha_member *member)
{
    return member->leader ? "leader" : member->voter ? "voter" : "learner";
}

static void member_row(const struct ha_group *group, const struct ha_member *member, struct ha_table *table)
{
    char lag[32] = "";

    if (member->lag_entries >= 0)
        snprintf(lag, sizeof lag, "%lld", (long long)member->lag_entries);
    ha_row(table, group->name, member->name[0] != '\0' ? member->name : "(not started)", member->id,
           member_role(member),
           member->started == HACTL_NO ? "not started" : ha_tristate_word(member->healthy, "healthy", "unhealthy"), lag,
           member->peer_url, member->replica < 0 ? "of no known replica" : "");
    ha_table_shade(table, 4, ha_tristate_shade(member->healthy));
}

static void print_members(const struct ha_cli *cli, const struct ha_model *model)
{
    static const char *const headings[] = {"GROUP", "NAME", "ID", "ROLE", "STATE", ">LAG", "PEER URL", "", NULL};
    struct ha_table *table = ha_table_new(headings);

    for (int g = 0; g < model->group_count; g++)
        for (int m = 0; is_shown(cli, &model->groups[g]) && m < model->groups[g].member_count; m++)
            member_row(&model->groups[g], &model->groups[g].members[m], table);
    ha_table_print(table, stdout);
}

static int count_members(const struct ha_cli *cli, const struct ha_model *model)
{
    int count = 0;

    for (int g = 0; g < model->group_count; g++)
        count += is_shown(cli, &model->groups[g]) ? model->groups[g].member_count : 0;
    return count;
}

/* A table without a row is no answer: why there is none is said. */
static void say_no_members(const struct ha_cli *cli, const struct ha_session *session)
{
    const struct ha_model *model = &session->observed.model;

    if (model->group_count == 0)
        ha_say("hactl: no etcd is configured");
    else if (session->desired.generation == 0)
        ha_say("hactl: \"%s\" has no members; `hactl up` makes them", session->configuration->cluster_name);
    for (int g = 0; session->desired.generation != 0 && g < model->group_count; g++)
        if (is_shown(cli, &model->groups[g]) && model->groups[g].member_count == 0)
            ha_say("hactl: no member of %s answers%s%s", model->groups[g].name,
                   model->groups[g].detail[0] != '\0' ? ": " : "", model->groups[g].detail);
}

int ha_cmd_etcd_members(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    int status = -1;

    if (open_observed(cli, &session, error) != 0 || check_group(cli, &session->observed.model, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json)
        status = print_json(cli, session, "hactl.etcd-members/1", error);
    else if (count_members(cli, &session->observed.model) > 0)
        print_members(cli, &session->observed.model);
    else
        say_no_members(cli, session);
out:
    ha_session_close(session);
    return status;
}

static void print_group(const struct ha_group *group)
{
    struct ha_budget budget = ha_group_budget(group);
    char words[160];

    printf("group      %s\n", group->name);
    printf("formed     %s\n",
           ha_tristate_word(group->formed, "yes", group->formed_before ? "was once; nobody answers" : "no"));
    printf("writable   %s\n", ha_group_unseen(group) ? "unknown" : ha_tristate_word(group->quorum, "yes", "no"));
    if (ha_group_unseen(group))
        printf("voters     unknown\n");
    else
        printf("voters     %d (%d healthy, quorum %d)\n", budget.voters, budget.healthy, budget.quorum);
    printf("budget     %s\n", ha_tolerance_text(&budget, words, sizeof words));
    if (group->cluster_id[0] != '\0')
        printf("cluster id %s\n", group->cluster_id);
    if (group->version[0] != '\0')
        printf("version    %s\n", group->version);
    if (group->db_size_bytes > 0)
        printf("database   %lld KiB\n", (long long)group->db_size_bytes / 1024);
    if (group->alarm[0] != '\0')
        printf("alarm      %s\n", group->alarm);
    if (group->detail[0] != '\0')
        printf("detail     %s\n", group->detail);
    putchar('\n');
}

int ha_cmd_etcd_status(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    int status = -1;

    if (open_observed(cli, &session, error) != 0 || check_group(cli, &session->observed.model, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json) {
        status = print_json(cli, session, "hactl.etcd-status/1", error);
        goto out;
    }
    for (int g = 0; g < session->observed.model.group_count; g++)
        if (is_shown(cli, &session->observed.model.groups[g]))
            print_group(&session->observed.model.groups[g]);
    if (count_members(cli, &session->observed.model) > 0)
        print_members(cli, &session->observed.model);
    else
        say_no_members(cli, session);
out:
    ha_session_close(session);
    return status;
}

static int need_cluster(const struct ha_session *session, struct ha_error *error)
{
    if (session->desired.generation != 0)
        return 0;
    ha_fail(error, HA_EXIT_USAGE, "there is no cluster \"%s\": nothing has been made yet",
            session->configuration->cluster_name);
    ha_advise(error, "hactl up");
    return -1;
}

/* For verbs about one group: the named one, or the only one. */
static int one_group(const struct ha_cli *cli, const struct ha_model *model, const struct ha_group **out,
                     struct ha_error *error)
{
    if (check_group(cli, model, error) != 0)
        return -1;
    if (model->group_count == 0)
        return ha_fail(error, HA_EXIT_USAGE, "the configuration has no plugin that serves an etcd group");
    if (cli->given[HA_OPTION_GROUP] == NULL && model->group_count > 1) {
        ha_fail(error, HA_EXIT_USAGE, "there are %d etcd groups", model->group_count);
        ha_advise(error, "name one: --group %s", model->groups[0].name);
        return -1;
    }
    *out = &model->groups[cli->given[HA_OPTION_GROUP] == NULL ? 0 : group_named(model, cli->given[HA_OPTION_GROUP])];
    return 0;
}

/* Seen before anybody is asked for a snapshot that may be large. */
static int need_directory_of(const char *path, struct ha_error *error)
{
    const char *slash = strrchr(path, '/');
    char directory[PATH_MAX], inside[PATH_MAX + 2];
    int code;

    snprintf(directory, sizeof directory, "%.*s", slash > path ? (int)(slash - path) : 1, path);
    snprintf(inside, sizeof inside, "%s/.", directory);
    if (access(inside, W_OK | X_OK) == 0)
        return 0;
    code = errno;
    ha_fail_errno(error, code == EACCES || code == EROFS ? HA_EXIT_DENIED : HA_EXIT_FAILED, code,
                  "no snapshot can be written to %s", directory);
    if (code == ENOENT)
        ha_advise(error, "mkdir -p %s", directory);
    else
        ha_advise(error, "name a file in a directory that you may write to");
    return -1;
}

int ha_cmd_etcd_snapshot(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    const struct ha_group *group = NULL;
    char digest[65] = "", path[PATH_MAX], here[PATH_MAX] = "";
    int status = -1;

    if (cli->words[0][0] != '/' && getcwd(here, sizeof here) == NULL)
        return ha_fail(error, HA_EXIT_FAILED, "the working directory is gone");
    if ((size_t)snprintf(path, sizeof path, "%s%s%s", here, here[0] != '\0' ? "/" : "", cli->words[0]) >= sizeof path)
        return ha_fail(error, HA_EXIT_USAGE, "the path is too long: %.200s", cli->words[0]);
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "etcd-snapshot", &session, error) !=
            0 ||
        one_group(cli, &session->observed.model, &group, error) != 0 || need_cluster(session, error) != 0 ||
        need_directory_of(path, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    ha_interrupts_defer(); /* the first gives the snapshot up, and leaves no half file */
    if (cli->options.dry_run)
        ha_say("hactl: would write a snapshot of %s to %s", group->name, path);
    else
        status = ha_session_snapshot(session, group->name, path, digest, error);
    if (status == 0 && cli->options.json)
        status = ha_json_print(json_pack("{s:s, s:s, s:s, s:s, s:o, s:b}", "schema", "hactl.etcd-snapshot/1", "cluster",
                                         session->configuration->cluster_name, "group", group->name, "path", path,
                                         "sha256", ha_json_text_or_null(digest), "dry_run", cli->options.dry_run),
                               error);
    else if (status == 0 && !cli->options.dry_run)
        printf("%s  %s\n", digest, path); /* as sha256sum -c reads it */
out:
    ha_session_close(session);
    return status;
}

static const char *leader_of(const struct ha_group *group)
{
    for (int m = 0; m < group->member_count; m++)
        if (group->members[m].leader)
            return group->members[m].name;
    return "nobody";
}

static int move_leader(struct ha_cli *cli, struct ha_session *session, const struct ha_group *group,
                       struct ha_error *error)
{
    const char *to = cli->word_count > 0 ? cli->words[0] : NULL;
    char from[HA_NAME], question[256];

    if (need_cluster(session, error) != 0 || ha_session_observe(session, HA_SCOPE_ALL, error) != 0)
        return -1;
    snprintf(from, sizeof from, "%s", leader_of(group));
    snprintf(question, sizeof question, "Move the leadership of %s from %s to %s?", group->name, from,
             to != NULL ? to : "another healthy voter");
    if (ha_session_successor(session, group->name, to, error) != 0)
        return -1;
    if (cli->options.dry_run)
        ha_say("hactl: would move the leadership of %s from %s to %s", group->name, from,
               to != NULL ? to : "another healthy voter");
    else if (ha_consent_plain(&cli->options, question, error) != 0 ||
             ha_session_move_leader(session, group->name, to, error) != 0)
        return -1;
    if (cli->options.json)
        return ha_json_print(json_pack("{s:s, s:s, s:s, s:s, s:b, s:o}", "schema", "hactl.etcd-move-leader/1",
                                       "cluster", session->configuration->cluster_name, "group", group->name, "before",
                                       from, "dry_run", cli->options.dry_run, "leader",
                                       cli->options.dry_run ? json_null() : json_string(leader_of(group))),
                             error);
    if (!cli->options.dry_run)
        printf("%s is led by %s (before: %s)\n", group->name, leader_of(group), from);
    return 0;
}

int ha_cmd_etcd_move_leader(struct ha_cli *cli, struct ha_error *error)
{
    unsigned needs = HA_NEED_CONFIGURATION | HA_NEED_PLUGINS | (cli->options.dry_run ? 0u : HA_NEED_LOCK);
    struct ha_session *session = NULL;
    const struct ha_group *group = NULL;
    int status = -1;

    if (ha_session_open(&cli->options, needs, "etcd-move-leader", &session, error) == 0 &&
        one_group(cli, &session->observed.model, &group, error) == 0)
        status = move_leader(cli, session, group, error);
    ha_session_close(session);
    return status;
}

int ha_cmd_etcd_reconcile(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_RECONCILE, .name = cli->given[HA_OPTION_GROUP]};

    return ha_change_run(cli, "etcd-reconcile", &request, error);
}
