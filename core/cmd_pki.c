/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "core/cmd_change.h"
#include "core/commands.h"
#include "core/describe.h"

/* `pki issue` is the stage of that work, whatever the configuration calls it. */
int ha_cmd_pki_issue(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_configuration *configuration = NULL;
    struct ha_request request = {.kind = HA_REQUEST_STAGE};
    char stage[HA_NAME];
    int status;

    if (ha_configuration_read(cli->options.config, cli->options.sets, &configuration, error) != 0)
        return -1;
    snprintf(stage, sizeof stage, "%s", ha_step_stage(configuration, "up", HA_STEP_CERTIFICATE_ISSUE));
    cli->options.configuration = &configuration;
    cli->options.stage = request.name = stage;
    status = ha_change_run(cli, "pki-issue", &request, error);
    cli->options.configuration = NULL;
    cli->options.stage = NULL;
    ha_configuration_free(configuration);
    return status;
}

static void print_certificate(const struct ha_certificate *certificate, struct ha_table *table)
{
    char expires[32], when[48] = "";

    ha_time_iso(certificate->not_after_s, expires, sizeof expires);
    if (certificate->not_after_s != 0)
        ha_time_relative(certificate->not_after_s, when, sizeof when);
    ha_row(table, certificate->purpose, certificate->replica[0] != '\0' ? certificate->replica : "(cluster)",
           certificate->is_authority ? "authority" : "",
           certificate->ready == HACTL_YES  ? "ready"
           : certificate->ready == HACTL_NO ? certificate->reason
                                            : "unknown",
           expires, when, certificate->names);
    ha_table_shade(table, 3, ha_tristate_shade(certificate->ready));
}

static int observed_session(struct ha_cli *cli, struct ha_session **out, struct ha_error *error)
{
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "status", out, error) != 0)
        return -1;
    return ha_session_observe(*out, HA_SCOPE_ALL, error);
}

static json_t *json_certificates(const struct ha_observation *observed)
{
    json_t *list = json_array();

    for (size_t i = 0; i < observed->certificate_count; i++)
        json_array_append_new(list, ha_json_certificate(&observed->certificates[i]));
    return list;
}

int ha_cmd_pki_list(struct ha_cli *cli, struct ha_error *error)
{
    static const char *const headings[] = {"PURPOSE", "OF", "", "STATE", "EXPIRES", "", "~NAMES", NULL};
    struct ha_session *session = NULL;
    struct ha_table *table;
    int status = -1;

    if (observed_session(cli, &session, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json) {
        status = ha_json_print(json_pack("{s:s, s:s, s:o}", "schema", "hactl.certificates/1", "cluster",
                                         session->configuration->cluster_name, "certificates",
                                         json_certificates(&session->observed)),
                               error);
        goto out;
    }
    table = ha_table_new(headings);
    for (size_t i = 0; i < session->observed.certificate_count; i++)
        print_certificate(&session->observed.certificates[i], table);
    ha_table_print(table, stdout);
out:
    ha_session_close(session);
    return status;
}
