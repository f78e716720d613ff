/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true of every step and every plan, whatever the rules say. */
#ifndef HACTL_TESTS_PLAN_LAWS_H
#define HACTL_TESTS_PLAN_LAWS_H

#include "core/planner.h"

/* NULL, or the law that the step breaks. `before` and `after` are the model around it. */
const char *law_of_step(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after);
/* Nothing stands in the way of the wanted state that only people, repair or time
 * can remove: said without the planner's help. */
bool must_converge(const struct ha_model *model);
/* NULL, or the law that the plan as a whole breaks. */
const char *law_of_plan(const struct ha_model *model, const struct ha_plan_scope *scope, const struct ha_plan *plan);

/* NULL, or what is wrong about what people are told of that end. */
const char *law_of_warnings(const struct ha_model *end);
bool step_is_claim(enum ha_step_kind kind);
/* A release after which nobody answers at the public address until it is claimed. */
bool step_makes_dark(const struct ha_model *model, const struct ha_step *step);

/* Equal for clusters that differ in the order of their replicas only. */
uint64_t hash_of(const struct ha_model *model);
bool same_end(const struct ha_model *a, const struct ha_model *b);

/* An assignment, but of what is in use only. */
void copy_model(struct ha_model *to, const struct ha_model *from);

void print_model(const struct ha_model *model);
void print_plan(const struct ha_plan *plan);

#endif
