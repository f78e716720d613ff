/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HACTL_CORE_REQUEST_H
#define HACTL_CORE_REQUEST_H

#include "core/session.h"

enum { HA_WARNINGS = 4, HA_ZONES_BETTER = 40 };

/* Changes `desired` to what the request asks for. */
int ha_request_apply(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                     struct ha_error *error);
/* "replica add --zone b": two requests of the same text are the same request. */
void ha_request_text(const struct ha_request *request, char *out, size_t size);
enum ha_request_kind ha_request_kind_of(const char *text);
/* The steps of the request's pipeline; with `name`, of that stage or of that pipeline of the user's own. */
int ha_request_scope(struct ha_session *session, enum ha_request_kind kind, const char *name, struct ha_plan_scope *out,
                     struct ha_error *error);
/* After a look: every name that was given is that of a replica or a purpose. */
int ha_request_check_renews(const struct ha_session *session, struct ha_error *error);
/* Of `pki renew`: for the inventory that the issuer is given. */
void ha_request_renews(struct ha_session *session, bool renews, const char *names, bool rekey);
/* How so many replicas are best spread, so that no zone takes the quorum along. */
const char *ha_zones_better(int wanted, char out[HA_ZONES_BETTER]);
/* About even counts, zones, what no step puts right, and what hactl has no room for; `warnings` holds HA_WARNINGS
 * lines. */
void ha_request_warn(const struct ha_model *end, char (*warnings)[256], int *count);

/* Without a quorum, or with an alarm, nothing is begun that a quorum must decide; `up` may still start what has
 * stopped. */
bool ha_request_is_refused(enum ha_request_kind kind, const struct ha_plan *plan);

#endif
