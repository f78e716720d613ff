/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change from beginning to end: the operation is found or begun, the next
 * generation written, and then, until the wanted state is there: look, plan,
 * execute. What is done on failure is a plan too, from what is observed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "core/executor.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/observer.h"
#include "core/request.h"
#include "core/asks.h"
#include "core/session_internal.h"

enum { REPLANS = 12 };

struct change {
    struct ha_session *session;
    struct ha_request request;
    char text[256]; /* of the request */
    char operation[64];
    char aborts[64];            /* the operation that this one ends */
    struct ha_desired previous; /* before the request: where `op abort` goes back to */
    struct ha_desired wanted;
    struct ha_plan *plan;
    struct ha_plan_scope scope;
    struct ha_run run;
    json_t *earlier;
    const struct ha_listener *listener;
    struct ha_report *report;
    struct ha_error *error;
    bool resumes, written;
};

static void say(const struct change *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct change *c, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (c->listener && c->listener->said)
        c->listener->said(c->listener->context, text);
}

/* ---- which operation */

static void name_operation(char out[64])
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
    ha_advise(c->error, "hactl op resume %s, or hactl op abort %s", open->id, open->id);
    return -1;
}

static int take_up(struct change *c, const struct ha_operation *open)
{
    snprintf(c->operation, sizeof c->operation, "%s", open->id);
    snprintf(c->text, sizeof c->text, "%s", open->request);
    c->resumes = true;
    c->request.kind = ha_request_kind_of(open->request);
    if (c->request.kind == HA_REQUEST_STAGE)
        c->request.name = c->text + strlen("stage run ");
    if (c->request.kind == HA_REQUEST_ABORT)
        snprintf(c->aborts, sizeof c->aborts, "%.63s", c->text + strlen("op abort "));
    say(c, "resuming operation %s (%s)", open->id, open->request);
    return ha_journal_read(c->session->store, open->id, &c->earlier, c->error);
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
    return ha_store_write(session->store, &session->desired, c->error);
}

/* Returns 1 when the operation is done already. */
static int find_operation(struct change *c)
{
    struct ha_session *session = c->session;
    const char *asked = c->session->options->operation;
    struct ha_operation open = {0}, named = {0};
    if (settle(c))
        return -1;
    bool unfinished = is_unfinished(session, session->desired.operation, &open);
    struct ha_error ignored = {0};
    ha_request_text(&c->request, c->text, sizeof c->text);
    if (c->request.kind == HA_REQUEST_RESUME) {
        if (!unfinished || (c->request.name && strcmp(c->request.name, open.id) != 0))
            return ha_fail(c->error, HA_EXIT_USAGE, "there is no unfinished operation%s%s", c->request.name ? " " : "",
                           c->request.name ? c->request.name : "");
        return take_up(c, &open);
    }
    if (asked && ha_operation_read(session->store, asked, &named, &ignored) == 0 && named.ended_s)
        return named.status == HA_EXIT_DONE
                   ? 1
                   : ha_fail(c->error, HA_EXIT_USAGE, "operation %s is over: %s", asked, named.text);
    if (unfinished && c->request.kind != HA_REQUEST_ABORT && c->request.kind != HA_REQUEST_DOWN)
        return strcmp(open.request, c->text) == 0 && (!asked || strcmp(asked, open.id) == 0) ? take_up(c, &open)
                                                                                             : refuse_other(c, &open);
    if (unfinished && (strcmp(open.request, c->text) == 0 || ha_request_kind_of(open.request) == c->request.kind))
        return take_up(c, &open);
    if (asked)
        snprintf(c->operation, sizeof c->operation, "%s", asked);
    else
        name_operation(c->operation);
    return 0;
}

/* ---- abort: back to the replica set from before, as a plan like any other */

static int want_previous(struct change *c)
{
    struct ha_session *session = c->session;
    struct ha_operation open = {0};
    json_t *records = NULL, *previous = NULL;
    if (!is_unfinished(session, session->desired.operation, &open) ||
        (c->request.name && strcmp(c->request.name, open.id) != 0))
        return ha_fail(c->error, HA_EXIT_USAGE, "there is no unfinished operation to abort");
    if (ha_journal_read(session->store, open.id, &records, c->error))
        return -1;
    previous = json_object_get(json_array_get(records, 0), "previous");
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
        r->leaving = was < 0 || before.replicas[was].leaving;
    }
    c->wanted.endpoint_want = before.endpoint_want;
    memcpy(c->wanted.endpoint_replica, before.endpoint_replica, sizeof before.endpoint_replica);
    snprintf(c->aborts, sizeof c->aborts, "%s", open.id);
    snprintf(c->text, sizeof c->text, "op abort %s", open.id);
    return 0;
}

/* ---- planning */

static int look_and_plan(struct change *c)
{
    struct ha_session *session = c->session;
    session->desired = c->wanted;
    session->observed.model.repair = c->request.kind == HA_REQUEST_RECONCILE;
    if (ha_session_observe(session, HA_SCOPE_ALL, c->error))
        return -1;
    ha_plan_make(&session->observed.model, &c->scope, c->plan);
    return 0;
}

static bool is_guarded(const struct ha_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].guarded)
            return true;
    return false;
}

static int ask_consent(struct change *c, ha_consent *consent, void *context)
{
    char warnings[HA_WARNINGS][256];
    int count = 0;
    ha_request_warn(&c->plan->end, warnings, &count);
    if (c->listener && c->listener->planned)
        c->listener->planned(c->listener->context, c->plan);
    bool guarded = is_guarded(c->plan) && !c->session->options->accept_budget_zero;
    if (consent ? consent(context, c->plan, (const char(*)[256])warnings, count) : !guarded)
        return 0;
    if (c->error->status != HA_EXIT_DONE)
        return -1;
    if (!guarded)
        return ha_fail(c->error, HA_EXIT_REFUSED, "not confirmed; nothing was changed");
    ha_fail(c->error, HA_EXIT_REFUSED, "afterwards no failure would be tolerated; nothing was changed");
    ha_advise(c->error, "--accept-budget 0 accepts that by name");
    return -1;
}

/* ---- writing down */

static int journal_begin(struct change *c)
{
    json_t *record;
    if (ha_journal_open(c->session->store, c->operation, &c->run.journal, c->error))
        return -1;
    if (c->resumes)
        record = json_pack("{ss sI}", "type", "resume", "at", (json_int_t)time(NULL));
    else
        record = json_pack("{ss si ss ss sI sI so}", "type", "begin", "schema", 1, "operation", c->operation, "request",
                           c->text, "generation", (json_int_t)c->previous.generation + 1, "at", (json_int_t)time(NULL),
                           "previous", ha_desired_to_json(&c->previous));
    return ha_journal_append(c->run.journal, record, true, c->error);
}

static int write_wanted(struct change *c)
{
    c->report->syncs += 2;
    c->written = true;
    if (ha_store_write(c->session->store, &c->wanted, c->error))
        return -1;
    ha_fault_point("store");
    c->session->desired = c->wanted;
    return 0;
}

static bool same_desired(const struct ha_desired *a, const struct ha_desired *b)
{
    json_t *x = ha_desired_to_json(a), *y = ha_desired_to_json(b);
    bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

/* Those that founded nothing yet are the founders; the store must know them
 * before the first of them starts. */
static void choose_founders(struct change *c)
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
static void note_facts(struct change *c)
{
    const struct ha_model *model = &c->session->observed.model;
    bool all_formed = true;
    for (int g = 0; g < model->group_count; g++) {
        const struct ha_group *group = &model->groups[g];
        all_formed &= ha_model_is_formed(group);
        bool known = false;
        for (int f = 0; f < c->wanted.formed_count; f++)
            known |= strcmp(c->wanted.formed[f].group, group->name) == 0;
        if (known || group->formed != HACTL_YES || group->quorum != HACTL_YES || c->wanted.formed_count == HA_GROUPS)
            continue;
        snprintf(c->wanted.formed[c->wanted.formed_count].group, HA_NAME, "%s", group->name);
        snprintf(c->wanted.formed[c->wanted.formed_count++].cluster_id, sizeof c->wanted.formed[0].cluster_id, "%s",
                 group->cluster_id);
    }
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

static void drop_gone(struct change *c)
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

static void journal_stop(struct change *c, const char *type)
{
    struct ha_error ignored = {0};
    bool ends = strcmp(type, "end") == 0;
    if (!c->run.journal)
        return;
    json_t *record = json_pack("{ss sI si ss so}", "type", type, "at", (json_int_t)time(NULL), "status",
                               (int)c->error->status, "text", c->error->what, "report", report_json(c));
    if (ends)
        json_object_set_new(record, "desired", ha_desired_to_json(&c->wanted));
    ha_journal_append(c->run.journal, record, true, &ignored);
    ha_fault_point("journal");
}

/* ---- giving back */

static void only(struct ha_plan_scope *scope, const enum ha_step_kind *kinds, size_t count)
{
    memset(scope, 0, sizeof *scope);
    for (size_t i = 0; i < count; i++) {
        scope->enabled[kinds[i]] = true;
        scope->rank[kinds[i]] = (int)i;
    }
}

static int execute_give_back(struct change *c, const struct ha_plan_scope *scope)
{
    struct ha_plan *plan = malloc(sizeof *plan);
    struct ha_error error = {0};
    if (!plan)
        return 0;
    ha_plan_make(&c->session->observed.model, scope, plan);
    struct ha_run run = c->run;
    run.plan = plan;
    int steps = plan->count;
    bool done = steps > 0 && ha_execute(&run, &error) == HA_OUTCOME_DONE;
    c->run.sequence = run.sequence;
    if (steps > 0 && !done)
        ha_log(HACTL_LOG_ERROR, "giving back failed too: %s", error.what);
    free(plan);
    return done ? steps : 0;
}

/* The address is dark: whoever had it before gets it back. */
static void give_back_address(struct change *c, enum ha_holder holder, const char *replica)
{
    static const enum ha_step_kind kinds[] = {HA_STEP_BALANCER_CLAIM, HA_STEP_REPLICA_CLAIM, HA_STEP_ENDPOINT_VERIFY};
    struct ha_model *model = &c->session->observed.model;
    struct ha_plan_scope scope;
    if (model->destroy || holder == HA_HOLDER_NONE || holder == HA_HOLDER_UNKNOWN)
        return;
    /* A claim that was made but never answered is taken back first. */
    if (model->holder == HA_HOLDER_BALANCER && holder == HA_HOLDER_REPLICA && model->endpoint_answers != HACTL_YES) {
        struct ha_step release = {.kind = HA_STEP_BALANCER_RELEASE, .replica = -1, .group = -1};
        struct hactl_call *call = ha_ask_step(c->session, &release, 10000);
        if (ha_call_wait(call) == HACTL_OK)
            ha_step_apply(model, &release);
        ha_call_free(call);
    }
    if (model->holder != HA_HOLDER_NONE)
        return;
    only(&scope, kinds, 3);
    model->endpoint_want = holder == HA_HOLDER_BALANCER ? HA_ENDPOINT_BALANCER : HA_ENDPOINT_REPLICA;
    model->endpoint_replica = holder == HA_HOLDER_REPLICA ? ha_model_replica(model, replica) : -1;
    int i = model->endpoint_replica;
    if (i >= 0)
        model->replicas[i].wanted = true;
    if (holder == HA_HOLDER_BALANCER)
        model->balancer_proved = HACTL_YES; /* it served before; its claim is looked at from outside */
    if (execute_give_back(c, &scope)) {
        const char *owner = holder == HA_HOLDER_REPLICA ? replica : "the balancer";
        say(c, "gave the public address back to %s", owner);
        ha_advise(c->error, "the public address was given back to %s; see `hactl status`, then run the command again",
                  owner);
    }
}

/* A learner that did not make it would bar every later change. */
static void give_back_learner(struct change *c, const struct ha_step *failed)
{
    /* Its machine goes too: it holds the data of a member that is no more. */
    static const enum ha_step_kind kinds[] = {HA_STEP_MEMBER_REMOVE, HA_STEP_INSTANCE_DELETE};
    struct ha_model *model = &c->session->observed.model;
    struct ha_plan_scope scope;
    bool joining = failed->kind == HA_STEP_MEMBER_START || failed->kind == HA_STEP_MEMBER_CATCH_UP ||
                   failed->kind == HA_STEP_MEMBER_PROMOTE || failed->kind == HA_STEP_MEMBER_ADD;
    if (!joining || failed->replica < 0 || failed->group < 0)
        return;
    int m = ha_model_member_of(&model->groups[failed->group], failed->replica);
    if (m < 0 || model->groups[failed->group].members[m].voter)
        return;
    for (int g = 0; g < model->group_count; g++) {
        int other = g == failed->group ? -1 : ha_model_member_of(&model->groups[g], failed->replica);
        if (other >= 0 && model->groups[g].members[other].voter)
            return; /* a voter elsewhere: that is nothing to take back unasked */
    }
    only(&scope, kinds, 2);
    for (int i = 0; i < model->replica_count; i++)
        model->replicas[i].wanted = model->replicas[i].wanted || model->replicas[i].instance != HACTL_INSTANCE_ABSENT;
    model->replicas[failed->replica].wanted = false;
    if (execute_give_back(c, &scope)) {
        say(c, "removed the learner %s again", model->replicas[failed->replica].name);
        ha_advise(c->error,
                  "the learner was removed again, the members are as before; hactl op resume %s tries once more",
                  c->operation);
    }
}

static void add_unit_log(struct change *c, const struct ha_step *failed)
{
    if (failed->replica < 0 || failed->group < 0 || failed->group >= c->session->payload_count)
        return;
    struct ha_replica *r = &c->session->observed.model.replicas[failed->replica];
    if (r->detail[0])
        say(c, "%s: %s", r->name, r->detail);
}

static void give_back(struct change *c, enum ha_holder holder, const char *replica)
{
    struct ha_error ignored = {0};
    struct ha_step failed = {.replica = -1, .group = -1};
    if (c->run.failed_step >= 0)
        failed = c->plan->steps[c->run.failed_step];
    ha_cancel_set(false);
    if (ha_session_observe(c->session, HA_SCOPE_ALL, &ignored))
        return;
    add_unit_log(c, &failed);
    give_back_address(c, holder, replica);
    give_back_learner(c, &failed);
}

/* ---- converging */

static void kinds_of(const struct ha_plan *plan, bool kinds[HA_STEP_KINDS], int *least)
{
    for (int i = 0; i < plan->count; i++) {
        kinds[plan->steps[i].kind] = true;
        if (plan->steps[i].during.tolerates < *least)
            *least = plan->steps[i].during.tolerates;
    }
}

/* Promise 4: towards the same end, with no new kind of step, no lower budget. */
static int judge_replan(struct change *c, const bool allowed[HA_STEP_KINDS], int allowed_least)
{
    bool kinds[HA_STEP_KINDS] = {false};
    int least = c->plan->count ? c->plan->steps[0].before.tolerates : allowed_least;
    kinds_of(c->plan, kinds, &least);
    for (int k = 0; k < HA_STEP_KINDS; k++) {
        if (!kinds[k] || allowed[k] || !ha_step_types[k].changes)
            continue;
        ha_fail(c->error, HA_EXIT_DECISION,
                "the cluster is not as it was when this was planned: it now needs `%s`, which was not in the plan",
                ha_step_types[k].name);
        ha_advise(c->error, "see `hactl plan`, then hactl op resume %s", c->operation);
        return -1;
    }
    if (least < allowed_least && is_guarded(c->plan) && !c->session->options->accept_budget_zero) {
        ha_fail(c->error, HA_EXIT_DECISION,
                "the cluster is not as it was when this was planned: going on would leave a failure budget of %d",
                least);
        ha_advise(c->error, "see `hactl plan`, then hactl op resume %s", c->operation);
        return -1;
    }
    return 0;
}

static int fail_blocked(struct change *c)
{
    char all[480] = "";
    for (int i = 0; i < c->plan->blocked_count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? "; " : "", c->plan->blocked[i]);
    enum ha_exit status = HA_EXIT_DECISION;
    for (int g = 0; g < c->session->observed.model.group_count; g++) {
        const struct ha_group *group = &c->session->observed.model.groups[g];
        if (ha_model_is_formed(group) && (group->quorum != HACTL_YES || group->alarm[0]))
            status = HA_EXIT_REFUSED;
    }
    return ha_fail(c->error, status, "cannot go on: %s",
                   all[0] ? all : "the wanted state is not reached and nothing safe is left to do");
}

static void learn_after(struct change *c, enum ha_outcome outcome)
{
    if (outcome != HA_OUTCOME_DONE)
        return;
    struct ha_desired before = c->wanted;
    struct ha_error error = {0};
    note_facts(c);
    if (!same_desired(&before, &c->wanted) && !c->wanted.destroy)
        if (write_wanted(c) && !error.status)
            ha_log(HACTL_LOG_WARNING, "%s", c->error->what);
}

static int converge(struct change *c)
{
    const struct ha_model *model = &c->session->observed.model;
    bool allowed[HA_STEP_KINDS] = {false};
    int least = c->plan->count ? c->plan->steps[0].before.tolerates : 0;
    enum ha_holder holder = model->holder;
    char replica[HA_NAME] = "";
    if (model->holder_replica >= 0)
        memcpy(replica, model->replicas[model->holder_replica].name, sizeof replica);
    kinds_of(c->plan, allowed, &least);
    for (;;) {
        if (c->plan->count == 0)
            return c->plan->converged ? 0 : fail_blocked(c);
        c->run.plan = c->plan;
        enum ha_outcome outcome = ha_execute(&c->run, c->error);
        if (outcome == HA_OUTCOME_FAILED || outcome == HA_OUTCOME_CANCELLED) {
            if (outcome == HA_OUTCOME_CANCELLED)
                ha_fail(c->error, HA_EXIT_INTERRUPTED, "interrupted");
            give_back(c, holder, replica);
            return -1;
        }
        learn_after(c, outcome);
        if (look_and_plan(c))
            return -1;
        if (c->plan->count == 0)
            continue;
        if (++c->report->replans > REPLANS)
            return ha_fail(c->error, HA_EXIT_DECISION, "planned anew %d times and still not there", REPLANS);
        if (judge_replan(c, allowed, least))
            return -1;
        say(c, "the world has moved: planned anew, %d step%s to go", c->plan->count, c->plan->count == 1 ? "" : "s");
    }
}

/* ---- the end */

static int finish_down(struct change *c)
{
    struct hactl_call *call = ha_ask_forget(c->session, 30000);
    if (call) {
        int code = ha_call_wait(call);
        if (code < 0)
            ha_fail(c->error, ha_exit_of_code(code), "%s: %s", call->instance->conf->instance, call->text);
        ha_call_free(call);
        if (code < 0)
            return -1;
    }
    return ha_store_destroy(c->session->store, c->error);
}

/* What was aborted is over too, and says so. */
static void end_aborted(struct change *c)
{
    struct ha_journal *journal = NULL;
    struct ha_error ignored = {0};
    char text[128];
    if (!c->aborts[0] || ha_journal_open(c->session->store, c->aborts, &journal, &ignored))
        return;
    snprintf(text, sizeof text, "aborted by operation %s", c->operation);
    json_t *record = json_pack("{ss sI si ss}", "type", "end", "at", (json_int_t)time(NULL), "status",
                               (int)HA_EXIT_INTERRUPTED, "text", text);
    ha_journal_append(journal, record, true, &ignored);
    ha_journal_close(journal);
}

static int finish(struct change *c)
{
    bool whole = c->request.kind != HA_REQUEST_STAGE;
    if (c->request.kind == HA_REQUEST_DOWN)
        return finish_down(c);
    note_facts(c);
    if (whole)
        drop_gone(c);
    /* The end is in the journal before the store forgets the operation: asked
     * again in between, it is found done. */
    c->wanted.operation[0] = '\0';
    end_aborted(c);
    journal_stop(c, "end");
    return write_wanted(c);
}

static void measure(struct change *c, int64_t began_ms)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    c->report->wall_ms = ha_now_ms() - began_ms;
    c->report->cpu_ms = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                        (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
    c->report->calls = c->session->private->calls;
    c->report->syncs += ha_journal_syncs(c->run.journal);
    snprintf(c->report->operation, sizeof c->report->operation, "%s", c->operation);
    c->report->generation = c->wanted.generation;
}

static int prepare(struct change *c)
{
    struct ha_session *session = c->session;
    c->previous = c->wanted = session->desired;
    /* One that is resumed finds what it wants in the store. */
    if (!c->resumes &&
        (c->request.kind == HA_REQUEST_ABORT ? want_previous(c)
                                             : ha_request_apply(session, &c->request, &c->wanted, c->error)))
        return -1;
    const char *stage = c->request.kind == HA_REQUEST_STAGE ? c->request.name : NULL;
    if (ha_request_scope(session, c->request.kind, stage, &c->scope, c->error) || look_and_plan(c))
        return -1;
    choose_founders(c);
    return same_desired(&c->wanted, &session->desired) ? 0 : look_and_plan(c);
}

/* Nothing to do and nothing to write: then no operation is begun either. */
static bool is_idle(const struct change *c)
{
    struct ha_desired wanted = c->wanted;
    memcpy(wanted.operation, c->previous.operation, sizeof wanted.operation);
    return c->plan->count == 0 && c->plan->converged && !c->resumes && c->request.kind != HA_REQUEST_DOWN &&
           same_desired(&wanted, &c->previous);
}

static int carry_out(struct change *c, ha_consent *consent, void *context)
{
    if (prepare(c))
        return -1;
    if (is_idle(c)) {
        c->report->nothing_to_do = true;
        return 0;
    }
    if (c->plan->count == 0 && !c->plan->converged)
        return fail_blocked(c);
    if (ask_consent(c, consent, context))
        return -1;
    snprintf(c->wanted.operation, sizeof c->wanted.operation, "%s", c->operation);
    if (journal_begin(c))
        return -1;
    ha_fault_point("journal");
    if (!(c->resumes && same_desired(&c->wanted, &c->previous)) && write_wanted(c))
        return -1;
    if (converge(c) || finish(c)) {
        journal_stop(c, "stop");
        return -1;
    }
    return 0;
}

int ha_session_change(struct ha_session *session, const struct ha_request *request, ha_consent *consent,
                      void *consent_context, const struct ha_listener *listener, struct ha_report *report,
                      struct ha_error *error)
{
    int64_t began_ms = ha_now_ms();
    struct change c = {.session = session, .request = *request, .listener = listener, .report = report, .error = error};
    memset(report, 0, sizeof *report);
    c.run = (struct ha_run){.session = session,
                            .listener = listener,
                            .report = report,
                            .deadline_ms = session->options->timeout_ms ? began_ms + session->options->timeout_ms : 0};
    c.plan = calloc(1, sizeof *c.plan);
    int rc = c.plan ? find_operation(&c) : ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    c.run.earlier = c.earlier;
    if (rc == 1) {
        report->nothing_to_do = true;
        rc = 0;
    } else if (rc == 0) {
        rc = carry_out(&c, consent, consent_context);
    }
    measure(&c, began_ms);
    ha_journal_close(c.run.journal);
    json_decref(c.earlier);
    free(c.plan);
    return rc;
}
