/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that others made and certificates that others sign. Neither is an
 * operation of the cluster: nothing of it changes but files of the issuer. */
#include <stdlib.h>
#include <string.h>

#include "core/asks.h"
#include "core/commands.h"
#include "lib/file.h"

#define PEM_LIMIT (256u * 1024)

static int open_issuer(struct ha_cli *cli, const char *verb, unsigned more, struct ha_session **session,
                       struct ha_error *error)
{
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS | more, verb, session, error) != 0)
        return -1;
    return ha_session_observe(*session, HA_SCOPE_ALL, error);
}

static int read_pem(const char *path, char **out, struct ha_error *error)
{
    size_t size;
    int result = ha_file_read(path, PEM_LIMIT, out, &size);

    if (result != 0)
        return ha_fail_errno(error, HA_EXIT_USAGE, -result, "cannot read %s", path);
    if (strlen(*out) == size)
        return 0;
    free(*out);
    *out = NULL;
    return ha_fail(error, HA_EXIT_USAGE, "%s is not PEM: there are NULs in it", path);
}

/* Waits for it; `*call` stays for what it emitted. */
static int run(struct ha_session *session, struct hactl_call *call, struct ha_error *error)
{
    int code;

    if (call == NULL)
        return ha_fail(error, HA_EXIT_USAGE,
                       session->issuer == NULL ? "the configuration has no issuer" : "this issuer does not offer that");
    code = ha_call_wait(call);
    if (code < 0)
        return ha_fail(error, ha_exit_of_code(code), "%s: %s", call->instance->conf->instance,
                       call->text[0] != '\0' ? call->text : ha_code_name(code));
    return 0;
}

/* ---- sign */

static int print_signed(const struct ha_cli *cli, const struct hactl_call *call, struct ha_error *error)
{
    const struct hactl_credential *credential = call->credential_count > 0 ? &call->credentials[0] : NULL;

    if (credential == NULL || credential->content == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "the issuer answered without a certificate");
    if (cli->options.json)
        return ha_json_print(json_pack("{s:s, s:s%}", "schema", "hactl.pki-sign/1", "certificate", credential->content,
                                       credential->content_size),
                             error);
    fwrite(credential->content, 1, credential->content_size, stdout);
    return 0;
}

int ha_cmd_pki_sign(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    struct hactl_call *call = NULL;
    char *request = NULL;
    int status = -1;

    if (read_pem(cli->words[1], &request, error) == 0 && open_issuer(cli, "pki-sign", 0, &session, error) == 0) {
        call = ha_ask_sign(session, cli->word_count > 2 ? cli->words[2] : NULL, cli->words[0], request);
        if (run(session, call, error) == 0)
            status = print_signed(cli, call, error);
    }
    ha_call_free(call);
    ha_session_close(session);
    free(request);
    return status;
}

/* ---- request */

static int print_requests(const struct ha_cli *cli, const struct hactl_call *call, struct ha_error *error)
{
    json_t *list;

    if (!cli->options.json) {
        for (size_t i = 0; i < call->credential_count; i++)
            if (call->credentials[i].path != NULL)
                puts(call->credentials[i].path);
        if (call->credential_count == 0)
            ha_say("Nothing to ask for: every certificate of an external authority is as it is wanted.");
        return 0;
    }
    list = json_array();
    for (size_t i = 0; i < call->credential_count; i++)
        json_array_append_new(list,
                              json_pack("{s:o, s:s%}", "path", ha_json_text_or_null(call->credentials[i].path),
                                        "request", call->credentials[i].content, call->credentials[i].content_size));
    return ha_json_print(json_pack("{s:s, s:o}", "schema", "hactl.pki-request/1", "requests", list), error);
}

int ha_cmd_pki_request(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    struct hactl_call *call = NULL;
    int status = -1;

    if (open_issuer(cli, "pki-request", HA_NEED_LOCK, &session, error) == 0) {
        call = ha_ask_request(session, cli->word_count > 0 ? cli->words[0] : NULL);
        if (run(session, call, error) == 0)
            status = print_requests(cli, call, error);
    }
    ha_call_free(call);
    ha_session_close(session);
    return status;
}

/* ---- import */

static int import_one(struct ha_session *session, const char *path, struct ha_error *error)
{
    struct hactl_call *call = NULL;
    char *certificate = NULL;
    int status = -1;

    if (read_pem(path, &certificate, error) == 0) {
        call = ha_ask_import(session, certificate);
        status = run(session, call, error);
        if (status != 0)
            ha_advise(error, "that is about %s", path);
    }
    ha_call_free(call);
    free(certificate);
    return status;
}

int ha_cmd_pki_import(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    int status = open_issuer(cli, "pki-import", HA_NEED_LOCK, &session, error);

    for (int i = 0; status == 0 && i < cli->word_count; i++)
        status = import_one(session, cli->words[i], error);
    if (status == 0 && cli->options.json)
        status =
            ha_json_print(json_pack("{s:s, s:i}", "schema", "hactl.pki-import/1", "taken_in", cli->word_count), error);
    ha_session_close(session);
    return status;
}
