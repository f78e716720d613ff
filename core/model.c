/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model.h"

#include <stdio.h>
#include <string.h>

void ha_model_init(struct ha_model *model)
{
    memset(model, 0, sizeof *model);
    model->endpoint_replica = -1;
    model->holder_replica = -1;
    model->has_cloud = model->has_issuer = model->has_balancer = true;
    model->balancer_proved = HACTL_NO;
}

int ha_model_replica(const struct ha_model *model, const char *name)
{
    for (int i = 0; i < model->replica_count; i++)
        if (strcmp(model->replicas[i].name, name) == 0)
            return i;
    return -1;
}

int ha_model_add_replica(struct ha_model *model, const char *name, const char *zone)
{
    if (model->replica_count == HA_REPLICAS)
        return -1;
    struct ha_replica *replica = &model->replicas[model->replica_count];
    memset(replica, 0, sizeof *replica);
    snprintf(replica->name, sizeof replica->name, "%s", name);
    snprintf(replica->zone, sizeof replica->zone, "%s", zone);
    replica->data = HACTL_YES;
    return model->replica_count++;
}

int ha_model_member_of(const struct ha_group *group, int replica)
{
    for (int i = 0; i < group->member_count; i++)
        if (group->members[i].replica == replica)
            return i;
    return -1;
}

bool ha_model_is_formed(const struct ha_group *group)
{
    return group->formed_before || group->formed == HACTL_YES;
}

int ha_model_wanted(const struct ha_model *model)
{
    int count = 0;
    for (int i = 0; i < model->replica_count; i++)
        count += model->replicas[i].wanted;
    return count;
}

int ha_model_zones(const struct ha_model *model)
{
    int count = 0;
    for (int i = 0; i < model->replica_count; i++) {
        bool seen = !model->replicas[i].wanted;
        for (int j = 0; j < i && !seen; j++)
            seen = model->replicas[j].wanted && strcmp(model->replicas[i].zone, model->replicas[j].zone) == 0;
        count += !seen;
    }
    return count;
}

bool ha_model_joined(const struct ha_model *model, int replica)
{
    for (int g = 0; g < model->group_count; g++) {
        const struct ha_group *group = &model->groups[g];
        int m = ha_model_member_of(group, replica);
        if (m < 0 || !group->members[m].voter || group->members[m].healthy != HACTL_YES)
            return false;
    }
    return true;
}

int ha_quorum_of(int voters)
{
    return voters / 2 + 1;
}

struct ha_budget ha_group_budget(const struct ha_group *group)
{
    struct ha_budget budget = {.holder_replica = -1};
    for (int i = 0; i < group->member_count; i++) {
        if (!group->members[i].voter)
            continue;
        budget.voters++;
        budget.healthy += group->members[i].healthy == HACTL_YES;
    }
    budget.quorum = budget.voters ? ha_quorum_of(budget.voters) : 0;
    budget.tolerates = budget.healthy - budget.quorum;
    return budget;
}

struct ha_budget ha_model_budget(const struct ha_model *model)
{
    struct ha_budget least = {0};
    for (int g = 0; g < model->group_count; g++) {
        struct ha_budget budget = ha_group_budget(&model->groups[g]);
        if (g == 0 || budget.tolerates < least.tolerates)
            least = budget;
    }
    least.holder = model->holder;
    least.holder_replica = model->holder_replica;
    return least;
}
