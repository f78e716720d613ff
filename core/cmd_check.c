/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/commands.h"
#include "core/judge.h"

static void hear_instance(void *context, const char *instance, int code, const char *text)
{
    if (code == HACTL_OK)
        ha_judge(context, "plugins", HA_LEVEL_OK, "%s", instance);
    else
        ha_judge(context, "plugins", HA_LEVEL_CRITICAL, "%s: %s", instance, text);
}

int ha_cmd_check(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_error plugin_error = {.status = HA_EXIT_DONE};
    struct ha_session *session = NULL;
    struct ha_verdicts verdicts = {0};
    int status = -1;

    if (ha_judge_limits(cli, &verdicts, error) != 0 ||
        ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "check", &session, error) != 0)
        goto out;
    /* What a plugin has to complain of is a verdict like any other. */
    ha_session_check(session, hear_instance, &verdicts, &plugin_error);
    if (ha_session_observe(session, HA_SCOPE_ALL, error) != 0)
        goto out;
    ha_judge_cluster(&verdicts, session);
    status = ha_judge_print(&verdicts, session, cli->options.json, "hactl.check/1", error);
out:
    ha_judge_clear(&verdicts);
    ha_session_close(session);
    return status;
}
