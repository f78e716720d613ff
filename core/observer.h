/* SPDX-License-Identifier: Apache-2.0 */
/* From what plugins emit to the model. */
#ifndef HACTL_CORE_OBSERVER_H
#define HACTL_CORE_OBSERVER_H

#include "core/asks.h"

/* The model as far as the store alone knows it; what was seen is forgotten. */
void ha_observe_begin(struct ha_session *session);
/* Wanted, founding, formed: taken from the store again; what was seen stays. */
void ha_observe_desired(struct ha_session *session);
/* Puts the results of a finished call (NULL: there was nobody to ask) into the
 * model. Returns the call's code. */
int ha_observe_merge(struct ha_session *session, enum ha_subject subject, int index, const struct hactl_call *call);

/* ---- for the observer's own files: observer_cloud.c */
void ha_observe_merge_cloud(struct ha_session *session, const struct hactl_call *call);
/* Of that name; one that the store does not know is a leftover. NULL: there is no room. */
struct ha_replica *ha_observe_replica(struct ha_model *model, const char *name, const char *zone);
/* Who holds the public address: the cloud tells, and the balancer. */
void ha_observe_settle_holder(struct ha_session *session);

#endif
