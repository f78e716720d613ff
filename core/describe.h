/* SPDX-License-Identifier: Apache-2.0 */
/* The model in words and as JSON; every command that shows a part of it uses the same. */
#ifndef HACTL_CORE_DESCRIBE_H
#define HACTL_CORE_DESCRIBE_H

#include <jansson.h>

#include "core/output.h"
#include "core/session.h"

/* "ready", "leaving", "stopped", ... and how it is to be shown. */
const char *ha_replica_state(const struct ha_session *session, int replica, enum ha_shade *shade);
bool ha_replica_leaving(const struct ha_session *session, const char *name);
/* "balancer", a replica's name, "nobody" or "unknown"; `model` and its budget may be a plan's. */
const char *ha_holder_name(const struct ha_model *model, enum ha_holder holder, int holder_replica);
/* "tolerates 1 failure; losing 2 of 3 stops writes" */
/* For reports: without a quorum nothing is tolerated, not less than nothing. */
int ha_tolerated(const struct ha_budget *budget);
const char *ha_tolerance_text(const struct ha_budget *budget, char *out, size_t size);
const char *ha_tristate_word(enum hactl_tristate value, const char *yes, const char *no);
enum ha_shade ha_tristate_shade(enum hactl_tristate value);
/* The certificate that expires first; NULL: none is there. */
const struct ha_certificate *ha_next_expiry(const struct ha_observation *observed);
/* The stage of the pipeline for `verb` that has this kind of step. */
const char *ha_step_stage(const struct ha_configuration *configuration, const char *verb, enum ha_step_kind kind);

json_t *ha_json_replicas(const struct ha_session *session);
/* Why a balancer that is there does not run, as far as its plugin says; "" for one that does. */
const char *ha_balancer_trouble(const struct ha_observation *observed);
json_t *ha_json_endpoint(const struct ha_session *session);
bool ha_group_unseen(const struct ha_group *group);
json_t *ha_json_group(const struct ha_group *group);
json_t *ha_json_groups(const struct ha_session *session);
json_t *ha_json_certificate(const struct ha_certificate *certificate);
json_t *ha_json_budget(const struct ha_model *model, const struct ha_budget *budget);

#endif
