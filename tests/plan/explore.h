/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans for a cluster, carries the plan out step by step in the model, in the planned order and in others that `needs`
 * allows, and lets things go wrong on the way. What breaks a law is shown and counted.
 */
#ifndef HACTL_TESTS_PLAN_EXPLORE_H
#define HACTL_TESTS_PLAN_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/planner.h"
#include "tests/plan/walk.h"

enum { KINDS_OF_VIOLATION = 64 };

/* How far one process is with one unit of work. */
extern struct exploration {
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

/* In the order of the stages that is tried. */
extern struct ha_plan_scope every_step;

/* One of so many, at random: below `of`. */
unsigned chance(unsigned of);
/* True for the first of its kind, which is shown. */
bool violation(const char *what, const struct ha_model *model, const struct ha_plan *plan, const struct ha_step *step);
void explore(const struct ha_model *start, int faults_left);

#endif
