/* SPDX-License-Identifier: Apache-2.0 */
/* Lists: all their pages, several side by side, flat or aggregated. */
#include "lib/gce/gce_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

enum { LISTS = 16, PAGES = 200 };

void gce_list_prepare(struct gce_list *list, const char *format, ...)
{
    va_list arguments;
    int length;

    memset(list, 0, sizeof(*list));
    va_start(arguments, format);
    length = vsnprintf(list->path, sizeof(list->path), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(list->path))
        list->path[0] = '\0';
    list->items = json_array();
    list->unreachable = json_array();
}

void gce_list_clear(struct gce_list *list)
{
    json_decref(list->items);
    json_decref(list->unreachable);
    memset(list, 0, sizeof(*list));
}

/* ".../zones/us-central1-b" is "zones/us-central1-b". */
static void add_unreachable(struct gce_list *list, const char *scope)
{
    const char *kind = scope ? strstr(scope, "zones/") : NULL;

    if (scope && !kind)
        kind = strstr(scope, "regions/");
    if (scope)
        json_array_append_new(list->unreachable, json_string(kind ? kind : scope));
}

/* "zones/a": {"instances": [...]} or {"warning": {"code": "..."}}. A scope
 * that is merely empty says NO_RESULTS_ON_PAGE. */
static void take_scope(struct gce_list *list, const char *scope, const json_t *content)
{
    const char *warning = ha_json_string(json_object_get(content, "warning"), "code");
    const char *key;
    json_t *value;

    if (warning && strcmp(warning, "NO_RESULTS_ON_PAGE") != 0)
        add_unreachable(list, scope);
    json_object_foreach((json_t *)(uintptr_t)content, key, value)
    {
        if (json_is_array(value))
            json_array_extend(list->items, value);
    }
}

static void take_page(struct gce_list *list, const json_t *page)
{
    json_t *items = json_object_get(page, "items"), *entry;
    const char *scope;
    size_t index;

    if (json_is_array(items))
        json_array_extend(list->items, items);
    else
        json_object_foreach(items, scope, entry) take_scope(list, scope, entry);
    json_array_foreach(json_object_get(page, "unreachables"), index, entry)
    {
        add_unreachable(list, json_string_value(entry));
    }
}

static bool prepare_page(struct gce_request *request, const struct gce_list *list, const char *token)
{
    char *escaped = token ? gce_escape(token) : NULL;
    bool ok = !token || escaped;

    if (ok)
        gce_prepare(request, "GET", NULL, "%s%s%s", list->path,
                    token ? strchr(list->path, '?') ? "&pageToken=" : "?pageToken=" : "", token ? escaped : "");
    free(escaped);
    return ok;
}

/* True: there is another page, and `request` asks for it. */
static bool take_answer(struct gce_list *list, struct gce_request *request)
{
    char *next = NULL;
    bool more = false;

    list->code = request->code;
    list->retry_after_ms = request->retry_after_ms;
    snprintf(list->reason, sizeof(list->reason), "%s", request->reason);
    snprintf(list->error, sizeof(list->error), "%s", request->error);
    if (request->code == HACTL_OK) {
        const char *token = ha_json_string(request->json, "nextPageToken");

        take_page(list, request->json);
        next = token ? strdup(token) : NULL;
    }
    gce_request_clear(request);
    if (next)
        more = prepare_page(request, list, next);
    free(next);
    return more;
}

int gce_list_run(struct gce *gce, struct hactl_call *call, struct gce_list *lists, size_t count)
{
    struct gce_request requests[LISTS];
    size_t of[LISTS], active = 0;
    int rc = HACTL_OK;

    if (count > LISTS)
        return gce->host->fail(call, HACTL_E_INTERNAL, "too many lists at once");
    for (size_t i = 0; i < count; i++) {
        if (!prepare_page(&requests[active], &lists[i], NULL))
            return gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
        of[active++] = i;
    }
    for (int page = 0; rc == HACTL_OK && active > 0 && page < PAGES; page++) {
        size_t kept = 0;

        rc = gce_run(gce, call, requests, active);
        for (size_t i = 0; rc == HACTL_OK && i < active; i++) {
            if (!take_answer(&lists[of[i]], &requests[i]))
                continue;
            requests[kept] = requests[i];
            of[kept++] = of[i];
        }
        active = rc == HACTL_OK ? kept : active;
    }
    for (size_t i = 0; i < active; i++) {
        if (rc == HACTL_OK) {
            lists[of[i]].code = HACTL_E_FAILED;
            snprintf(lists[of[i]].error, sizeof(lists[0].error), "the list does not end after %d pages", PAGES);
        }
        gce_request_clear(&requests[i]);
    }
    return rc;
}

int gce_list_fail(struct gce *gce, struct hactl_call *call, const struct gce_list *list, const char *what)
{
    if (list->retry_after_ms)
        gce->host->retry_after(call, list->retry_after_ms);
    return gce->host->fail(call, list->code, "%s: %s", what, list->error);
}

bool gce_list_knows(const struct gce_list *list, const char *scope)
{
    size_t index;
    json_t *entry;

    if (list->code != HACTL_OK)
        return false;
    json_array_foreach(list->unreachable, index, entry)
    {
        if (strcmp(json_string_value(entry), scope) == 0)
            return false;
    }
    return true;
}
