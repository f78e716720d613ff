/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of well-known situations, step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/plan/laws.h"
#include "tests/plan/shapes.h"

#define YES           HACTL_YES
#define NO            HACTL_NO
#define DUNNO         HACTL_UNKNOWN

#define ABSENT_UNITS  HA_DELIVERY_NONE, HA_DELIVERY_NONE
#define RUNNING_UNITS HA_DELIVERY_RUNNING, HA_DELIVERY_RUNNING
#define VOTER         M_VOTER, YES, YES, YES
#define DEAD_VOTER    M_VOTER, NO, NO, NO
#define RUNS          HACTL_INSTANCE_RUNNING, YES
#define HELD          YES, HA_CERTIFICATES_READY

/* Words for situations; a leading minus in a scenario makes one that is not wanted. */
static const struct {
    const char *word;
    struct situation is;
} words[] = {
    {"serving", {1, 0, HELD, RUNS, RUNNING_UNITS, VOTER, HA_BACKEND_SERVING, RESTARTS}},
    {"lone", {1, 0, HELD, RUNS, RUNNING_UNITS, VOTER, HA_BACKEND_NONE, RESTARTS}},
    {"new",
     {1, 0, NO, HA_CERTIFICATES_NONE, HACTL_INSTANCE_ABSENT, YES, ABSENT_UNITS, M_NONE, NO, NO, NO, HA_BACKEND_NONE,
      RESTARTS}},
    {"founder",
     {1, 1, NO, HA_CERTIFICATES_NONE, HACTL_INSTANCE_ABSENT, YES, ABSENT_UNITS, M_NONE, NO, NO, NO, HA_BACKEND_NONE,
      RESTARTS}},
    {"created", {1, 1, HELD, RUNS, ABSENT_UNITS, M_NONE, NO, NO, NO, HA_BACKEND_NONE, RESTARTS}},
    {"started",
     {1, 1, HELD, RUNS, HA_DELIVERY_RUNNING, HA_DELIVERY_NONE, M_NONE, NO, NO, NO, HA_BACKEND_NONE, RESTARTS}},
    {"stopped", {1, 0, HELD, HACTL_INSTANCE_STOPPED, YES, RUNNING_UNITS, DEAD_VOTER, HA_BACKEND_NONE, RESTARTS}},
    {"dead", {1, 0, HELD, RUNS, HA_DELIVERY_DEAD, HA_DELIVERY_RUNNING, DEAD_VOTER, HA_BACKEND_WAITING, RESTARTS}},
    {"hung", {1, 0, HELD, RUNS, RUNNING_UNITS, DEAD_VOTER, HA_BACKEND_WAITING, RESTARTS}},
    {"gone", {1, 0, HELD, HACTL_INSTANCE_ABSENT, YES, ABSENT_UNITS, DEAD_VOTER, HA_BACKEND_WAITING, RESTARTS}},
    {"wiped",
     {1, 0, HELD, HACTL_INSTANCE_RUNNING, NO, HA_DELIVERY_DEAD, HA_DELIVERY_RUNNING, DEAD_VOTER, HA_BACKEND_WAITING,
      RESTARTS}},
    {"unseen",
     {1, 0, HELD, HACTL_INSTANCE_UNKNOWN, DUNNO, HA_DELIVERY_UNKNOWN, HA_DELIVERY_UNKNOWN, M_VOTER, DUNNO, DUNNO, DUNNO,
      HA_BACKEND_WAITING, RESTARTS}},
    {"unseen-dead",
     {1, 0, HELD, HACTL_INSTANCE_UNKNOWN, DUNNO, HA_DELIVERY_UNKNOWN, HA_DELIVERY_UNKNOWN, DEAD_VOTER,
      HA_BACKEND_WAITING, RESTARTS}},
    {"added", {1, 0, HELD, RUNS, ABSENT_UNITS, M_LEARNER, NO, NO, NO, HA_BACKEND_NONE, RESTARTS}},
    {"expired", {1, 0, YES, HA_CERTIFICATES_STALE, RUNS, RUNNING_UNITS, VOTER, HA_BACKEND_SERVING, RESTARTS}},
    {"renewed", {1, 0, YES, HA_CERTIFICATES_STALE, RUNS, RUNNING_UNITS, VOTER, HA_BACKEND_SERVING, REREADS}},
    {"rekeyed", {1, 0, YES, HA_CERTIFICATES_STALE, RUNS, RUNNING_UNITS, VOTER, HA_BACKEND_SERVING, REKEYS}},
    {"former",
     {1, 0, HELD, RUNS, HA_DELIVERY_DEAD, HA_DELIVERY_RUNNING, M_NONE, NO, NO, NO, HA_BACKEND_NONE, RESTARTS}},
};

struct scenario {
    const char *name, *replicas;
    const char *holder; /* "balancer", "nobody", "r1" */
    bool balancer_runs;
    struct surroundings around;
    void (*also)(struct ha_model *model, struct ha_plan_scope *scope);
    const char *expected; /* one step a line; "!" guarded; "blocked: ..." the first reason */
};

static void from_nothing(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    model->address = model->authority = NO;
    model->has_firewall = false;
    model->operator_certificates = HA_CERTIFICATES_NONE;
}

static void replicas_make_keys(struct ha_model *model, struct ha_plan_scope *scope)
{
    from_nothing(model, scope);
    model->replica_keys = true;
}

static void temporary_addresses(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    model->has_temporary_addresses = true;
    for (int i = 0; i < model->replica_count; i++)
        model->replicas[i].temporary_address =
            model->holder == HA_HOLDER_REPLICA && model->holder_replica == i ? NO : YES;
}

/* Killed in the middle of a hand-over, where hactl's way to a replica is its external address: r1 has none. */
static void cut_off(struct ha_model *model, struct ha_plan_scope *scope)
{
    temporary_addresses(model, scope);
    model->replicas[0].temporary_address = NO;
    model->replicas[0].ready = NO;
}

/* The only one: not even its group can be asked. */
static void cut_off_alone(struct ha_model *model, struct ha_plan_scope *scope)
{
    cut_off(model, scope);
    model->groups[0].formed = HACTL_UNKNOWN;
    model->groups[0].formed_before = true;
    model->groups[0].quorum = NO;
    model->groups[0].member_count = 0;
}

/* Somebody took away the rule by which hactl reaches the replicas. */
static void shut_out(struct ha_model *model, struct ha_plan_scope *scope)
{
    cut_off_alone(model, scope);
    model->has_temporary_addresses = false;
    model->has_firewall = true;
    model->firewall = NO;
}

/* A claim makes room for itself, or replicas have no addresses of their own. */
static void temporary_addresses_in_nobodys_way(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    model->has_temporary_addresses = true;
    for (int i = 0; i < model->replica_count; i++)
        model->replicas[i].temporary_address = HACTL_UNKNOWN;
}

/* The machine is gone, and with it the keys of certificates that are still there. */
static void keys_are_gone(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    model->replica_keys = true;
}

static void certificates_only(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)model;
    for (int kind = 0; kind < HA_STEP_KINDS; kind++)
        scope->enabled[kind] = strcmp(ha_step_types[kind].stage, "certificates") == 0;
}

static void two_holders(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    model->holder = HA_HOLDER_BOTH;
    model->holder_replica = 0;
}

/* A payload more than yesterday: a group that was never formed, and nothing of it anywhere. */
static void second_founded(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    for (int i = 0; i < model->replica_count; i++)
        model->replicas[i].founding = true;
}

static void rotation_to(struct ha_model *model, enum ha_rotation_goal goal, enum hactl_rotation found)
{
    snprintf(model->rotation, sizeof model->rotation, "ca");
    model->rotation_goal = goal;
    model->rotation_found = found;
    model->rotation_payloads = 1;
    model->rotation_rereads = 0;
    model->rotation_of_each = true;
}

static void to_trust(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    rotation_to(model, HA_ROTATE_TRUST, HACTL_ROTATION_PREPARE);
}

static void to_switch(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    rotation_to(model, HA_ROTATE_SWITCH, HACTL_ROTATION_TRUST);
}

static void to_switch_rereading(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    rotation_to(model, HA_ROTATE_SWITCH, HACTL_ROTATION_TRUST);
    model->rotation_rereads = UINT8_MAX;
}

static void to_switch_unproved(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    rotation_to(model, HA_ROTATE_SWITCH, HACTL_ROTATION_TRUST);
    model->replicas[1].unproved = 1;
}

static void to_the_end(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    rotation_to(model, HA_ROTATE_RETIRE, HACTL_ROTATION_SWITCH);
}

static void taken_back(struct ha_model *model, struct ha_plan_scope *scope)
{
    (void)scope;
    rotation_to(model, HA_ROTATE_BACK, HACTL_ROTATION_PREPARE);
}

#include "tests/plan/scenarios.inc"

static const struct situation *situation_named(const char *word)
{
    static struct situation made[HA_REPLICAS];
    static int next;
    bool wanted = word[0] != '-';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, word + !wanted) == 0) {
            struct situation *s = &made[next++ % HA_REPLICAS];
            *s = words[i].is;
            s->wanted = wanted;
            return s;
        }
    fail_msg("no situation %s", word);
    return NULL;
}

static void build(const struct scenario *scenario, struct ha_model *model)
{
    char copy[256], *rest = copy, *word;
    const struct situation *chosen[HA_REPLICAS];
    int count = 0;
    snprintf(copy, sizeof copy, "%s", scenario->replicas);
    while ((word = strsep(&rest, " ")))
        chosen[count++] = situation_named(word);
    struct surroundings around = scenario->around;
    around.balancer = around.proved = scenario->balancer_runs ? YES : NO;
    around.holder = strcmp(scenario->holder, "balancer") == 0 ? HA_HOLDER_BALANCER
                    : strcmp(scenario->holder, "nobody") == 0 ? HA_HOLDER_NONE
                                                              : HA_HOLDER_REPLICA;
    around.holder_replica = around.holder == HA_HOLDER_REPLICA ? atoi(scenario->holder + 1) - 1 : -1;
    build_model(chosen, count, &around, model);
}

static void tell(const struct ha_plan *plan, char *out, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < plan->count; i++) {
        const struct ha_step *step = &plan->steps[i];
        used += (size_t)snprintf(
            out + used, size - used, "%s%s%s%s%s\n", step->guarded ? "!" : "", ha_step_types[step->kind].name,
            strstr(ha_step_types[step->kind].says, "%s") ? " " : "",
            strstr(ha_step_types[step->kind].says, "%s") ? step->subject : "", step->to[0] ? " to another" : "");
    }
    if (!plan->converged)
        snprintf(out + used, size - used, "blocked: %s\n", plan->blocked[0]);
}

static void check_scenario(void **state)
{
    const struct scenario *scenario = *state;
    struct ha_model *model = malloc(sizeof *model), *before = malloc(sizeof *before);
    struct ha_plan *plan = malloc(sizeof *plan);
    struct ha_plan_scope scope;
    char told[16384] = "";
    assert_true(model && before && plan);
    ha_plan_scope_all(&scope);
    build(scenario, model);
    if (scenario->also)
        scenario->also(model, &scope);
    ha_plan_make(model, &scope, plan);
    tell(plan, told, sizeof told);
    if (getenv("HACTL_TEST_SHOW"))
        printf("== %s\n%s", scenario->name, told);
    else
        assert_string_equal(told, scenario->expected);
    for (int i = 0; i < plan->count; i++) {
        *before = *model;
        ha_step_apply(model, &plan->steps[i]);
        const char *broken = law_of_step(before, &plan->steps[i], model);
        if (broken)
            fail_msg("step %d: %s", i, broken);
    }
    free(model);
    free(before);
    free(plan);
}

/* Consent given once covers waiting and the move of leadership, nothing else. */
static void check_surprises(void **state)
{
    (void)state;
    static struct ha_plan plan;
    bool agreed[HA_STEP_KINDS] = {[HA_STEP_MEMBER_REMOVE] = true};
    plan.count = 2;
    plan.steps[0].kind = HA_STEP_GROUP_AWAIT;
    plan.steps[1].kind = HA_STEP_LEADER_MOVE;
    assert_int_equal(ha_plan_surprise(agreed, &plan), HA_STEP_KINDS);
    plan.steps[1].kind = HA_STEP_INSTANCE_DELETE;
    assert_int_equal(ha_plan_surprise(agreed, &plan), HA_STEP_INSTANCE_DELETE);
}

/* A change of membership that was agreed to is made only while it is that change. */
static void check_still_planned(void **state)
{
    (void)state;
    static const struct scenario dead = {"", "serving serving -dead", "balancer", true, {.formed = true}, NULL, NULL};
    static struct ha_model model, now;
    static struct ha_plan plan;
    struct ha_plan_scope scope;
    int at = -1;
    ha_plan_scope_all(&scope);
    build(&dead, &model);
    ha_plan_make(&model, &scope, &plan);
    for (int i = 0; i < plan.count; i++)
        if (plan.steps[i].kind == HA_STEP_MEMBER_REMOVE)
            at = i;
    assert_true(at >= 0);
    const struct ha_step *removal = &plan.steps[at];
    assert_false(removal->guarded);
    assert_true(ha_step_still_planned(&model, removal));
    int m = ha_model_member_of(&model.groups[0], removal->replica);
    now = model;
    now.groups[0].members[m].healthy = YES;
    assert_false(ha_step_still_planned(&now, removal)); /* that one has come back: the budget would fall to zero */
    now = model;
    now.groups[0].quorum = NO;
    assert_false(ha_step_still_planned(&now, removal));
    now = model;
    now.groups[0].members[m == 0 ? 1 : 0].healthy = NO;
    assert_false(ha_step_still_planned(&now, removal));

    struct ha_step follower = *removal;
    follower.healthy = YES;
    follower.guarded = true;
    now = model;
    now.groups[0].members[m].healthy = YES;
    assert_true(ha_step_still_planned(&now, &follower));
    now.groups[0].members[m].leader = true;
    assert_false(ha_step_still_planned(&now, &follower)); /* it has been elected meanwhile */
}

static int step_of(const struct ha_plan *plan, enum ha_step_kind kind, int replica)
{
    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].kind == kind && (replica < 0 || plan->steps[i].replica == replica))
            return i;
    return -1;
}

/* It may be interrupted where it stands because the other one has left the balancer: so not before that. */
static void check_interruption_waits(void **state)
{
    (void)state;
    static const struct scenario leaving = {
        "", "-hung -stopped rekeyed", "balancer", true, {.formed = true, .want = HA_ENDPOINT_BALANCER}, NULL, NULL};
    static struct ha_model model;
    static struct ha_plan plan;
    struct ha_plan_scope scope;
    ha_plan_scope_all(&scope);
    build(&leaving, &model);
    model.replicas[0].backend = HA_BACKEND_SERVING; /* the balancer has not noticed yet */
    ha_plan_make(&model, &scope, &plan);
    int leaves = step_of(&plan, HA_STEP_BACKEND_REMOVE, 0), delivery = step_of(&plan, HA_STEP_CERTIFICATE_DELIVER, 2);
    assert_true(leaves >= 0 && delivery > leaves);
    assert_true(ha_step_needs(&plan.steps[delivery], leaves));
}

/* What is left of a former member has to be made anew, and a healthy voter of another group is not deleted. */
static void check_former_joins_nothing(void **state)
{
    (void)state;
    static const struct scenario former = {"",
                                           "serving serving serving former",
                                           "balancer",
                                           true,
                                           {.formed = true, .repair = true, .second_group = 1},
                                           NULL,
                                           NULL};
    static struct ha_model model;
    static struct ha_plan plan;
    struct ha_plan_scope scope;
    ha_plan_scope_all(&scope);
    build(&former, &model);
    model.replicas[3].deliveries[1] = HA_DELIVERY_NONE; /* of the second group it has nothing */
    model.replicas[3].backend = HA_BACKEND_WAITING;     /* so that its machine cannot go at once */
    ha_plan_make(&model, &scope, &plan);
    int joins = step_of(&plan, HA_STEP_MEMBER_ADD, 3), goes = step_of(&plan, HA_STEP_INSTANCE_DELETE, 3);
    assert_true(goes >= 0 && joins > goes);
    assert_true(plan.converged);
}

/* A restart that has to wait for a dead member to be removed comes before one that serves leaves for good:
 * meanwhile that one is who answers. */
static void check_leaver_serves_during_restart(void **state)
{
    (void)state;
    static const struct scenario leaver = {
        "", "-serving -dead -lone serving", "balancer", true, {.formed = true}, NULL, NULL};
    static struct ha_model model;
    static struct ha_plan plan;
    struct ha_plan_scope scope;
    ha_plan_scope_all(&scope);
    build(&leaver, &model);
    model.replicas[3].deliveries[0] = HA_DELIVERY_STALE;
    ha_plan_make(&model, &scope, &plan);
    int leaves = step_of(&plan, HA_STEP_BACKEND_REMOVE, 0), drains = step_of(&plan, HA_STEP_BACKEND_REMOVE, 3);
    int restarts = step_of(&plan, HA_STEP_MEMBER_START, 3);
    assert_true(drains >= 0 && restarts > drains);
    assert_true(leaves < 0 || leaves > restarts); /* or with the balancer, which a lone one does without */
    assert_true(plan.converged);
}

/* The balancer has not noticed yet that one that is to leave is dead. It goes before another is drained, which
 * would rely on it; and it would stay for good as the last one that serves. */
static void check_dead_go_before_drains(void **state)
{
    (void)state;
    static const struct scenario dead = {"", "serving expired -hung", "balancer", true, {.formed = true}, NULL, NULL};
    static struct ha_model model;
    static struct ha_plan plan;
    struct ha_plan_scope scope;
    ha_plan_scope_all(&scope);
    build(&dead, &model);
    model.replicas[0].deliveries[0] = model.replicas[0].deliveries[1] = HA_DELIVERY_STALE;
    model.replicas[2].backend = HA_BACKEND_SERVING;
    ha_plan_make(&model, &scope, &plan);
    int leaves = step_of(&plan, HA_STEP_BACKEND_REMOVE, 2), drains = step_of(&plan, HA_STEP_BACKEND_REMOVE, 0);
    assert_true(leaves >= 0 && drains > leaves);
    assert_true(plan.converged);
}

/* A large database is not given up while it is copied. */
static void check_catching_up_takes_its_time(void **state)
{
    (void)state;
    static struct ha_model model;
    struct ha_step step = {.kind = HA_STEP_MEMBER_CATCH_UP};
    int64_t empty_ms = ha_step_limit_ms(&model, &step);
    assert_true(empty_ms >= 30000);
    model.groups[0].db_size_bytes = INT64_C(8) << 30;
    assert_true(ha_step_limit_ms(&model, &step) >= empty_ms + 1717000);
    step.kind = HA_STEP_MEMBER_ADD;
    assert_int_equal(ha_step_limit_ms(&model, &step), ha_step_types[HA_STEP_MEMBER_ADD].deadline_ms);
}

int main(void)
{
    enum { COUNT = sizeof scenarios / sizeof *scenarios };
    struct CMUnitTest tests[COUNT + 7];
    for (int i = 0; i < COUNT; i++)
        tests[i] = (struct CMUnitTest){scenarios[i].name, check_scenario, NULL, NULL, (void *)(uintptr_t)&scenarios[i]};
    tests[COUNT] = (struct CMUnitTest)cmocka_unit_test(check_surprises);
    tests[COUNT + 1] = (struct CMUnitTest)cmocka_unit_test(check_still_planned);
    tests[COUNT + 2] = (struct CMUnitTest)cmocka_unit_test(check_interruption_waits);
    tests[COUNT + 3] = (struct CMUnitTest)cmocka_unit_test(check_former_joins_nothing);
    tests[COUNT + 4] = (struct CMUnitTest)cmocka_unit_test(check_leaver_serves_during_restart);
    tests[COUNT + 5] = (struct CMUnitTest)cmocka_unit_test(check_dead_go_before_drains);
    tests[COUNT + 6] = (struct CMUnitTest)cmocka_unit_test(check_catching_up_takes_its_time);
    return cmocka_run_group_tests_name("planner", tests, NULL, NULL);
}
