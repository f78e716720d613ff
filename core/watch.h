/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at the world while steps run. Several steps may wait for the same
 * thing: it is looked at once for all of them. Time is counted in ticks: a
 * look that began at a later tick than a step's operation ended shows that
 * operation's effect.
 */
#ifndef HACTL_CORE_WATCH_H
#define HACTL_CORE_WATCH_H

#include "core/asks.h"
#include "core/observer.h"

struct ha_watch {
    enum ha_subject subject;
    int index;
    bool in_flight;
    uint64_t began, ended; /* tick of the look under way; of the last that ended */
    uint64_t shown;        /* of the last that ended well */
    uint64_t wanted;       /* somebody needs a look that began at or after this */
    int64_t rest_ms;       /* after the last one: before that it is not to be looked at again */
    int code;              /* of the last one */
    char why[640];         /* it failed */
};

struct ha_watches {
    struct ha_session *session;
    uint64_t tick;
    int in_flight;
    struct ha_watch items[5 + HA_GROUPS + HA_REPLICAS];
    int count;
};

void ha_watches_init(struct ha_watches *watches, struct ha_session *session);
/* What has to be looked at to judge the step. Returns how many. */
int ha_watches_of(struct ha_watches *watches, const struct ha_step *step, unsigned more_scopes,
                  struct ha_watch *out[8]);
/* A look from now on is wanted; returns its tick. */
uint64_t ha_watches_want(struct ha_watches *watches, struct ha_watch *const *of, int count);
/* Submits what is wanted and not under way. */
void ha_watches_submit(struct ha_watches *watches);
/* Takes over a finished look, if `call` is one. */
bool ha_watches_take(struct ha_watches *watches, struct hactl_call *call);

#endif
