/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulated network: a namespace that routes between the machines and the world outside, in which the
 * operator has a namespace too. It translates external addresses one to one, sends what comes for a
 * forwarding rule unchanged to one of its members, and enforces the firewall rules.
 */
#ifndef GCE_EMULATOR_NETWORK_H
#define GCE_EMULATOR_NETWORK_H

#include "emulator.h"

#define EM_OPERATOR_ADDRESS "192.0.2.10"
#define EM_PROBE_SERVICE    "35.191.0.10"   /* where checks of backend services come from */
#define EM_PROBE_POOL       "209.85.152.10" /* and those of target pools */

bool em_network_start(void);
void em_network_end(void);
const char *em_network_operator(void); /* names of namespaces */
const char *em_network_fabric(void);

/* A machine's end of the network; `number` is unique and > 0. */
bool em_network_attach(unsigned number, const char *ip);
void em_network_detach(unsigned number);
void em_network_namespace(unsigned number, char *name, size_t size);

/* Rules for all machines: the text of nft(8) in `rules`. */
bool em_network_load(const char *rules);
/* The machine takes packets for these addresses, and none else of this kind; JSON array. */
void em_network_forwarded(unsigned number, const json_t *old, const json_t *ips);

#endif
