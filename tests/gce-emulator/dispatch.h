/* SPDX-License-Identifier: Apache-2.0 */
/* From an HTTP request to a handler and back: checks, faults, counts, memory of request ids. */
#ifndef GCE_EMULATOR_DISPATCH_H
#define GCE_EMULATOR_DISPATCH_H

#include "emulator.h"
#include "server.h"

/* Everything that comes in on the API's port. */
void em_dispatch(struct em_connection *connection);
/* The same for a part of a batch, whose Authorization is the batch's. */
void em_dispatch_api(struct em_connection *connection, const char *authorization);

/* What was against the schema so far; an array of strings, borrowed. */
const json_t *em_dispatch_violations(void);
void em_dispatch_violation(const char *method, const char *where, const char *wrong);
void em_dispatch_clear(void);

#endif
