/* SPDX-License-Identifier: Apache-2.0 */
/* What executor.c, executor_looks.c, executor_calls.c and executor_journal.c
 * share: one plan being carried out. */
#ifndef HACTL_CORE_EXECUTOR_INTERNAL_H
#define HACTL_CORE_EXECUTOR_INTERNAL_H

#include "core/delivery.h"
#include "core/executor.h"
#include "core/session_internal.h"
#include "core/watch.h"

enum ha_phase {
    HA_WAITING,   /* for the steps it needs */
    HA_CHECKING,  /* is the world still as the plan takes it to be? */
    HA_CALLING,   /* an operation is under way */
    HA_PAUSING,   /* until `next_ms`, then the operation again */
    HA_POLLING,   /* a token is out; until `next_ms`, then poll */
    HA_VERIFYING, /* looking for the expected state */
    HA_RESTING,   /* until `next_ms`, then looking again */
    HA_FINISHED,
    HA_FAILED
};

struct ha_task {
    const struct ha_step *step;
    enum ha_phase phase;
    int64_t started_ms, deadline_ms, next_ms, pause_ms;
    bool announced; /* its intent is in the journal */
    bool unsettled; /* what came of the operation is not known: its intent stays open */
    char intent[40];
    char *token; /* of the operation under way */
    struct ha_instance *token_of;
    bool token_is_old; /* an earlier run's */
    struct ha_delivery_work delivery;
    bool delivering, delivered;
    struct hactl_call *requests; /* owned; what the replica asks to be certified */
    bool signing;
    bool checks;   /* looking before the operation, not after it */
    uint64_t look; /* tick from which on a look counts */
    int64_t revived_ms;
    int revivals, reviving; /* how many; `seq` of the one under way, or 0 */
    int unseen;             /* looks after the operation that did not show what it leads to */
    int code;               /* of the last failure */
    char failure[640];
};

struct ha_execution {
    struct ha_run *run;
    struct ha_session *session;
    struct ha_watches watches;
    struct ha_task tasks[HA_STEPS];
    int count, calls_in_flight;
    int extra; /* intents that are no step's own */
    bool stopping, surprised;
    struct ha_error *error;
};

/* ---- executor.c */

int64_t ha_task_left_ms(const struct ha_execution *x, const struct ha_task *task);
/* Longer each time, and never beyond the deadline. */
void ha_task_pause(const struct ha_execution *x, struct ha_task *task, enum ha_phase phase, int64_t at_least_ms);
/* The same, and says what has failed for now. */
void ha_task_wait(struct ha_execution *x, struct ha_task *task, enum ha_phase phase, int64_t at_least_ms);
void ha_task_end(struct ha_execution *x, struct ha_task *task, enum ha_phase phase);
void ha_task_fail(struct ha_execution *x, struct ha_task *task, int code, const char *text);
/* The world is not what it was planned for: the step ends, and it is planned anew. */
void ha_task_surprise(struct ha_execution *x, struct ha_task *task, int code, const char *text);
void ha_task_expire(struct ha_execution *x, struct ha_task *task);

/* ---- executor_looks.c */

/* Looks for what the step leads to; `before`: whether its operation has to be
 * called at all, and may be. */
void ha_task_look(struct ha_execution *x, struct ha_task *task, bool before);
/* The same once more, after a rest; where processes are waited for, at these too. */
void ha_task_look_again(struct ha_execution *x, struct ha_task *task);
/* Once all has been looked at: goes on by what was seen. */
void ha_task_judge(struct ha_execution *x, struct ha_task *task);

/* ---- executor_calls.c */

/* A change of membership: made only on a fresh look. */
bool ha_step_is_delicate(enum ha_step_kind kind);
bool ha_step_is_release(enum ha_step_kind kind);
bool ha_step_is_claim(enum ha_step_kind kind);
void ha_task_call(struct ha_execution *x, struct ha_task *task);
void ha_task_poll(struct ha_execution *x, struct ha_task *task);
/* Starts again what died on `replica`. */
void ha_task_revive(struct ha_execution *x, struct ha_task *task, int replica);
/* Takes over a call that has come back. */
void ha_execution_take(struct ha_execution *x, struct hactl_call *call);

/* ---- executor_journal.c */

/* An operation that answered so has left nothing under way. */
bool ha_code_settles(int code);
int ha_task_write_intent(struct ha_execution *x, struct ha_task *task);
void ha_task_write_result(struct ha_execution *x, const struct ha_task *task, int code);
void ha_task_write_token(struct ha_execution *x, const struct ha_task *task);
/* What was begun under the old intent has failed for good: the next try is another. */
int ha_task_renew_intent(struct ha_execution *x, struct ha_task *task);
/* For a change that no step of the plan stands for; `intent` receives its
 * name. Returns its `seq`, or -1. */
int ha_execution_write_extra(struct ha_execution *x, const struct ha_step *step, char intent[40]);
void ha_execution_write_extra_result(struct ha_execution *x, int seq, int code, int64_t ms);

#endif
