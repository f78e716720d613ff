/* SPDX-License-Identifier: Apache-2.0 */
/* Models as bytes, hashes and lines of text. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tests/plan/laws.h"

enum { SIGNATURE = 1024 };

/* ---- signatures */

static void put_replica(const struct ha_model *model, int i, bool leaders, unsigned char *out)
{
    const struct ha_replica *r = &model->replicas[i];
    memset(out, 0, 32);
    size_t n = 0;
    out[n++] = (unsigned char)(r->wanted | r->founding << 1 | (model->holder_replica == i) << 2);
    out[n++] = (unsigned char)((unsigned)r->address | (unsigned)r->certificates << 2 | (unsigned)r->instance << 4);
    out[n++] = (unsigned char)((unsigned)r->data | (unsigned)r->ready << 2 | (unsigned)r->backend << 4);
    out[n++] = r->unproved;
    out[n++] = r->spared;
    out[n++] = r->rereads;
    out[n++] = r->rekeys;
    out[n++] = r->outdated;
    out[n++] = r->rekeyed;
    for (int p = 0; p < model->payload_count; p++)
        out[n++] = (unsigned char)r->deliveries[p];
    for (int g = 0; g < model->group_count; g++, n += 2) {
        int m = ha_model_member_of(&model->groups[g], i);
        const struct ha_member *member = m < 0 ? NULL : &model->groups[g].members[m];
        if (!member)
            continue;
        out[n] = (unsigned char)(1u | (unsigned)member->voter << 1 | (unsigned)(member->leader && leaders) << 2 |
                                 (unsigned)member->healthy << 3 | (unsigned)member->caught_up << 5);
        out[n + 1] = (unsigned char)member->started;
    }
}

static size_t put_things(const struct ha_model *model, bool leaders, unsigned char *out)
{
    size_t n = 0;
    int things[] = {model->destroy,          model->repair,           model->endpoint_want,
                    model->endpoint_replica, model->has_cloud,        model->has_issuer,
                    model->has_balancer,     model->has_firewall,     model->address,
                    model->firewall,         model->authority,        model->operator_certificates,
                    model->holder,           model->balancer,         model->balancer_present,
                    model->balancer_proved,  model->endpoint_answers, model->rotation[0] != 0,
                    model->rotation_goal,    model->rotation_found,   model->rotation_payloads,
                    model->rotation_rereads, model->trust_of_each};
    for (size_t i = 0; i < sizeof things / sizeof *things; i++)
        out[n++] = (unsigned char)things[i];
    for (int g = 0; g < model->group_count; g++) {
        const struct ha_group *group = &model->groups[g];
        int foreign = 0;
        for (int m = 0; m < group->member_count; m++)
            if (group->members[m].replica < 0)
                foreign = foreign * 32 + 1 + group->members[m].voter + 2 * (int)group->members[m].healthy +
                          8 * (group->members[m].leader && leaders);
        out[n++] = (unsigned char)(ha_model_is_formed(group) | (int)group->quorum << 1 | (group->alarm[0] != 0) << 3);
        out[n++] = (unsigned char)foreign;
    }
    return n;
}

/* All that matters of a model, as bytes: 32 for each replica, then the rest. */
static size_t signature_of(const struct ha_model *model, bool leaders, unsigned char out[SIGNATURE])
{
    size_t n = 0;
    for (int i = 0; i < model->replica_count && n + 32 < SIGNATURE - 128; i++, n += 32)
        put_replica(model, i, leaders, out + n);
    return n + put_things(model, leaders, out + n);
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static uint64_t mix_bytes(uint64_t hash, const unsigned char *bytes, size_t size)
{
    uint64_t word;
    for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, bytes, size);
    return mix(mix(hash, word), size);
}

/* Replicas count as a sum, in which their order does not matter. */
uint64_t hash_of(const struct ha_model *model)
{
    unsigned char bytes[SIGNATURE];
    size_t n = put_things(model, true, bytes);
    uint64_t replicas = 0, rest = mix_bytes((uint64_t)model->replica_count, bytes, n);
    for (int i = 0; i < model->replica_count; i++) {
        put_replica(model, i, true, bytes);
        uint64_t one = mix_bytes(UINT64_C(0xd6e8feb86659fd93), bytes, 32);
        replicas += mix(one, one >> 7);
    }
    return mix(rest, replicas);
}

bool same_end(const struct ha_model *a, const struct ha_model *b)
{
    unsigned char left[SIGNATURE], right[SIGNATURE];
    size_t n = signature_of(a, false, left);
    return n == signature_of(b, false, right) && memcmp(left, right, n) == 0;
}

/* What is beyond the counts is never read. */
void copy_model(struct ha_model *to, const struct ha_model *from)
{
    memcpy(to, from, offsetof(struct ha_model, groups));
    for (int g = 0; g < from->group_count; g++)
        memcpy(&to->groups[g], &from->groups[g],
               offsetof(struct ha_group, members) + (size_t)from->groups[g].member_count * sizeof(struct ha_member));
    to->replica_count = from->replica_count;
    memcpy(to->replicas, from->replicas, (size_t)from->replica_count * sizeof(struct ha_replica));
}

/* ---- for people */

static const char *const tristate[] = {"no", "yes", "?"};

static void print_members(const struct ha_model *model, int replica)
{
    for (int g = 0; g < model->group_count; g++)
        for (int m = 0; m < model->groups[g].member_count; m++) {
            const struct ha_member *member = &model->groups[g].members[m];
            if (member->replica == replica)
                printf(" | %s %s%s healthy=%s caught-up=%s", model->groups[g].name, member->voter ? "voter" : "learner",
                       member->leader ? " LEADER" : "", tristate[member->healthy], tristate[member->caught_up]);
        }
}

void print_model(const struct ha_model *model)
{
    static const char *const instances[] = {"absent", "starting", "running", "stopped", "?"};
    static const char *const certificates[] = {"none", "stale", "ready", "?"};
    static const char *const deliveries[] = {"none", "running", "dead", "stale", "?"};
    static const char *const backends[] = {"none", "waiting", "serving", "?"};
    static const char *const holders[] = {"none", "replica", "balancer", "?", "both"};
    printf("  destroy=%d repair=%d want=%d/%d address=%s holder=%s/%d balancer=%s%s proved=%s answers=%s\n",
           model->destroy, model->repair, (int)model->endpoint_want, model->endpoint_replica, tristate[model->address],
           holders[model->holder], model->holder_replica, tristate[model->balancer],
           model->balancer_present ? " (present)" : "", tristate[model->balancer_proved],
           tristate[model->endpoint_answers]);
    for (int g = 0; g < model->group_count; g++)
        printf("  group %s formed=%s/%d quorum=%s alarm=%s\n", model->groups[g].name, tristate[model->groups[g].formed],
               model->groups[g].formed_before, tristate[model->groups[g].quorum], model->groups[g].alarm);
    for (int i = 0; i < model->replica_count; i++) {
        const struct ha_replica *r = &model->replicas[i];
        printf("  %s%s%s address=%s certificates=%s instance=%s data=%s ready=%s backend=%s deliveries=", r->name,
               r->wanted ? " wanted" : "", r->founding ? " founding" : "", tristate[r->address],
               certificates[r->certificates], instances[r->instance], tristate[r->data], tristate[r->ready],
               backends[r->backend]);
        for (int p = 0; p < model->payload_count; p++)
            printf("%s%s", p ? "," : "", deliveries[r->deliveries[p]]);
        print_members(model, i);
        printf("\n");
    }
    printf("  of no replica:");
    print_members(model, -1);
    printf("\n");
}

void print_plan(const struct ha_plan *plan)
{
    char text[256];
    for (int i = 0; i < plan->count; i++) {
        ha_step_text(&plan->steps[i], text, sizeof text);
        printf("  %2d %s%s  needs", i, text, plan->steps[i].guarded ? " [guarded]" : "");
        for (int n = 0; n < i; n++)
            if (ha_step_needs(&plan->steps[i], n))
                printf(" %d", n);
        printf("\n");
    }
    printf("  converged=%d\n", plan->converged);
    for (int i = 0; i < plan->blocked_count; i++)
        printf("  blocked: %s\n", plan->blocked[i]);
}
