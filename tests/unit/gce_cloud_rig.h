/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of plugins/gce share: the plugin opened against the emulator, and
 * each of its operations as a short call that drives it to its end. */
#ifndef HACTL_TESTS_UNIT_GCE_CLOUD_RIG_H
#define HACTL_TESTS_UNIT_GCE_CLOUD_RIG_H

#include "plugins/gce/cloud.h"
#include "tests/unit/gce_rig.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* An intent of its own. */
#define DO(operation)            \
    __extension__({              \
        new_intent();            \
        DRIVE(operation, false); \
    })

/* Opened with the rig's settings and `more`, which ends with a NULL key. */
extern const char *cluster_name;
int open_with(const struct fake_setting *more);
void close_cloud(void);
const struct hactl_cloud_ops *cloud(void);
int setup(void **state);
int teardown(void **state);
size_t left(void); /* things that the emulator still holds */

/* Reserved, with its literal in address_text. */
extern char address_text[64];
int reserve(const char *name, enum hactl_address_kind kind);
struct hactl_replica replica(const char *name, const char *zone, const char *address);
int ensure(const struct hactl_replica *replica);
void make(const char *name, const char *zone); /* its internal address, and the instance */
/* Of a new look; NULL: not listed. */
const struct hactl_instance *listed(const char *name);
const struct hactl_address *listed_address(enum hactl_address_kind kind);
/* A member of an instance, as dotted path for jq. */
const char *of_instance(const char *zone, const char *name, const char *filter);
/* What a machine says through a guest attribute. */
void tell(const char *zone, const char *name, const char *key, const char *value);

int open_firewall(const char *digest);
/* To demo-1, two files, and a unit. */
extern const char *sealed; /* a third file's content */
extern int keep_running;   /* as in struct hactl_payload */
int deliver(const char *digest, const char *content, size_t size, bool with_key);

#endif
