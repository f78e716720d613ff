/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner: a pure function from a model (what is wanted, what is) to a
 * list of steps. It asks nobody, waits for nothing, remembers nothing.
 *
 * It works by simulation: rules look at the model and name the next step; the
 * step's effect is applied to a copy; and so on until no rule has anything
 * more to say. So every step carries the state expected after it, and the
 * failure budget at every point is known beforehand. Which steps may run side
 * by side follows from what each reads and writes.
 */
#ifndef HACTL_CORE_PLANNER_H
#define HACTL_CORE_PLANNER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/model.h"
#include "core/steps.h"

enum { HA_STEPS = 512 };

/* What a step reads or writes; one bit a replica, a group or a thing. */
struct ha_touch {
    uint16_t addresses, certificates, instances, ready, backends; /* bit: replica */
    uint16_t groups;                                              /* bit: group */
    uint16_t things;                                              /* enum ha_thing */
};

enum ha_thing {
    HA_THING_ADDRESS = 1,
    HA_THING_FIREWALL = 2,
    HA_THING_AUTHORITY = 4,
    HA_THING_OPERATOR = 8,
    HA_THING_BALANCER = 16,
    HA_THING_ENDPOINT = 32
};

struct ha_step {
    enum ha_step_kind kind;
    int replica;                 /* -1: of the cluster */
    int group;                   /* or payload; -1: none */
    char member_id[24];          /* of the member that it is about, where one is there */
    char to[HA_NAME];            /* leader-move: to whom */
    enum hactl_tristate healthy; /* the member that it is about, as planned */
    int phase;                   /* authority-rotate: enum hactl_rotation */
    char subject[HA_NAME * 2 + 4];
    struct ha_touch reads, writes;
    uint64_t needs[HA_STEPS / 64]; /* bit: an earlier step of the same plan */
    struct ha_budget before, during, after;
    bool guarded; /* takes tolerance from one or more to zero */
};

struct ha_plan {
    int count;
    struct ha_step steps[HA_STEPS];
    bool converged;    /* the end state is the wanted one */
    int blocked_count; /* why it is not */
    char blocked[8][256];
    struct ha_model end; /* expected after the last step */
};

/* Which steps may be used, in which order they are preferred. */
struct ha_plan_scope {
    bool enabled[HA_STEP_KINDS];
    int rank[HA_STEP_KINDS]; /* lower first: the stage's place in the pipeline */
};

void ha_plan_scope_all(struct ha_plan_scope *scope);
/* `out` is large: allocate it. */
void ha_plan_make(const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_plan *out);

/* The same, one step at a time: does the next one in `model`. False: there is
 * none. What the step needs and its subject are left out. */
bool ha_plan_advance(struct ha_model *model, const struct ha_plan_scope *scope, struct ha_step *out);

bool ha_step_needs(const struct ha_step *step, int earlier);
/* What the model is after the step went as expected. Also what the executor
 * compares the observed world with. */
void ha_step_apply(struct ha_model *model, const struct ha_step *step);
/* A change of membership was planned on what was known then. Is it, as things are now,
 * still the same change: the quorum there, no less tolerance before it, none that is
 * taken unasked, the same state of whoever goes? */
bool ha_step_still_planned(const struct ha_model *now, const struct ha_step *step);
/* How long it may take: a learner longer, the more there is to be copied. */
int64_t ha_step_limit_ms(const struct ha_model *model, const struct ha_step *step);
/* Does the model show what is expected after the step? */
bool ha_step_holds(const struct ha_model *model, const struct ha_step *step);
/* Promise 4: the first kind of step of `again` that changes something and that
 * nobody has agreed to; HA_STEP_KINDS when there is none. Waiting needs no
 * consent. */
enum ha_step_kind ha_plan_surprise(const bool agreed[HA_STEP_KINDS], const struct ha_plan *again);
/* Nor does moving leadership before a removal (a group may elect a new leader at
 * any time), or giving files to something that was to be restarted with them. */
bool ha_step_implied(const bool agreed[HA_STEP_KINDS], enum ha_step_kind kind);
void ha_plan_kinds(const struct ha_plan *plan, bool kinds[HA_STEP_KINDS]);
/* The wanted state, and nothing left to do. */
bool ha_model_converged(const struct ha_model *model, const struct ha_plan_scope *scope);
/* "remove the member demo-2" */
void ha_step_text(const struct ha_step *step, char *out, size_t size);

/* Which replica (>= 0), balancer (-2) or nobody (-1) is to hold the address. */
enum { HA_TARGET_NOBODY = -1, HA_TARGET_BALANCER = -2 };
int ha_endpoint_target(const struct ha_model *model);

/* ---- for the planner's own files */
typedef bool ha_rule(const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_step *out);
extern ha_rule *const ha_rules[HA_STEP_KINDS];
/* A replica that must be there now: wanted, or founding a group not yet formed. */
bool ha_replica_needed(const struct ha_model *model, int replica);
/* No group has a member of it, and every group could be asked. */
bool ha_replica_unbound(const struct ha_model *model, int replica);
/* It holds the data of a member that was removed: a member cannot start from it again. */
bool ha_replica_former(const struct ha_model *model, int replica);
/* Its data is gone for certain, or worthless: a member of it only costs quorum. */
bool ha_replica_lost(const struct ha_model *model, int replica);
/* A group that was formed cannot decide, or could not be asked. */
bool ha_quorum_missing(const struct ha_model *model);
/* One has run out of space, or its data differ: nothing can be promised of a change until that is mended. */
bool ha_group_alarmed(const struct ha_model *model);
/* Either of the two. */
bool ha_changes_barred(const struct ha_model *model);
/* Then nothing is done but what may bring members back. */
bool ha_step_suits(const struct ha_model *model, enum ha_step_kind kind);
/* Enough voters run, or `stale` too: run on certificates that are to be renewed. */
bool ha_quorum_may_return(const struct ha_model *model, int group, bool stale);
/* Behind a balancer: one that runs, may run, or is to run again. */
bool ha_replica_behind(const struct ha_model *model, int replica);
/* It has the public address, alone or not, or nobody knows who has. */
bool ha_replica_may_hold(const struct ha_model *model, int replica);
/* It is wanted, and the next thing for it is a step that makes it answer. */
bool ha_replica_coming(const struct ha_model *model, const struct ha_plan_scope *scope, int replica);
/* Something that served has just been restarted and does not serve again yet. */
bool ha_service_recovering(const struct ha_model *model, const struct ha_plan_scope *scope, int but_replica);
/* Of a formed group something runs and is not well yet, or is expected to be. */
bool ha_group_recovering(const struct ha_model *model, int g);
bool ha_balancer_awaited(const struct ha_model *model);
/* The next thing for it is a step that interrupts what it serves with. */
bool ha_member_restart_due(const struct ha_model *model, const struct ha_plan_scope *scope, int replica);
bool ha_restart_due(const struct ha_model *model, const struct ha_plan_scope *scope, int replica);
/* It serves behind the balancer and others do too: it leaves before it is interrupted. */
bool ha_drain_first(const struct ha_model *model, const struct ha_plan_scope *scope, int replica);
/* It could serve and was taken out, or never put in. */
/* It runs without an address of its own, and does not hold the cluster's: it is to have one. */
bool ha_replica_cut_off(const struct ha_model *model, const struct ha_plan_scope *scope, int replica);
bool ha_replica_out(const struct ha_model *model, const struct ha_plan_scope *scope, int replica);
/* The address is where it is to be, and was seen to answer there: what could take it back may go. */
bool ha_endpoint_settled(const struct ha_model *model, const struct ha_plan_scope *scope);
/* Does the step restart something that runs? */
bool ha_step_restarts(const struct ha_model *model, const struct ha_step *step);
/* Or may somebody who connects meanwhile be turned away? */
bool ha_step_interrupts(const struct ha_model *model, const struct ha_step *step);
/* ---- planner_rotation.c */
bool ha_rotation_done(const struct ha_model *model);
/* The first known consumer that keeps the rotation from going on, in words; false: none. */
bool ha_rotation_gated(const struct ha_model *model, char *why, size_t size);
void ha_rotation_apply(struct ha_model *model, const struct ha_step *step);
/* What the scope asks for and is not so, and what is before that and not so. */
void ha_explain_blocked(const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_plan *plan);

#endif
