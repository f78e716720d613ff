/* SPDX-License-Identifier: Apache-2.0 */
/* The text that nft(8) reads: addresses, balancing, firewall, all made anew from what the store holds. */
#ifndef GCE_EMULATOR_NETWORK_RULES_H
#define GCE_EMULATOR_NETWORK_RULES_H

#include "emulator.h"

/* The number of an instance's machine; 0: it has none. */
typedef unsigned em_machine_number(const struct em_resource *instance);

/* Caller frees. */
char *em_network_rules(em_machine_number *number);

#endif
