/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HACTL_CORE_PLAN_PRINT_H
#define HACTL_CORE_PLAN_PRINT_H

#include <jansson.h>
#include <stdio.h>

#include "core/session.h"

/* `verb` names the pipeline, for the stages of steps. */
void ha_plan_print_table(const struct ha_session *session, const char *verb, const struct ha_plan *plan,
                         const char (*warnings)[256], int warning_count, FILE *stream);
json_t *ha_plan_to_json(const struct ha_session *session, const char *verb, const struct ha_plan *plan,
                        const char (*warnings)[256], int warning_count);

#endif
