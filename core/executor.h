/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor: carries out one plan. For every step: its intent into the
 * journal, the call, and then looking until the expected state is seen or the
 * deadline passes. Steps with no need of each other run side by side. It
 * decides nothing: a surprise ends the run, and session.c plans again.
 */
#ifndef HACTL_CORE_EXECUTOR_H
#define HACTL_CORE_EXECUTOR_H

#include "core/journal.h"
#include "core/session.h"

enum ha_outcome {
    HA_OUTCOME_DONE,
    HA_OUTCOME_SURPRISED, /* the world is not as the plan took it to be: look again, plan again */
    HA_OUTCOME_FAILED,    /* `error` says which step and why */
    HA_OUTCOME_CANCELLED
};

struct ha_run {
    struct ha_session *session;
    const struct ha_plan *plan;
    struct ha_journal *journal;
    json_t *records; /* of the journal so far, interrupted runs too: their intents keep their names */
    const struct ha_listener *listener; /* optional */
    struct ha_report *report;
    int64_t deadline_ms; /* of the whole operation; 0: none */
    int failed_step;     /* after HA_OUTCOME_FAILED; -1: none in particular */
    bool dark;           /* the address was let go of, and no claim was seen to have worked since */
    int sequence;        /* of journal records, over all runs of an operation */
    bool seen_all;       /* after HA_OUTCOME_DONE: the model is of a look at all that there is, after the last step */
};

/* A name for something that is about to be changed: a UUID. */
void ha_intent_make(char out[40]);

enum ha_outcome ha_execute(struct ha_run *run, struct ha_error *error);

#endif
