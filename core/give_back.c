/* SPDX-License-Identifier: Apache-2.0 */
/* What is done after a failure; a plan too, from what is observed. */
#include <stdlib.h>
#include <string.h>

#include "core/asks.h"
#include "core/change_internal.h"
#include "core/log.h"

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
        ha_change_say(c, "gave the public address back to %s", owner);
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
        ha_change_say(c, "removed the learner %s again", model->replicas[failed->replica].name);
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
        ha_change_say(c, "%s: %s", r->name, r->detail);
}

void ha_change_give_back(struct change *c, enum ha_holder holder, const char *replica)
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
