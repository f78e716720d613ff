/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's discovery document as a judge of requests and answers. It is read
 * at run time and is not part of this tree; without it everything passes.
 */
#ifndef GCE_EMULATOR_SCHEMA_H
#define GCE_EMULATOR_SCHEMA_H

#include "emulator.h"

/* Reads the file; false with a line on stderr. */
bool em_schema_load(const char *path);
bool em_schema_loaded(void);
void em_schema_free(void);

/* Whether the schema has this method, with this verb and path; else why not. Caller frees. */
char *em_schema_method_wrong(const struct em_method *method);

/* NULL: as the schema says. Else one line of what is wrong; caller frees. */
char *em_schema_query_wrong(const struct em_request *request);
char *em_schema_body_wrong(const struct em_request *request);
char *em_schema_answer_wrong(const struct em_method *method, const json_t *body);
/* A value against a schema by name, for tests. `strict`: as an answer, where 64-bit numbers are strings. */
char *em_schema_value_wrong(const char *schema, const json_t *value, bool strict);

#endif
