/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: how each is named, which steps it may use, what is to be said of it. */
#include "core/request.h"

#include <stdio.h>
#include <string.h>

#include "core/session_internal.h"

/* ---- how a request is named */

static const char *const request_verbs[] = {[HA_REQUEST_UP] = "up",
                                            [HA_REQUEST_DOWN] = "down",
                                            [HA_REQUEST_ADD] = "replica add",
                                            [HA_REQUEST_REMOVE] = "replica remove",
                                            [HA_REQUEST_REPLACE] = "replica replace",
                                            [HA_REQUEST_PROMOTE] = "endpoint promote",
                                            [HA_REQUEST_DEMOTE] = "endpoint demote",
                                            [HA_REQUEST_RECONCILE] = "etcd reconcile",
                                            [HA_REQUEST_ROTATE] = "pki rotate",
                                            [HA_REQUEST_RENEW] = "pki renew",
                                            [HA_REQUEST_STAGE] = "stage run",
                                            [HA_REQUEST_RESUME] = "op resume",
                                            [HA_REQUEST_ABORT] = "op abort"};

void ha_request_text(const struct ha_request *request, char *out, size_t size)
{
    int used = snprintf(out, size, "%s", request_verbs[request->kind]);
    if (request->name && request->kind != HA_REQUEST_RESUME)
        used += snprintf(out + used, size - (size_t)used, request->kind == HA_REQUEST_ADD ? " --name %s" : " %s",
                         request->name);
    if (request->phase)
        used += snprintf(out + used, size - (size_t)used, " %s", request->phase);
    if (request->rekey)
        used += snprintf(out + used, size - (size_t)used, " --rekey");
    if (request->zone)
        used += snprintf(out + used, size - (size_t)used, " --zone %s%s", request->zone, request->all ? " --all" : "");
    if (request->replicas)
        snprintf(out + used, size - (size_t)used, " --replicas %d", request->replicas);
}

enum ha_request_kind ha_request_kind_of(const char *text)
{
    enum ha_request_kind best = HA_REQUEST_UP;
    for (size_t k = 0; k < sizeof request_verbs / sizeof *request_verbs; k++)
        if (strncmp(text, request_verbs[k], strlen(request_verbs[k])) == 0)
            best = (enum ha_request_kind)k;
    return best;
}

/* ---- which steps it may use */

static const char *const request_pipelines[] = {[HA_REQUEST_UP] = "up",
                                                [HA_REQUEST_DOWN] = "down",
                                                [HA_REQUEST_ADD] = "replica-add",
                                                [HA_REQUEST_REMOVE] = "replica-remove",
                                                [HA_REQUEST_REPLACE] = "replica-replace",
                                                [HA_REQUEST_PROMOTE] = "endpoint",
                                                [HA_REQUEST_DEMOTE] = "endpoint",
                                                [HA_REQUEST_RECONCILE] = "etcd-reconcile",
                                                [HA_REQUEST_ROTATE] = "up",
                                                [HA_REQUEST_RENEW] = "up",
                                                [HA_REQUEST_STAGE] = "up",
                                                [HA_REQUEST_RESUME] = "up",
                                                [HA_REQUEST_ABORT] = "up"};

/* Without the step, nothing would be done, and that would count as done. */
static int check_endpoint_scope(enum ha_request_kind kind, const struct ha_pipeline *pipeline,
                                const struct ha_plan_scope *scope, struct ha_error *error)
{
    enum ha_step_kind step = kind == HA_REQUEST_PROMOTE ? HA_STEP_BALANCER_CLAIM : HA_STEP_REPLICA_CLAIM;
    if ((kind != HA_REQUEST_PROMOTE && kind != HA_REQUEST_DEMOTE) || scope->enabled[step])
        return 0;
    ha_fail(error, HA_EXIT_USAGE, "the pipeline %s has no stage with the step %s", pipeline->name,
            ha_step_types[step].name);
    ha_advise(error, "add that stage to it, or a pipeline \"endpoint\" that has it; see `hactl stage list`");
    return -1;
}

static void take_stages(const struct ha_stage *const *stages, size_t count, struct ha_plan_scope *out)
{
    memset(out, 0, sizeof *out);
    for (size_t s = 0; s < count; s++)
        for (int k = 0; k < HA_STEP_KINDS; k++)
            if (stages[s]->steps[k]) {
                out->enabled[k] = true;
                out->rank[k] = (int)s;
            }
}

/* A stage that is asked for by name runs, in a pipeline or not. */
static int scope_named(const struct ha_configuration *configuration, const char *name, struct ha_plan_scope *out,
                       struct ha_error *error)
{
    const struct ha_stage *stage = ha_configuration_stage(configuration, name);
    const struct ha_pipeline *pipeline = ha_configuration_pipeline(configuration, name);
    if (stage)
        take_stages(&stage, 1, out);
    else if (pipeline && ha_pipeline_is_own(pipeline))
        take_stages(pipeline->stages, pipeline->stage_count, out);
    else {
        ha_fail(error, HA_EXIT_USAGE, "there is no stage %s, nor a pipeline of your own of that name", name);
        return ha_advise(error, "hactl stage list"), -1;
    }
    return 0;
}

int ha_request_scope(struct ha_session *session, enum ha_request_kind kind, const char *name, struct ha_plan_scope *out,
                     struct ha_error *error)
{
    if (name)
        return scope_named(session->configuration, name, out, error);
    const struct ha_pipeline *pipeline = ha_configuration_pipeline(session->configuration, request_pipelines[kind]);
    if (!pipeline)
        pipeline = ha_configuration_pipeline(session->configuration, "up");
    if (!pipeline)
        return ha_fail(error, HA_EXIT_USAGE, "the configuration has no pipeline `up`");
    take_stages(pipeline->stages, pipeline->stage_count, out);
    return check_endpoint_scope(kind, pipeline, out, error);
}

/* ---- warnings */

const char *ha_zones_better(int wanted, char out[HA_ZONES_BETTER])
{
    int most = wanted - ha_quorum_of(wanted);
    if (most > 1)
        snprintf(out, HA_ZONES_BETTER, "better at most %d in a zone", most);
    else
        snprintf(out, HA_ZONES_BETTER, "better a zone each");
    return out;
}

/* Of a zone with more than one, where its first replica stands. */
static bool warn_of_zone(const struct ha_model *end, int first, int wanted, char out[256])
{
    char names[130] = "", better[HA_ZONES_BETTER];
    int together = 0;
    for (int i = 0; i < end->replica_count; i++) {
        if (!end->replicas[i].wanted || strcmp(end->replicas[i].zone, end->replicas[first].zone) != 0)
            continue;
        if (i < first)
            return false;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", together++ ? ", " : "", end->replicas[i].name);
    }
    if (together < 2)
        return false;
    snprintf(out, 256, "%d of %d replicas are in zone %s (%s): losing it loses %s; %s", together, wanted,
             end->replicas[first].zone, names, wanted - together < ha_quorum_of(wanted) ? "the quorum" : "them all",
             ha_zones_better(wanted, better));
    return true;
}

void ha_request_warn(const struct ha_model *end, char (*warnings)[256], int *count)
{
    int wanted = ha_model_wanted(end);
    *count = 0;
    if (end->beyond)
        snprintf(
            warnings[(*count)++], 256,
            "the cloud lists more of this cluster than the %d replicas that hactl handles: %s and %d more are left "
            "alone until others have gone",
            HA_REPLICAS, end->beyond_one, end->beyond - 1);
    if (end->destroy || end->group_count == 0)
        return;
    if (end->unlike[0])
        snprintf(warnings[(*count)++], 256, "%s", end->unlike);
    if (wanted > 0 && wanted % 2 == 0)
        snprintf(warnings[(*count)++], 256,
                 "%d replicas tolerate %d failure%s, no more than %d would; %d would tolerate %d", wanted,
                 wanted - ha_quorum_of(wanted), wanted - ha_quorum_of(wanted) == 1 ? "" : "s", wanted - 1, wanted + 1,
                 wanted + 1 - ha_quorum_of(wanted + 1));
    for (int i = 0; i < end->replica_count && *count < HA_WARNINGS; i++)
        if (end->replicas[i].wanted && warn_of_zone(end, i, wanted, warnings[*count]))
            ++*count;
}

static bool is_renewable(const struct ha_session *session, const char *name)
{
    for (int i = 0; i < session->observed.model.replica_count; i++)
        if (strcmp(session->observed.model.replicas[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < session->observed.certificate_count; i++)
        if (strcmp(session->observed.certificates[i].purpose, name) == 0)
            return true;
    return false;
}

/* A name that nothing has would renew nothing, and that would count as done. */
int ha_request_check_renews(const struct ha_session *session, struct ha_error *error)
{
    char names[sizeof session->private->renews], *rest = NULL;
    snprintf(names, sizeof names, "%s", session->private->renews);
    for (char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        if (is_renewable(session, name))
            continue;
        ha_fail(error, HA_EXIT_USAGE, "there is no replica and no certificate %s", name);
        return ha_advise(error, "hactl pki list"), -1;
    }
    return 0;
}

void ha_request_renews(struct ha_session *session, bool renews, const char *names, bool rekey)
{
    session->private->rekey = renews && rekey;
    snprintf(session->private->renews, sizeof session->private->renews, "%s", renews && names ? names : "");
}

bool ha_request_is_refused(enum ha_request_kind kind, const struct ha_plan *plan)
{
    bool starts = kind == HA_REQUEST_UP || kind == HA_REQUEST_STAGE;
    if (kind == HA_REQUEST_DOWN || plan->converged)
        return false;
    return plan->count == 0 || (!starts && ha_changes_barred(&plan->end));
}
