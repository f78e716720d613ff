/* SPDX-License-Identifier: Apache-2.0 */
#include "core/steps.h"

#include <string.h>

/* A release is not looked at: the address is dark until the claim after it,
 * which is looked at from outside too. */
#define ALL_OF_ENDPOINT (HA_SCOPE_CLOUD | HA_SCOPE_BALANCER | HA_SCOPE_ENDPOINT)

/* Many RSA keys take minutes on a slow machine. Nobody waits in the dark: each pause says how many are left. */
enum { KEYS_MS = 900000 };

/* Deadlines are what the slowest of today's clouds needs, with room: a forwarding rule takes seconds as a rule, and has
 * taken ten minutes. */
const struct ha_step_type ha_step_types[HA_STEP_KINDS] = {
    [HA_STEP_ADDRESS_RESERVE] = {"address-reserve", "reserve the public address", "address", HA_SCOPE_CLOUD, 120000,
                                 true},
    [HA_STEP_INTERNAL_ADDRESS_RESERVE] = {"internal-address-reserve", "reserve an internal address for %s", "address",
                                          HA_SCOPE_CLOUD, 120000, true},
    [HA_STEP_INTERNAL_ADDRESS_DELETE] = {"internal-address-delete", "give back the internal address of %s", "address",
                                         HA_SCOPE_CLOUD, 120000, true},
    [HA_STEP_ADDRESS_DELETE] = {"address-delete", "give back the public address", "address", HA_SCOPE_CLOUD, 120000,
                                true},
    [HA_STEP_FIREWALL_ENSURE] = {"firewall-ensure", "open the firewall", "firewall", HA_SCOPE_CLOUD, 180000, true},
    [HA_STEP_FIREWALL_DELETE] = {"firewall-delete", "remove the firewall's rules", "firewall", HA_SCOPE_CLOUD, 180000,
                                 true},
    [HA_STEP_AUTHORITY_CREATE] = {"authority-create", "create the certificate authorities", "certificates",
                                  HA_SCOPE_ISSUER, KEYS_MS, true},
    [HA_STEP_CERTIFICATE_ISSUE] = {"certificate-issue", "issue the certificates of %s", "certificates", HA_SCOPE_ISSUER,
                                   KEYS_MS, true},
    [HA_STEP_CERTIFICATE_DELIVER] = {"certificate-deliver",
                                     "deliver new certificates to %s, which reads them as it runs", "certificates",
                                     HA_SCOPE_CLOUD, 120000, true},
    [HA_STEP_AUTHORITY_ROTATE] = {"authority-rotate", "rotate the authority %s", "certificates", HA_SCOPE_ISSUER,
                                  KEYS_MS, true},
    [HA_STEP_CERTIFICATE_RETIRE] = {"certificate-retire", "retire the certificates of %s", "certificates",
                                    HA_SCOPE_ISSUER, 60000, true},
    [HA_STEP_AUTHORITY_DELETE] = {"authority-delete", "remove the certificate authorities and their keys",
                                  "certificates", HA_SCOPE_ISSUER, 60000, true},
    [HA_STEP_INSTANCE_CREATE] = {"instance-create", "create %s", "instances", HA_SCOPE_CLOUD, 600000, true},
    [HA_STEP_INSTANCE_START] = {"instance-start", "start %s", "instances", HA_SCOPE_CLOUD, 600000, true},
    [HA_STEP_INSTANCE_DELETE] = {"instance-delete", "delete %s and its data", "instances", HA_SCOPE_CLOUD, 300000,
                                 true},
    [HA_STEP_MEMBER_ADD] = {"member-add", "add %s as a learner", "etcd", HA_SCOPE_GROUP, 30000, true},
    [HA_STEP_MEMBER_START] = {"member-start", "start the member %s", "etcd", HA_SCOPE_CLOUD, 300000, true},
    [HA_STEP_GROUP_AWAIT] = {"group-await", "wait until every member of %s answers", "etcd", HA_SCOPE_GROUP, 180000,
                             false},
    [HA_STEP_MEMBER_CATCH_UP] = {"member-catch-up", "wait until the learner %s has caught up", "etcd", HA_SCOPE_GROUP,
                                 300000, false},
    [HA_STEP_MEMBER_PROMOTE] = {"member-promote", "promote %s to voter", "etcd", HA_SCOPE_GROUP, 30000, true},
    [HA_STEP_LEADER_MOVE] = {"leader-move", "move leadership away from %s", "etcd", HA_SCOPE_GROUP, 30000, true},
    [HA_STEP_MEMBER_REMOVE] = {"member-remove", "remove the member %s", "etcd", HA_SCOPE_GROUP, 30000, true},
    [HA_STEP_COMPONENTS_START] = {"components-start", "start the components %s", "components", HA_SCOPE_CLOUD, 120000,
                                  true},
    [HA_STEP_REPLICA_AWAIT] = {"replica-await", "wait until %s answers", "components", HA_SCOPE_READY, 120000, false},
    [HA_STEP_BALANCER_BUILD] = {"balancer-build", "build the balancer on a temporary address", "endpoint",
                                HA_SCOPE_BALANCER, 300000, true},
    [HA_STEP_BACKEND_ADD] = {"backend-add", "put %s behind the balancer", "endpoint", HA_SCOPE_BALANCER, 120000, true},
    [HA_STEP_BACKEND_REMOVE] = {"backend-remove", "take %s out of the balancer", "endpoint", HA_SCOPE_BALANCER, 120000,
                                true},
    [HA_STEP_BALANCER_AWAIT] = {"balancer-await", "wait until the balancer answers through every backend", "endpoint",
                                HA_SCOPE_BALANCER | HA_SCOPE_ENDPOINT, 600000, false},
    [HA_STEP_REPLICA_RELEASE] = {"replica-release", "release the public address from %s", "endpoint", HA_SCOPE_NONE,
                                 180000, true},
    [HA_STEP_REPLICA_CLAIM] = {"replica-claim", "give the public address to %s", "endpoint", ALL_OF_ENDPOINT, 180000,
                               true},
    [HA_STEP_BALANCER_RELEASE] = {"balancer-release", "release the public address from the balancer", "endpoint",
                                  HA_SCOPE_NONE, 180000, true},
    [HA_STEP_BALANCER_CLAIM] = {"balancer-claim", "give the public address to the balancer", "endpoint",
                                ALL_OF_ENDPOINT, 180000, true},
    [HA_STEP_BALANCER_DELETE] = {"balancer-delete", "delete the balancer", "endpoint", HA_SCOPE_BALANCER, 300000, true},
    [HA_STEP_TEMPORARY_ADDRESS_DETACH] = {"temporary-address-detach", "take the temporary public address from %s",
                                          "endpoint", HA_SCOPE_CLOUD, 120000, true},
    [HA_STEP_TEMPORARY_ADDRESS_ATTACH] = {"temporary-address-attach", "give a temporary public address to %s",
                                          "endpoint", HA_SCOPE_CLOUD, 120000, true},
    [HA_STEP_ENDPOINT_VERIFY] = {"endpoint-verify", "see that the public address answers", "verify", HA_SCOPE_ENDPOINT,
                                 300000, false},
};

enum ha_step_kind ha_step_kind_named(const char *name)
{
    for (int kind = 0; kind < HA_STEP_KINDS; kind++)
        if (strcmp(ha_step_types[kind].name, name) == 0)
            return (enum ha_step_kind)kind;
    return HA_STEP_KINDS;
}
