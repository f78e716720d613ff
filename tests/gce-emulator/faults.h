/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test may make go wrong: single calls, zones, stock, rates. Every
 * rule is a JSON object as it came in at /_emulator/ (see control.c).
 */
#ifndef GCE_EMULATOR_FAULTS_H
#define GCE_EMULATOR_FAULTS_H

#include "emulator.h"

/*
 * {"method": GLOB, "nth": 1, "times": 1, "when": "before" | "after" | "operation", ...}
 * before: the call is refused and has no effect; after: it has its effect and the reply is another one
 * or none; operation: the operation ends with an error. "drop": true closes the connection;
 * "status", "reason", "message": the HTTP error; "code", "http", "message": the operation's.
 * "match": only calls whose path contains this. NULL: taken; else what is wrong with it.
 */
const char *em_faults_add(const json_t *rule);
json_t *em_faults_list(void);
void em_faults_clear(void);

/* Whether a rule catches this call at this point; then *answer is what it gets. */
bool em_faults_catch(const struct em_request *request, const char *when, struct em_answer *answer);
/* The error with which the operation of this call is to end, or NULL. */
json_t *em_faults_operation_error(const struct em_request *request);

/* A zone that is dead: its API does not answer, its machines do not run. */
bool em_faults_zone_down(const char *scope);
void em_faults_set_zone(const char *zone, bool down);
/* Whether the scope of the call lies in a dead zone. */
bool em_faults_unreachable(const struct em_request *request, struct em_answer *answer);

/* A zone without room for machines of this type ("*": any). */
void em_faults_set_stock(const char *zone, const char *machine_type, bool out);
bool em_faults_out_of_stock(const char *zone, const char *machine_type);

/* Calls of a group ("change", "read", "list", "operation") per window; 0: no limit. */
const char *em_faults_set_rate(const char *group, unsigned calls, unsigned window_ms, int status);
bool em_faults_rate_exceeded(const struct em_request *request, struct em_answer *answer);

#endif
