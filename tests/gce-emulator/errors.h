/* SPDX-License-Identifier: Apache-2.0 */
/* Both shapes of the API's errors: an HTTP answer, and the error of an operation that ended badly. */
#ifndef GCE_EMULATOR_ERRORS_H
#define GCE_EMULATOR_ERRORS_H

#include "emulator.h"

struct em_answer em_ok(json_t *body);

/* The HTTP shape; `reason` is Google's: "notFound". */
struct em_answer em_error(int status, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Common ones. */
struct em_answer em_error_not_found(const char *path);
struct em_answer em_error_exists(const char *path);
struct em_answer em_error_invalid(const char *field, const char *value, const char *why);
struct em_answer em_error_required(const char *field);
struct em_answer em_error_in_use(const char *collection, const char *path, const char *user);
struct em_answer em_error_not_ready(const char *path);
struct em_answer em_error_fingerprint(const char *name);

/* Adds error.details[] of type ErrorInfo. */
void em_error_info(struct em_answer *answer, const char *reason, json_t *metadatas);

/* One element of Operation.error.errors[]. */
json_t *em_operation_error(const char *code, const char *message);
/* Adds errorDetails[] to it; `details` becomes its property. */
void em_operation_error_detail(json_t *error, const char *name, json_t *details);

#endif
