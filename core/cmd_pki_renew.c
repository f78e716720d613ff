/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/cmd_change.h"
#include "core/commands.h"

int ha_cmd_pki_renew(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_RENEW, .rekey = cli->given[HA_OPTION_REKEY] != NULL};
    char names[200] = "";

    for (int i = 0; i < cli->word_count; i++) {
        size_t used = strlen(names);

        if (used + strlen(cli->words[i]) + 2 > sizeof names)
            return ha_fail(error, HA_EXIT_USAGE, "these are too many names for one run");
        snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? " " : "", cli->words[i]);
    }
    request.name = names[0] != '\0' ? names : NULL;
    return ha_change_run(cli, "pki-renew", &request, error);
}
