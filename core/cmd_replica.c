/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd_change.h"
#include "core/commands.h"
#include "core/describe.h"

int ha_cmd_replica_add(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {
        .kind = HA_REQUEST_ADD, .name = cli->given[HA_OPTION_NAME], .zone = cli->given[HA_OPTION_ZONE]};

    return ha_change_run(cli, "replica-add", &request, error);
}

int ha_cmd_replica_remove(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {
        .kind = HA_REQUEST_REMOVE, .zone = cli->given[HA_OPTION_ZONE], .all = cli->given[HA_OPTION_ALL] != NULL};

    request.name = cli->word_count > 0 ? cli->words[0] : NULL;
    if (request.all && (request.name != NULL || request.zone == NULL)) {
        ha_fail(error, HA_EXIT_USAGE, "--all means all replicas of a zone: it wants --zone and no name");
        ha_advise(error, "hactl down takes the whole cluster down");
        return -1;
    }
    if (request.name == NULL && request.zone == NULL) {
        ha_fail(error, HA_EXIT_USAGE, "hactl replica remove wants the name of a replica, or --zone");
        ha_advise(error, "hactl replica list");
        return -1;
    }
    return ha_change_run(cli, "replica-remove", &request, error);
}

int ha_cmd_replica_replace(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_REPLACE, .name = cli->words[0]};

    return ha_change_run(cli, "replica-replace", &request, error);
}

static void print_replicas(const struct ha_session *session)
{
    static const char *const headings[] = {"NAME", "ZONE", "INTERNAL IP", "STATE", "~DETAIL", NULL};
    const struct ha_model *model = &session->observed.model;
    struct ha_table *table = ha_table_new(headings);
    enum ha_shade shade = HA_SHADE_NONE;

    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *replica = &model->replicas[i];
        const char *state = ha_replica_state(session, i, &shade);

        ha_row(table, replica->name, replica->zone, replica->internal_address, state, replica->detail);
        ha_table_shade(table, 3, shade);
    }
    ha_table_print(table, stdout);
}

int ha_cmd_replica_list(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    int status = -1;

    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "status", &session, error) != 0 ||
        ha_session_observe(session, HA_SCOPE_ALL, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json)
        status = ha_json_print(json_pack("{s:s, s:s, s:o}", "schema", "hactl.replicas/1", "cluster",
                                         session->configuration->cluster_name, "replicas", ha_json_replicas(session)),
                               error);
    else if (session->observed.model.replica_count == 0)
        ha_say("hactl: \"%s\" has no replicas; `hactl up` makes them", session->configuration->cluster_name);
    else
        print_replicas(session);
out:
    ha_session_close(session);
    return status;
}
