/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of step that a plan can have, as one table. */
#ifndef HACTL_CORE_STEPS_H
#define HACTL_CORE_STEPS_H

#include <stdbool.h>
#include <stdint.h>

enum ha_step_kind {
    HA_STEP_ADDRESS_RESERVE,
    HA_STEP_INTERNAL_ADDRESS_RESERVE,
    HA_STEP_INTERNAL_ADDRESS_DELETE,
    HA_STEP_ADDRESS_DELETE,
    HA_STEP_FIREWALL_ENSURE,
    HA_STEP_FIREWALL_DELETE,
    HA_STEP_AUTHORITY_CREATE,
    HA_STEP_CERTIFICATE_ISSUE,
    HA_STEP_CERTIFICATE_DELIVER,
    HA_STEP_AUTHORITY_ROTATE,
    HA_STEP_CERTIFICATE_RETIRE,
    HA_STEP_AUTHORITY_DELETE,
    HA_STEP_INSTANCE_CREATE,
    HA_STEP_INSTANCE_START,
    HA_STEP_INSTANCE_DELETE,
    HA_STEP_MEMBER_ADD,
    HA_STEP_MEMBER_START,
    HA_STEP_GROUP_AWAIT,
    HA_STEP_MEMBER_CATCH_UP,
    HA_STEP_MEMBER_PROMOTE,
    HA_STEP_LEADER_MOVE,
    HA_STEP_MEMBER_REMOVE,
    HA_STEP_COMPONENTS_START,
    HA_STEP_REPLICA_AWAIT,
    HA_STEP_BALANCER_BUILD,
    HA_STEP_BACKEND_ADD,
    HA_STEP_BACKEND_REMOVE,
    HA_STEP_BALANCER_AWAIT,
    HA_STEP_REPLICA_RELEASE,
    HA_STEP_REPLICA_CLAIM,
    HA_STEP_BALANCER_RELEASE,
    HA_STEP_BALANCER_CLAIM,
    HA_STEP_BALANCER_DELETE,
    HA_STEP_TEMPORARY_ADDRESS_DETACH,
    HA_STEP_TEMPORARY_ADDRESS_ATTACH,
    HA_STEP_ENDPOINT_VERIFY,
    HA_STEP_KINDS
};

/* Which part of the world a step's expected state is read from. */
enum ha_scope {
    HA_SCOPE_NONE = 0,
    HA_SCOPE_CLOUD = 1,
    HA_SCOPE_ISSUER = 2,
    HA_SCOPE_GROUP = 4,
    HA_SCOPE_BALANCER = 8,
    HA_SCOPE_READY = 16,
    HA_SCOPE_ENDPOINT = 32,
    HA_SCOPE_ALL = 63
};

struct ha_step_type {
    const char *name;     /* "member-promote": in configurations, plans, journals */
    const char *says;     /* "promote %s to voter": for people; %s is the subject */
    const char *stage;    /* the stage that has it unless the configuration says otherwise */
    enum ha_scope scope;  /* observed after it, to see its expected state */
    unsigned deadline_ms; /* unless --timeout is shorter */
    bool changes;         /* calls a changing operation; false: waits and looks only */
};

extern const struct ha_step_type ha_step_types[HA_STEP_KINDS];

/* HA_STEP_KINDS when there is none of that name. */
enum ha_step_kind ha_step_kind_named(const char *name);

#endif
