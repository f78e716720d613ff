/* SPDX-License-Identifier: Apache-2.0 */
/* Knocks at the public address, from a thread and a plugin instance of its
 * own, and measures for how long nobody answered. */
#ifndef HACTL_CORE_PROBER_H
#define HACTL_CORE_PROBER_H

#include "core/session.h"

struct ha_prober;

/* NULL when there is nothing to knock at; never an error: an operation does
 * not fail for want of a measurement. */
struct ha_prober *ha_prober_start(struct ha_session *session);
/* Stops and fills in the report's gap. `patiently`: an answer that is overdue is
 * waited for, so that the gap has an end. Accepts NULL. */
void ha_prober_stop(struct ha_prober *prober, bool patiently, struct ha_report *report);

#endif
