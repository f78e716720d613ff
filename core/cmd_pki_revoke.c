/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/asks.h"
#include "core/cmd_change.h"
#include "core/commands.h"
#include "lib/file.h"

enum { CERTIFICATE_LIMIT = 1 << 16, TIMEOUT_MS = 10000 };

static int revoke(struct ha_cli *cli, const char *certificate, struct ha_error *error)
{
    struct ha_session *session = NULL;
    struct hactl_call *call;
    int code, status = -1;

    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS | HA_NEED_LOCK, "pki-revoke", &session,
                        error) != 0)
        goto out;
    if (session->issuer == NULL) {
        ha_fail(error, HA_EXIT_USAGE, "the configuration has no issuer of certificates");
        goto out;
    }
    if (ha_session_observe(session, HA_SCOPE_ALL, error) != 0)
        goto out;
    call = ha_ask_revoke(session, certificate, TIMEOUT_MS);
    code = ha_call_wait(call);
    if (code == HACTL_OK)
        status = 0;
    else
        ha_fail(error, ha_exit_of_code(code), "%s: %s", session->issuer->conf->instance,
                call->text[0] != '\0' ? call->text : ha_code_name(code));
    ha_call_free(call);
out:
    ha_session_close(session);
    return status;
}

/* The list is made at once; who reads it gets it by the same way as everything. */
int ha_cmd_pki_revoke(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_RENEW};
    char *content = NULL;
    size_t size = 0;
    int result = ha_file_read(cli->words[0], CERTIFICATE_LIMIT, &content, &size);

    if (result < 0)
        return ha_fail_errno(error, HA_EXIT_USAGE, -result, "%s", cli->words[0]);
    result = cli->options.dry_run ? 0 : revoke(cli, content, error);
    free(content);
    return result == 0 ? ha_change_run(cli, "pki-revoke", &request, error) : -1;
}
