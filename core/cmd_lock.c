/* SPDX-License-Identifier: Apache-2.0 */
#include "core/commands.h"

int ha_cmd_lock_show(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_lock_info lock = {.held = false};
    struct ha_session *session = NULL;
    char since[32], ago[48];
    int status = -1;

    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION, "lock-show", &session, error) != 0 ||
        ha_store_lock_show(session->store, &lock, error) != 0)
        goto out;
    status = HA_EXIT_DONE;
    if (cli->options.json)
        status = ha_json_print(json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o}", "schema", "hactl.lock/1",
                                         "cluster", session->configuration->cluster_name, "held", lock.held, "pid",
                                         lock.held ? json_integer(lock.pid) : json_null(), "host",
                                         ha_json_text_or_null(lock.held ? lock.host : ""), "user",
                                         ha_json_text_or_null(lock.held ? lock.user : ""), "verb",
                                         ha_json_text_or_null(lock.held ? lock.verb : ""), "since",
                                         ha_json_time(lock.held ? (int64_t)lock.since_s : 0)),
                               error);
    else if (!lock.held)
        printf("\"%s\" is not locked\n", session->configuration->cluster_name);
    else
        printf("\"%s\" is locked by `hactl %s`, process %d of %s on %s, since %s (%s)\n",
               session->configuration->cluster_name, lock.verb, lock.pid, lock.user, lock.host,
               ha_time_iso(lock.since_s, since, sizeof since), ha_time_relative(lock.since_s, ago, sizeof ago));
out:
    ha_session_close(session);
    return status;
}
