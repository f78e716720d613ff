/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters that shapes.c can make, one after the other, each explored or walked through. */
#ifndef HACTL_TESTS_PLAN_CLUSTERS_H
#define HACTL_TESTS_PLAN_CLUSTERS_H

#include "tests/plan/shapes.h"

/* Every multiset of `count` out of the first `kinds` situations of a table, or one slice of them. */
void multisets(const struct situation *table, int kinds, int count, struct surroundings around, int faults,
               unsigned one_in);
/* Every situation there can be, alone and in pairs, among healthy ones. */
void odd_ones(unsigned one_in_pairs, int faults);
/* Anything with anything, the stages in any order. */
void wild(unsigned long count);
/* Half of them with certificates that are on their way, among anything listed; interrupted at every step. */
void restarts(unsigned long count);
/* Every phase with every goal, for one and two of anything among healthy ones. */
void rotations(void);
/* The stages as they come with hactl. */
void ordered_stages(void);

#endif
