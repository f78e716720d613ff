/* SPDX-License-Identifier: Apache-2.0 */
/* What is done after a failure; a plan too, from what is observed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* Whatever deadline the operation had has passed by now, perhaps. */
enum { GIVE_BACK_MS = 60000, LOOK_DARK_MS = 60000, LOOK_MS = 3000, LOOK_AGAIN_MS = 250 };

static bool execute(struct change *c, const struct ha_plan *plan)
{
    struct ha_error error = {0};
    struct ha_run run = c->run;
    run.plan = plan;
    run.deadline_ms = ha_now_ms() + GIVE_BACK_MS;
    bool done = ha_execute(&run, &error) == HA_OUTCOME_DONE;
    c->run.sequence = run.sequence;
    if (!done)
        ha_log(HACTL_LOG_ERROR, "giving back failed too: %s", error.what);
    return done;
}

static int execute_give_back(struct change *c, const struct ha_plan_scope *scope)
{
    struct ha_plan *plan = malloc(sizeof *plan);
    if (!plan)
        return 0;
    ha_plan_make(&c->session->observed.model, scope, plan);
    int steps = plan->count > 0 && execute(c, plan) ? plan->count : 0;
    free(plan);
    return steps;
}

/* A claim that was made but never answered. No rule asks for that. */
static void take_claim_back(struct change *c)
{
    const struct ha_model *model = &c->session->observed.model;
    struct ha_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return;
    bool replica = model->holder == HA_HOLDER_REPLICA;
    struct ha_step *step = &plan->steps[plan->count++];
    *step = (struct ha_step){.kind = replica ? HA_STEP_REPLICA_RELEASE : HA_STEP_BALANCER_RELEASE,
                             .replica = replica ? model->holder_replica : -1,
                             .group = -1};
    snprintf(step->subject, sizeof step->subject, "%s",
             replica ? model->replicas[model->holder_replica].name : "the operator");
    execute(c, plan);
    free(plan);
}

/* Somebody else has it now, and does not answer there. */
static bool is_claimed_in_vain(const struct ha_model *model, enum ha_holder holder, const char *replica)
{
    if (model->endpoint_answers == HACTL_YES)
        return false;
    if (model->holder == HA_HOLDER_BALANCER)
        return holder == HA_HOLDER_REPLICA;
    return model->holder == HA_HOLDER_REPLICA &&
           (holder == HA_HOLDER_BALANCER || strcmp(model->replicas[model->holder_replica].name, replica) != 0);
}

static void advise_dark(struct change *c, const char *owner)
{
    ha_advise(c->error,
              "nobody holds the public address now, it was with %s: hactl op resume %s, as soon as that can work",
              owner, c->operation);
}

/* The address is dark: whoever had it before gets it back. */
static void give_back_address(struct change *c, enum ha_holder holder, const char *replica)
{
    static const enum ha_step_kind kinds[] = {HA_STEP_BALANCER_CLAIM, HA_STEP_REPLICA_CLAIM, HA_STEP_ENDPOINT_VERIFY};
    struct ha_model *model = &c->session->observed.model;
    struct ha_plan_scope scope;
    const char *owner = holder == HA_HOLDER_REPLICA ? replica : "the balancer";
    if (model->destroy || (holder != HA_HOLDER_REPLICA && holder != HA_HOLDER_BALANCER))
        return;
    if (is_claimed_in_vain(model, holder, replica))
        take_claim_back(c);
    if (model->holder != HA_HOLDER_NONE)
        return;
    only(&scope, kinds, 3);
    model->endpoint_want = holder == HA_HOLDER_BALANCER ? HA_ENDPOINT_BALANCER : HA_ENDPOINT_REPLICA;
    model->endpoint_replica = holder == HA_HOLDER_REPLICA ? ha_model_replica(model, replica) : -1;
    int i = model->endpoint_replica;
    if (i >= 0)
        model->replicas[i].wanted = true;
    if (i >= 0 && model->has_temporary_addresses && model->replicas[i].temporary_address == HACTL_NO)
        model->replicas[i].ready = HACTL_YES; /* without an address it may not be reached; its claim is looked at */
    if (holder == HA_HOLDER_BALANCER)
        model->balancer_proved = HACTL_YES; /* it served before; its claim is looked at from outside */
    if (!execute_give_back(c, &scope)) {
        advise_dark(c, owner);
        return;
    }
    ha_change_say(c, "gave the public address back to %s", owner);
    ha_advise(c->error, "the public address was given back to %s; see `hactl status`, then run the command again",
              owner);
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

/* What made the operation fail may keep us from looking as well: while the
 * address may be dark that is no reason to leave it so. */
static int look_until_seen(struct change *c, struct ha_error *error)
{
    int64_t until_ms = ha_now_ms() + (c->run.dark ? LOOK_DARK_MS : LOOK_MS);
    for (bool said = false;; said = true) {
        *error = (struct ha_error){0};
        if (ha_session_observe(c->session, HA_SCOPE_ALL, error) == 0)
            return 0;
        bool hopeless = error->status != HA_EXIT_TIMEOUT && error->status != HA_EXIT_FAILED;
        if (hopeless || ha_now_ms() > until_ms || ha_cancelled())
            return -1;
        if (!said && c->run.dark)
            ha_change_say(c, "looking again before anything is given back: %s", error->what);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_MS * 1000000L}, NULL);
    }
}

void ha_change_give_back(struct change *c, enum ha_holder holder, const char *replica)
{
    struct ha_error unseen;
    struct ha_step failed = {.replica = -1, .group = -1};
    if (c->run.failed_step >= 0)
        failed = c->plan->steps[c->run.failed_step];
    ha_cancel_set(false);
    if (look_until_seen(c, &unseen)) {
        ha_log(HACTL_LOG_ERROR, "nothing was given back, the cluster cannot be looked at: %s", unseen.what);
        if (c->run.dark)
            ha_advise(c->error,
                      "perhaps nobody holds the public address: hactl op resume %s, as soon as `hactl status` "
                      "works",
                      c->operation);
        return;
    }
    add_unit_log(c, &failed);
    give_back_address(c, holder, replica);
    give_back_learner(c, &failed);
}
