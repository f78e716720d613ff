/* SPDX-License-Identifier: Apache-2.0 */
/* up, plan, down. */
#include "core/cmd_change.h"
#include "core/commands.h"

static int up_request(struct ha_cli *cli, struct ha_request *request, struct ha_error *error)
{
    request->kind = HA_REQUEST_UP;
    return ha_cli_number(cli, HA_OPTION_REPLICAS, 1, 7, 0, &request->replicas, error);
}

int ha_cmd_up(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {0};

    return up_request(cli, &request, error) != 0 ? -1 : ha_change_run(cli, "up", &request, error);
}

int ha_cmd_plan(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {0};

    return up_request(cli, &request, error) != 0 ? -1 : ha_change_plan(cli, "up", &request, error);
}

int ha_cmd_down(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_DOWN};

    return ha_change_run(cli, "down", &request, error);
}
