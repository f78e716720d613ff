/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/cmd_change.h"
#include "core/commands.h"
#include "core/describe.h"

int ha_cmd_endpoint_promote(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_PROMOTE};

    return ha_change_run(cli, "endpoint", &request, error);
}

int ha_cmd_endpoint_demote(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_DEMOTE, .name = cli->word_count > 0 ? cli->words[0] : NULL};

    return ha_change_run(cli, "endpoint", &request, error);
}

static json_t *json_endpoint(const struct ha_session *session)
{
    static const char *const wants[] = {
        [HA_ENDPOINT_AUTO] = "auto", [HA_ENDPOINT_BALANCER] = "balancer", [HA_ENDPOINT_REPLICA] = "replica"};
    json_t *document = json_pack("{s:s, s:s, s:s}", "schema", "hactl.endpoint/1", "cluster",
                                 session->configuration->cluster_name, "want", wants[session->desired.endpoint_want]);
    json_t *endpoint = ha_json_endpoint(session), *backends = json_array();
    const struct ha_model *model = &session->observed.model;

    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].backend != HA_BACKEND_NONE)
            json_array_append_new(backends,
                                  json_pack("{s:s, s:o}", "name", model->replicas[i].name, "serving",
                                            model->replicas[i].backend == HA_BACKEND_UNKNOWN
                                                ? json_null()
                                                : json_boolean(model->replicas[i].backend == HA_BACKEND_SERVING)));
    json_object_set_new(document, "endpoint", endpoint);
    json_object_set_new(document, "balancer", ha_json_tristate((int)model->balancer));
    json_object_set_new(document, "backends", backends);
    return document;
}

static void print_endpoint(const struct ha_session *session)
{
    static const char *const headings[] = {"BACKEND", "ZONE", "INTERNAL IP", "SERVES", NULL};
    static const char *const serves[] = {
        [HA_BACKEND_WAITING] = "not yet", [HA_BACKEND_SERVING] = "yes", [HA_BACKEND_UNKNOWN] = "unknown"};
    const struct ha_observation *observed = &session->observed;
    const struct ha_model *model = &observed->model;
    const char *trouble = ha_balancer_trouble(observed);
    struct ha_table *table;
    int backends = 0;

    printf("address   %s\n",
           observed->model.external_address[0] != '\0' ? observed->model.external_address : "none reserved");
    printf("port      %u%s\n", observed->endpoint_port,
           strcmp(observed->fronts, "etcd-client") == 0
               ? " (fronts etcd's client port: no Kubernetes payload is configured)"
               : "");
    printf("owner     %s\n", ha_holder_name(model, model->holder, model->holder_replica));
    printf("answers   %s\n", ha_tristate_word(model->endpoint_answers, "yes", "no"));
    printf("balancer  %s%s%s\n",
           ha_tristate_word(model->balancer, "runs", model->balancer_present ? "does not run" : "none"),
           trouble[0] != '\0' ? ": " : "", trouble);
    for (int i = 0; i < model->replica_count; i++)
        backends += model->replicas[i].backend != HA_BACKEND_NONE;
    if (backends == 0)
        return;
    putchar('\n');
    table = ha_table_new(headings);
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].backend != HA_BACKEND_NONE)
            ha_row(table, model->replicas[i].name, model->replicas[i].zone, model->replicas[i].internal_address,
                   serves[model->replicas[i].backend]);
    ha_table_print(table, stdout);
}

int ha_cmd_endpoint_show(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    int status = -1;

    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "status", &session, error) != 0 ||
        ha_session_observe(session, HA_SCOPE_ALL, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json)
        status = ha_json_print(json_endpoint(session), error);
    else
        print_endpoint(session);
out:
    ha_session_close(session);
    return status;
}
