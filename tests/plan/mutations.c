/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the model check worth anything? It is run again with a rule of the planner
 * spoilt, once for each way to spoil one in the table below, and has to find each.
 *
 * This is model_check.c with `ha_rules` of its own in front of the planner's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ha_rules ha_rules_as_they_are
#include "core/planner_table.c"
#undef ha_rules

int model_check(int argc, char **argv);
#define main model_check
#include "tests/plan/model_check.c"
#undef main

enum how { NEVER, DESPITE_DEAD_VOTERS, NOT_DEAD_AND_LOST, DESPITE_UNKNOWN_BALANCER, DESPITE_SILENCE };

static const struct mutation {
    const char *says;
    enum ha_step_kind kind;
    enum how how;
} mutations[] = {
    {"a learner is added while a voter is dead", HA_STEP_MEMBER_ADD, DESPITE_DEAD_VOTERS},
    {"a dead and lost member that is wanted is never removed", HA_STEP_MEMBER_REMOVE, NOT_DEAD_AND_LOST},
    {"a replica takes an address that a balancer may have", HA_STEP_REPLICA_CLAIM, DESPITE_UNKNOWN_BALANCER},
    {"a replica takes the address though it does not answer", HA_STEP_REPLICA_CLAIM, DESPITE_SILENCE},
    {"internal-address-reserve never", HA_STEP_INTERNAL_ADDRESS_RESERVE, NEVER},
    {"internal-address-delete never", HA_STEP_INTERNAL_ADDRESS_DELETE, NEVER},
    {"certificate-issue never", HA_STEP_CERTIFICATE_ISSUE, NEVER},
    {"certificate-deliver never", HA_STEP_CERTIFICATE_DELIVER, NEVER},
    {"authority-rotate never", HA_STEP_AUTHORITY_ROTATE, NEVER},
    {"certificate-retire never", HA_STEP_CERTIFICATE_RETIRE, NEVER},
    {"instance-create never", HA_STEP_INSTANCE_CREATE, NEVER},
    {"instance-start never", HA_STEP_INSTANCE_START, NEVER},
    {"instance-delete never", HA_STEP_INSTANCE_DELETE, NEVER},
    {"member-add never", HA_STEP_MEMBER_ADD, NEVER},
    {"member-start never", HA_STEP_MEMBER_START, NEVER},
    {"group-await never", HA_STEP_GROUP_AWAIT, NEVER},
    {"member-catch-up never", HA_STEP_MEMBER_CATCH_UP, NEVER},
    {"member-promote never", HA_STEP_MEMBER_PROMOTE, NEVER},
    {"leader-move never", HA_STEP_LEADER_MOVE, NEVER},
    {"member-remove never", HA_STEP_MEMBER_REMOVE, NEVER},
    {"components-start never", HA_STEP_COMPONENTS_START, NEVER},
    {"replica-await never", HA_STEP_REPLICA_AWAIT, NEVER},
    {"balancer-build never", HA_STEP_BALANCER_BUILD, NEVER},
    {"backend-add never", HA_STEP_BACKEND_ADD, NEVER},
    {"backend-remove never", HA_STEP_BACKEND_REMOVE, NEVER},
    {"balancer-await never", HA_STEP_BALANCER_AWAIT, NEVER},
    {"replica-release never", HA_STEP_REPLICA_RELEASE, NEVER},
    {"replica-claim never", HA_STEP_REPLICA_CLAIM, NEVER},
    {"balancer-release never", HA_STEP_BALANCER_RELEASE, NEVER},
    {"balancer-claim never", HA_STEP_BALANCER_CLAIM, NEVER},
    {"balancer-delete never", HA_STEP_BALANCER_DELETE, NEVER},
    {"endpoint-verify never", HA_STEP_ENDPOINT_VERIFY, NEVER},
};

static const struct mutation *mutation;

static bool of_altered(const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_step *out)
{
    static struct ha_model altered;
    altered = *model;
    for (int g = 0; g < altered.group_count && mutation->how == DESPITE_DEAD_VOTERS; g++)
        for (int m = 0; m < altered.groups[g].member_count; m++)
            altered.groups[g].members[m].healthy = HACTL_YES;
    if (mutation->how == DESPITE_UNKNOWN_BALANCER && altered.balancer == HACTL_UNKNOWN)
        altered.balancer = HACTL_NO;
    for (int i = 0; i < altered.replica_count && mutation->how == DESPITE_SILENCE; i++)
        altered.replicas[i].ready = HACTL_YES;
    return ha_rules_as_they_are[mutation->kind](&altered, scope, out);
}

static bool rule(int kind, const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_step *out)
{
    if (!mutation || (int)mutation->kind != kind)
        return ha_rules_as_they_are[kind](model, scope, out);
    if (mutation->how == NEVER)
        return false;
    if (mutation->how == NOT_DEAD_AND_LOST)
        return ha_rules_as_they_are[kind](model, scope, out) &&
               (out->replica < 0 || !model->replicas[out->replica].wanted);
    return of_altered(model, scope, out);
}

/* A function each, as the planner's table has them. */
#define TEN(of, tens)                                                                                           \
    of(tens##0) of(tens##1) of(tens##2) of(tens##3) of(tens##4) of(tens##5) of(tens##6) of(tens##7) of(tens##8) \
        of(tens##9)
#define ALL(of) TEN(of, 1) TEN(of, 2) TEN(of, 3) TEN(of, 4) TEN(of, 5)
#define FUNCTION(n)                                                                                            \
    static bool rule_##n(const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_step *out) \
    {                                                                                                          \
        return rule(n - 10, model, scope, out);                                                                \
    }
ALL(FUNCTION)

_Static_assert(HA_STEP_KINDS <= 50, "more kinds of steps than rules");
#define ENTRY(n) [n - 10] = rule_##n,
extern ha_rule *const ha_rules[50];
ha_rule *const ha_rules[50] = {ALL(ENTRY)};

/* `one`: NULL, the planner as it is. Returns the model check's exit status. */
static int check_with(const struct mutation *one)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {(char *)"model_check", (char *)"--first", NULL};
        mutation = one;
        if (!freopen("/dev/null", "w", stdout))
            _exit(2);
        exit(model_check(2, argv));
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

int main(void)
{
    enum { COUNT = sizeof mutations / sizeof *mutations };
    int missed = check_with(NULL) != 0;
    printf("%sok 1 - with the planner as it is, there is nothing to find\n", missed ? "not " : "");
    for (int i = 0; i < COUNT; i++) {
        bool found = check_with(&mutations[i]) == 1;
        missed += !found;
        printf("%sok %d - found: %s\n", found ? "" : "not ", i + 2, mutations[i].says);
        fflush(stdout);
    }
    printf("1..%d\n", COUNT + 1);
    return missed > 0;
}
