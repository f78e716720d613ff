/* SPDX-License-Identifier: Apache-2.0 */
/* Asking before a plan is carried out. */
#ifndef HACTL_CORE_CONSENT_H
#define HACTL_CORE_CONSENT_H

#include "core/session.h"

struct ha_consent_context {
    const struct ha_session *session;
    const char *verb;       /* for the stages of steps */
    bool destroys;          /* the cluster and its data */
    struct ha_error *error; /* why it was not given */
};

/* The ha_consent of the commands; context: struct ha_consent_context. */
/* For a change that has no plan: "Move ...?"; -1 after filling `error` in. */
int ha_consent_plain(const struct ha_options *options, const char *question, struct ha_error *error);
ha_consent ha_consent_ask;

#endif
