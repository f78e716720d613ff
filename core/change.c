/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change from beginning to end: the operation is found or begun, the next
 * generation written, and then, until the wanted state is there: look, plan,
 * execute. A dry run goes the same way up to the plan.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/asks.h"
#include "core/change_internal.h"
#include "core/preflight.h"
#include "core/session_internal.h"

enum { REPLANS = 12, ABORT_AWAITS_MS = 10000 };

void ha_change_say(const struct change *c, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (c->listener && c->listener->said)
        c->listener->said(c->listener->context, text);
}

/* ---- planning */

static int look_and_plan(struct change *c)
{
    struct ha_session *session = c->session;
    session->desired = c->wanted;
    session->observed.model.repair = c->request.kind == HA_REQUEST_RECONCILE;
    if (ha_session_observe(session, HA_SCOPE_ALL, c->error) || ha_change_await_election(c))
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
static int judge_replan(struct change *c, const bool allowed[HA_STEP_KINDS], int allowed_least, bool allowed_guard)
{
    bool kinds[HA_STEP_KINDS] = {false};
    int least = c->plan->count ? c->plan->steps[0].before.tolerates : allowed_least;
    kinds_of(c->plan, kinds, &least);
    for (int k = 0; k < HA_STEP_KINDS; k++) {
        if (!kinds[k] || allowed[k] || !ha_step_types[k].changes || ha_step_implied(allowed, (enum ha_step_kind)k))
            continue;
        ha_fail(c->error, HA_EXIT_DECISION,
                "the cluster is not as it was when this was planned: it now needs `%s`, which was not in the plan",
                ha_step_types[k].name);
        ha_advise(c->error, "see `hactl plan`, then hactl op resume %s", c->operation);
        return -1;
    }
    bool fresh_guard = is_guarded(c->plan) && !c->session->options->accept_budget_zero;
    if (fresh_guard && (least < allowed_least || !allowed_guard)) {
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
    enum ha_exit status = ha_changes_barred(&c->session->observed.model) ? HA_EXIT_REFUSED : HA_EXIT_DECISION;
    char why[256];
    if (!ha_rotation_done(&c->session->observed.model) &&
        ha_rotation_gated(&c->session->observed.model, why, sizeof why))
        status = HA_EXIT_REFUSED;
    ha_fail(c->error, status, "cannot go on: %s",
            all[0] ? all : "the wanted state is not reached and nothing safe is left to do");
    if (ha_group_alarmed(&c->session->observed.model))
        ha_advise(c->error, "clear the alarm first: man hactl-etcd, ALARMS, has the commands");
    return -1;
}

/* ---- when what is left is not this operation's to do */

static bool plan_converges(const struct ha_model *model, const struct ha_plan_scope *scope)
{
    struct ha_plan *plan = malloc(sizeof *plan);
    if (!plan)
        return false;
    ha_plan_make(model, scope, plan);
    bool converges = plan->converged;
    free(plan);
    return converges;
}

/* Lost data and members of no replica are all that is in the way. */
static bool repair_would_do(const struct change *c)
{
    struct ha_model *model = malloc(sizeof *model);
    if (!model)
        return false;
    *model = c->session->observed.model;
    model->repair = true;
    bool would = plan_converges(model, &c->scope);
    free(model);
    return would;
}

static bool changes_something(const struct ha_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        if (ha_step_types[plan->steps[i].kind].changes)
            return true;
    return false;
}

/* `up` has done all that it may: the rest is for `replica replace` or `etcd
 * reconcile`, which need no `up` that is still open. */
static bool is_over_for_up(const struct change *c)
{
    return (c->request.kind == HA_REQUEST_UP || c->request.kind == HA_REQUEST_STAGE) && c->plan->count == 0 &&
           !c->plan->converged && repair_would_do(c);
}

/* An abort is over when the replica set is what it was before: whatever is
 * unwell in it now, going back further would not mend. */
static bool is_over_for_abort(struct change *c)
{
    if (c->request.kind != HA_REQUEST_ABORT || c->wanted.destroy || c->error->status == HA_EXIT_INTERRUPTED ||
        !ha_change_all_gone(c))
        return false;
    ha_plan_make(&c->session->observed.model, &c->scope, c->plan);
    return !ha_quorum_missing(&c->session->observed.model) && !changes_something(c->plan);
}

static void say_broken(struct change *c)
{
    if (c->error->status != HA_EXIT_DONE)
        ha_change_say(c, "the replicas are those from before; what is wrong with them stays: %s", c->error->what);
    for (int i = 0; c->error->status == HA_EXIT_DONE && i < c->plan->blocked_count; i++)
        ha_change_say(c, "the replicas are those from before; what is wrong with them stays: %s", c->plan->blocked[i]);
    memset(c->error, 0, sizeof *c->error);
}

/* Formed is formed, even if the next moment is our last. */
static int learn_after(struct change *c, bool *learnt)
{
    struct ha_desired before = c->wanted;
    ha_change_note_facts(c);
    *learnt = !ha_desired_same(&before, &c->wanted);
    return !*learnt || c->wanted.destroy ? 0 : ha_change_write(c);
}

/* What is still to be done after a run. Nobody looks twice at what the run's last look has shown. */
static int plan_after(struct change *c, enum ha_outcome outcome)
{
    bool learnt = false;
    if (outcome == HA_OUTCOME_DONE && learn_after(c, &learnt))
        return -1;
    if (learnt || !c->run.seen_all)
        return look_and_plan(c);
    ha_plan_make(&c->session->observed.model, &c->scope, c->plan);
    return 0;
}

/* What a unit wrote is heard first: giving back may delete its machine. */
static void stop_short(struct change *c, enum ha_holder holder, const char *replica)
{
    char wrote[600];
    /* An interrupt leaves nothing to give back but an address that is on its way. */
    if (c->error->status == HA_EXIT_INTERRUPTED && c->run.failed_step < 0 && !c->run.dark)
        return;
    ha_change_hear_unit(c, holder, wrote, sizeof wrote);
    ha_change_give_back(c, holder, replica);
    ha_error_log(c->error, wrote);
}

static bool takes_away(enum ha_step_kind kind)
{
    return kind == HA_STEP_BACKEND_REMOVE || kind == HA_STEP_LEADER_MOVE || kind == HA_STEP_MEMBER_REMOVE ||
           kind == HA_STEP_INSTANCE_DELETE || kind == HA_STEP_CERTIFICATE_RETIRE ||
           kind == HA_STEP_INTERNAL_ADDRESS_DELETE;
}

/* What an abort takes away, as far as that is safe now, is not kept by a
 * member that hangs: waiting comes after it. */
static void hasten_abort(struct change *c)
{
    struct ha_plan_scope scope = c->scope;
    struct ha_plan *away = NULL;
    bool waits = false;
    for (int i = 0; i < c->plan->count; i++)
        waits |= c->plan->steps[i].kind == HA_STEP_GROUP_AWAIT;
    if (c->request.kind != HA_REQUEST_ABORT || c->wanted.destroy || !waits || !(away = malloc(sizeof *away)))
        return;
    for (int kind = 0; kind < HA_STEP_KINDS; kind++)
        scope.enabled[kind] &= takes_away((enum ha_step_kind)kind);
    ha_plan_make(&c->session->observed.model, &scope, away);
    if (changes_something(away) && (is_guarded(c->plan) || !is_guarded(away)))
        *c->plan = *away;
    free(away);
}

/* What an abort takes away is gone, and the rest is waiting: not for longer
 * than whoever was restarted needs. One that hangs is for `replica replace`. */
static void limit_abort(struct change *c)
{
    int64_t until_ms = ha_now_ms() + ABORT_AWAITS_MS;
    if (c->request.kind != HA_REQUEST_ABORT || c->wanted.destroy)
        return;
    while (c->plan->count > 0 && changes_something(c->plan) &&
           !ha_step_types[c->plan->steps[c->plan->count - 1].kind].changes)
        c->plan->count--;
    if (changes_something(c->plan) || !ha_change_all_gone(c))
        return;
    if (!c->run.deadline_ms || c->run.deadline_ms > until_ms)
        c->run.deadline_ms = until_ms;
}

static int converge(struct change *c)
{
    const struct ha_model *model = &c->session->observed.model;
    bool allowed[HA_STEP_KINDS] = {false}, guard = is_guarded(c->plan);
    int least = c->plan->count ? c->plan->steps[0].before.tolerates : 0;
    enum ha_holder holder = model->holder;
    char replica[HA_NAME] = "";
    if (model->holder_replica >= 0)
        memcpy(replica, model->replicas[model->holder_replica].name, sizeof replica);
    if (c->resumes && holder == HA_HOLDER_NONE)
        ha_change_earlier_holder(c, &holder, replica);
    kinds_of(c->plan, allowed, &least);
    hasten_abort(c);
    for (;;) {
        if (c->plan->count == 0)
            return c->plan->converged ? 0 : fail_blocked(c);
        limit_abort(c);
        c->run.plan = c->plan;
        enum ha_outcome outcome = ha_execute(&c->run, c->error);
        if (outcome == HA_OUTCOME_FAILED || outcome == HA_OUTCOME_CANCELLED) {
            if (outcome == HA_OUTCOME_CANCELLED)
                ha_fail(c->error, HA_EXIT_INTERRUPTED, "interrupted");
            stop_short(c, holder, replica);
            return -1;
        }
        if (plan_after(c, outcome))
            return -1;
        if (c->plan->count == 0)
            continue;
        if (++c->report->replans > REPLANS)
            return ha_fail(c->error, HA_EXIT_DECISION, "planned anew %d times and still not there", REPLANS);
        if (judge_replan(c, allowed, least, guard))
            return -1;
        ha_change_say(c, "the world has moved: planned anew, %d step%s to go", c->plan->count,
                      c->plan->count == 1 ? "" : "s");
    }
}

/* ---- the end */

static int finish_down(struct change *c)
{
    struct hactl_call *call = ha_ask_forget(c->session, 30000);
    if (call) {
        ha_intent_make(call->intent);
        int code = ha_ask_to_the_end(c->session, call);
        if (code < 0)
            ha_fail(c->error, ha_exit_of_code(code), "%s: %s", call->instance->conf->instance, call->text);
        ha_call_free(call);
        if (code < 0)
            return -1;
    }
    return ha_store_destroy(c->session->store, c->error);
}

static int finish(struct change *c)
{
    bool whole = c->request.kind != HA_REQUEST_STAGE;
    if (c->request.kind == HA_REQUEST_DOWN)
        return finish_down(c);
    ha_change_note_facts(c);
    if (!c->session->observed.model.balancer_present)
        ha_session_note_balancer(c->session, false, &c->wanted);
    if (whole)
        ha_change_drop_gone(c);
    /* The end is in the journal before the store forgets the operation: asked
     * again in between, it is found done. */
    c->wanted.operation[0] = '\0';
    for (int i = 0; whole && i < c->wanted.replica_count; i++)
        c->wanted.replicas[i].returning = false;
    ha_change_end_other(c);
    ha_change_stop(c, "end");
    return ha_change_write(c);
}

void ha_change_measure(struct change *c)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    c->report->wall_ms = ha_now_ms() - c->began_ms;
    c->report->cpu_ms = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                        (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
    c->report->calls = c->session->private->calls;
    c->report->syncs = c->syncs + ha_journal_syncs(c->run.journal);
    snprintf(c->report->operation, sizeof c->report->operation, "%s", c->operation);
    c->report->generation = c->wanted.generation;
}

static bool has_step(const struct ha_plan *plan, enum ha_step_kind kind)
{
    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].kind == kind)
            return true;
    return false;
}

static int prepare(struct change *c)
{
    struct ha_session *session = c->session;
    c->previous = c->wanted = session->desired;
    ha_request_renews(session, c->request.kind == HA_REQUEST_RENEW, c->request.name, c->request.rekey);
    /* One that is resumed finds what it wants in the store. */
    if (!c->resumes &&
        (c->request.kind == HA_REQUEST_ABORT ? ha_change_want_previous(c)
                                             : ha_request_apply(session, &c->request, &c->wanted, c->error)))
        return -1;
    ha_session_note_cloud(session, &c->wanted);
    const char *stage = c->request.kind == HA_REQUEST_STAGE ? c->request.name : NULL;
    if (ha_request_scope(session, c->request.kind, stage, &c->scope, c->error) || look_and_plan(c) ||
        (!c->resumes && ha_request_check_renews(session, c->error)))
        return -1;
    ha_change_choose_founders(c);
    c->found = c->previous.generation == 0 && (c->wanted.formed_count > 0 || ha_session_some_certificate(session));
    if (c->previous.generation == 0 && c->wanted.formed_count > 0)
        ha_change_say(c, "the store was empty: what the cloud lists of %s is taken over",
                      session->configuration->cluster_name);
    /* The old authority is put away: an abort cannot bring it back, only say so. */
    if (c->request.kind == HA_REQUEST_ABORT && c->wanted.rotation_goal > HA_ROTATE_PREPARE &&
        session->observed.model.rotation_found == HACTL_ROTATION_NONE && c->wanted.rotation[0]) {
        c->wanted.rotation_goal = HA_ROTATE_RETIRE;
        ha_change_say(c, "the rotation of %s is over and is not taken back", c->wanted.rotation);
    }
    int rc = ha_desired_same(&c->wanted, &session->desired) ? 0 : look_and_plan(c);
    ha_session_note_cloud(session, &c->wanted); /* its place is known now */
    /* Forgotten only at the end, when it was seen to be gone. */
    if (session->observed.model.balancer_present || has_step(c->plan, HA_STEP_BALANCER_BUILD))
        ha_session_note_balancer(session, true, &c->wanted);
    if (ha_session_some_certificate(session) || has_step(c->plan, HA_STEP_AUTHORITY_CREATE) ||
        has_step(c->plan, HA_STEP_CERTIFICATE_ISSUE))
        ha_session_note_issuer(session, &c->wanted);
    return rc;
}

/* Nothing to do and nothing to write: then no operation is begun either. */
static bool is_idle(const struct change *c)
{
    struct ha_desired wanted = c->wanted;
    memcpy(wanted.cloud, c->previous.cloud, sizeof wanted.cloud);
    memcpy(wanted.cloud_plugin, c->previous.cloud_plugin, sizeof wanted.cloud_plugin);
    memcpy(wanted.cloud_place, c->previous.cloud_place, sizeof wanted.cloud_place);
    memcpy(wanted.balancer, c->previous.balancer, sizeof wanted.balancer);
    memcpy(wanted.balancer_plugin, c->previous.balancer_plugin, sizeof wanted.balancer_plugin);
    memcpy(wanted.issuer, c->previous.issuer, sizeof wanted.issuer);
    memcpy(wanted.issuer_plugin, c->previous.issuer_plugin, sizeof wanted.issuer_plugin);
    wanted.endpoint_port = c->previous.endpoint_port;
    memcpy(wanted.operation, c->previous.operation, sizeof wanted.operation);
    return c->plan->count == 0 && c->plan->converged && !c->resumes && !c->ends[0] &&
           c->request.kind != HA_REQUEST_DOWN && ha_desired_same(&wanted, &c->previous);
}

/* A store from before clouds were written down: that all is as it is wanted shows that this is the one. */
static int note_cloud_at_last(struct change *c)
{
    bool known = strcmp(c->previous.cloud_plugin, c->wanted.cloud_plugin) == 0 &&
                 strcmp(c->previous.cloud_place, c->wanted.cloud_place) == 0 &&
                 strcmp(c->previous.balancer_plugin, c->wanted.balancer_plugin) == 0 &&
                 strcmp(c->previous.issuer_plugin, c->wanted.issuer_plugin) == 0 &&
                 c->previous.endpoint_port == c->wanted.endpoint_port;
    return known || c->previous.generation == 0 ? 0 : ha_change_write(c);
}

/* Of a cluster that was never made, or is gone but for empty directories,
 * nothing is deleted that anybody would have to consent to. */
static bool is_down_already(const struct change *c)
{
    return c->request.kind == HA_REQUEST_DOWN && c->plan->count == 0 && c->previous.generation == 0;
}

/* The store could not be written, so nothing was begun; unless it names the operation all the same. */
static void take_back_begin(const struct change *c)
{
    struct ha_desired there;
    struct ha_error ignored = {0};
    if (!c->resumes && ha_store_read(c->session->store, &there, &ignored) == 0 &&
        strcmp(there.operation, c->operation) != 0)
        ha_journal_discard(c->run.journal);
}

static int begin(struct change *c)
{
    snprintf(c->wanted.operation, sizeof c->wanted.operation, "%s", c->operation);
    if (ha_change_begin(c))
        return -1;
    if (!(c->resumes && ha_desired_same(&c->wanted, &c->previous)) && ha_change_write(c)) {
        take_back_begin(c);
        return -1;
    }
    ha_change_end_other(c);
    return 0;
}

static bool has_lost_quorum(const struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++)
        if (ha_model_is_formed(&model->groups[g]) && model->groups[g].quorum != HACTL_YES)
            return true;
    return false;
}

static int refuse(struct change *c)
{
    fail_blocked(c);
    if (c->resumes && is_over_for_up(c) && !begin(c))
        finish(c);
    if (c->request.kind == HA_REQUEST_ABORT && c->previous.destroy && !c->wanted.destroy)
        ha_advise(c->error, "too much is gone already to go back; finish it with `hactl down`");
    else if (has_lost_quorum(&c->session->observed.model))
        ha_advise(c->error,
                  "bring members back (hactl up starts what is stopped and has its data); hactl etcd snapshot FILE "
                  "saves what one that runs has; doc/repair.md, The quorum is lost");
    return -1;
}

/* The first stages make what the later ones need; asked for a later one there is nothing to do it with. */
static bool is_premature(const struct change *c)
{
    return c->request.kind == HA_REQUEST_STAGE && c->previous.generation == 0 && c->session->cloud &&
           !c->plan->converged;
}

static int refuse_premature(struct change *c)
{
    ha_fail(c->error, HA_EXIT_USAGE, "there is no cluster %s yet: %s", c->session->configuration->cluster_name,
            c->plan->blocked_count ? c->plan->blocked[0] : "an earlier stage comes first");
    ha_advise(c->error, "hactl up");
    return -1;
}

static int carry_out(struct change *c, ha_consent *consent, void *context)
{
    if (prepare(c))
        return -1;
    if (is_idle(c)) {
        c->report->nothing_to_do = true;
        if (c->session->observed.model.unlike[0])
            ha_change_say(c, "warning: %s", c->session->observed.model.unlike);
        return note_cloud_at_last(c);
    }
    if (is_premature(c))
        return refuse_premature(c);
    bool was_broken = !c->plan->converged && is_over_for_abort(c);
    if (!was_broken && ha_request_is_refused(c->request.kind, c->plan))
        return refuse(c);
    if (is_down_already(c)) {
        c->report->nothing_to_do = true;
        return finish_down(c);
    }
    if (ha_preflight(c->session, c->plan, c->error))
        return -1;
    bool nothing = c->plan->count == 0 && c->ends[0] && c->request.kind != HA_REQUEST_DOWN;
    int64_t asked_ms = ha_now_ms();
    if (!nothing && ask_consent(c, consent, context))
        return -1;
    int64_t thought_ms = ha_now_ms() - asked_ms; /* --timeout and the report are of the work */
    c->began_ms += thought_ms;
    c->run.deadline_ms += c->run.deadline_ms ? thought_ms : 0;
    if ((!was_broken && ha_change_snapshot(c)) || begin(c))
        return -1;
    int rc = was_broken ? 0 : converge(c);
    bool over_for_up = rc && is_over_for_up(c);
    if (was_broken || (rc && is_over_for_abort(c))) {
        say_broken(c);
        rc = 0;
    }
    if (over_for_up && !finish(c))
        return -1; /* with what is in the way as its error */
    if (rc || finish(c)) {
        ha_change_stop(c, "stop");
        return -1;
    }
    return 0;
}

static struct change *change_new(struct ha_session *session, const struct ha_request *request,
                                 const struct ha_listener *listener, struct ha_report *report, struct ha_error *error)
{
    struct change *c = calloc(1, sizeof *c);
    if (!c || !(c->plan = calloc(1, sizeof *c->plan)) || !(c->earlier = json_array())) {
        free(c ? c->plan : NULL);
        free(c);
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        return NULL;
    }
    c->session = session;
    c->request = *request;
    c->listener = listener;
    c->report = report;
    c->error = error;
    c->run = (struct ha_run){.session = session, .listener = listener, .report = report};
    return c;
}

static void change_free(struct change *c)
{
    ha_journal_close(c->run.journal);
    json_decref(c->earlier);
    free(c->plan);
    free(c);
}

int ha_session_change(struct ha_session *session, const struct ha_request *request, ha_consent *consent,
                      void *consent_context, const struct ha_listener *listener, struct ha_report *report,
                      struct ha_error *error)
{
    struct change *c = change_new(session, request, listener, report, error);
    if (!c)
        return -1;
    c->began_ms = ha_now_ms();
    c->run.deadline_ms = session->options->timeout_ms ? c->began_ms + session->options->timeout_ms : 0;
    int rc = ha_change_find(c);
    c->run.records = c->earlier;
    if (rc == 1) {
        report->nothing_to_do = true;
        rc = 0;
    } else if (rc == 0) {
        rc = carry_out(c, consent, consent_context);
    }
    ha_change_measure(c);
    change_free(c);
    return rc;
}

int ha_session_prepare(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                       struct ha_plan *plan, char (*warnings)[256], int *warning_count, struct ha_error *error)
{
    struct ha_report *report = calloc(1, sizeof *report);
    struct ha_desired kept = session->desired;
    struct change *c = report ? change_new(session, request, NULL, report, error) : NULL;
    int rc = c ? 0 : -1;
    *warning_count = 0;
    memset(plan, 0, sizeof *plan);
    *desired = session->desired;
    if (c) {
        c->dry = true;
        rc = ha_change_find(c);
    }
    kept = session->desired; /* settled */
    if (rc == 1) {
        plan->converged = true; /* it was done before */
        rc = 0;
    } else if (rc == 0 && !(rc = prepare(c))) {
        *plan = *c->plan;
        *desired = c->wanted;
        ha_request_warn(&plan->end, warnings, warning_count);
        rc = is_premature(c) ? refuse_premature(c) : ha_preflight(session, plan, error);
    }
    session->desired = kept;
    if (c)
        change_free(c);
    free(report);
    return rc;
}
