/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true of every step and every plan, whatever the rules say. */
#ifndef HACTL_TESTS_PLAN_LAWS_H
#define HACTL_TESTS_PLAN_LAWS_H

#include "core/planner.h"

enum { SIGNATURE = 512 };

/* NULL, or the law that the step breaks. `before` and `after` are the model around it. */
const char *law_of_step(const struct ha_model *before, const struct ha_step *step, const struct ha_model *after);
/* Nothing stands in the way of the wanted state that only people, repair or time
 * can remove: said without the planner's help. */
bool must_converge(const struct ha_model *model);
/* NULL, or the law that the plan as a whole breaks. */
const char *law_of_plan(const struct ha_model *model, const struct ha_plan_scope *scope, const struct ha_plan *plan);

/* All that matters of a model, as bytes. `sorted`: equal for clusters that
 * differ in the order of their replicas only. Returns the length. */
size_t signature_of(const struct ha_model *model, bool sorted, bool leaders, unsigned char out[SIGNATURE]);
uint64_t hash_of(const struct ha_model *model);
bool same_end(const struct ha_model *a, const struct ha_model *b);

void print_model(const struct ha_model *model);
void print_plan(const struct ha_plan *plan);

#endif
