/* SPDX-License-Identifier: Apache-2.0 */
/* Knocks at the public address, from a thread and a plugin instance of its
 * own, and measures for how long nobody answered. */
#ifndef HACTL_CORE_PROBER_H
#define HACTL_CORE_PROBER_H

#include "core/call.h"
#include "core/session.h"

struct ha_prober;

/* NULL when there is nothing to knock at; never an error: an operation does
 * not fail for want of a measurement. */
struct ha_prober *ha_prober_start(struct ha_session *session);
/* The same with a probe of the caller's, which becomes the prober's own, in any case. */
struct ha_prober *ha_prober_start_with(struct hactl_call *probe);
/* Until the address has answered once, and for so long at most: a gap is from the last
 * good answer on, so that there must be one before the address goes. False: it has not. Accepts NULL. */
bool ha_prober_await(struct ha_prober *prober, int timeout_ms);
/* Stops and fills in the report's gap. `patiently`: an answer that is overdue is
 * waited for, so that the gap has an end. Accepts NULL. */
void ha_prober_stop(struct ha_prober *prober, bool patiently, struct ha_report *report);

#endif
