/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/plan/clusters.h"

#include <stdio.h>

#include "tests/plan/explore.h"
#include "tests/plan/laws.h"

/* Of formed_situations: those whose certificates, or restarts, are on their way. */
enum { FILES_FROM = 12, FILES_COUNT = 12 };
enum { TYPES = 32768 };

static void walk_violation(const char *what, const struct ha_model *start, const struct ha_step *step)
{
    static struct ha_plan plan;
    ha_plan_make(start, &every_step, &plan);
    violation(what, start, &plan, step);
}

/* Zones matter to what people are told, and to nothing else. */
static void try_zones(const struct situation *const *situations, int count, struct surroundings around)
{
    static struct ha_model model;
    for (around.zones = 0; around.zones <= count; around.zones++) {
        const char *wrong = build_model(situations, count, &around, &model) ? law_of_warnings(&model) : NULL;
        if (wrong)
            violation(wrong, &model, NULL, NULL);
    }
}

static void try_cluster(const struct situation *const *situations, int count, struct surroundings around, int faults)
{
    static struct ha_model model;
    around.zones = (int)(run.clusters % 4);
    if (!build_model(situations, count, &around, &model))
        return;
    run.clusters++;
    if (run.walks)
        walk(&model, &every_step, walk_violation, &run.walked);
    else
        explore(&model, faults);
}

/* Who holds the address: nobody, the balancer, unknown, or one of each kind of replica. */
static void try_holders(const struct situation *const *situations, int count, struct surroundings around, int faults)
{
    static const struct {
        enum hactl_tristate balancer, proved;
        enum ha_holder holder;
    } ends[] = {{HACTL_YES, HACTL_YES, HA_HOLDER_BALANCER}, {HACTL_YES, HACTL_NO, HA_HOLDER_NONE},
                {HACTL_NO, HACTL_NO, HA_HOLDER_NONE},       {HACTL_NO, HACTL_NO, HA_HOLDER_BALANCER},
                {HACTL_YES, HACTL_YES, HA_HOLDER_UNKNOWN},  {HACTL_UNKNOWN, HACTL_NO, HA_HOLDER_BALANCER}};
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
        around.balancer = ends[e].balancer;
        around.proved = ends[e].proved;
        around.holder = ends[e].holder;
        try_cluster(situations, count, around, faults);
    }
    around.holder = HA_HOLDER_REPLICA;
    for (int i = 0; i < count; i++) {
        if (i && situations[i] == situations[i - 1])
            continue;
        around.holder_replica = i;
        for (int b = 0; b < 2; b++) {
            around.balancer = b ? HACTL_YES : HACTL_NO;
            around.proved = HACTL_NO;
            try_cluster(situations, count, around, faults);
        }
        around.holder = HA_HOLDER_BOTH;
        if (!around.repair)
            try_cluster(situations, count, around, faults);
        around.holder = HA_HOLDER_REPLICA;
    }
}

static void try_repair(const struct situation *const *situations, int count, struct surroundings around, int faults)
{
    for (int repair = 0; repair < 2; repair++) {
        around.repair = repair;
        try_holders(situations, count, around, faults);
    }
}

void multisets(const struct situation *table, int kinds, int count, struct surroundings around, int faults,
               unsigned one_in)
{
    unsigned index = 0;
    const struct situation *chosen[HA_REPLICAS];
    int digit[HA_REPLICAS] = {0};
    for (;;) {
        for (int i = 0; i < count; i++)
            chosen[i] = &table[digit[i]];
        if (index++ % run.slices == run.slice && !chance(one_in)) {
            try_zones(chosen, count, around);
            try_repair(chosen, count, around, faults);
        }
        int at = count - 1;
        while (at >= 0 && digit[at] == kinds - 1)
            at--;
        if (at < 0)
            return;
        digit[at]++;
        for (int i = at + 1; i < count; i++)
            digit[i] = digit[at];
    }
}

void odd_ones(unsigned one_in_pairs, int faults)
{
    static struct situation every[TYPES];
    int kinds = every_situation(every, TYPES);
    const struct situation *chosen[HA_REPLICAS];
    struct surroundings around = {.formed = true};
    printf("# %d situations of one replica\n", kinds);
    for (int healthy = 0; healthy < 4; healthy++)
        for (int a = 0; a < kinds; a++)
            for (int b = -1; b < kinds; b++) {
                int count = 0;
                if (b >= 0 && (b < a || chance(one_in_pairs)))
                    continue;
                chosen[count++] = &every[a];
                if (b >= 0)
                    chosen[count++] = &every[b];
                for (int h = 0; h < healthy; h++)
                    chosen[count++] = &formed_situations[0];
                if (b < 0 && (run.all || !chance(4)))
                    try_repair(chosen, count, around, faults);
                around.repair = chance(2);
                around.holder = b < 0 ? HA_HOLDER_NONE : chance(2) ? HA_HOLDER_BALANCER : HA_HOLDER_REPLICA;
                around.holder_replica = (int)chance((unsigned)count);
                around.balancer = around.proved = chance(8) ? HACTL_YES : HACTL_NO;
                try_cluster(chosen, count, around, 0);
            }
}

void ordered_stages(void)
{
    ha_plan_scope_all(&every_step);
    run.shuffled = false;
}

/* Users may put the stages in any order: the laws of safety hold whatever it
 * is; that every way leads to the same end is promised for ours only. */
static void shuffle_stages(void)
{
    ha_plan_scope_all(&every_step);
    run.shuffled = !chance(3);
    for (int kind = 0; kind < HA_STEP_KINDS && run.shuffled; kind++)
        every_step.rank[kind] = (int)chance(HA_STEP_KINDS);
}

void wild(unsigned long count)
{
    static struct situation every[TYPES];
    int kinds = every_situation(every, TYPES);
    for (unsigned long n = 0; n < count; n++) {
        const struct situation *chosen[HA_REPLICAS];
        int replicas = 1 + (int)chance(7);
        bool formed = chance(4);
        for (int i = 0; i < replicas; i++)
            chosen[i] = !formed     ? &unformed_situations[chance((unsigned)unformed_count)]
                        : chance(3) ? &formed_situations[chance((unsigned)(chance(2) ? formed_count : 2))]
                                    : &every[chance((unsigned)kinds)];
        struct surroundings around = {.formed = formed,
                                      .repair = chance(2),
                                      .destroy = !chance(6),
                                      .foreign = formed && !chance(3) ? (int)chance(5) : 0,
                                      .want = (enum ha_endpoint_want)(chance(2) ? 0 : chance(3)),
                                      .holder = (enum ha_holder)chance(5),
                                      .holder_replica = (int)chance((unsigned)replicas),
                                      .balancer = (enum hactl_tristate)(chance(6) ? chance(2) : 2),
                                      .proved = (enum hactl_tristate)chance(2),
                                      .quorum_unknown = chance(2),
                                      .second_group = (int)chance(3),
                                      .no_balancer = !chance(8),
                                      .rotation = chance(3) ? 0 : 1 + (int)chance(5),
                                      .rotation_found = (enum hactl_rotation)chance(5),
                                      .rotation_of_key = !chance(4),
                                      .rotation_unproved = !chance(6),
                                      .rotation_restarts = chance(2),
                                      .files = chance(3) ? RESTARTS : (enum files)chance(5),
                                      .alarm = !chance(12)};
        shuffle_stages();
        try_cluster(chosen, replicas, around, 1);
    }
}

void restarts(unsigned long count)
{
    run.replans_always = true;
    for (unsigned long n = 0; n < count; n++) {
        const struct situation *chosen[HA_REPLICAS];
        int replicas = 1 + (int)chance(5);
        for (int i = 0; i < replicas; i++)
            chosen[i] = &formed_situations[chance(2) ? FILES_FROM + (int)chance(FILES_COUNT)
                                                     : (int)chance((unsigned)formed_count)];
        struct surroundings around = {.formed = true,
                                      .repair = !chance(3),
                                      .want = (enum ha_endpoint_want)(chance(2) ? 0 : chance(3)),
                                      .holder = (enum ha_holder)(chance(2) ? HA_HOLDER_BALANCER : chance(5)),
                                      .holder_replica = (int)chance((unsigned)replicas),
                                      .balancer = chance(6) ? HACTL_YES : HACTL_NO,
                                      .proved = (enum hactl_tristate)chance(2),
                                      .quorum_unknown = chance(2),
                                      .second_group = (int)chance(3),
                                      .rotation = chance(3) ? 0 : 1 + (int)chance(5),
                                      .rotation_found = (enum hactl_rotation)chance(5),
                                      .rotation_of_key = !chance(4),
                                      .rotation_unproved = !chance(6),
                                      .rotation_restarts = chance(2)};
        try_cluster(chosen, replicas, around, 0);
    }
    run.replans_always = false;
}

void rotations(void)
{
    const struct situation *chosen[HA_REPLICAS];
    for (int a = 0; a < formed_count; a++)
        for (int b = a; b < formed_count; b++)
            for (int healthy = 0; healthy < 3; healthy++)
                for (int goal = 0; goal < 5; goal++)
                    for (int found = 0; found < 5; found++) {
                        int count = 0;
                        if (!run.all && a != b && chance(12))
                            continue;
                        chosen[count++] = &formed_situations[a];
                        if (b != a)
                            chosen[count++] = &formed_situations[b];
                        for (int h = 0; h < healthy; h++)
                            chosen[count++] = &formed_situations[0];
                        struct surroundings around = {.formed = true,
                                                      .holder = HA_HOLDER_BALANCER,
                                                      .balancer = HACTL_YES,
                                                      .proved = HACTL_YES,
                                                      .rotation = 1 + goal,
                                                      .rotation_found = (enum hactl_rotation)found,
                                                      .rotation_of_key = !chance(4),
                                                      .rotation_unproved = !chance(8),
                                                      .rotation_restarts = chance(2)};
                        try_cluster(chosen, count, around, 1);
                    }
}
