/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every state once. The planner remembers nothing, so what it does from a state
 * on does not depend on how that was reached: a walk ends where it meets a
 * state that some walk has passed, and takes over how that one came out.
 */
#ifndef HACTL_TESTS_PLAN_WALK_H
#define HACTL_TESTS_PLAN_WALK_H

#include "core/planner.h"

struct walk_counts {
    unsigned long long states, steps, blocked, due, interrupted;
};

typedef void walk_violated(const char *what, const struct ha_model *start, const struct ha_step *step);

/* Room for that many states; shared with processes that are forked later. False: no memory. */
bool walk_begin(size_t states);
void walk_end(void);
/* From there to the end, and from every state on the way as it would be seen after an interruption. */
void walk(const struct ha_model *start, const struct ha_plan_scope *scope, walk_violated *violated,
          struct walk_counts *counts);

#endif
