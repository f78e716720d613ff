/* SPDX-License-Identifier: Apache-2.0 */
/* What would stop a plan half way, asked for before anything is changed. */
#ifndef HACTL_CORE_PREFLIGHT_H
#define HACTL_CORE_PREFLIGHT_H

#include "core/session.h"

/* The programs that the plan starts are there, and where it makes machines or
 * the balancer, their plugins have nothing to complain of. */
int ha_preflight(struct ha_session *session, const struct ha_plan *plan, struct ha_error *error);

#endif
