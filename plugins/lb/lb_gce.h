/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A passthrough network load balancer of Compute Engine, regional:
 *
 *     NAME-balancer   health check, backend service, and one unmanaged instance group in each zone that has a replica
 *     NAME-trial      forwarding rule on an ephemeral address, from `ensure` to `destroy`
 *     NAME-endpoint   forwarding rule on the public address while it is claimed
 *
 * Their descriptions say whose they are: most of these have no labels, and
 * rules get theirs by a call of their own only, for which there is no time
 * while the address is dark. Nothing is kept on this machine.
 */
#ifndef HACTL_PLUGINS_LB_GCE_H
#define HACTL_PLUGINS_LB_GCE_H

#include <hactl/plugin.h>

#include <jansson.h>
#include <stdbool.h>

#include "lib/gce/gce.h"

struct lb_gce {
    const struct hactl_host *host;
    const struct hactl_conf *conf;
    const struct hactl_conf *cloud; /* the settings of the instance that `cloud` names */
    const char *cluster;
    struct gce *gce;
};

enum { LB_GCE_CHECK, LB_GCE_SERVICE, LB_GCE_RULES, LB_GCE_GROUPS, LB_GCE_LISTS };

/* What is there, all asked side by side. */
struct lb_gce_seen {
    const char *region;
    char balancer[GCE_NAME], trial_name[GCE_NAME], endpoint_name[GCE_NAME];
    struct gce_list lists[LB_GCE_LISTS];
    const json_t *check, *service, *trial, *endpoint; /* NULL: not there */
    json_t *groups;                                   /* array, of every zone that answered */
};

/* ---- lb_gce_seen.c ------------------------------------------------------- */

const char *lb_gce_text(const json_t *object, const char *name); /* "" when there is none */
int lb_gce_no_memory(const struct lb_gce *lb, struct hactl_call *call);

/* `strict`: what has our name and is not ours is HACTL_E_CONFLICT; otherwise
 * it is passed over. */
int lb_gce_look(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want, bool strict,
                struct lb_gce_seen *seen);
void lb_gce_seen_clear(struct lb_gce_seen *seen);
const json_t *lb_gce_seen_group(const struct lb_gce_seen *seen, const char *zone);
bool lb_gce_seen_nothing(const struct lb_gce_seen *seen);

/* The groups of the backend service, and those that are in none, with who is
 * in them and how they are. */
struct lb_gce_group {
    const char *link;
    bool attached;                        /* to the backend service */
    struct gce_request *members, *health; /* `health` is asked of attached ones */
};
struct lb_gce_groups {
    struct lb_gce_group *list;
    struct gce_request *requests;
    size_t count;
    bool probed; /* a rule points at the service, so that health tells of every member */
};
int lb_gce_groups_read(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen,
                       struct lb_gce_groups *groups);
void lb_gce_groups_clear(struct lb_gce_groups *groups);
/* Array of names, to be released; from the group itself or, where its zone
 * does not answer, from the region's health. NULL: neither could be asked. */
json_t *lb_gce_group_names(const struct lb_gce_groups *groups, const struct lb_gce_group *group);
bool lb_gce_group_has(const struct lb_gce_groups *groups, const struct lb_gce_group *group, const char *name);

/* ---- lb_gce_build.c ------------------------------------------------------ */

/* Why the balancer is not whole, for people; NULL: it is. */
const char *lb_gce_flaw(const struct lb_gce *lb, const struct hactl_balancer_want *want,
                        const struct lb_gce_seen *seen);
int lb_gce_ensure(void *data, struct hactl_call *call, const struct hactl_balancer_want *want);
int lb_gce_destroy(void *data, struct hactl_call *call, const struct hactl_balancer_want *want);
int lb_gce_settings_check(const struct lb_gce *lb, struct hactl_call *call);

/* ---- lb_gce_address.c ---------------------------------------------------- */

/* A rule that forwards the endpoint's port to the backend service; `address`
 * NULL: on an ephemeral one. */
int lb_gce_rule_insert(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                       const struct lb_gce_seen *seen, const char *name, const char *address);
bool lb_gce_rule_fits(const struct lb_gce_seen *seen, const json_t *rule, uint16_t port);
int lb_gce_claim(void *data, struct hactl_call *call, const struct hactl_balancer_want *want, const char *address);
int lb_gce_release(void *data, struct hactl_call *call, const struct hactl_balancer_want *want, const char *address);

/* ---- lb_gce_backends.c --------------------------------------------------- */

/* The network that a replica is in. Fails without a text. */
int lb_gce_network_of(struct lb_gce *lb, struct hactl_call *call, const struct hactl_backend_want *backend,
                      char network[GCE_PATH]);
bool lb_gce_zone_is_known(const struct lb_gce_seen *seen, const char *zone);
/* The request that makes a zone's instance group; false: no memory. */
bool lb_gce_prepare_group(const struct lb_gce *lb, const struct lb_gce_seen *seen, const char *zone,
                          const char *network, struct gce_request *request);
/* One more group in a service's list of backends. */
void lb_gce_add_backend(json_t *backends, const char *link);
int lb_gce_backends_emit(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                         const struct lb_gce_seen *seen);
int lb_gce_backend_ensure(void *data, struct hactl_call *call, const struct hactl_balancer_want *want,
                          const struct hactl_backend_want *backend);
int lb_gce_backend_destroy(void *data, struct hactl_call *call, const struct hactl_balancer_want *want,
                           const char *name);

#endif
