/* SPDX-License-Identifier: Apache-2.0 */
/* Limits per project or region, and how much of them is used. Usage is counted from what is there. */
#ifndef GCE_EMULATOR_QUOTAS_H
#define GCE_EMULATOR_QUOTAS_H

#include "emulator.h"

/* region "": the project's own. A new array. */
json_t *em_quotas_list(const char *project, const char *region);
/* Sets a limit everywhere; false: no such metric. */
bool em_quotas_set(const char *metric, double limit);
/* Whether `more` of it fits; if not *limit is what the limit is. */
bool em_quotas_fit(const char *project, const char *region, const char *metric, double more, double *limit);
/* The 403 of a request; status 0: it fits. */
struct em_answer em_quotas_check(const char *project, const char *region, const char *metric, double more);
/* The error of an operation; NULL: it fits. */
json_t *em_quotas_error(const char *project, const char *region, const char *metric, double more);
void em_quotas_clear(void);
/* What one takes of its type's metrics. */
void em_quotas_weigh_instance(const struct em_resource *instance, double *weights);
void em_quotas_weigh_disk(const struct em_resource *disk, double *weights);
void em_quotas_weigh_address(const struct em_resource *address, double *weights);
/* The metric that a disk of that type counts against. */
const char *em_quotas_disk_metric(const char *type);

#endif
