/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/commands.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

int ha_cmd_version(struct ha_cli *cli, struct ha_error *error)
{
    char abi[24];

    snprintf(abi, sizeof abi, "%d.%d", HACTL_ABI_MAJOR, HACTL_ABI_MINOR);
    if (cli->options.json)
        return ha_json_print(json_pack("{s:s, s:s, s:s, s:s}", "schema", "hactl.version/1", "version", PACKAGE_VERSION,
                                       "abi", abi, "compiler", __VERSION__),
                             error);
    printf("hactl %s (plugin ABI %s)\n", PACKAGE_VERSION, abi);
    return HA_EXIT_DONE;
}
