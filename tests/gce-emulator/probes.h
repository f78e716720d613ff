/* SPDX-License-Identifier: Apache-2.0 */
/* Health checks that are really made: a thread for each member of each forwarding rule. */
#ifndef GCE_EMULATOR_PROBES_H
#define GCE_EMULATOR_PROBES_H

#include "network_rules.h"

/* `changed` is called on the main thread when a member's health changes. */
bool em_probes_start(const char *fabric, void (*changed)(void));
void em_probes_end(void);
/* Begins and ends probes so that there is one for each that is needed. */
void em_probes_update(em_machine_number *number);
/* "HEALTHY", "UNHEALTHY", or NULL: not known. */
const char *em_probes_state(const char *instance_path, const char *ip);

#endif
