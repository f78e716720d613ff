/* SPDX-License-Identifier: Apache-2.0 */
/* Changes are answered with operations. The token of a call names all that it
 * began: "zones/a/operations/x zones/b/operations/y". */
#include "lib/gce/gce_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

enum { TOKEN = 1000, OPERATIONS = 16 };

static bool is_done(const json_t *operation)
{
    const char *status = ha_json_string(operation, "status");

    return status && strcmp(status, "DONE") == 0;
}

/* Path of an operation below its project: "regions/r/operations/o". */
static const char *operation_path(const json_t *operation)
{
    const char *link =
        gce_link_path(ha_json_string(operation, "selfLink") ? ha_json_string(operation, "selfLink") : "");
    const char *slash = strncmp(link, "projects/", 9) == 0 ? strchr(link + 9, '/') : NULL;

    return slash ? slash + 1 : NULL;
}

/* Judges one answer: an operation under way goes into the token. */
static void take(struct gce *gce, struct gce_request *request, char token[TOKEN + 1])
{
    const char *path;
    size_t used = strlen(token);

    if (request->code == HACTL_E_NOT_FOUND && strcmp(request->method, "DELETE") == 0)
        request->code = HACTL_OK;
    if (request->code != HACTL_OK || !request->json)
        return;
    if (is_done(request->json)) {
        if (json_object_get(request->json, "error"))
            gce_explain_operation(gce, request->json, request);
        return;
    }
    path = operation_path(request->json);
    if (!path || used + strlen(path) + 1 > TOKEN) {
        request->code = HACTL_E_TIMEOUT;
        snprintf(request->error, sizeof(request->error), "the answer names no operation to wait for");
        return;
    }
    snprintf(token + used, TOKEN + 1 - used, "%s%s", used ? " " : "", path);
}

/* Errors that end the step before those that only delay it. */
static bool is_worse(int code, int than)
{
    bool waits = code == HACTL_E_BUSY || code == HACTL_E_UNAVAILABLE || code == HACTL_E_TIMEOUT;
    bool other_waits = than == HACTL_E_BUSY || than == HACTL_E_UNAVAILABLE || than == HACTL_E_TIMEOUT;

    return than == HACTL_OK || (other_waits && !waits);
}

static const struct gce_request *worst_of(const struct gce_request *requests, size_t count)
{
    const struct gce_request *worst = NULL;

    for (size_t i = 0; i < count; i++)
        if (requests[i].code != HACTL_OK && is_worse(requests[i].code, worst ? worst->code : HACTL_OK))
            worst = &requests[i];
    return worst;
}

/* Short operations are looked at often, long ones less: after a quarter of the
 * time that they have taken, from a quarter of the interval to all of it. */
static uint32_t next_look_ms(struct gce *gce, const char *token)
{
    uint32_t longest_ms = (uint32_t)gce->host->conf_integer(gce->conf, "poll_interval_ms");
    int64_t now_ms = gce_now_ms(), wait_ms;
    size_t hash = 5381, slot;

    for (const char *at = token; *at; at++)
        hash = hash * 33 + (unsigned char)*at;
    slot = hash % GCE_POLLED;
    if (gce->polled[slot].hash != hash) {
        gce->polled[slot].hash = hash;
        gce->polled[slot].since_ms = now_ms;
    }
    wait_ms = (now_ms - gce->polled[slot].since_ms) / 4;
    if (wait_ms < (longest_ms + 3) / 4)
        return (longest_ms + 3) / 4;
    return wait_ms < longest_ms ? (uint32_t)wait_ms : longest_ms;
}

int gce_change(struct gce *gce, struct hactl_call *call, struct gce_request *requests, size_t count, const char *format,
               ...)
{
    char what[200], token[TOKEN + 1] = "";
    const struct gce_request *worst;
    va_list arguments;
    int rc = gce_run(gce, call, requests, count);

    if (rc != HACTL_OK)
        return rc;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    for (size_t i = 0; i < count; i++)
        take(gce, &requests[i], token);
    worst = worst_of(requests, count);
    if (worst)
        return gce_fail(gce, call, worst, "%s", what);
    if (!token[0])
        return HACTL_OK;
    gce->host->retry_after(call, next_look_ms(gce, token));
    rc = gce->host->emit_token(call, token);
    return rc == HACTL_OK ? HACTL_PENDING : rc;
}

/* An operation that is forgotten has ended: what came of it is seen when the
 * step is done again. */
static void judge(struct gce *gce, struct gce_request *request, bool *pending)
{
    if (request->code == HACTL_E_NOT_FOUND)
        request->code = HACTL_OK;
    else if (request->code == HACTL_OK && !is_done(request->json))
        *pending = true;
    else if (request->code == HACTL_OK && json_object_get(request->json, "error"))
        gce_explain_operation(gce, request->json, request);
    /* A look that failed says nothing about the operation. */
    else if (request->code == HACTL_E_UNAVAILABLE || request->code == HACTL_E_BUSY ||
             request->code == HACTL_E_TIMEOUT) {
        request->code = HACTL_OK;
        *pending = true;
    }
}

static bool token_path_is_sound(const char *path)
{
    return path[0] &&
           strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/.") == strlen(path) &&
           !strstr(path, "..") && strstr(path, "operations/") && path[0] != '/';
}

int gce_poll(struct gce *gce, struct hactl_call *call, const char *token)
{
    struct gce_request requests[OPERATIONS];
    const struct gce_request *worst;
    char *copy = strdup(token), *rest = NULL;
    bool pending = false;
    size_t count = 0;
    int rc = copy ? HACTL_OK : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");

    for (char *path = copy ? strtok_r(copy, " ", &rest) : NULL; rc == HACTL_OK && path && count < OPERATIONS;
         path = strtok_r(NULL, " ", &rest)) {
        if (token_path_is_sound(path))
            gce_prepare(&requests[count++], "GET", NULL, "%s", path);
        else
            rc = gce->host->fail(call, HACTL_E_INVALID, "\"%.80s\" is no operation of Compute Engine", path);
    }
    if (rc == HACTL_OK)
        rc = gce_run(gce, call, requests, count);
    for (size_t i = 0; rc == HACTL_OK && i < count; i++)
        judge(gce, &requests[i], &pending);
    worst = rc == HACTL_OK ? worst_of(requests, count) : NULL;
    if (worst) {
        const char *target = ha_json_string(worst->json, "targetLink");
        bool passes = worst->code == HACTL_E_BUSY || worst->code == HACTL_E_UNAVAILABLE;
        rc = gce_fail_as(gce, call, worst, passes ? HACTL_E_ENDED : worst->code, "%s",
                         target ? gce_link_name(target) : worst->path);
    } else if (rc == HACTL_OK && pending) {
        gce->host->retry_after(call, next_look_ms(gce, token));
        rc = HACTL_PENDING;
    }
    for (size_t i = 0; i < count; i++)
        gce_request_clear(&requests[i]);
    free(copy);
    return rc;
}
