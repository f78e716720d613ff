/* SPDX-License-Identifier: Apache-2.0 */
/* Which operation a change is, and what is written down of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/change_internal.h"
#include "core/fault.h"
#include "core/session_internal.h"

/* ---- which operation */

void ha_operation_new_name(char out[64])
{
    time_t now = time(NULL);
    struct tm tm;
    unsigned short salt = 0;
    if (getrandom(&salt, sizeof salt, 0) != sizeof salt)
        abort();
    gmtime_r(&now, &tm);
    size_t used = strftime(out, 64, "%Y%m%d-%H%M%S", &tm);
    snprintf(out + used, 64 - used, "-%04x", salt);
}

static bool is_unfinished(struct ha_session *session, const char *id, struct ha_operation *out)
{
    struct ha_error ignored = {0};
    return id[0] && ha_operation_read(session->store, id, out, &ignored) == 0 && out->ended_s == 0;
}

static int refuse_other(const struct change *c, const struct ha_operation *open)
{
    ha_fail(c->error, HA_EXIT_DECISION, "operation %s (%s) is unfinished%s%s", open->id, open->request,
            open->text[0] ? ": " : "", open->text);
    if (open->way_back == HA_BACK_BY_ABORT || open->way_back == HA_BACK_BY_ABORT_PERHAPS)
        ha_advise(c->error, "hactl op resume %s, or hactl op abort %s", open->id, open->id);
    else
        ha_advise(c->error, "hactl op resume %s%s", open->id,
                  open->way_back == HA_BACK_BY_DOWN ? ", or hactl down" : "");
    return -1;
}

/* Another than the unfinished one was named: over already, or not known. */
static int fail_named(const struct change *c, const struct ha_operation *open)
{
    ha_fail(c->error, HA_EXIT_USAGE, "%.64s is not the unfinished operation, which is %s (%s)", c->request.name,
            open->id, open->request);
    ha_advise(c->error, "hactl op list");
    return -1;
}

/* Begun twice when it was killed between its journal and the store. */
static json_t *last_begin(const json_t *records)
{
    for (size_t i = json_array_size(records); i-- > 0;) {
        json_t *record = json_array_get(records, i);
        const char *type = json_string_value(json_object_get(record, "type"));
        if (type && strcmp(type, "begin") == 0)
            return record;
    }
    return NULL;
}

/* A result names its intent by number: no number is used twice. */
static int next_sequence(const json_t *records)
{
    json_int_t next = 0;
    size_t index;
    json_t *record, *seq;
    json_array_foreach((json_t *)records, index, record)
    {
        seq = json_object_get(record, "seq");
        if (seq && json_integer_value(seq) >= next)
            next = json_integer_value(seq) + 1;
    }
    return (int)next;
}

static int take_up(struct change *c, const struct ha_operation *open)
{
    snprintf(c->operation, sizeof c->operation, "%s", open->id);
    snprintf(c->text, sizeof c->text, "%s", open->request);
    c->resumes = true;
    c->request.kind = ha_request_kind_of(open->request);
    if (c->request.kind == HA_REQUEST_STAGE)
        c->request.name = c->text + strlen("stage run ");
    if (c->request.kind == HA_REQUEST_RENEW) {
        char *rekey = strstr(c->text, " --rekey");
        size_t verb = strlen("pki renew");
        c->request.rekey = rekey != NULL;
        snprintf(c->renews, sizeof c->renews, "%.*s", (int)(rekey ? (size_t)(rekey - c->text) - verb : strlen(c->text)),
                 c->text + verb);
        c->request.name = c->renews[0] ? c->renews + 1 : NULL;
    }
    ha_change_say(c, "resuming operation %s (%s)", open->id, open->request);
    json_decref(c->earlier);
    c->earlier = NULL;
    if (ha_journal_read(c->session->store, open->id, &c->earlier, c->error))
        return -1;
    const char *ends = json_string_value(json_object_get(last_begin(c->earlier), "ends"));
    snprintf(c->ends, sizeof c->ends, "%s", ends ? ends : "");
    c->run.sequence = next_sequence(c->earlier);
    return 0;
}

/* Killed between the end in the journal and the store: the end record holds
 * what the store was to be. */
static int settle(struct change *c)
{
    struct ha_session *session = c->session;
    struct ha_operation last = {0};
    struct ha_error ignored = {0};
    json_t *records = NULL;
    struct ha_desired desired;
    if (!session->desired.operation[0] ||
        ha_operation_read(session->store, session->desired.operation, &last, &ignored) || !last.ended_s ||
        ha_journal_read(session->store, last.id, &records, &ignored))
        return 0;
    json_t *end = json_array_get(records, json_array_size(records) - 1);
    int rc = ha_desired_from_json(json_object_get(end, "desired"), &desired, &ignored);
    json_decref(records);
    if (rc)
        return 0;
    desired.generation = session->desired.generation;
    session->desired = desired;
    return c->dry ? 0 : ha_store_write(session->store, &session->desired, c->error);
}

static bool is_same(const struct change *c, const struct ha_operation *other)
{
    /* `op abort` names what it aborts in the journal, not always on the command line. */
    return strcmp(other->request, c->text) == 0 ||
           (c->request.kind == HA_REQUEST_ABORT && ha_request_kind_of(other->request) == HA_REQUEST_ABORT);
}

/* What --op names: 0, it is to be done; 1, it is done already. */
static int judge_named(struct change *c, const char *asked)
{
    struct ha_operation named = {0};
    struct ha_error ignored = {0};
    if (ha_operation_read(c->session->store, asked, &named, &ignored))
        return 0;
    if (!is_same(c, &named)) {
        ha_fail(c->error, HA_EXIT_USAGE, "operation %s is another request: %s", asked, named.request);
        ha_advise(c->error, "give this one a name of its own");
        return -1;
    }
    if (named.ended_s == 0)
        return 0;
    if (named.status != HA_EXIT_DONE)
        return ha_fail(c->error, HA_EXIT_USAGE, "operation %s is over: %s", asked, named.text);
    snprintf(c->operation, sizeof c->operation, "%s", asked);
    ha_change_say(c, "done already by operation %s", asked);
    return 1;
}

/* Where the open one cannot go on, these lead out: what it began is theirs
 * then, seen and consented to anew. Any other has to wait for its end. */
static bool takes_over(enum ha_request_kind kind)
{
    return kind == HA_REQUEST_UP || kind == HA_REQUEST_RECONCILE || kind == HA_REQUEST_REPLACE ||
           kind == HA_REQUEST_ABORT || kind == HA_REQUEST_DOWN;
}

static int find_resumed(struct change *c, const struct ha_operation *open)
{
    const char *name = c->request.name;
    if (!open->id[0])
        return ha_fail(c->error, HA_EXIT_USAGE, "there is no unfinished operation%s%s", name ? " " : "",
                       name ? name : "");
    return name && strcmp(name, open->id) != 0 ? fail_named(c, open) : take_up(c, open);
}

int ha_change_find(struct change *c)
{
    struct ha_session *session = c->session;
    const char *asked = session->options->operation;
    struct ha_operation open = {0};
    if (settle(c))
        return -1;
    bool unfinished = is_unfinished(session, session->desired.operation, &open);
    if (!unfinished)
        memset(&open, 0, sizeof open);
    ha_request_text(&c->request, c->text, sizeof c->text);
    if (c->request.kind == HA_REQUEST_RESUME)
        return find_resumed(c, &open);
    int rc = asked ? judge_named(c, asked) : 0;
    if (rc)
        return rc;
    if (unfinished && is_same(c, &open) && (!asked || strcmp(asked, open.id) == 0))
        return take_up(c, &open);
    if (unfinished && !takes_over(c->request.kind))
        return refuse_other(c, &open);
    if (unfinished)
        snprintf(c->ends, sizeof c->ends, "%s", open.id);
    if (asked)
        snprintf(c->operation, sizeof c->operation, "%s", asked);
    else
        ha_operation_new_name(c->operation);
    return 0;
}

/* ---- abort: back to the replica set from before, as a plan like any other */

int ha_change_want_previous(struct change *c)
{
    struct ha_session *session = c->session;
    struct ha_operation open = {0};
    json_t *records = NULL, *previous = NULL;
    if (!is_unfinished(session, session->desired.operation, &open))
        return ha_fail(c->error, HA_EXIT_USAGE, "there is no unfinished operation to abort");
    if (c->request.name && strcmp(c->request.name, open.id) != 0)
        return fail_named(c, &open);
    if (ha_journal_read(session->store, open.id, &records, c->error))
        return -1;
    previous = json_object_get(last_begin(records), "previous");
    struct ha_desired before = {0};
    int rc = ha_desired_from_json(previous, &before, c->error);
    json_decref(records);
    if (rc)
        return -1;
    if (before.replica_count == 0) {
        ha_fail(c->error, HA_EXIT_REFUSED, "operation %s made the cluster: there is nothing before it to go back to",
                open.id);
        ha_advise(c->error, "finish it (hactl op resume), or take it down (hactl down)");
        return -1;
    }
    for (int i = 0; i < c->wanted.replica_count; i++) {
        struct ha_desired_replica *r = &c->wanted.replicas[i];
        int was = ha_desired_find(&before, r->name);
        bool leaving = was < 0 || before.replicas[was].leaving;
        r->returning = r->returning || (r->leaving && !leaving);
        r->leaving = leaving;
    }
    c->wanted.destroy = before.destroy;
    c->wanted.endpoint_want = before.endpoint_want;
    memcpy(c->wanted.endpoint_replica, before.endpoint_replica, sizeof before.endpoint_replica);
    /* Of a rotation that began with that operation nothing is to be left. */
    c->wanted.rotation_goal = before.rotation[0] ? before.rotation_goal : HA_ROTATE_BACK;
    if (before.rotation[0])
        memcpy(c->wanted.rotation, before.rotation, sizeof before.rotation);
    snprintf(c->text, sizeof c->text, "op abort %s", open.id);
    return 0;
}

/* ---- writing down */

/* Where an abort leads back to: the last that was whole. What one that did not come to
 * its end wanted never was, so that whoever takes it over has what was before it. */
static json_t *previous_of(const struct change *c, bool *found)
{
    struct ha_error ignored = {0};
    json_t *records = NULL, *previous = NULL;
    if (c->ends[0] && ha_journal_read(c->session->store, c->ends, &records, &ignored) == 0)
        previous = json_incref(json_object_get(last_begin(records), "previous"));
    *found = c->found || json_is_true(json_object_get(last_begin(records), "found"));
    json_decref(records);
    return previous ? previous : ha_desired_to_json(&c->previous);
}

int ha_change_begin(struct change *c)
{
    json_t *record;
    bool found = false;
    if (ha_journal_open(c->session->store, c->operation, &c->run.journal, c->error))
        return -1;
    if (c->resumes)
        record = json_pack("{ss sI}", "type", "resume", "at", (json_int_t)time(NULL));
    else
        record = json_pack("{ss si ss ss sI sI so}", "type", "begin", "schema", 1, "operation", c->operation, "request",
                           c->text, "generation", (json_int_t)c->previous.generation + 1, "at", (json_int_t)time(NULL),
                           "previous", previous_of(c, &found));
    if (found)
        json_object_set_new(record, "found", json_true());
    if (!c->resumes && c->ends[0])
        json_object_set_new(record, "ends", json_string(c->ends));
    return ha_journal_append(c->run.journal, record, true, c->error);
}

void ha_change_end_other(const struct change *c)
{
    struct ha_journal *journal = NULL;
    struct ha_operation other = {0};
    struct ha_error ignored = {0};
    char text[128];
    if (!c->ends[0] || ha_operation_read(c->session->store, c->ends, &other, &ignored) || other.ended_s ||
        ha_journal_open(c->session->store, c->ends, &journal, &ignored))
        return;
    bool aborts = c->request.kind == HA_REQUEST_ABORT;
    snprintf(text, sizeof text, "%s by operation %s", aborts ? "aborted" : "taken over", c->operation);
    json_t *record = json_pack("{ss sI si ss sb}", "type", "end", "at", (json_int_t)time(NULL), "status",
                               (int)HA_EXIT_INTERRUPTED, "text", text, "taken_over", !aborts);
    ha_journal_append(journal, record, true, &ignored);
    ha_journal_close(journal);
}

int ha_change_write(struct change *c)
{
    c->syncs += 2;
    c->written = true;
    if (ha_store_write(c->session->store, &c->wanted, c->error))
        return -1;
    ha_fault_point("store");
    c->session->desired = c->wanted;
    return 0;
}

bool ha_desired_same(const struct ha_desired *a, const struct ha_desired *b)
{
    if (memcmp(a, b, sizeof *a) == 0)
        return true;
    json_t *x = ha_desired_to_json(a), *y = ha_desired_to_json(b);
    bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

/* Those that founded nothing yet are the founders; the store must know them
 * before the first of them starts. */
void ha_change_choose_founders(struct change *c)
{
    const struct ha_model *model = &c->session->observed.model;
    bool unformed = false, some = false;
    for (int g = 0; g < model->group_count; g++)
        unformed |= !ha_model_is_formed(&model->groups[g]);
    for (int i = 0; i < c->wanted.replica_count; i++)
        some |= c->wanted.replicas[i].founding;
    for (int i = 0; unformed && !some && !c->wanted.destroy && i < c->wanted.replica_count; i++)
        c->wanted.replicas[i].founding = !c->wanted.replicas[i].leaving;
}

/* What the world has shown for good: groups formed, replicas gone. */
void ha_change_note_facts(struct change *c)
{
    const struct ha_model *model = &c->session->observed.model;
    bool all_formed = true;
    for (int g = 0; g < model->group_count; g++) {
        const struct ha_group *group = &model->groups[g];
        all_formed &= ha_model_is_formed(group);
        bool known = false;
        for (int f = 0; f < c->wanted.formed_count; f++)
            if (strcmp(c->wanted.formed[f].group, group->name) == 0) {
                known = true;
                /* Adopted when nobody answered. */
                if (!c->wanted.formed[f].cluster_id[0] && group->formed == HACTL_YES && group->quorum == HACTL_YES)
                    snprintf(c->wanted.formed[f].cluster_id, sizeof c->wanted.formed[f].cluster_id, "%s",
                             group->cluster_id);
            }
        if (known || group->formed != HACTL_YES || group->quorum != HACTL_YES || c->wanted.formed_count == HA_GROUPS)
            continue;
        snprintf(c->wanted.formed[c->wanted.formed_count].group, HA_NAME, "%s", group->name);
        snprintf(c->wanted.formed[c->wanted.formed_count++].cluster_id, sizeof c->wanted.formed[0].cluster_id, "%s",
                 group->cluster_id);
    }
    if (c->wanted.rotation[0] && model->rotation_found == HACTL_ROTATION_NONE && ha_rotation_done(model))
        c->wanted.rotation[0] = '\0';
    for (int i = 0; all_formed && i < c->wanted.replica_count; i++)
        c->wanted.replicas[i].founding = false;
}

static bool is_gone(const struct ha_model *model, const char *name)
{
    int i = ha_model_replica(model, name);
    if (i < 0)
        return true;
    const struct ha_replica *r = &model->replicas[i];
    return r->instance == HACTL_INSTANCE_ABSENT && r->address == HACTL_NO && ha_replica_unbound(model, i) &&
           r->certificates == HA_CERTIFICATES_NONE && r->backend == HA_BACKEND_NONE;
}

void ha_change_earlier_holder(const struct change *c, enum ha_holder *holder, char replica[HA_NAME])
{
    size_t index;
    json_t *record;
    json_array_foreach(c->earlier, index, record)
    {
        const char *type = "", *step = "", *subject = "";
        json_unpack(record, "{s?s s?s s?s}", "type", &type, "step", &step, "subject", &subject);
        if (strcmp(type, "intent") != 0)
            continue;
        if (strcmp(step, ha_step_types[HA_STEP_BALANCER_RELEASE].name) == 0) {
            *holder = HA_HOLDER_BALANCER;
        } else if (strcmp(step, ha_step_types[HA_STEP_REPLICA_RELEASE].name) == 0) {
            *holder = HA_HOLDER_REPLICA;
            snprintf(replica, HA_NAME, "%s", subject);
        }
    }
}

bool ha_change_all_gone(const struct change *c)
{
    for (int i = 0; i < c->wanted.replica_count; i++)
        if (c->wanted.replicas[i].leaving && !is_gone(&c->session->observed.model, c->wanted.replicas[i].name))
            return false;
    return true;
}

void ha_change_drop_gone(struct change *c)
{
    int kept = 0;
    for (int i = 0; i < c->wanted.replica_count; i++)
        if (!c->wanted.replicas[i].leaving || !is_gone(&c->session->observed.model, c->wanted.replicas[i].name))
            c->wanted.replicas[kept++] = c->wanted.replicas[i];
    c->wanted.replica_count = kept;
}

static json_t *report_json(const struct change *c)
{
    const struct ha_report *r = c->report;
    json_t *timings = json_array();
    for (int i = 0; i < r->timing_count; i++)
        json_array_append_new(timings,
                              json_pack("{ss sI}", "step", r->timings[i].text, "ms", (json_int_t)r->timings[i].ms));
    json_t *gap = r->gap_measured ? json_integer(r->endpoint_gap_ms) : json_null();
    return json_pack("{si si sI sI si si so si si so}", "steps", r->steps, "replans", r->replans, "wall_ms",
                     (json_int_t)r->wall_ms, "cpu_ms", (json_int_t)r->cpu_ms, "syncs", (int)r->syncs, "calls",
                     (int)r->calls, "endpoint_gap_ms", gap, "probes", (int)r->probes, "probes_failed",
                     (int)r->probes_failed, "timings", timings);
}

void ha_change_stop(struct change *c, const char *type)
{
    struct ha_error ignored = {0};
    bool ends = strcmp(type, "end") == 0;
    if (!c->run.journal)
        return;
    ha_change_measure(c);
    json_t *record = json_pack("{ss sI si ss so}", "type", type, "at", (json_int_t)time(NULL), "status",
                               (int)c->error->status, "text", c->error->what, "report", report_json(c));
    if (ends)
        json_object_set_new(record, "desired", ha_desired_to_json(&c->wanted));
    ha_journal_append(c->run.journal, record, true, &ignored);
}
