/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/describe.h"
#include "core/request.h"

static const char *const level_words[] = {
    [HA_LEVEL_OK] = "ok", [HA_LEVEL_WARNING] = "warning", [HA_LEVEL_CRITICAL] = "critical"};

int ha_judge_limits(const struct ha_cli *cli, struct ha_verdicts *verdicts, struct ha_error *error)
{
    if (ha_cli_duration(cli, HA_OPTION_WARN, "60d", &verdicts->warn_ms, error) != 0)
        return -1;
    return ha_cli_duration(cli, HA_OPTION_CRIT, "14d", &verdicts->crit_ms, error);
}

void ha_judge(struct ha_verdicts *verdicts, const char *check, enum ha_level level, const char *format, ...)
{
    struct ha_verdict *list = reallocarray(verdicts->list, verdicts->count + 1, sizeof *list);
    va_list arguments;
    char *text = NULL;
    int length;

    if (list == NULL)
        return;
    verdicts->list = list;
    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length >= 0)
        list[verdicts->count++] = (struct ha_verdict){check, level, text};
}

void ha_judge_clear(struct ha_verdicts *verdicts)
{
    for (size_t i = 0; i < verdicts->count; i++)
        free(verdicts->list[i].text);
    free(verdicts->list);
}

/* ---- certificates */

/* The limits are made for certificates that live a year. One that lives less than twice as long as --warn would be
 * warned of when it is new: of that only its being due tells. And nothing is critical as long as a renewal would do
 * nothing, nor at once when it would. */
enum ha_level ha_judge_expiry(const struct ha_verdicts *limits, const struct ha_certificate *certificate, int64_t now_s)
{
    int64_t left_ms = (certificate->not_after_s - now_s) * 1000;
    int64_t life_ms = (certificate->not_after_s - certificate->not_before_s) * 1000;
    int64_t window_ms = (certificate->not_after_s - certificate->due_s) * 1000;
    bool dated = certificate->due_s != 0, due = dated && certificate->due_s <= now_s;

    if (left_ms <= 0 || (left_ms <= limits->crit_ms && (!dated || left_ms <= window_ms / 2)))
        return HA_LEVEL_CRITICAL;
    if (due || (left_ms <= limits->warn_ms && (!dated || limits->warn_ms <= life_ms / 2)))
        return HA_LEVEL_WARNING;
    return HA_LEVEL_OK;
}

static void judge_certificate(struct ha_verdicts *verdicts, const struct ha_certificate *certificate)
{
    int64_t now_s = (int64_t)time(NULL);
    const char *of = certificate->replica[0] != '\0' ? certificate->replica : "the cluster";
    bool due = certificate->due_s != 0 && certificate->due_s <= now_s;
    enum ha_level level = certificate->not_after_s != 0 ? ha_judge_expiry(verdicts, certificate, now_s) : HA_LEVEL_OK;
    char expires[32], when[48];

    if (certificate->ready == HACTL_NO)
        ha_judge(verdicts, "certificates", certificate->not_after_s == 0 ? HA_LEVEL_CRITICAL : HA_LEVEL_WARNING,
                 "%s of %s: %s", certificate->purpose, of, certificate->reason);
    if (level == HA_LEVEL_WARNING && due)
        ha_judge(verdicts, "certificates", HA_LEVEL_WARNING, "%s of %s is due: it expires %s; hactl pki %s",
                 certificate->purpose, of, ha_time_relative(certificate->not_after_s, when, sizeof when),
                 certificate->is_authority ? "rotate" : "renew");
    else if (level != HA_LEVEL_OK)
        ha_judge(verdicts, "certificates", level, "%s of %s %s %s (%s)", certificate->purpose, of,
                 certificate->not_after_s < now_s ? "expired" : "expires",
                 ha_time_relative(certificate->not_after_s, when, sizeof when),
                 ha_time_iso(certificate->not_after_s, expires, sizeof expires));
}

void ha_judge_certificates(struct ha_verdicts *verdicts, const struct ha_session *session)
{
    const struct ha_observation *observed = &session->observed;
    const struct ha_certificate *next = ha_next_expiry(observed);
    size_t before = verdicts->count;
    char expires[32], when[48];

    for (size_t i = 0; i < observed->certificate_count; i++)
        judge_certificate(verdicts, &observed->certificates[i]);
    if (next == NULL && session->issuer != NULL)
        ha_judge(verdicts, "certificates", HA_LEVEL_CRITICAL, "there are none");
    else if (next != NULL && verdicts->count == before)
        ha_judge(verdicts, "certificates", HA_LEVEL_OK, "%zu certificates, the first expires %s (%s, %s)",
                 observed->certificate_count, ha_time_relative(next->not_after_s, when, sizeof when),
                 ha_time_iso(next->not_after_s, expires, sizeof expires), next->purpose);
}

/* ---- groups */

static void judge_members(struct ha_verdicts *verdicts, const struct ha_group *group)
{
    for (int m = 0; m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        const char *name = member->name[0] != '\0' ? member->name : member->id;

        if (member->replica < 0)
            ha_judge(verdicts, "leftovers", HA_LEVEL_WARNING,
                     "%s: member %s (%s) belongs to no replica: hactl etcd reconcile", group->name, name,
                     member->peer_url);
        else if (member->healthy != HACTL_YES)
            ha_judge(verdicts, "members", HA_LEVEL_WARNING, "%s: %s %s", group->name, name,
                     member->started == HACTL_NO        ? "has never started"
                     : member->healthy == HACTL_UNKNOWN ? "could not be asked"
                                                        : "is not healthy");
        else if (!member->voter)
            ha_judge(verdicts, "members", HA_LEVEL_WARNING, "%s: %s is still a learner", group->name, name);
    }
}

static void judge_group(struct ha_verdicts *verdicts, const struct ha_group *group)
{
    struct ha_budget budget = ha_group_budget(group);
    char words[160];

    ha_tolerance_text(&budget, words, sizeof words);
    if (group->quorum != HACTL_YES)
        ha_judge(verdicts, "quorum", HA_LEVEL_CRITICAL, "%s: no read with quorum was served%s%s", group->name,
                 group->detail[0] != '\0' ? ": " : "", group->detail);
    else if (budget.tolerates < budget.voters - budget.quorum || budget.tolerates == 0)
        ha_judge(verdicts, "quorum", HA_LEVEL_WARNING, "%s: %s", group->name, words);
    else
        ha_judge(verdicts, "quorum", HA_LEVEL_OK, "%s: %s", group->name, words);
    if (budget.voters > 0 && budget.voters % 2 == 0)
        ha_judge(verdicts, "even-count", HA_LEVEL_WARNING, "%s: %d voters tolerate no more failures than %d",
                 group->name, budget.voters, budget.voters - 1);
    if (group->quorum == HACTL_YES && group->detail[0] != '\0')
        ha_judge(verdicts, "members", HA_LEVEL_CRITICAL, "%s: %s", group->name, group->detail);
    if (group->alarm[0] != '\0')
        ha_judge(verdicts, "alarm", HA_LEVEL_CRITICAL, "%s: %s", group->name, group->alarm);
    judge_members(verdicts, group);
}

/* ---- replicas and zones */

/* Losing which zone would lose the quorum; -1: none. */
static int fatal_zone(const struct ha_model *model, int *held)
{
    int wanted = ha_model_wanted(model);

    for (int i = 0; i < model->replica_count; i++) {
        int count = 0;

        for (int j = 0; j < model->replica_count; j++)
            count += model->replicas[j].wanted && strcmp(model->replicas[i].zone, model->replicas[j].zone) == 0;
        if (model->replicas[i].wanted && wanted - count < ha_quorum_of(wanted)) {
            *held = count;
            return i;
        }
    }
    return -1;
}

static void judge_zones(struct ha_verdicts *verdicts, const struct ha_model *model)
{
    int wanted = ha_model_wanted(model), zones = ha_model_zones(model), held = 0;
    int fatal = fatal_zone(model, &held);
    char better[HA_ZONES_BETTER];

    if (wanted < 3)
        return;
    if (fatal >= 0)
        ha_judge(verdicts, "zones", HA_LEVEL_WARNING,
                 "%d of %d replicas are in zone %s: losing it loses the quorum; %s", held, wanted,
                 model->replicas[fatal].zone, ha_zones_better(wanted, better));
    else
        ha_judge(verdicts, "zones", HA_LEVEL_OK, "%d replicas in %d zones: losing any one zone keeps the quorum",
                 wanted, zones);
}

static void judge_replicas(struct ha_verdicts *verdicts, const struct ha_session *session)
{
    const struct ha_model *model = &session->observed.model;
    int ready = 0;

    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *replica = &model->replicas[i];
        const char *state = ha_replica_state(session, i, NULL);

        if (!replica->wanted && replica->instance != HACTL_INSTANCE_ABSENT)
            ha_judge(verdicts, "leftovers", HA_LEVEL_WARNING, "%s is not wanted and still there (%s)", replica->name,
                     state);
        else if (replica->wanted && strcmp(state, "ready") != 0)
            ha_judge(verdicts, "replicas", HA_LEVEL_WARNING, "%s is %s%s%s", replica->name, state,
                     replica->detail[0] != '\0' ? ": " : "", replica->detail);
        else if (replica->wanted)
            ready++;
    }
    if (ready > 0 && ready == ha_model_wanted(model))
        ha_judge(verdicts, "replicas", HA_LEVEL_OK, "all %d are ready", ready);
}

/* A demotion was asked for by somebody, who may have forgotten it. */
static void judge_demotion(struct ha_verdicts *verdicts, const struct ha_session *session)
{
    const struct ha_model *model = &session->observed.model;
    int wanted = ha_model_wanted(model);

    if (session->desired.endpoint_want == HA_ENDPOINT_REPLICA && session->balancer != NULL && wanted > 1)
        ha_judge(
            verdicts, "endpoint", HA_LEVEL_WARNING,
            "the public address was given to one replica of %d (endpoint demote), and fails with it: hactl endpoint "
            "promote",
            wanted);
}

static void judge_endpoint(struct ha_verdicts *verdicts, const struct ha_session *session)
{
    const struct ha_observation *observed = &session->observed;
    const struct ha_model *model = &observed->model;
    const char *owner = ha_holder_name(model, model->holder, model->holder_replica);

    if (model->address == HACTL_UNKNOWN)
        ha_judge(verdicts, "endpoint", HA_LEVEL_CRITICAL, "the public address could not be read: %s",
                 model->holder_detail);
    else if (observed->model.external_address[0] == '\0')
        ha_judge(verdicts, "endpoint", HA_LEVEL_CRITICAL, "no public address is reserved");
    else if (model->holder_detail[0] != '\0')
        ha_judge(verdicts, "endpoint", HA_LEVEL_CRITICAL, "%s:%u: %s", observed->model.external_address,
                 observed->endpoint_port, model->holder_detail);
    else if (model->endpoint_answers == HACTL_YES)
        ha_judge(verdicts, "endpoint", HA_LEVEL_OK, "%s:%u answers, held by %s", observed->model.external_address,
                 observed->endpoint_port, owner);
    else
        ha_judge(verdicts, "endpoint", HA_LEVEL_CRITICAL, "%s:%u %s, held by %s", observed->model.external_address,
                 observed->endpoint_port,
                 model->endpoint_answers == HACTL_NO ? "does not answer" : "could not be asked", owner);
}

static void judge_balancer(struct ha_verdicts *verdicts, const struct ha_session *session)
{
    const struct ha_model *model = &session->observed.model;
    const char *detail = session->observed.balancer_detail;

    if (!model->balancer_present || model->balancer == HACTL_YES)
        return;
    ha_judge(verdicts, "balancer", model->endpoint_answers == HACTL_YES ? HA_LEVEL_WARNING : HA_LEVEL_CRITICAL,
             "the balancer %s%s%s: hactl up",
             model->balancer == HACTL_NO ? "does not run as it should" : "could not be looked at",
             detail[0] != '\0' ? ", " : "", detail);
}

void ha_judge_cluster(struct ha_verdicts *verdicts, const struct ha_session *session)
{
    const struct ha_model *model = &session->observed.model;
    struct ha_error ignored = {.status = HA_EXIT_DONE};
    struct ha_lock_info lock = {.held = false};

    if (session->desired.generation == 0) {
        ha_judge(verdicts, "cluster", HA_LEVEL_CRITICAL, "\"%s\" has not been made yet: hactl up",
                 session->configuration->cluster_name);
        return;
    }
    judge_endpoint(verdicts, session);
    judge_balancer(verdicts, session);
    judge_demotion(verdicts, session);
    for (int g = 0; g < model->group_count; g++)
        judge_group(verdicts, &model->groups[g]);
    judge_replicas(verdicts, session);
    judge_zones(verdicts, model);
    if (model->unlike[0] != '\0')
        ha_judge(verdicts, "configuration", HA_LEVEL_WARNING, "%s", model->unlike);
    ha_judge_certificates(verdicts, session);
    if (ha_store_lock_show(session->store, &lock, &ignored) == 0 && lock.held)
        ha_judge(verdicts, "operation", HA_LEVEL_OK, "`hactl %s` is at work, process %d of %s on %s", lock.verb,
                 lock.pid, lock.user, lock.host);
    else if (session->desired.operation[0] != '\0')
        ha_judge(verdicts, "operation", HA_LEVEL_WARNING, "%s is unfinished: hactl op resume",
                 session->desired.operation);
}

/* ---- printing */

static enum ha_level worst_of(const struct ha_verdicts *verdicts)
{
    enum ha_level worst = HA_LEVEL_OK;

    for (size_t i = 0; i < verdicts->count; i++)
        if (verdicts->list[i].level > worst)
            worst = verdicts->list[i].level;
    return worst;
}

static int print_json(const struct ha_verdicts *verdicts, const struct ha_session *session, enum ha_level worst,
                      const char *schema, struct ha_error *error)
{
    json_t *checks = json_array();

    for (size_t i = 0; i < verdicts->count; i++)
        json_array_append_new(checks, json_pack("{s:s, s:s, s:o}", "check", verdicts->list[i].check, "level",
                                                level_words[verdicts->list[i].level], "text",
                                                ha_json_text_or_null(verdicts->list[i].text)));
    return ha_json_print(json_pack("{s:s, s:s, s:s, s:o, s:o}", "schema", schema, "cluster",
                                   session->configuration->cluster_name, "level", level_words[worst], "next_expiry",
                                   ha_json_time(ha_next_expiry(&session->observed) == NULL
                                                    ? 0
                                                    : ha_next_expiry(&session->observed)->not_after_s),
                                   "checks", checks),
                         error);
}

/* Worst first, so that a monitor that shows one line shows the right one. */
static void print_table(const struct ha_verdicts *verdicts)
{
    static const char *const headings[] = {"LEVEL", "CHECK", "~FOUND", NULL};
    static const enum ha_shade shades[] = {
        [HA_LEVEL_OK] = HA_SHADE_GOOD, [HA_LEVEL_WARNING] = HA_SHADE_WARNING, [HA_LEVEL_CRITICAL] = HA_SHADE_BAD};
    struct ha_table *table = ha_table_new(headings);

    for (int level = HA_LEVEL_CRITICAL; level >= HA_LEVEL_OK; level--)
        for (size_t i = 0; i < verdicts->count; i++)
            if ((int)verdicts->list[i].level == level) {
                ha_row(table, level_words[level], verdicts->list[i].check, verdicts->list[i].text);
                ha_table_shade(table, 0, shades[level]);
            }
    ha_table_print(table, stdout);
}

int ha_judge_print(const struct ha_verdicts *verdicts, const struct ha_session *session, bool json, const char *schema,
                   struct ha_error *error)
{
    static const int statuses[] = {
        [HA_LEVEL_OK] = HA_EXIT_DONE, [HA_LEVEL_WARNING] = HA_EXIT_WARNING, [HA_LEVEL_CRITICAL] = HA_EXIT_UNHEALTHY};
    static const char *const words[] = {
        [HA_LEVEL_OK] = "OK", [HA_LEVEL_WARNING] = "WARNING", [HA_LEVEL_CRITICAL] = "CRITICAL"};
    enum ha_level worst = worst_of(verdicts);
    size_t count = 0, first = 0;

    if (json)
        return print_json(verdicts, session, worst, schema, error) != 0 ? -1 : statuses[worst];
    for (size_t i = verdicts->count; i > 0; i--)
        if (verdicts->list[i - 1].level == worst) {
            first = i - 1;
            count++;
        }
    if (verdicts->count > 0 && worst != HA_LEVEL_OK)
        printf("%s: %s: %s%s\n", words[worst], session->configuration->cluster_name, verdicts->list[first].text,
               count > 1 ? " (and more)" : "");
    else
        printf("%s: %s\n", words[worst], session->configuration->cluster_name);
    print_table(verdicts);
    return statuses[worst];
}
