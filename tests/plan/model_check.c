/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks the planner against laws.c: from every cluster that shapes.c can make
 * it plans, carries the plan out step by step in the model, in the planned
 * order and in others that `needs` allows, and lets things go wrong on the way.
 * Clusters of six and seven are walked through (walk.c): every state, once; of
 * other orders and faults they have samples.
 *
 *   model_check [--all] [--first] [--seed N]
 *   model_check --random FROM TO [--first]
 *
 * --first: the first violation is the end of it. --random: only clusters made at
 * random, anew with each seed of those named.
 */
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/plan/laws.h"
#include "tests/plan/shapes.h"
#include "tests/plan/walk.h"
#include "tests/plan/workers.h"

/* Of formed_situations: those whose certificates, or restarts, are on their way. */
enum { FILES_FROM = 12, FILES_COUNT = 12 };
enum { TYPES = 32768, KINDS_OF_VIOLATION = 64, LARGEST = 7, WALKED_STATES = 30000000 };

static struct {
    unsigned long long clusters, states, plans, steps, faults, orders, replans, blocked, due, longest;
    int violations;
    struct {
        const char *what;
        unsigned long long times;
    } violated[KINDS_OF_VIOLATION];
    bool all, first, shuffled, walks, replans_always;
    uint64_t seed; /* as the user gave it */
    struct walk_counts walked;
    unsigned faults_of, orders_of; /* one in so many */
    unsigned slice, slices;
    clock_t began;
    uint64_t random;
    uint64_t *seen; /* hashes; 0: free */
    size_t seen_room, seen_count;
} run;

/* Of all processes. */
static struct {
    atomic_ullong states, transitions, violations;
    struct {
        atomic_ullong clusters, states, steps, interrupted, blocked, due;
    } walked[LARGEST + 1];
} * total;

static struct ha_plan_scope every_step;

static unsigned chance(unsigned of)
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

/* True for the first of its kind, which is shown. */
static bool violation(const char *what, const struct ha_model *model, const struct ha_plan *plan,
                      const struct ha_step *step)
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

static void explore(const struct ha_model *start, int faults_left);

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

static void explore(const struct ha_model *start, int faults_left)
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

/* ---- clusters */

static void walk_violation(const char *what, const struct ha_model *start, const struct ha_step *step)
{
    static struct ha_plan plan;
    ha_plan_make(start, &every_step, &plan);
    violation(what, start, &plan, step);
}

/* Zones matter to what people are told, and to nothing else. */
static void try_zones(const struct situation *const *situations, int count, struct surroundings around)
{
    static struct ha_model model;
    for (around.zones = 0; around.zones <= count; around.zones++) {
        const char *wrong = build_model(situations, count, &around, &model) ? law_of_warnings(&model) : NULL;
        if (wrong)
            violation(wrong, &model, NULL, NULL);
    }
}

static void try_cluster(const struct situation *const *situations, int count, struct surroundings around, int faults)
{
    static struct ha_model model;
    around.zones = (int)(run.clusters % 4);
    if (!build_model(situations, count, &around, &model))
        return;
    run.clusters++;
    if (run.walks)
        walk(&model, &every_step, walk_violation, &run.walked);
    else
        explore(&model, faults);
}

/* Who holds the address: nobody, the balancer, unknown, or one of each kind of replica. */
static void try_holders(const struct situation *const *situations, int count, struct surroundings around, int faults)
{
    static const struct {
        enum hactl_tristate balancer, proved;
        enum ha_holder holder;
    } ends[] = {{HACTL_YES, HACTL_YES, HA_HOLDER_BALANCER}, {HACTL_YES, HACTL_NO, HA_HOLDER_NONE},
                {HACTL_NO, HACTL_NO, HA_HOLDER_NONE},       {HACTL_NO, HACTL_NO, HA_HOLDER_BALANCER},
                {HACTL_YES, HACTL_YES, HA_HOLDER_UNKNOWN},  {HACTL_UNKNOWN, HACTL_NO, HA_HOLDER_BALANCER}};
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
        around.balancer = ends[e].balancer;
        around.proved = ends[e].proved;
        around.holder = ends[e].holder;
        try_cluster(situations, count, around, faults);
    }
    around.holder = HA_HOLDER_REPLICA;
    for (int i = 0; i < count; i++) {
        if (i && situations[i] == situations[i - 1])
            continue;
        around.holder_replica = i;
        for (int b = 0; b < 2; b++) {
            around.balancer = b ? HACTL_YES : HACTL_NO;
            around.proved = HACTL_NO;
            try_cluster(situations, count, around, faults);
        }
        around.holder = HA_HOLDER_BOTH;
        if (!around.repair)
            try_cluster(situations, count, around, faults);
        around.holder = HA_HOLDER_REPLICA;
    }
}

static void try_repair(const struct situation *const *situations, int count, struct surroundings around, int faults)
{
    for (int repair = 0; repair < 2; repair++) {
        around.repair = repair;
        try_holders(situations, count, around, faults);
    }
}

/* Every multiset of `count` out of the first `kinds` situations of a table, or one slice of them. */
static void multisets(const struct situation *table, int kinds, int count, struct surroundings around, int faults,
                      unsigned one_in)
{
    unsigned index = 0;
    const struct situation *chosen[HA_REPLICAS];
    int digit[HA_REPLICAS] = {0};
    for (;;) {
        for (int i = 0; i < count; i++)
            chosen[i] = &table[digit[i]];
        if (index++ % run.slices == run.slice && !chance(one_in)) {
            try_zones(chosen, count, around);
            try_repair(chosen, count, around, faults);
        }
        int at = count - 1;
        while (at >= 0 && digit[at] == kinds - 1)
            at--;
        if (at < 0)
            return;
        digit[at]++;
        for (int i = at + 1; i < count; i++)
            digit[i] = digit[at];
    }
}

/* Every situation there can be, alone and in pairs, among healthy ones. */
static void odd_ones(unsigned one_in_pairs, int faults)
{
    static struct situation every[TYPES];
    int kinds = every_situation(every, TYPES);
    const struct situation *chosen[HA_REPLICAS];
    struct surroundings around = {.formed = true};
    printf("# %d situations of one replica\n", kinds);
    for (int healthy = 0; healthy < 4; healthy++)
        for (int a = 0; a < kinds; a++)
            for (int b = -1; b < kinds; b++) {
                int count = 0;
                if (b >= 0 && (b < a || chance(one_in_pairs)))
                    continue;
                chosen[count++] = &every[a];
                if (b >= 0)
                    chosen[count++] = &every[b];
                for (int h = 0; h < healthy; h++)
                    chosen[count++] = &formed_situations[0];
                if (b < 0 && (run.all || !chance(4)))
                    try_repair(chosen, count, around, faults);
                around.repair = chance(2);
                around.holder = b < 0 ? HA_HOLDER_NONE : chance(2) ? HA_HOLDER_BALANCER : HA_HOLDER_REPLICA;
                around.holder_replica = (int)chance((unsigned)count);
                around.balancer = around.proved = chance(8) ? HACTL_YES : HACTL_NO;
                try_cluster(chosen, count, around, 0);
            }
}

static void ordered_stages(void)
{
    ha_plan_scope_all(&every_step);
    run.shuffled = false;
}

/* Users may put the stages in any order: the laws of safety hold whatever it
 * is; that every way leads to the same end is promised for ours only. */
static void shuffle_stages(void)
{
    ha_plan_scope_all(&every_step);
    run.shuffled = !chance(3);
    for (int kind = 0; kind < HA_STEP_KINDS && run.shuffled; kind++)
        every_step.rank[kind] = (int)chance(HA_STEP_KINDS);
}

/* Anything with anything. */
static void wild(unsigned long count)
{
    static struct situation every[TYPES];
    int kinds = every_situation(every, TYPES);
    for (unsigned long n = 0; n < count; n++) {
        const struct situation *chosen[HA_REPLICAS];
        int replicas = 1 + (int)chance(7);
        bool formed = chance(4);
        for (int i = 0; i < replicas; i++)
            chosen[i] = !formed     ? &unformed_situations[chance((unsigned)unformed_count)]
                        : chance(3) ? &formed_situations[chance((unsigned)(chance(2) ? formed_count : 2))]
                                    : &every[chance((unsigned)kinds)];
        struct surroundings around = {.formed = formed,
                                      .repair = chance(2),
                                      .destroy = !chance(6),
                                      .foreign = formed && !chance(3) ? (int)chance(5) : 0,
                                      .want = (enum ha_endpoint_want)(chance(2) ? 0 : chance(3)),
                                      .holder = (enum ha_holder)chance(5),
                                      .holder_replica = (int)chance((unsigned)replicas),
                                      .balancer = (enum hactl_tristate)(chance(6) ? chance(2) : 2),
                                      .proved = (enum hactl_tristate)chance(2),
                                      .quorum_unknown = chance(2),
                                      .second_group = (int)chance(3),
                                      .no_balancer = !chance(8),
                                      .rotation = chance(3) ? 0 : 1 + (int)chance(5),
                                      .rotation_found = (enum hactl_rotation)chance(5),
                                      .rotation_of_key = !chance(4),
                                      .rotation_unproved = !chance(6),
                                      .rotation_restarts = chance(2),
                                      .files = chance(3) ? RESTARTS : (enum files)chance(5),
                                      .alarm = !chance(12)};
        shuffle_stages();
        try_cluster(chosen, replicas, around, 1);
    }
}

/* Half of them with certificates that are on their way, among anything listed; interrupted at every step. */
static void restarts(unsigned long count)
{
    run.replans_always = true;
    for (unsigned long n = 0; n < count; n++) {
        const struct situation *chosen[HA_REPLICAS];
        int replicas = 1 + (int)chance(5);
        for (int i = 0; i < replicas; i++)
            chosen[i] = &formed_situations[chance(2) ? FILES_FROM + (int)chance(FILES_COUNT)
                                                     : (int)chance((unsigned)formed_count)];
        struct surroundings around = {.formed = true,
                                      .repair = !chance(3),
                                      .want = (enum ha_endpoint_want)(chance(2) ? 0 : chance(3)),
                                      .holder = (enum ha_holder)(chance(2) ? HA_HOLDER_BALANCER : chance(5)),
                                      .holder_replica = (int)chance((unsigned)replicas),
                                      .balancer = chance(6) ? HACTL_YES : HACTL_NO,
                                      .proved = (enum hactl_tristate)chance(2),
                                      .quorum_unknown = chance(2),
                                      .second_group = (int)chance(3),
                                      .rotation = chance(3) ? 0 : 1 + (int)chance(5),
                                      .rotation_found = (enum hactl_rotation)chance(5),
                                      .rotation_of_key = !chance(4),
                                      .rotation_unproved = !chance(6),
                                      .rotation_restarts = chance(2)};
        try_cluster(chosen, replicas, around, 0);
    }
    run.replans_always = false;
}

/* Every phase with every goal, for one and two of anything among healthy ones. */
static void rotations(void)
{
    const struct situation *chosen[HA_REPLICAS];
    for (int a = 0; a < formed_count; a++)
        for (int b = a; b < formed_count; b++)
            for (int healthy = 0; healthy < 3; healthy++)
                for (int goal = 0; goal < 5; goal++)
                    for (int found = 0; found < 5; found++) {
                        int count = 0;
                        if (!run.all && a != b && chance(12))
                            continue;
                        chosen[count++] = &formed_situations[a];
                        if (b != a)
                            chosen[count++] = &formed_situations[b];
                        for (int h = 0; h < healthy; h++)
                            chosen[count++] = &formed_situations[0];
                        struct surroundings around = {.formed = true,
                                                      .holder = HA_HOLDER_BALANCER,
                                                      .balancer = HACTL_YES,
                                                      .proved = HACTL_YES,
                                                      .rotation = 1 + goal,
                                                      .rotation_found = (enum hactl_rotation)found,
                                                      .rotation_of_key = !chance(4),
                                                      .rotation_unproved = !chance(8),
                                                      .rotation_restarts = chance(2)};
                        try_cluster(chosen, count, around, 1);
                    }
}

static void report(const char *what)
{
    printf("# %s: %llu clusters, %llu states, %llu plans (%llu blocked, %llu had to converge), %llu steps, %llu "
           "faults, %llu other orders, "
           "%llu replans; longest plan %llu; %d violations; %.1f s\n",
           what, run.clusters, run.states, run.plans, run.blocked, run.due, run.steps, run.faults, run.orders,
           run.replans, run.longest, run.violations, (double)(clock() - run.began) / CLOCKS_PER_SEC);
    fflush(stdout);
}

/* ---- units of work: one after the other in any process, each with random numbers of its own */

struct unit {
    void (*work)(const struct unit *unit);
    int count;
    unsigned slice, slices;
    uint64_t seed;
};

enum { WALK_SLICES = 64, WILD_SLICES = 4, UNITS = 4096 };

static struct unit units[UNITS];
static int unit_count;
static uint64_t seed;
static const uint64_t GOLDEN = UINT64_C(0x9e3779b97f4a7c15);

static void listed(const struct unit *unit)
{
    (void)unit;
    struct surroundings formed = {.formed = true};
    for (int count = 1; count <= (run.all ? 4 : 2); count++)
        multisets(formed_situations, formed_count, count, formed, count <= 2, 1);
    report("every listed situation with every other");
}

/* Whole up to five, or with --all up to seven; samples beyond. */
static void clusters_of(const struct unit *unit)
{
    struct surroundings formed = {.formed = true}, fresh = {.formed = false};
    int count = unit->count;
    bool whole = run.all || count <= 5;
    unsigned one_in = whole ? 1 : (unsigned)(count * count * 12);
    char what[64];
    run.faults_of = count <= 2 ? 1 : (run.all ? 20 : 400) * (unsigned)(count - 2);
    run.orders_of = count <= 3 || run.all ? 1 : 8;
    multisets(formed_situations, formed_core_count, count, formed, 1, one_in);
    multisets(unformed_situations, unformed_count, count, fresh, 1, one_in);
    snprintf(what, sizeof what, "%s of %d, with faults and other orders", whole ? "every cluster" : "a sample", count);
    report(what);
}

static void walks_of(const struct unit *unit)
{
    struct surroundings formed = {.formed = true}, fresh = {.formed = false};
    run.walks = true;
    multisets(formed_situations, formed_core_count, unit->count, formed, 0, 1);
    multisets(unformed_situations, unformed_count, unit->count, fresh, 0, 1);
    run.walks = false;
    total->walked[unit->count].clusters += run.clusters;
    total->walked[unit->count].states += run.walked.states;
    total->walked[unit->count].steps += run.walked.steps;
    total->walked[unit->count].interrupted += run.walked.interrupted;
    total->walked[unit->count].blocked += run.walked.blocked;
    total->walked[unit->count].due += run.walked.due;
    run.states += run.walked.states;
    run.steps += run.walked.steps;
}

static void odd_ones_unit(const struct unit *unit)
{
    (void)unit;
    run.faults_of = run.all ? 10 : 200;
    odd_ones(run.all ? 200 : 20000, 0);
    report("odd ones");
}

static void rotations_unit(const struct unit *unit)
{
    (void)unit;
    run.faults_of = run.all ? 10 : 200;
    rotations();
    report("rotations");
}

static void wild_unit(const struct unit *unit)
{
    run.faults_of = run.all ? 10 : 200;
    wild((run.all ? 3000000 : 20000) / unit->slices);
    report("anything with anything");
}

/* One seed's share of what has chance in it. */
static void random_unit(const struct unit *unit)
{
    struct surroundings formed = {.formed = true}, fresh = {.formed = false};
    char what[64];
    run.faults_of = 200;
    wild(20000);
    ordered_stages();
    restarts(5000);
    run.faults_of = 2000;
    for (int count = 3; count <= LARGEST; count++) {
        unsigned one_in = (unsigned)(count * count * count * count);
        multisets(formed_situations, formed_core_count, count, formed, 1, one_in);
        multisets(unformed_situations, unformed_count, count, fresh, 1, one_in);
    }
    snprintf(what, sizeof what, "seed %llu", (unsigned long long)unit->seed);
    report(what);
}

static void do_unit(int number)
{
    const struct unit *unit = &units[number];
    run.clusters = run.states = run.plans = run.steps = run.faults = run.orders = run.replans = run.blocked = 0;
    run.due = run.longest = 0;
    run.violations = 0;
    run.began = clock();
    memset(&run.walked, 0, sizeof run.walked);
    run.faults_of = run.orders_of = 1;
    run.slice = unit->work == wild_unit ? 0 : unit->slice;
    run.slices = unit->work == wild_unit ? 1 : unit->slices;
    run.seed = unit->seed;
    run.random =
        UINT64_C(88172645463325252) ^ unit->seed * GOLDEN ^ (unit->work == random_unit ? 0 : (uint64_t)number * GOLDEN);
    if (run.seen)
        memset(run.seen, 0, run.seen_room * sizeof *run.seen);
    run.seen_count = 0;
    ordered_stages();
    unit->work(unit);
    total->states += run.states;
    total->transitions += run.steps + run.faults;
    total->violations += (unsigned)run.violations;
}

static void say_violations(void)
{
    for (int k = 0; k < KINDS_OF_VIOLATION && run.violated[k].what; k++)
        printf("# %llu times: %s\n", run.violated[k].times, run.violated[k].what);
}

static void add_units(void (*work)(const struct unit *), int count, unsigned slices)
{
    for (unsigned slice = 0; slice < slices && unit_count < UNITS; slice++)
        units[unit_count++] = (struct unit){work, count, slice, slices, seed};
}

/* The longest first; what is cut small fills the gaps. */
static void list_units(void)
{
    if (run.all)
        for (int count = LARGEST; count > 5; count--)
            add_units(clusters_of, count, 16);
    add_units(clusters_of, 5, 4);
    add_units(odd_ones_unit, 0, 1);
    add_units(listed, 0, 1);
    add_units(rotations_unit, 0, 1);
    add_units(clusters_of, 4, 1);
    for (int count = LARGEST; count > 5; count--)
        add_units(walks_of, count, WALK_SLICES);
    add_units(wild_unit, 0, WILD_SLICES);
    for (int count = run.all ? 3 : LARGEST; count > 0; count -= count == 6 ? 3 : 1)
        add_units(clusters_of, count, 1);
}

/* Each with a seed of its own. */
static bool list_seeds(const char *from, const char *to)
{
    uint64_t last = strtoull(to, NULL, 0);
    for (seed = strtoull(from, NULL, 0); seed <= last && unit_count < UNITS; seed++)
        add_units(random_unit, 0, 1);
    return seed > last && unit_count > 0;
}

static void report_walks(void)
{
    for (int count = 6; count <= LARGEST; count++)
        printf("# every cluster of %d, every state that it comes through or is interrupted in: %llu clusters, %llu "
               "states (%llu as seen after an interruption; %llu blocked, %llu had to converge), %llu steps\n",
               count, total->walked[count].clusters, total->walked[count].states, total->walked[count].interrupted,
               total->walked[count].blocked, total->walked[count].due, total->walked[count].steps);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0)
            run.all = true;
        else if (strcmp(argv[i], "--first") == 0)
            run.first = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--random") == 0 && i + 2 < argc && list_seeds(argv[i + 1], argv[i + 2]))
            i += 2;
        else
            return 2;
    }
    mallopt(M_MMAP_THRESHOLD, 1 << 26); /* plans are large, and made by the million */
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
    total = workers_share(sizeof *total);
    if (!total || !walk_begin(WALKED_STATES))
        return 2;
    printf("1..1\n");
    bool random_only = unit_count > 0;
    if (!random_only)
        list_units();
    bool well = workers_run(unit_count, do_unit, say_violations) && total->violations == 0;
    if (!random_only)
        report_walks();
    printf("%sok 1 - every plan keeps the laws: %llu states, %llu transitions\n", well ? "" : "not ", total->states,
           total->transitions);
    walk_end();
    return !well;
}
