/* SPDX-License-Identifier: Apache-2.0 */
#include "errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct em_answer em_ok(json_t *body)
{
    return (struct em_answer){.status = 200, .body = body};
}

struct em_answer em_error(int status, const char *reason, const char *format, ...)
{
    va_list arguments;
    char *message = NULL;
    json_t *body;

    va_start(arguments, format);
    if (vasprintf(&message, format, arguments) < 0) {
        abort();
    }
    va_end(arguments);
    body = json_pack("{s:{s:i,s:s,s:[{s:s,s:s,s:s}]}}", "error", "code", status, "message", message, "errors",
                     "message", message, "domain", "global", "reason", reason);
    free(message);
    return (struct em_answer){.status = status, .body = body};
}

struct em_answer em_error_not_found(const char *path)
{
    return em_error(404, "notFound", "The resource '%s' was not found", path);
}

struct em_answer em_error_exists(const char *path)
{
    return em_error(409, "alreadyExists", "The resource '%s' already exists", path);
}

struct em_answer em_error_invalid(const char *field, const char *value, const char *why)
{
    return em_error(400, "invalid", "Invalid value for field '%s': '%s'. %s", field, value == NULL ? "" : value, why);
}

struct em_answer em_error_required(const char *field)
{
    return em_error(400, "required", "Required field '%s' not specified", field);
}

/* "forwardingRules" -> "forwardingRule" and so on, as the API names them in messages. */
static void singular(const char *collection, char *out, size_t size)
{
    size_t length = strlen(collection);

    if (length > 4 && strcmp(collection + length - 4, "sses") == 0) {
        length -= 2;
    } else if (length > 1 && collection[length - 1] == 's') {
        length--;
    }
    snprintf(out, size, "%.*s", (int)length, collection);
}

struct em_answer em_error_in_use(const char *collection, const char *path, const char *user)
{
    char name[64];

    singular(collection, name, sizeof(name));
    return em_error(400, "resourceInUseByAnotherResource", "The %s resource '%s' is already being used by '%s'", name,
                    path,
                    strncmp(user, EM_LINK_PREFIX, strlen(EM_LINK_PREFIX)) == 0 ? user + strlen(EM_LINK_PREFIX) : user);
}

struct em_answer em_error_not_ready(const char *path)
{
    return em_error(400, "resourceNotReady", "The resource '%s' is not ready", path);
}

struct em_answer em_error_fingerprint(const char *name)
{
    return em_error(412, "conditionNotMet", "%s", name);
}

void em_error_info(struct em_answer *answer, const char *reason, json_t *metadatas)
{
    json_t *detail = json_pack("{s:s,s:s,s:s}", "@type", "type.googleapis.com/google.rpc.ErrorInfo", "reason", reason,
                               "domain", "compute.googleapis.com");

    if (metadatas != NULL) {
        json_object_set_new(detail, "metadatas", metadatas);
    }
    json_array_append_new(em_array(json_object_get(answer->body, "error"), "details"), detail);
}

json_t *em_operation_error(const char *code, const char *message)
{
    return json_pack("{s:s,s:s}", "code", code, "message", message);
}

void em_operation_error_detail(json_t *error, const char *name, json_t *details)
{
    json_array_append_new(em_array(error, "errorDetails"), json_pack("{s:o}", name, details));
}
