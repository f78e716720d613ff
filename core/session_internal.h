/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c, observer.c and executor.c share. */
#ifndef HACTL_CORE_SESSION_INTERNAL_H
#define HACTL_CORE_SESSION_INTERNAL_H

#include <limits.h>

#include "core/delivery.h"
#include "core/session.h"

enum { HA_PURPOSES = 8 };

struct ha_reach {
    char replica[HA_NAME];
    uint16_t port;
    char host[HA_ADDRESS + 64];
    uint16_t dial_port;
    char verify[HA_ADDRESS];
};

/* A port as a payload declares it. */
struct ha_port {
    char name[HA_NAME];
    uint16_t port;
    uint32_t flags;
};

enum { HA_PORTS = 8 };

struct ha_payload_facts {
    struct ha_port ports[HA_PORTS];
    int port_count;
    uint16_t operator_port; /* hactl dials it; 0: none */
    uint16_t endpoint_port; /* the endpoint fronts it; 0: none */
    char endpoint_name[HA_NAME];
    char authority_file[PATH_MAX], certificate_file[PATH_MAX], key_file[PATH_MAX];
    bool tls_known;
};

/* A certificate that a payload's files name. */
struct ha_use {
    char purpose[HA_NAME]; /* "": none */
    bool restarts;         /* it, its key or its kubeconfig is in a file that is not read again */
};

struct ha_session_private {
    struct ha_reach reaches[HA_REPLICAS * HA_PAYLOADS * 2];
    int reach_count;
    struct ha_payload_facts payloads[HA_PAYLOADS];
    int front; /* the payload that the endpoint fronts; -1: none */
    /* More instances of that payload, asked `probe` only: `prober` so that one
     * that hangs holds up no list, `knocker` for the thread that measures the
     * endpoint's gap. */
    struct ha_instance *prober, *knocker;
    char cluster_ids[HA_GROUPS][24];
    char digests[HA_REPLICAS][HA_PAYLOADS][HA_DIGEST]; /* of what runs there; "": not known */
    char wanted[HA_REPLICAS][HA_PAYLOADS][HA_DIGEST];  /* of what would be delivered now; "": not known */
    struct ha_use uses[HA_PAYLOADS][HA_PURPOSES];
    int held_by_replica; /* -1: by none */
    bool held_by_balancer, held_by_other;
    char holder_words[HA_DETAIL];   /* the cloud's, about who else has it */
    char endpoint_words[HA_DETAIL]; /* why the public address does not answer; "": it does */
    unsigned calls;
    bool rekey;       /* pki renew --rekey */
    char renews[256]; /* pki renew NAME...; "": all */
};

const struct ha_reach *ha_session_reach(const struct ha_session *session, const char *replica, uint16_t port);
/* HA_EXIT_USAGE where the store names another cloud, group, balancer or port than the configuration has; `issues`: or
 * another issuer. */
int ha_session_check_identity(const struct ha_session *session, bool issues, struct ha_error *error);
/* HA_EXIT_USAGE where the cloud that was just looked at is not where the cluster was made. */
int ha_session_check_place(const struct ha_session *session, struct ha_error *error);
/* The ports that the firewall is to open, as text: "etcd-client 2379 5, ..." */
enum { HA_FIREWALL_DIGEST = 1024 };
void ha_firewall_digest(const struct ha_session *session, char out[HA_FIREWALL_DIGEST]);
/* The port at each replica that the endpoint fronts; 0: none. */
uint16_t ha_session_backend_port(const struct ha_session *session);
/* As the payload's plugin declares; NULL: none. */
const char *const *ha_payload_key_purposes(const struct ha_session *session, int payload);

#endif
