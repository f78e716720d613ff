/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/cmd_change.h"
#include "core/commands.h"
#include "core/describe.h"

static const char *const phase_words[] = {"", "prepare", "trust", "switch", "retire"};
static const char *const phase_says[] = {"one signs and is trusted", "the new one is made, nobody knows it yet",
                                         "the old one signs, both are trusted", "the new one signs, both are trusted",
                                         "the new one signs, it alone is trusted"};

static int open_and_look(struct ha_cli *cli, struct ha_session **out, struct ha_error *error)
{
    if (ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "status", out, error) != 0)
        return -1;
    if ((*out)->issuer == NULL)
        return ha_fail(error, HA_EXIT_USAGE, "the configuration has no issuer of certificates");
    return ha_session_observe(*out, HA_SCOPE_ALL, error);
}

/* ---- status */

/* Of the phase it is in, so that who lags is named before the next is asked for. */
static const char *waits_for(const struct ha_session *session, const struct ha_certificate *authority, char *why,
                             size_t size)
{
    struct ha_model model = session->observed.model;

    if (strcmp(model.rotation, authority->purpose) != 0)
        return "";
    if (!ha_rotation_done(&model))
        return ha_rotation_gated(&model, why, size) ? why : "the phase is not reached yet: hactl op resume";
    if (model.rotation_goal == HA_ROTATE_TRUST || model.rotation_goal == HA_ROTATE_SWITCH) {
        model.rotation_goal = (enum ha_rotation_goal)((int)model.rotation_goal + 1);
        return ha_rotation_gated(&model, why, size) ? why : "";
    }
    return "";
}

static json_t *json_authority(const struct ha_session *session, const struct ha_certificate *authority)
{
    char why[256];

    return json_pack("{s:s, s:o, s:s, s:o, s:o}", "authority", authority->purpose, "phase",
                     ha_json_text_or_null(phase_words[authority->rotation]), "says", phase_says[authority->rotation],
                     "waits_for", ha_json_text_or_null(waits_for(session, authority, why, sizeof why)), "not_after",
                     ha_json_time(authority->not_after_s));
}

static int show(struct ha_cli *cli, const struct ha_session *session, const char *only, struct ha_error *error)
{
    static const char *const headings[] = {"AUTHORITY", "PHASE", "~MEANS", "EXPIRES", "~WAITS FOR", NULL};
    struct ha_table *table = cli->options.json ? NULL : ha_table_new(headings);
    json_t *list = json_array();
    char why[256], expires[32];

    for (size_t i = 0; i < session->observed.certificate_count; i++) {
        const struct ha_certificate *authority = &session->observed.certificates[i];

        if (!authority->rotates || (only != NULL && strcmp(only, authority->purpose) != 0))
            continue;
        if (table == NULL)
            json_array_append_new(list, json_authority(session, authority));
        else
            ha_row(table, authority->purpose,
                   authority->rotation == HACTL_ROTATION_NONE ? "-" : phase_words[authority->rotation],
                   phase_says[authority->rotation], ha_time_iso(authority->not_after_s, expires, sizeof expires),
                   waits_for(session, authority, why, sizeof why));
    }
    if (table != NULL) {
        json_decref(list);
        ha_table_print(table, stdout);
        return HA_EXIT_DONE;
    }
    return ha_json_print(json_pack("{s:s, s:s, s:o}", "schema", "hactl.rotation/1", "cluster",
                                   session->configuration->cluster_name, "authorities", list),
                         error);
}

/* ---- which authority */

/* "etcd" is etcd-ca. */
static const struct ha_certificate *find_authority(const struct ha_session *session, const char *word,
                                                   struct ha_error *error)
{
    const char *names[16] = {NULL}, *meant;
    char with_ending[HA_NAME + 4];
    size_t count = 0;

    snprintf(with_ending, sizeof with_ending, "%.*s-ca", HA_NAME, word);
    for (size_t i = 0; i < session->observed.certificate_count; i++) {
        const struct ha_certificate *found = &session->observed.certificates[i];

        if (!found->rotates)
            continue;
        if (strcmp(found->purpose, word) == 0 || strcmp(found->purpose, with_ending) == 0)
            return found;
        if (count < 15)
            names[count++] = found->purpose;
    }
    ha_fail(error, HA_EXIT_USAGE, "there is no authority \"%s\"", word);
    meant = ha_did_you_mean(word, names);
    if (meant != NULL)
        ha_advise(error, "did you mean \"%s\"?", meant);
    ha_advise(error, "hactl pki rotate");
    return NULL;
}

static int check_phase(const char *word, struct ha_error *error)
{
    static const char *const words[] = {"prepare", "trust", "switch", "retire", "back", "status", NULL};
    const char *meant;

    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], word) == 0)
            return 0;
    ha_fail(error, HA_EXIT_USAGE, "a rotation has no phase \"%s\"; it has prepare, trust, switch and retire", word);
    meant = ha_did_you_mean(word, words);
    if (meant != NULL)
        ha_advise(error, "did you mean \"%s\"?", meant);
    return -1;
}

/* ---- going on */

static int take_phase(struct ha_cli *cli, const char *authority, const char *phase, struct ha_error *error)
{
    struct ha_request request = {.kind = HA_REQUEST_ROTATE, .name = authority, .phase = phase};

    return ha_change_run(cli, "pki-rotate", &request, error);
}

/* From where it is: a phase that was not finished is asked for again. */
static int take_rest(struct ha_cli *cli, const char *authority, int from, struct ha_error *error)
{
    int status = HA_EXIT_DONE;

    for (int phase = from; phase <= HA_ROTATE_RETIRE && status == HA_EXIT_DONE; phase++) {
        status = take_phase(cli, authority, ha_rotation_words[phase], error);
        /* A plan cannot know what comes after a phase that was not taken. */
        if (cli->options.dry_run)
            break;
    }
    return status;
}

int ha_cmd_pki_rotate(struct ha_cli *cli, struct ha_error *error)
{
    struct ha_session *session = NULL;
    const struct ha_certificate *found = NULL;
    char authority[HA_NAME] = "";
    const char *phase = cli->word_count > 1 ? cli->words[1] : NULL;
    int from = HA_ROTATE_PREPARE, status = -1;

    if (phase != NULL && check_phase(phase, error) != 0)
        return -1;
    if (open_and_look(cli, &session, error) != 0 ||
        (cli->word_count > 0 && (found = find_authority(session, cli->words[0], error)) == NULL))
        goto out;
    if (found == NULL || (phase != NULL && strcmp(phase, "status") == 0)) {
        status = show(cli, session, found != NULL ? found->purpose : NULL, error);
        goto out;
    }
    snprintf(authority, sizeof authority, "%s", found->purpose);
    if (strcmp(session->desired.rotation, authority) == 0 && session->desired.rotation_goal >= HA_ROTATE_PREPARE)
        from = (int)session->desired.rotation_goal;
out:
    ha_session_close(session);
    if (authority[0] == '\0')
        return status;
    return phase != NULL ? take_phase(cli, authority, phase, error) : take_rest(cli, authority, from, error);
}
