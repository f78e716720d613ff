/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what the plugins show to a desired state, for a cluster that hactl made
 * and whose store is lost. Nothing is asked here but the cloud's zones, and
 * nothing is written.
 */
#ifndef HACTL_CORE_ADOPT_H
#define HACTL_CORE_ADOPT_H

#include "core/session.h"

enum { HA_FINDINGS = 24 };

/* Lines for people. */
struct ha_findings {
    int count;
    char lines[HA_FINDINGS][256];
};

struct ha_adoption {
    struct ha_desired desired;    /* generation 0: to be written */
    struct ha_findings decided;   /* what the store had said, told from what is there */
    struct ha_findings unknown;   /* what cannot be told from it */
    struct ha_findings half_done; /* an operation was under way; taken as it is only on demand */
    struct ha_findings against;   /* this is not one cluster, seen whole */
};

/* Of session->observed, which was made with an empty store. No replica in
 * `out->desired`: there is nothing to adopt. */
int ha_adopt(struct ha_session *session, struct ha_adoption *out, struct ha_error *error);
/* Every group answered and had its quorum, so that nothing about its members is a guess. */
bool ha_adopt_saw_members(const struct ha_session *session);

#endif
