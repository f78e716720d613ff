/* SPDX-License-Identifier: Apache-2.0 */
#include "core/describe.h"

#include <stdio.h>
#include <string.h>

/* ---- words */

bool ha_replica_leaving(const struct ha_session *session, const char *name)
{
    int index = ha_desired_find(&session->desired, name);

    return index < 0 || session->desired.replicas[index].leaving;
}

static const char *with_shade(const char *word, enum ha_shade is, enum ha_shade *shade)
{
    if (shade != NULL)
        *shade = is;
    return word;
}

const char *ha_replica_state(const struct ha_session *session, int index, enum ha_shade *shade)
{
    const struct ha_model *model = &session->observed.model;
    const struct ha_replica *replica = &model->replicas[index];

    /* Whether it runs does not matter then: it must not be started. */
    if (replica->data == HACTL_NO && replica->instance != HACTL_INSTANCE_ABSENT)
        return with_shade("data lost", HA_SHADE_BAD, shade);
    switch (replica->instance) {
    case HACTL_INSTANCE_UNKNOWN:
        return with_shade("unknown", HA_SHADE_WARNING, shade);
    case HACTL_INSTANCE_STARTING:
        return with_shade("starting", HA_SHADE_WARNING, shade);
    case HACTL_INSTANCE_STOPPED:
        return with_shade("stopped", HA_SHADE_BAD, shade);
    case HACTL_INSTANCE_ABSENT:
        return with_shade("absent", HA_SHADE_BAD, shade);
    case HACTL_INSTANCE_RUNNING:
        break;
    }
    if (ha_replica_leaving(session, replica->name))
        return with_shade("leaving", HA_SHADE_WARNING, shade);
    if (ha_model_joined(model, index) && replica->ready == HACTL_YES)
        return with_shade("ready", HA_SHADE_GOOD, shade);
    return with_shade(ha_model_joined(model, index) ? "joined" : "degraded", HA_SHADE_WARNING, shade);
}

const char *ha_holder_name(const struct ha_model *model, enum ha_holder holder, int holder_replica)
{
    switch (holder) {
    case HA_HOLDER_NONE:
        return "nobody";
    case HA_HOLDER_BALANCER:
        return "balancer";
    case HA_HOLDER_REPLICA:
        if (holder_replica >= 0 && holder_replica < model->replica_count)
            return model->replicas[holder_replica].name;
        return "unknown";
    case HA_HOLDER_BOTH:
        return "two at once";
    default:
        return "unknown";
    }
}

int ha_tolerated(const struct ha_budget *budget)
{
    return budget->tolerates > 0 ? budget->tolerates : 0;
}

const char *ha_tolerance_text(const struct ha_budget *budget, char *out, size_t size)
{
    char failures[48];

    if (budget->voters == 0)
        snprintf(out, size, "no voters: the group has not been formed, or nobody answered");
    else if (budget->tolerates < 0)
        snprintf(out, size, "no quorum: %d of %d voters healthy, %d needed; nothing can be written", budget->healthy,
                 budget->voters, budget->quorum);
    else if (budget->tolerates == 0)
        snprintf(out, size, "tolerates no failure; losing 1 of %d stops writes", budget->healthy);
    else
        snprintf(out, size, "tolerates %s; losing %d of %d stops writes",
                 ha_plural(budget->tolerates, "failure", failures, sizeof failures), budget->tolerates + 1,
                 budget->healthy);
    return out;
}

const char *ha_tristate_word(enum hactl_tristate value, const char *yes, const char *no)
{
    return value == HACTL_YES ? yes : value == HACTL_NO ? no : "unknown";
}

enum ha_shade ha_tristate_shade(enum hactl_tristate value)
{
    return value == HACTL_YES ? HA_SHADE_GOOD : value == HACTL_NO ? HA_SHADE_BAD : HA_SHADE_WARNING;
}

const struct ha_certificate *ha_next_expiry(const struct ha_observation *observed)
{
    const struct ha_certificate *first = NULL;

    for (size_t i = 0; i < observed->certificate_count; i++) {
        const struct ha_certificate *certificate = &observed->certificates[i];

        if (certificate->not_after_s != 0 && (first == NULL || certificate->not_after_s < first->not_after_s))
            first = certificate;
    }
    return first;
}

const char *ha_step_stage(const struct ha_configuration *configuration, const char *verb, enum ha_step_kind kind)
{
    const struct ha_pipeline *pipeline = ha_configuration_pipeline_of_verb(configuration, verb);

    for (size_t i = 0; pipeline != NULL && i < pipeline->stage_count; i++)
        if (pipeline->stages[i]->steps[kind])
            return pipeline->stages[i]->name;
    return ha_step_types[kind].stage;
}

/* ---- JSON */

json_t *ha_json_replicas(const struct ha_session *session)
{
    static const char *const backends[] = {
        [HA_BACKEND_NONE] = "none",
        [HA_BACKEND_WAITING] = "waiting",
        [HA_BACKEND_SERVING] = "serving",
        [HA_BACKEND_UNKNOWN] = "unknown",
    };
    const struct ha_model *model = &session->observed.model;
    json_t *list = json_array();

    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *replica = &model->replicas[i];

        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:s, s:b, s:o, s:o, s:s, s:o}", "name", replica->name, "zone",
                            replica->zone, "internal_ip", ha_json_text_or_null(replica->internal_address), "state",
                            ha_replica_state(session, i, NULL), "wanted", replica->wanted, "ready",
                            ha_json_tristate((int)replica->ready), "data", ha_json_tristate((int)replica->data),
                            "backend", backends[replica->backend], "detail", ha_json_text_or_null(replica->detail)));
    }
    return list;
}

const char *ha_balancer_trouble(const struct ha_observation *observed)
{
    return observed->model.balancer_present && observed->model.balancer != HACTL_YES ? observed->balancer_detail : "";
}

json_t *ha_json_endpoint(const struct ha_session *session)
{
    const struct ha_observation *observed = &session->observed;
    const struct ha_model *model = &observed->model;
    const char *owner = ha_holder_name(model, model->holder, model->holder_replica);

    return json_pack("{s:o, s:i, s:o, s:o, s:o, s:o}", "address",
                     ha_json_text_or_null(observed->model.external_address), "port", (int)observed->endpoint_port,
                     "owner", model->holder == HA_HOLDER_NONE ? json_null() : json_string(owner), "answers",
                     ha_json_tristate((int)model->endpoint_answers), "fronts", ha_json_text_or_null(observed->fronts),
                     "balancer_detail", ha_json_text_or_null(observed->balancer_detail));
}

static json_t *json_members(const struct ha_group *group)
{
    json_t *list = json_array();

    for (int i = 0; i < group->member_count; i++) {
        const struct ha_member *member = &group->members[i];

        json_array_append_new(
            list, json_pack("{s:o, s:s, s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:o}", "name",
                            ha_json_text_or_null(member->name), "id", member->id, "address", member->address,
                            "peer_url", member->peer_url, "voter", member->voter, "leader", member->leader, "started",
                            ha_json_tristate((int)member->started), "healthy", ha_json_tristate((int)member->healthy),
                            "caught_up", ha_json_tristate((int)member->caught_up), "lag_entries",
                            member->lag_entries < 0 ? json_null() : json_integer(member->lag_entries)));
    }
    return list;
}

/* Nobody could be asked: it has no voters, as far as that is known. */
bool ha_group_unseen(const struct ha_group *group)
{
    return group->formed == HACTL_UNKNOWN && group->member_count == 0;
}

static json_t *json_seen(const struct ha_group *group, int64_t value)
{
    return ha_group_unseen(group) ? json_null() : json_integer(value);
}

json_t *ha_json_group(const struct ha_group *group)
{
    struct ha_budget budget = ha_group_budget(group);
    enum hactl_tristate writable = ha_group_unseen(group) ? HACTL_UNKNOWN : group->quorum;
    char words[160];

    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "group", group->name,
                     "formed", ha_json_tristate((int)group->formed), "writable", ha_json_tristate((int)writable),
                     "cluster_id", ha_json_text_or_null(group->cluster_id), "version",
                     ha_json_text_or_null(group->version), "alarm", ha_json_text_or_null(group->alarm), "db_size_bytes",
                     json_seen(group, group->db_size_bytes), "voters", json_seen(group, budget.voters), "healthy",
                     json_seen(group, budget.healthy), "quorum", json_seen(group, budget.quorum), "tolerates",
                     json_seen(group, ha_tolerated(&budget)), "tolerance",
                     ha_tolerance_text(&budget, words, sizeof words), "detail", ha_json_text_or_null(group->detail),
                     "members", json_members(group));
}

json_t *ha_json_groups(const struct ha_session *session)
{
    json_t *list = json_array();

    for (int g = 0; g < session->observed.model.group_count; g++)
        json_array_append_new(list, ha_json_group(&session->observed.model.groups[g]));
    return list;
}

json_t *ha_json_certificate(const struct ha_certificate *certificate)
{
    return json_pack(
        "{s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "purpose", certificate->purpose, "replica",
        ha_json_text_or_null(certificate->replica), "authority", certificate->is_authority, "ready",
        ha_json_tristate((int)certificate->ready), "reason", ha_json_text_or_null(certificate->reason), "subject",
        ha_json_text_or_null(certificate->subject), "names", ha_json_text_or_null(certificate->names), "not_before",
        ha_json_time(certificate->not_before_s), "not_after", ha_json_time(certificate->not_after_s), "path",
        ha_json_text_or_null(certificate->path), "wanted", ha_json_text_or_null(certificate->wanted));
}

json_t *ha_json_budget(const struct ha_model *model, const struct ha_budget *budget)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:s}", "voters", budget->voters, "healthy", budget->healthy, "quorum",
                     budget->quorum, "tolerates", ha_tolerated(budget), "owner",
                     ha_holder_name(model, budget->holder, budget->holder_replica));
}
