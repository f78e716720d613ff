/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins/lb, backend gce, against the emulator, as the core would drive it:
 * an operation that answers PENDING is polled and asked again. Runs itself
 * inside tests/gce-emulator/run, which also holds every request against
 * Google's schema where that is at hand. Project, endpoint and token come from
 * the settings of the cloud's instance alone.
 */
#ifndef HACTL_TESTS_UNIT_LB_GCE_RIG_H
#define HACTL_TESTS_UNIT_LB_GCE_RIG_H

#include "tests/unit/gce_rig.h"

#define PORT 443

extern const char *const zones[3];
extern const struct hactl_balancer_want want;

/* One of Google's own calls, through jq. */
const char *get(const char *path, const char *filter);
/* How many things are there besides the address and the machines with their disks. */
const char *left(void);

const struct hactl_balancer_ops *lb(void);
/* With these settings more; NULL: checked by TCP. */
int open_with(const struct fake_setting *more);
void make_machine(int number);
int put(int number);
/* The balancer, and the first of the machines behind it. */
void build(int backends);
/* `want`, and the first of the machines are to be behind it. */
struct hactl_balancer_want wanting(int replicas);
const struct hactl_balancer *listed(void);
/* Health of a backend in the last list; -1: it is not behind the balancer. */
int health_of(const char *name);

#define DO(operation)           \
    __extension__({             \
        new_intent();           \
        DRIVE(operation, true); \
    })
#define ONCE(operation)          \
    __extension__({              \
        new_intent();            \
        DRIVE(operation, false); \
    })
#define ENSURE()  lb()->ensure(world.self, world.call, &want)
#define DESTROY() lb()->destroy(world.self, world.call, &want)
#define CLAIM()   lb()->claim(world.self, world.call, &want, world.address)
#define RELEASE() lb()->release(world.self, world.call, &want, world.address)
#define IN(n)     put(n)
#define OUT(n)    lb()->backend_destroy(world.self, world.call, &want, "demo-" #n)

/* An open plugin, an address and four machines, the last of them in the zone of the first. */
int setup(void **state);
int teardown(void **state);
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
/* What such a test program ends with: nothing in its environment says where to go. */
int run_balancer_tests(char **argv, const struct CMUnitTest *tests, size_t count);

#endif
