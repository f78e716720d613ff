/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a group elects a leader its members answer and have no quorum. A plan
 * made in that moment takes those that are well for dead, starts what is to be
 * removed, and asks for consent to what a second later costs nothing. So before
 * a change is planned the group is looked at again, with patience.
 */
#include <time.h>

#include "core/change_internal.h"
#include "core/session_internal.h"

/* etcd elects within two election timeouts (1 s by default) unless votes are split. */
enum { ELECTION_MS = 6000, PAUSE_MS = 200, SECOND_LOOKS = 2 };

/* Somebody answers, nobody leads, and enough run to choose one. */
static bool elects(const struct ha_model *model, int g)
{
    const struct ha_group *group = &model->groups[g];

    return group->formed == HACTL_YES && group->quorum == HACTL_NO && group->member_count > 0 && !group->alarm[0] &&
           ha_quorum_may_return(model, g, false);
}

/* One that runs and is not well, although the group is: it may not have heard yet who leads. */
static bool disagrees(const struct ha_model *model, int g)
{
    const struct ha_group *group = &model->groups[g];

    for (int m = 0; group->quorum == HACTL_YES && m < group->member_count; m++) {
        const struct ha_member *member = &group->members[m];
        const struct ha_replica *replica = member->replica >= 0 ? &model->replicas[member->replica] : NULL;

        if (member->voter && member->healthy == HACTL_NO && replica && replica->instance == HACTL_INSTANCE_RUNNING &&
            replica->deliveries[g] == HA_DELIVERY_RUNNING)
            return true;
    }
    return false;
}

static int find(const struct ha_model *model, bool (*is)(const struct ha_model *model, int g))
{
    for (int g = 0; g < model->group_count; g++)
        if (is(model, g))
            return g;
    return -1;
}

static int64_t patience_ends_ms(struct change *c)
{
    int64_t now_ms = ha_now_ms();

    if (c->election_until_ms == 0)
        c->election_until_ms = now_ms + ELECTION_MS;
    return c->run.deadline_ms && c->run.deadline_ms < c->election_until_ms ? c->run.deadline_ms : c->election_until_ms;
}

int ha_change_await_election(struct change *c)
{
    const struct ha_model *model = &c->session->observed.model;
    bool said = false;

    while (!c->wanted.destroy && !ha_cancelled()) {
        int electing = find(model, elects);

        if (electing >= 0 ? ha_now_ms() >= patience_ends_ms(c)
                          : find(model, disagrees) < 0 || c->second_looks++ >= SECOND_LOOKS)
            break;
        if (electing >= 0 && !said)
            ha_change_say(c, "%s has no leader just now: looking again", model->groups[electing].name);
        said |= electing >= 0;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
        if (ha_session_observe(c->session, HA_SCOPE_GROUP | HA_SCOPE_READY | HA_SCOPE_ENDPOINT, c->error))
            return -1;
    }
    return 0;
}
