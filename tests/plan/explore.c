/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/plan/explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/plan/laws.h"
#include "tests/plan/shapes.h"

struct exploration run;
struct ha_plan_scope every_step;

unsigned chance(unsigned of)
{
    run.random ^= run.random << 13;
    run.random ^= run.random >> 7;
    run.random ^= run.random << 17;
    return (unsigned)(run.random >> 20) % (of ? of : 1);
}

static bool insert(uint64_t *table, size_t room, uint64_t hash)
{
    size_t at = hash & (room - 1);
    while (table[at] && table[at] != hash)
        at = (at + 1) & (room - 1);
    bool fresh = !table[at];
    table[at] = hash;
    return fresh;
}

static bool first_seen(uint64_t hash)
{
    if (run.seen_count * 2 >= run.seen_room) {
        size_t room = run.seen_room ? run.seen_room * 2 : 1u << 20;
        uint64_t *table = calloc(room, sizeof *table);
        if (!table)
            exit(2);
        for (size_t i = 0; i < run.seen_room; i++)
            if (run.seen[i])
                insert(table, room, run.seen[i]);
        free(run.seen);
        run.seen = table;
        run.seen_room = room;
    }
    bool fresh = insert(run.seen, run.seen_room, hash ? hash : 1);
    run.seen_count += fresh;
    return fresh;
}

bool violation(const char *what, const struct ha_model *model, const struct ha_plan *plan, const struct ha_step *step)
{
    int k = 0;
    run.violations++;
    while (k < KINDS_OF_VIOLATION - 1 && run.violated[k].what && strcmp(run.violated[k].what, what) != 0)
        k++;
    run.violated[k].what = what;
    if (run.violated[k].times++)
        return false;
    char text[256] = "";
    if (step)
        ha_step_text(step, text, sizeof text);
    printf("# VIOLATION, with seed %llu: %s (%s)\n", (unsigned long long)run.seed, what, text);
    print_model(model);
    if (plan)
        print_plan(plan);
    if (run.first)
        exit(1);
    return true;
}

/* A step done, with the laws asked. */
static bool do_step(struct ha_model *model, const struct ha_model *start, const struct ha_plan *plan, int index)
{
    static struct ha_model before;
    copy_model(&before, model);
    ha_step_apply(model, &plan->steps[index]);
    run.steps++;
    const char *broken = law_of_step(&before, &plan->steps[index], model);
    if (broken)
        violation(broken, start, plan, &plan->steps[index]);
    return !broken;
}

static int next_of_order(const struct ha_plan *plan, const bool *done)
{
    int ready[HA_STEPS], count = 0;
    for (int i = 0; i < plan->count; i++) {
        bool may = !done[i];
        for (int n = 0; n < i && may; n++)
            may = done[n] || !ha_step_needs(&plan->steps[i], n);
        if (may)
            ready[count++] = i;
    }
    return ready[chance((unsigned)count)];
}

/* A plan made anew half way must lead to the same end with nothing new. */
static void replan(const struct ha_model *model, const struct ha_model *start, const struct ha_plan *plan, bool same)
{
    static struct ha_plan again;
    bool kinds[HA_STEP_KINDS];
    ha_plan_make(model, &every_step, &again);
    ha_plan_kinds(plan, kinds);
    run.replans++;
    if (run.shuffled)
        return;
    /* Where any replica may hold the address, another that is ready by now is as good. */
    if (plan->end.holder == HA_HOLDER_REPLICA && again.end.holder == HA_HOLDER_REPLICA &&
        again.end.endpoint_replica < 0)
        again.end.holder_replica = plan->end.holder_replica;
    enum ha_step_kind surprise = ha_plan_surprise(kinds, &again);
    if (surprise != HA_STEP_KINDS || again.converged != plan->converged ||
        (same && !same_end(&again.end, &plan->end))) {
        const char *what = surprise != HA_STEP_KINDS ? ha_step_types[surprise].name : "replanning leads elsewhere";
        if (violation(what, start, plan, NULL)) {
            printf("  -- replanned from\n");
            print_model(model);
            print_plan(&again);
        }
    }
}

static void elect_another(struct ha_model *model)
{
    for (int g = 0; g < model->group_count; g++) {
        struct ha_group *group = &model->groups[g];
        int chosen = -1;
        for (int m = 0; m < group->member_count; m++)
            if (group->members[m].voter && group->members[m].healthy == HACTL_YES && (chosen < 0 || chance(2)))
                chosen = m;
        for (int m = 0; m < group->member_count && chosen >= 0; m++)
            group->members[m].leader = m == chosen;
    }
}

static void other_order(const struct ha_model *start, const struct ha_plan *plan)
{
    static struct ha_model model, elected;
    bool done[HA_STEPS] = {false};
    model = *start;
    run.orders++;
    unsigned stop = plan->count ? chance((unsigned)plan->count) : 0;
    for (int n = 0; n < plan->count; n++) {
        int index = next_of_order(plan, done);
        done[index] = true;
        if (!do_step(&model, start, plan, index))
            return;
        if ((unsigned)n == stop || run.replans_always) {
            replan(&model, start, plan, true);
            elected = model;
            elect_another(&elected);
            replan(&elected, start, plan, true);
        }
    }
    if (!same_end(&model, &plan->end))
        violation("another order leads elsewhere", start, plan, NULL);
}

enum fault {
    DIES,
    STOPS,
    HANGS,
    UNKNOWN,
    VANISHES,
    DATA_LOST,
    FAULTS_OF_REPLICA,
    HOLDER_LOST = FAULTS_OF_REPLICA,
    HOLDER_UNKNOWN,
    BALANCER_DIES,
    ELECTION,
    FAULTS
};

static void lose_health(struct ha_model *model, int replica, enum hactl_tristate healthy)
{
    struct ha_replica *r = &model->replicas[replica];
    r->ready = healthy;
    if (r->backend == HA_BACKEND_SERVING)
        r->backend = HA_BACKEND_WAITING;
    for (int g = 0; g < model->group_count; g++) {
        int m = ha_model_member_of(&model->groups[g], replica);
        if (m >= 0)
            model->groups[g].members[m].healthy = model->groups[g].members[m].caught_up = healthy;
    }
}

static bool hurt_replica(struct ha_model *model, enum fault fault, int i)
{
    struct ha_replica *r = &model->replicas[i];
    if (r->instance != HACTL_INSTANCE_RUNNING)
        return false;
    lose_health(model, i, fault == UNKNOWN ? HACTL_UNKNOWN : HACTL_NO);
    if (fault == STOPS)
        r->instance = HACTL_INSTANCE_STOPPED;
    r->instance = fault == UNKNOWN ? HACTL_INSTANCE_UNKNOWN : fault == VANISHES ? HACTL_INSTANCE_ABSENT : r->instance;
    r->data = fault == UNKNOWN ? HACTL_UNKNOWN : fault == DATA_LOST ? HACTL_NO : r->data;
    for (int p = 0; p < model->payload_count; p++)
        if (fault == UNKNOWN || fault == VANISHES)
            r->deliveries[p] = fault == UNKNOWN ? HA_DELIVERY_UNKNOWN : HA_DELIVERY_NONE;
        else if ((fault == DIES || fault == DATA_LOST) && r->deliveries[p] != HA_DELIVERY_NONE &&
                 p < model->group_count)
            r->deliveries[p] = HA_DELIVERY_DEAD;
    return true;
}

/* False: it makes no difference here. */
static bool hurt(struct ha_model *model, enum fault fault, int i)
{
    if (fault < FAULTS_OF_REPLICA) {
        if (!hurt_replica(model, fault, i))
            return false;
    } else if (fault == HOLDER_LOST || fault == HOLDER_UNKNOWN) {
        if (model->holder == HA_HOLDER_NONE || model->holder == HA_HOLDER_UNKNOWN)
            return false;
        model->holder = fault == HOLDER_LOST ? HA_HOLDER_NONE : HA_HOLDER_UNKNOWN;
        model->holder_replica = -1;
        model->endpoint_answers = HACTL_NO;
    } else if (fault == BALANCER_DIES) {
        if (model->balancer != HACTL_YES)
            return false;
        model->balancer = model->balancer_proved = HACTL_NO;
        for (int r = 0; r < model->replica_count; r++)
            model->replicas[r].backend = HA_BACKEND_NONE;
    } else {
        elect_another(model);
    }
    observe_again(model);
    return true;
}

static void let_things_go_wrong(const struct ha_model *model, int faults_left)
{
    struct ha_model *hurt_model = malloc(sizeof *hurt_model);
    if (!hurt_model)
        exit(2);
    for (int fault = 0; fault < FAULTS; fault++)
        for (int i = 0; i < (fault < FAULTS_OF_REPLICA ? model->replica_count : 1); i++) {
            if (chance(run.faults_of))
                continue;
            copy_model(hurt_model, model);
            if (!hurt(hurt_model, (enum fault)fault, i))
                continue;
            run.faults++;
            explore(hurt_model, faults_left - 1);
        }
    free(hurt_model);
}

/* Interrupted here: seen anew, the quorum may look different from what was expected. */
static void interrupted(const struct ha_model *model, int faults_left)
{
    struct ha_model *seen = malloc(sizeof *seen);
    if (!seen)
        exit(2);
    copy_model(seen, model);
    observe_again(seen);
    if (hash_of(seen) != hash_of(model))
        explore(seen, 0);
    free(seen);
    if (faults_left > 0)
        let_things_go_wrong(model, faults_left);
}

void explore(const struct ha_model *start, int faults_left)
{
    if (!first_seen(hash_of(start)))
        return;
    struct ha_plan *plan = malloc(sizeof *plan);
    struct ha_model *model = malloc(sizeof *model);
    if (!plan || !model)
        exit(2);
    run.states++;
    run.plans++;
    ha_plan_make(start, &every_step, plan);
    run.blocked += !plan->converged;
    run.due += must_converge(start);
    run.longest = (unsigned long long)plan->count > run.longest ? (unsigned long long)plan->count : run.longest;
    const char *broken = law_of_plan(start, &every_step, plan);
    if (broken)
        violation(broken, start, plan, NULL);
    *model = *start;
    for (int i = 0; i < plan->count; i++) {
        if (!do_step(model, start, plan, i))
            break;
        interrupted(model, faults_left);
    }
    if (plan->count && !same_end(model, &plan->end))
        violation("carried out, it ends elsewhere", start, plan, NULL);
    if (plan->count && !chance(run.orders_of))
        other_order(start, plan);
    free(plan);
    free(model);
}
