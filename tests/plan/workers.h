/* SPDX-License-Identifier: Apache-2.0 */
/* Work cut into units that have nothing to do with each other, done by as many
 * processes as there are processors. */
#ifndef HACTL_TESTS_PLAN_WORKERS_H
#define HACTL_TESTS_PLAN_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

/* Memory that all of them share, zeroed; before they are started. NULL: there is none. */
void *workers_share(size_t size);
/* Calls `work` once for each unit in [0, count), in the order of their numbers, each in one of the processes; then
 * `leave` in each process. False: one of them did not end well. */
bool workers_run(int count, void (*work)(int unit), void (*leave)(void));

#endif
