/* SPDX-License-Identifier: Apache-2.0 */
/* What change.c, operation.c and give_back.c share: one change under way. */
#ifndef HACTL_CORE_CHANGE_INTERNAL_H
#define HACTL_CORE_CHANGE_INTERNAL_H

#include "core/executor.h"
#include "core/request.h"

struct change {
    struct ha_session *session;
    struct ha_request request;
    char text[256];   /* of the request */
    char renews[256]; /* of the text: what is renewed */
    char operation[64];
    char ends[64];              /* the open operation that this one aborts or takes over */
    struct ha_desired previous; /* before the request: where `op abort` goes back to */
    struct ha_desired wanted;
    struct ha_plan *plan;
    struct ha_plan_scope scope;
    struct ha_run run;
    json_t *earlier;
    const struct ha_listener *listener;
    struct ha_report *report;
    struct ha_error *error;
    int64_t began_ms;          /* less the time in which the user was asked */
    int64_t election_until_ms; /* how long a change waits for elections, all in all; 0: it has not yet */
    int second_looks;
    unsigned syncs; /* of the store */
    bool resumes, written;
    bool found; /* something was there, of which the store did not know */
    bool dry;   /* plans only: nothing is written, not even what a crash left to be settled */
};

/* What it took so far, into the report. */
void ha_change_measure(struct change *c);
void ha_change_say(const struct change *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- operation.c: which operation it is, and what is written down of it */

void ha_operation_new_name(char out[64]);
/* Returns 1 when the operation is done already; it is `c->operation` then. */
int ha_change_find(struct change *c);
/* Abort: back to the replica set from before, as a plan like any other. */
int ha_change_want_previous(struct change *c);
int ha_change_begin(struct change *c);
/* What was aborted or taken over is over too, and says so. */
void ha_change_end_other(const struct change *c);
int ha_change_write(struct change *c);
bool ha_desired_same(const struct ha_desired *a, const struct ha_desired *b);
/* Those that founded nothing yet are the founders; the store must know them
 * before the first of them starts. */
void ha_change_choose_founders(struct change *c);
/* What the world has shown for good: groups formed, replicas gone. */
void ha_change_note_facts(struct change *c);
void ha_change_drop_gone(struct change *c);
/* Nothing is left of any replica that is to go. */
bool ha_change_all_gone(const struct change *c);
/* `type`: "stop", it stays unfinished; "end". */
void ha_change_stop(struct change *c, const char *type);

/* ---- change_snapshot.c */

/* Of every group whose members the plan changes, if the configuration says where to. */
int ha_change_snapshot(struct change *c);

/* ---- unit_log.c */

/* After a failure about what runs on a replica: what that wrote last; "" when
 * there is nothing to tell. `holder`: of the address when the change began. */
void ha_change_hear_unit(const struct change *c, enum ha_holder holder, char *out, size_t size);
/* Of the lines that it wrote those that say why, in one; `text` is taken apart. */
void ha_unit_log_words(char *text, char *out, size_t size);

/* Who had the public address before this operation let go of it, told by its
 * journal: killed in between, the world does not show it any more. */
void ha_change_earlier_holder(const struct change *c, enum ha_holder *holder, char replica[HA_NAME]);

/* ---- election.c */

/* Looks again, for some seconds, while a group has no leader that may soon have one. */
int ha_change_await_election(struct change *c);

/* ---- give_back.c */

/* After a failure: the address to whoever had it, a learner out again. */
void ha_change_give_back(struct change *c, enum ha_holder holder, const char *replica);

#endif
