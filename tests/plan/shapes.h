/* SPDX-License-Identifier: Apache-2.0 */
/* Situations that a replica can be in, and clusters made of them. */
#ifndef HACTL_TESTS_PLAN_SHAPES_H
#define HACTL_TESTS_PLAN_SHAPES_H

#include "core/planner.h"

enum shape_member { M_NONE, M_LEARNER, M_VOTER };

/* What its certificates call for: those to be issued are read again as it runs, or
 * have another key besides; or they are issued and it has not got them. */
enum files { RESTARTS, REREADS, REKEYS, OUTDATED, REKEYED };

struct situation {
    bool wanted, founding;
    enum hactl_tristate address;
    enum ha_certificates certificates;
    enum hactl_instance_state instance;
    enum hactl_tristate data;
    enum ha_delivery member_unit, component;
    enum shape_member member;
    enum hactl_tristate healthy, caught_up, ready;
    enum ha_backend backend;
    enum files files;
};

/* What clusters are made of: of a formed group, and of one not yet formed. The first
 * `formed_core_count` make every cluster of up to seven. */
extern const struct situation formed_situations[], unformed_situations[];
extern const int formed_count, formed_core_count, unformed_count;

/* Every combination that can exist; returns how many (at most `room`). */
int every_situation(struct situation *out, int room);

/* What is not of one replica. */
struct surroundings {
    bool formed, repair, destroy;
    int foreign; /* 0; else a member of no replica: 1 dead voter, 2 live voter, 3 unknown voter, 4 learner */
    enum ha_endpoint_want want;
    enum ha_holder holder;
    int holder_replica;
    enum hactl_tristate balancer, proved;
    bool quorum_unknown; /* where the members' health leaves it open */
    bool alarm;          /* the first group has one */
    int second_group;    /* 0: one group; 1: a second one, the same; 2: a second one, not yet formed */
    bool no_balancer;    /* none is configured */
    int zones;           /* 0: one each; else that many for all */
    int rotation;        /* 0: none; else one more than enum ha_rotation_goal */
    enum hactl_rotation rotation_found;
    bool rotation_of_key;   /* it is no authority's, but that of a key */
    bool rotation_unproved; /* nobody can say what the first replica runs on */
    bool rotation_restarts; /* what uses its certificates does not read them again */
    enum files files;       /* of the first replica; 0: as its situation says */
};

/* False: such a cluster cannot be. */
bool build_model(const struct situation *const *situations, int count, const struct surroundings *around,
                 struct ha_model *out);
/* As an observer would see it after something happened: quorum follows health. */
void observe_again(struct ha_model *model);

#endif
