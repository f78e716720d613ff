/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "lists.h"
#include "timers.h"

static json_t *rules; /* array; "seen" counts the calls that a rule was asked about */
static json_t *dead;  /* "zones/z" -> true */
static json_t *empty; /* "z/machine-type" -> true */

static struct rate {
    const char *group;
    unsigned limit, window_ms, used;
    int status;
    uint64_t window;
} rates[] = {[EM_CHANGE] = {.group = "change"},
             [EM_READ] = {.group = "read"},
             [EM_LIST] = {.group = "list"},
             [EM_OPERATION_READ] = {.group = "operation"}};

static json_t *made(json_t **object)
{
    if (*object == NULL) {
        *object = json_object();
    }
    return *object;
}

const char *em_faults_add(const json_t *rule)
{
    static const char *const known[] = {"method", "nth",     "times", "when", "drop", "status",
                                        "reason", "message", "code",  "http", "match"};
    const char *when = em_text(rule, "when"), *name;
    json_t *copy;

    json_object_foreach((json_t *)rule, name, copy)
    {
        size_t i = 0;

        while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], name) != 0) {
            i++;
        }
        if (i == sizeof(known) / sizeof(known[0])) {
            return "a rule has method, nth, times, when, match, drop, status, reason, message, code, http";
        }
    }
    if (em_text(rule, "method") == NULL) {
        return "method is missing";
    }
    if (when == NULL || (strcmp(when, "before") != 0 && strcmp(when, "after") != 0 && strcmp(when, "operation") != 0)) {
        return "when is before, after or operation";
    }
    if (strcmp(when, "operation") == 0 && em_text(rule, "code") == NULL) {
        return "an operation fails with a code";
    }
    if (strcmp(when, "operation") != 0 && !em_true(rule, "drop") && em_number(rule, "status", 0) < 400) {
        return "a rule needs drop or a status";
    }
    if (rules == NULL) {
        rules = json_array();
    }
    copy = json_deep_copy(rule);
    em_set_number(copy, "seen", 0);
    json_array_append_new(rules, copy);
    return NULL;
}

json_t *em_faults_list(void)
{
    return rules == NULL ? json_array() : json_deep_copy(rules);
}

void em_faults_clear(void)
{
    json_decref(rules);
    json_decref(dead);
    json_decref(empty);
    rules = dead = empty = NULL;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        rates[i].limit = 0;
    }
}

/* The first rule whose turn it is. Every rule that fits counts the call. */
static json_t *find(const struct em_request *request, const char *when)
{
    json_t *rule, *found = NULL;
    char *path = NULL;
    size_t i;

    json_array_foreach(rules, i, rule)
    {
        long long seen, nth = em_number(rule, "nth", 1), times = em_number(rule, "times", 1);
        const char *match = em_text(rule, "match");

        if (strcmp(em_text(rule, "when"), when) != 0 || fnmatch(em_text(rule, "method"), request->method->id, 0) != 0) {
            continue;
        }
        if (match != NULL) {
            path = path == NULL ? em_request_path(request) : path;
            if (strstr(path, match) == NULL) {
                continue;
            }
        }
        seen = em_number(rule, "seen", 0) + 1;
        em_set_number(rule, "seen", seen);
        if (found == NULL && seen >= nth && seen < nth + times) {
            found = rule;
        }
    }
    free(path);
    return found;
}

bool em_faults_catch(const struct em_request *request, const char *when, struct em_answer *answer)
{
    const json_t *rule = rules == NULL ? NULL : find(request, when);
    const char *reason, *message;

    if (rule == NULL) {
        return false;
    }
    if (em_true(rule, "drop")) {
        *answer = (struct em_answer){.drop = true};
        return true;
    }
    reason = em_text(rule, "reason");
    message = em_text(rule, "message");
    *answer = em_error((int)em_number(rule, "status", 503), reason == NULL ? "backendError" : reason, "%s",
                       message == NULL ? "Backend Error" : message);
    return true;
}

json_t *em_faults_operation_error(const struct em_request *request)
{
    const json_t *rule = rules == NULL ? NULL : find(request, "operation");
    const char *message = em_text(rule, "message");

    if (rule == NULL) {
        return NULL;
    }
    return json_pack("{s:s,s:I,s:s}", "code", em_text(rule, "code"), "http", (json_int_t)em_number(rule, "http", 500),
                     "message", message == NULL ? "The operation was made to fail." : message);
}

bool em_faults_zone_down(const char *scope)
{
    return json_object_get(dead, scope) != NULL;
}

void em_faults_set_zone(const char *zone, bool down)
{
    char *scope = em_format("zones/%s", zone);

    if (down) {
        json_object_set_new(made(&dead), scope, json_true());
    } else {
        json_object_del(made(&dead), scope);
    }
    free(scope);
}

bool em_faults_unreachable(const struct em_request *request, struct em_answer *answer)
{
    if (dead == NULL || !em_faults_zone_down(request->scope)) {
        return false;
    }
    *answer = em_error(503, "backendError", "The zone '%s' is not reachable. Please try again in 30 seconds.",
                       request->scope + strlen("zones/"));
    return true;
}

void em_faults_set_stock(const char *zone, const char *machine_type, bool out)
{
    char *key = em_format("%s/%s", zone, machine_type);

    if (out) {
        json_object_set_new(made(&empty), key, json_true());
    } else {
        json_object_del(made(&empty), key);
    }
    free(key);
}

bool em_faults_out_of_stock(const char *zone, const char *machine_type)
{
    char *key = em_format("%s/%s", zone, machine_type), *any = em_format("%s/*", zone);
    bool out = json_object_get(empty, key) != NULL || json_object_get(empty, any) != NULL;

    free(key);
    free(any);
    return out;
}

const char *em_faults_set_rate(const char *group, unsigned calls, unsigned window_ms, int status)
{
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        if (strcmp(rates[i].group, group) == 0) {
            rates[i].limit = calls;
            rates[i].window_ms = window_ms == 0 ? 60000 : window_ms;
            rates[i].status = status;
            rates[i].used = 0;
            rates[i].window = 0;
            return NULL;
        }
    }
    return "group is change, read, list or operation";
}

/* The allowance comes back at the next window, as the real one does at the next minute. */
bool em_faults_rate_exceeded(const struct em_request *request, struct em_answer *answer)
{
    static const char *const metrics[] = {"Queries", "Read requests", "List requests", "Operation read requests"};
    struct rate *rate = &rates[request->method->group];
    uint64_t window;

    if (rate->limit == 0) {
        return false;
    }
    window = em_now_ms() / rate->window_ms;
    if (window != rate->window) {
        rate->window = window;
        rate->used = 0;
    }
    if (rate->used++ < rate->limit) {
        return false;
    }
    *answer = em_error(rate->status, "rateLimitExceeded",
                       "Quota exceeded for quota metric '%s' and limit '%s per minute' of service "
                       "'compute.googleapis.com' for consumer 'project:%s'.",
                       metrics[request->method->group], metrics[request->method->group], request->project);
    em_error_info(answer, "RATE_LIMIT_EXCEEDED", NULL);
    return true;
}
