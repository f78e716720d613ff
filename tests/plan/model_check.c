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

#include "tests/plan/clusters.h"
#include "tests/plan/explore.h"
#include "tests/plan/shapes.h"
#include "tests/plan/walk.h"
#include "tests/plan/workers.h"

enum { LARGEST = 7, WALKED_STATES = 30000000 };

/* Of all processes. */
static struct {
    atomic_ullong states, transitions, violations;
    struct {
        atomic_ullong clusters, states, steps, interrupted, blocked, due;
    } walked[LARGEST + 1];
} * total;

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
