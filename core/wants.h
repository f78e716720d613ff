/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operations are asked (the `..._want` records of the contract), built
 * from session and model as deep copies that belong to the call: the model may
 * change while the worker is inside.
 */
#ifndef HACTL_CORE_WANTS_H
#define HACTL_CORE_WANTS_H

#include "core/session.h"

/* Memory that is freed, and zeroized, as a whole. */
struct ha_arena;

struct ha_arena *ha_arena_new(void);
void ha_arena_free(struct ha_arena *arena);                      /* accepts NULL */
void *ha_arena_take(struct ha_arena *arena, size_t size);        /* zeroed; aborts when there is no memory */
char *ha_arena_string(struct ha_arena *arena, const char *text); /* NULL stays NULL */

/* What payloads declare of it, each once; ends with NULL. NULL: there are no payloads. */
const char *const *ha_key_purposes(struct ha_arena *arena, const struct ha_session *session);
const struct hactl_replica *ha_replica_want(struct ha_arena *arena, const struct ha_replica *replica);
const struct hactl_instance_want *ha_instance_want(struct ha_arena *arena, const struct ha_session *session,
                                                   const struct ha_replica *replica);
const struct hactl_firewall_want *ha_firewall_want(struct ha_arena *arena, const struct ha_session *session);
const struct hactl_inventory *ha_inventory_want(struct ha_arena *arena, const struct ha_session *session);
/* Its endpoints: every replica that runs, has the payload and can be dialled. */
const struct hactl_group_want *ha_group_want(struct ha_arena *arena, const struct ha_session *session, int group);
const struct hactl_payload_want *ha_payload_want(struct ha_arena *arena, const struct ha_session *session, int payload,
                                                 int replica);
const struct hactl_backend_want *ha_backend_want(struct ha_arena *arena, const struct ha_replica *replica);
const struct hactl_balancer_want *ha_balancer_want(struct ha_arena *arena, const struct ha_session *session);
const struct hactl_probe_want *ha_probe_want(struct ha_arena *arena, const struct ha_session *session, int payload,
                                             const char *host, uint16_t port, const char *verify);

#endif
