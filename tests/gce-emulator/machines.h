/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes when instances run for real. In the API-only mode every member
 * is NULL and nobody calls.
 */
#ifndef GCE_EMULATOR_MACHINES_H
#define GCE_EMULATOR_MACHINES_H

#include "emulator.h"

struct em_machines {
    void (*boot)(struct em_resource *instance);
    /* Asks it to end; it has some seconds for that. */
    void (*halt)(struct em_resource *instance);
    /* Calls the function when nothing of it runs any more; false: that is so already. */
    bool (*when_halted)(struct em_resource *instance, void (*function)(void *context), void *context);
    void (*gone)(struct em_resource *instance);
    void (*disk_gone)(struct em_resource *disk);
    void (*zone_died)(const char *zone, bool dead);
    /* An address, a firewall rule, a forwarding rule or a member changed. */
    void (*network_changed)(void);
    /* HEALTHY or UNHEALTHY of an instance for a health check that serves `ip`; NULL: not known yet. */
    const char *(*health)(const struct em_resource *instance, const char *ip);
    /* All that the serial port has written; caller frees. */
    char *(*serial)(const struct em_resource *instance);
};

extern struct em_machines em_machines;

/* Who balances, who is reachable: tells the network and whoever waits at a metadata server. */
void em_machines_network_changed(void);

#endif
