/* SPDX-License-Identifier: Apache-2.0 */
/* Every certificate with its days, for people, scripts and Prometheus. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/commands.h"
#include "core/describe.h"
#include "core/judge.h"
#include "lib/file.h"

enum state { STATE_OK, STATE_DUE, STATE_DRIFT, STATE_UNKNOWN, STATE_SOON, STATE_MISSING, STATE_EXPIRED, STATES };

static const char *const words[STATES] = {"ok", "due", "drift", "unknown", "soon", "missing", "expired"};
static const enum ha_level levels[STATES] = {
    [STATE_OK] = HA_LEVEL_OK,           [STATE_DUE] = HA_LEVEL_WARNING,   [STATE_DRIFT] = HA_LEVEL_WARNING,
    [STATE_UNKNOWN] = HA_LEVEL_WARNING, [STATE_SOON] = HA_LEVEL_CRITICAL, [STATE_MISSING] = HA_LEVEL_CRITICAL,
    [STATE_EXPIRED] = HA_LEVEL_CRITICAL};

/* ---- what one is */

static enum state state_of(const struct ha_certificate *certificate, const struct ha_verdicts *limits, int64_t now_s)
{
    bool dated = certificate->not_after_s != 0;
    enum ha_level level = dated ? ha_judge_expiry(limits, certificate, now_s) : HA_LEVEL_OK;

    if (dated && certificate->not_after_s <= now_s)
        return STATE_EXPIRED;
    if (level == HA_LEVEL_CRITICAL)
        return STATE_SOON;
    if (certificate->ready == HACTL_UNKNOWN)
        return STATE_UNKNOWN;
    if (level == HA_LEVEL_WARNING)
        return STATE_DUE;
    if (certificate->ready == HACTL_YES)
        return STATE_OK;
    /* What carries no date may be a key pair or a set of copies. */
    return !dated && strcmp(certificate->reason, "missing") == 0 ? STATE_MISSING : STATE_DRIFT;
}

static int64_t days_left(const struct ha_certificate *certificate, int64_t now_s)
{
    return (certificate->not_after_s - now_s) / 86400;
}

/* ---- table */

static void add_row(struct ha_table *table, const struct ha_certificate *certificate, enum state state, int64_t now_s)
{
    static const enum ha_shade shades[] = {
        [HA_LEVEL_OK] = HA_SHADE_GOOD, [HA_LEVEL_WARNING] = HA_SHADE_WARNING, [HA_LEVEL_CRITICAL] = HA_SHADE_BAD};
    char days[24] = "", expires[32];

    if (certificate->not_after_s != 0)
        snprintf(days, sizeof days, "%lld", (long long)days_left(certificate, now_s));
    ha_row(table, certificate->purpose, certificate->replica[0] != '\0' ? certificate->replica : "(cluster)",
           words[state], days, ha_time_iso(certificate->not_after_s, expires, sizeof expires), certificate->reason);
    ha_table_shade(table, 2, shades[levels[state]]);
}

/* ---- JSON */

static json_t *json_certificate(const struct ha_certificate *certificate, enum state state, int64_t now_s)
{
    json_t *one = ha_json_certificate(certificate);

    json_object_set_new(one, "state", json_string(words[state]));
    json_object_set_new(one, "days_left",
                        certificate->not_after_s != 0 ? json_integer((json_int_t)days_left(certificate, now_s))
                                                      : json_null());
    json_object_set_new(one, "due", ha_json_time(certificate->due_s));
    json_object_set_new(one, "signed_by", ha_json_text_or_null(certificate->authority));
    return one;
}

/* ---- metrics */

static void put_label(FILE *stream, const char *name, const char *value)
{
    fprintf(stream, "%s=\"", name);
    for (; *value != '\0'; value++)
        if (*value == '"' || *value == '\\')
            fprintf(stream, "\\%c", *value);
        else if (*value == '\n')
            fputs("\\n", stream);
        else
            fputc(*value, stream);
    fputc('"', stream);
}

static void put_sample(FILE *stream, const char *metric, const struct ha_session *session,
                       const struct ha_certificate *certificate, const char *state, int64_t value)
{
    fprintf(stream, "%s{", metric);
    put_label(stream, "cluster", session->configuration->cluster_name);
    fputc(',', stream);
    put_label(stream, "purpose", certificate->purpose);
    fputc(',', stream);
    put_label(stream, "replica", certificate->replica);
    if (state != NULL) {
        fputc(',', stream);
        put_label(stream, "state", state);
    }
    fprintf(stream, "} %lld\n", (long long)value);
}

static void put_metrics(FILE *stream, const struct ha_session *session, const struct ha_verdicts *limits, int64_t now_s)
{
    const struct ha_observation *observed = &session->observed;

    fputs("# HELP hactl_certificate_not_after_timestamp_seconds When the certificate expires.\n"
          "# TYPE hactl_certificate_not_after_timestamp_seconds gauge\n",
          stream);
    for (size_t i = 0; i < observed->certificate_count; i++)
        if (observed->certificates[i].not_after_s != 0)
            put_sample(stream, "hactl_certificate_not_after_timestamp_seconds", session, &observed->certificates[i],
                       NULL, observed->certificates[i].not_after_s);
    fputs("# HELP hactl_certificate_due_timestamp_seconds From when on the certificate is to be renewed.\n"
          "# TYPE hactl_certificate_due_timestamp_seconds gauge\n",
          stream);
    for (size_t i = 0; i < observed->certificate_count; i++)
        if (observed->certificates[i].due_s != 0)
            put_sample(stream, "hactl_certificate_due_timestamp_seconds", session, &observed->certificates[i], NULL,
                       observed->certificates[i].due_s);
    fputs("# HELP hactl_certificate_state The state that the certificate is in has the value 1.\n"
          "# TYPE hactl_certificate_state gauge\n",
          stream);
    for (size_t i = 0; i < observed->certificate_count; i++)
        put_sample(stream, "hactl_certificate_state", session, &observed->certificates[i],
                   words[state_of(&observed->certificates[i], limits, now_s)], 1);
    fprintf(stream,
            "# HELP hactl_certificates_checked_timestamp_seconds When this was found.\n"
            "# TYPE hactl_certificates_checked_timestamp_seconds gauge\n"
            "hactl_certificates_checked_timestamp_seconds{cluster=\"%s\"} %lld\n",
            session->configuration->cluster_name, (long long)now_s);
}

/* The collector reads a whole file or the one before, never half of one. */
static int write_textfile(const char *path, const struct ha_session *session, const struct ha_verdicts *limits,
                          int64_t now_s, struct ha_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    int result;

    if (stream == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    put_metrics(stream, session, limits, now_s);
    fclose(stream);
    result = ha_file_replace(path, text, size, 0644, false);
    free(text);
    return result < 0 ? ha_fail_errno(error, HA_EXIT_FAILED, -result, "%s", path) : 0;
}

/* ---- the command */

static int print(struct ha_cli *cli, const struct ha_session *session, const struct ha_verdicts *limits, int64_t now_s,
                 enum ha_level *worst, struct ha_error *error)
{
    static const char *const headings[] = {"PURPOSE", "OF", "STATE", ">DAYS LEFT", "EXPIRES", "~FOUND", NULL};
    static const char *const level_words[] = {"ok", "warning", "critical"};
    const struct ha_certificate *next = ha_next_expiry(&session->observed);
    struct ha_table *table = cli->options.json ? NULL : ha_table_new(headings);
    json_t *list = json_array();

    for (size_t i = 0; i < session->observed.certificate_count; i++) {
        const struct ha_certificate *certificate = &session->observed.certificates[i];
        enum state state = state_of(certificate, limits, now_s);

        *worst = levels[state] > *worst ? levels[state] : *worst;
        if (table != NULL)
            add_row(table, certificate, state, now_s);
        else
            json_array_append_new(list, json_certificate(certificate, state, now_s));
    }
    if (table == NULL)
        return ha_json_print(json_pack("{s:s, s:s, s:s, s:o, s:o}", "schema", "hactl.pki-check/1", "cluster",
                                       session->configuration->cluster_name, "level", level_words[*worst],
                                       "next_expiry", ha_json_time(next != NULL ? next->not_after_s : 0),
                                       "certificates", list),
                             error);
    json_decref(list);
    ha_table_print(table, stdout);
    return 0;
}

int ha_cmd_pki_check(struct ha_cli *cli, struct ha_error *error)
{
    static const int statuses[] = {HA_EXIT_DONE, HA_EXIT_WARNING, HA_EXIT_UNHEALTHY};
    struct ha_session *session = NULL;
    struct ha_verdicts limits = {0};
    enum ha_level worst = HA_LEVEL_OK;
    int64_t now_s = (int64_t)time(NULL);
    int status = -1;

    if (ha_judge_limits(cli, &limits, error) != 0 ||
        ha_session_open(&cli->options, HA_NEED_CONFIGURATION | HA_NEED_PLUGINS, "status", &session, error) != 0 ||
        ha_session_observe(session, HA_SCOPE_ALL, error) != 0)
        goto out;
    if (session->observed.certificate_count == 0) {
        ha_fail(error, HA_EXIT_UNHEALTHY, "there are no certificates");
        goto out;
    }
    if (print(cli, session, &limits, now_s, &worst, error) != 0 ||
        (cli->given[HA_OPTION_TEXTFILE] != NULL &&
         write_textfile(cli->given[HA_OPTION_TEXTFILE], session, &limits, now_s, error) != 0))
        goto out;
    status = statuses[worst];
out:
    ha_session_close(session);
    return status;
}
