/* SPDX-License-Identifier: Apache-2.0 */
/* What there is in the emulator at the end of a run, compared with what another run left there. */
#ifndef HACTL_TESTS_OUTCOME_H
#define HACTL_TESTS_OUTCOME_H

#include <jansson.h>
#include <stdbool.h>

#include "tests/gce/between.h"

/* {resources, operations}: of a resource what does not differ from run to run; of operations those that have had their
 * effect. NULL: the emulator does not say. */
json_t *outcome_take(CURL *curl, struct reply *reply);
/* `operations` of `now` without those that `before` has. */
void outcome_subtract(json_t *now, const json_t *before);
/* The same resources, and nothing done more often. Says in comments what differs. */
bool outcome_same(const char *where, const json_t *got, const json_t *want);
/* An array without an order. */
json_t *outcome_sorted(const json_t *array);

#endif
