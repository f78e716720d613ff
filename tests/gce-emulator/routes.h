/* SPDX-License-Identifier: Apache-2.0 */
/* Which method a verb and a path mean. The tables are those of the parts. */
#ifndef GCE_EMULATOR_ROUTES_H
#define GCE_EMULATOR_ROUTES_H

#include "emulator.h"

/* `path` begins with "projects/". NULL: there is none; *other_verb: but one with another verb. New *variables. */
const struct em_method *em_routes_find(const char *verb, const char *path, json_t **variables, bool *other_verb);
/* One after the other; NULL after the last. */
const struct em_method *em_routes_next(size_t *table, size_t *row);
/* The request's scope, from its variables and path; caller frees. */
char *em_routes_scope(const struct em_method *method, const json_t *variables);

#endif
