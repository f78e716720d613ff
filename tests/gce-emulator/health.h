/* SPDX-License-Identifier: Apache-2.0 */
/* What getHealth says. In the API-only mode a running instance is healthy, unless a test says otherwise. */
#ifndef GCE_EMULATOR_HEALTH_H
#define GCE_EMULATOR_HEALTH_H

#include "emulator.h"

/* "HEALTHY" or "UNHEALTHY" */
const char *em_health_of(const struct em_resource *instance, const char *ip);
/* Adds healthStatus[] of this instance for each forwarding rule that points at `owner`. */
void em_health_add(json_t *json, const struct em_resource *owner, const struct em_resource *instance);
/* NULL: as it is. */
void em_health_set(const char *instance_name, const char *state);
void em_health_clear(void);

#endif
