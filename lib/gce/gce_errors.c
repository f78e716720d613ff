/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Google's errors mean here. The same condition comes as the answer to a
 * request ("rateLimitExceeded", camel case) or as the end of an operation
 * ("RATE_LIMIT_EXCEEDED"): one table for both.
 */
#include "lib/gce/gce_internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

static const struct {
    const char *reason; /* ends with '*': begins so */
    int code;
} table[] = {
    {"notFound", HACTL_E_NOT_FOUND},
    {"resourceNotFound", HACTL_E_NOT_FOUND},
    {"alreadyExists", HACTL_E_CONFLICT},
    {"resourceAlreadyExists", HACTL_E_CONFLICT},
    {"instanceInMultipleLoadBalancedIgs", HACTL_E_CONFLICT},
    {"resourceInUseByAnotherResource", HACTL_E_BUSY},
    {"ipInUseByAnotherResource", HACTL_E_BUSY},
    {"resourceNotReady", HACTL_E_BUSY},
    {"resourceOperationRateExceeded", HACTL_E_BUSY},
    {"conditionNotMet", HACTL_E_BUSY},
    {"rateLimitExceeded", HACTL_E_BUSY},
    {"userRateLimitExceeded", HACTL_E_BUSY},
    {"concurrentOperationsQuotaExceeded", HACTL_E_BUSY},
    {"quotaExceeded", HACTL_E_QUOTA},
    {"limitExceeded", HACTL_E_QUOTA},
    {"zoneResourcePoolExhausted*", HACTL_E_QUOTA},
    {"stockout", HACTL_E_QUOTA},
    {"ipSpaceExhausted*", HACTL_E_QUOTA},
    {"authError", HACTL_E_DENIED},
    {"forbidden", HACTL_E_DENIED},
    {"insufficientPermissions", HACTL_E_DENIED},
    {"accessNotConfigured", HACTL_E_DENIED},
    {"serviceDisabled", HACTL_E_DENIED},
    {"permissionsError", HACTL_E_DENIED},
    {"permissionDenied", HACTL_E_DENIED},
    {"invalid", HACTL_E_INVALID},
    {"invalidUsage", HACTL_E_INVALID},
    {"invalidFieldValue", HACTL_E_INVALID},
    {"required", HACTL_E_INVALID},
    {"badRequest", HACTL_E_INVALID},
    {"unsupportedOperation", HACTL_E_FAILED},
    {"operationCanceledByUser", HACTL_E_FAILED},
    {"backendError", HACTL_E_UNAVAILABLE},
    {"internalError", HACTL_E_UNAVAILABLE},
    {"serviceUnavailable", HACTL_E_UNAVAILABLE},
};

/* Letters only, so that case and underscores do not matter. */
static int next_letter(const char **text)
{
    while (**text == '_' || **text == '-')
        (*text)++;
    return **text ? tolower((unsigned char)*(*text)++) : 0;
}

bool gce_reason_is(const char *reason, const char *other)
{
    int a, b;

    do {
        a = next_letter(&reason);
        b = next_letter(&other);
        if (b == '*')
            return true;
    } while (a == b && a);
    return a == b;
}

static int code_of_reason(const char *reason)
{
    for (size_t i = 0; reason && i < sizeof(table) / sizeof(table[0]); i++)
        if (gce_reason_is(reason, table[i].reason))
            return table[i].code;
    return HACTL_OK;
}

static int code_of_status(long status)
{
    switch (status) {
    case 400:
        return HACTL_E_INVALID;
    case 401:
    case 403:
        return HACTL_E_DENIED;
    case 404:
        return HACTL_E_NOT_FOUND;
    case 408:
    case 412:
    case 429:
        return HACTL_E_BUSY;
    case 409:
        return HACTL_E_CONFLICT;
    default:
        return status >= 500 ? HACTL_E_UNAVAILABLE : HACTL_E_FAILED;
    }
}

/* ---- what else Google tells ----------------------------------------------------------- */

/* The first detail of that kind, in an answer's `details` or an operation's `errorDetails`. */
static const json_t *detail(const json_t *details, const char *kind)
{
    size_t index;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)details, index, entry)
    {
        const char *type = ha_json_string(entry, "@type");
        const json_t *inner = json_object_get(entry, kind);
        size_t length = strlen(kind);

        if (json_is_object(inner))
            return inner;
        if (type && strlen(type) >= length && strcasecmp(type + strlen(type) - length, kind) == 0)
            return entry;
    }
    return NULL;
}

static void add(char *error, const char *format, ...) HACTL_FORMAT(2, 3);

static void add(char *error, const char *format, ...)
{
    size_t used = strlen(error);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error + used, GCE_ERROR - used, format, arguments);
    va_end(arguments);
}

static void add_quota(char *error, const json_t *details)
{
    const json_t *quota = detail(details, "quotaInfo"), *dimensions = json_object_get(quota, "dimensions");
    const char *metric =
        ha_json_string(quota, "limitName") ? ha_json_string(quota, "limitName") : ha_json_string(quota, "metricName");
    const char *region = ha_json_string(dimensions, "region");
    const json_t *limit = json_object_get(quota, "limit");

    if (metric)
        add(error, "; quota %.80s is %g%s%.40s", metric, json_number_value(limit), region ? " in " : "",
            region ? region : "");
    add(error, "; free some, or ask for more under IAM & Admin > Quotas in Google's console");
}

static void add_stock(char *error, const json_t *details)
{
    const json_t *info = detail(details, "errorInfo");
    const char *zones = ha_json_string(json_object_get(info, "metadatas"), "zonesAvailable");

    if (!zones)
        zones = ha_json_string(json_object_get(info, "metadata"), "zonesAvailable");
    if (zones)
        add(error, "; zones that have room: %.200s", zones);
    else
        add(error, "; try another zone, another machine_type, or later");
}

/* An address that still belongs to another may be refused as an invalid value. */
static bool is_in_use(const char *message)
{
    return strstr(message, "already in-use") || strstr(message, "already in use") ||
           strstr(message, "already being used");
}

/* Organisation policies come as a failed condition too, and will not pass. */
static bool is_policy(const char *message)
{
    return strstr(message, "onstraint") && strstr(message, "violated");
}

/* "refill at the next minute": 1, 2, 4 .. 32 s, spread by a quarter so that
 * many do not come back together. */
static uint32_t back_off_ms(struct gce *gce)
{
    uint32_t exponent = gce->rate_limited < 5 ? gce->rate_limited : 5, ms = 1000u << exponent;

    gce->rate_limited++;
    return ms - ms / 8 + (uint32_t)((uint64_t)gce_now_ms() * 2654435761u % (ms / 4));
}

static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

static void settle(struct gce *gce, struct gce_request *request, const char *reason, const char *message,
                   const json_t *details)
{
    const char *inner = ha_json_string(detail(details, "errorInfo"), "reason");
    int code = code_of_reason(reason);

    /* The finer reason decides where the coarser one speaks of a quota. */
    if (inner && (code == HACTL_OK || code_of_reason(inner) == HACTL_E_BUSY))
        code = code_of_reason(inner) ? code_of_reason(inner) : code;
    if (code == HACTL_OK)
        code = code_of_status(request->status);
    if (is_policy(message))
        code = HACTL_E_DENIED;
    else if (code == HACTL_E_INVALID && is_in_use(message))
        code = HACTL_E_BUSY;
    request->code = code;
    snprintf(request->reason, sizeof(request->reason), "%s", reason ? reason : inner ? inner : "");
    snprintf(request->error, sizeof(request->error), "%.400s%s%.60s%s", message, reason ? " (" : "",
             reason ? reason : "", reason ? ")" : "");
    if (code == HACTL_E_QUOTA && reason && gce_reason_is(reason, "zoneResourcePoolExhausted*"))
        add_stock(request->error, details);
    else if (code == HACTL_E_QUOTA)
        add_quota(request->error, details);
    if (code == HACTL_E_BUSY && !request->retry_after_ms && !gce_reason_is(request->reason, "conditionNotMet"))
        request->retry_after_ms = back_off_ms(gce);
    if (code == HACTL_E_UNAVAILABLE && !request->retry_after_ms)
        request->retry_after_ms = 1000;
    one_line(request->error);
}

void gce_explain_answer(struct gce *gce, struct gce_request *request)
{
    const json_t *error = json_object_get(request->json, "error");
    const json_t *first = json_array_get(json_object_get(error, "errors"), 0);
    const char *message = ha_json_string(error, "message"), *reason = ha_json_string(first, "reason");
    char plain[80];

    snprintf(plain, sizeof(plain), "the API answered with status %ld and no reason", request->status);
    if (!reason)
        reason = ha_json_string(error, "status");
    settle(gce, request, reason, message ? message : plain, json_object_get(error, "details"));
    if (request->status == 401)
        add(request->error, "; the credentials were refused: %.200s", gce_identity(gce));
    else if (request->status == 403 && request->code == HACTL_E_DENIED)
        add(request->error, "; asked with the %.200s", gce_identity(gce));
}

void gce_explain_operation(struct gce *gce, const json_t *operation, struct gce_request *out)
{
    const json_t *first = json_array_get(json_object_get(json_object_get(operation, "error"), "errors"), 0);
    const char *message = ha_json_string(first, "message");

    out->status = (long)ha_json_i64(operation, "httpErrorStatusCode");
    if (!message)
        message = ha_json_string(operation, "httpErrorMessage");
    settle(gce, out, ha_json_string(first, "code"), message ? message : "the operation failed without a reason",
           json_object_get(first, "errorDetails"));
    gce_id_keep(&gce->spent, &gce->spent_count, ha_json_string(operation, "clientOperationId"));
}

int gce_denied(struct gce *gce, struct hactl_call *call, const char *format, ...)
{
    char why[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    return gce->host->fail(call, HACTL_E_DENIED, "%s: %s", gce->credential.from, why);
}
