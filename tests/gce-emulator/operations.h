/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations: every change answers with one. It is PENDING, then RUNNING, then
 * DONE; its effect comes with DONE. Also the memory of request ids.
 */
#ifndef GCE_EMULATOR_OPERATIONS_H
#define GCE_EMULATOR_OPERATIONS_H

#include "emulator.h"

/* What happens when an operation ends. `arguments` is whatever the handler put
 * there; the resource may be gone by then, so it is looked up by path. */
typedef void em_effect(struct em_operation *operation, json_t *arguments);

/* Starts an operation on `target`. Takes `arguments` (may be NULL). `effect` may be NULL. */
struct em_answer em_operation_start(struct em_request *request, struct em_resource *target, const char *type,
                                    em_effect *effect, json_t *arguments);
/* The same, and until it is done nothing else may touch the target. */
struct em_answer em_operation_start_alone(struct em_request *request, struct em_resource *target, const char *type,
                                          em_effect *effect, json_t *arguments);

/* In an effect: the operation ends with this error. Takes `error`, made by em_operation_error(). */
void em_operation_fail(struct em_operation *operation, int status, json_t *error);
/* In an effect: the target, or NULL when it is gone. */
struct em_resource *em_operation_target(const struct em_operation *operation);
/* The target has just been removed by the effect. */
void em_operation_target_gone(struct em_operation *operation);
/* In the effect of an insert that fails: takes the target back. */
void em_operation_undo_insert(struct em_operation *operation);
/* In an effect: the operation is not done yet; em_operation_finish() ends it later. */
void em_operation_hold(struct em_operation *operation);
void em_operation_finish(struct em_operation *operation);

/* Whoever does not let go: true while a handler may not touch the resource; says so in *answer. */
bool em_operation_busy(const struct em_resource *resource, struct em_answer *answer);

/* The connection of a call to wait has ended. */
void em_operations_forget(struct em_connection *connection);

/* The answer of the call that had this requestId before; status 0: none. */
struct em_answer em_operations_repeated(const struct em_request *request);
/* Why the requestId is none, or NULL. */
const char *em_operations_request_id_wrong(const char *id);

void em_operations_set_wait_cap(unsigned cap_ms);
/* How many are not done. */
size_t em_operations_running(void);
void em_operations_clear(void);

extern const struct em_type em_operation_type;
extern const struct em_method em_operations_methods[];

#endif
