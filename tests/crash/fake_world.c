/* SPDX-License-Identifier: Apache-2.0 */
/* The world as a file, and what disturbs every operation on it. */
#include "tests/crash/fake.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *fake_part(struct fake *fake, const char *name)
{
    json_t *object = json_object_get(fake->world, name);
    if (!object) {
        object = json_object();
        json_object_set_new(fake->world, name, object);
    }
    return object;
}

const char *fake_text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

void fake_load(struct fake *fake)
{
    json_decref(fake->world);
    fake->world = json_load_file(fake->path, 0, NULL);
    if (!fake->world)
        fake->world = json_object();
}

void fake_save(struct fake *fake)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.new", fake->path);
    if (json_dump_file(fake->world, temporary, JSON_INDENT(1) | JSON_SORT_KEYS) || rename(temporary, fake->path))
        abort();
}

static void note_intent(struct fake *fake, const char *what)
{
    const char *path = getenv("FAKE_INTENTS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file)
        return;
    const char *intent = fake->host->intent(fake->call);
    fprintf(file, "%s %s\n", what, intent ? intent : "none");
    fclose(file);
}

void fake_effect(struct fake *fake, const char *what, const char *which)
{
    note_intent(fake, what);
    char line[256];
    json_t *log = json_object_get(fake->world, "log");
    snprintf(line, sizeof line, "%s %s", what, which);
    if (!log)
        json_object_set_new(fake->world, "log", log = json_array());
    json_array_append_new(log, json_string(line));
    fake_save(fake);
}

/* ---- strikes */

static int passed, strike = -1;
static char strike_when[8];

static void point(const char *operation, const char *when)
{
    const char *count = getenv("FAKE_COUNT"), *order = getenv("FAKE_STRIKE");
    if (strike < 0 && (!order || sscanf(order, "%d %7s", &strike, strike_when) != 2))
        strike = 0;
    if (strcmp(when, "before") == 0) {
        passed++;
        FILE *file = count ? fopen(count, "a") : NULL;
        if (file) {
            fprintf(file, "%s\n", operation);
            fclose(file);
        }
    }
    if (passed == strike && strcmp(when, strike_when) == 0)
        kill(getpid(), SIGKILL);
}

int fake_is_told(const char *variable, const char *operation)
{
    const char *value = getenv(variable);
    return value && strcmp(value, operation) == 0;
}

/* Begun, and over after two polls; done when it is asked again. */
static int pend(struct fake *fake, struct hactl_call *call, const char *operation)
{
    json_t *begun = fake_part(fake, "begun");
    json_t *polls = json_object_get(begun, operation);
    if (polls && json_integer_value(polls) == 0)
        return HACTL_OK;
    if (!polls)
        json_object_set_new(begun, operation, json_integer(2));
    fake_save(fake);
    fake->host->retry_after(call, 1);
    fake->host->emit_token(call, operation);
    return HACTL_PENDING;
}

static int fail_as_told(struct fake *fake, struct hactl_call *call, const char *operation)
{
    const char *words = getenv("FAKE_TEXT");
    return fake->host->fail(call, HACTL_E_FAILED, "%s: %s", operation, words ? words : "the world says no");
}

static int code_named(const char *name)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {{"denied", HACTL_E_DENIED}, {"invalid", HACTL_E_INVALID},         {"not-found", HACTL_E_NOT_FOUND},
                 {"quota", HACTL_E_QUOTA},   {"unavailable", HACTL_E_UNAVAILABLE}, {"timeout", HACTL_E_TIMEOUT}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].name, name) == 0)
            return codes[i].code;
    abort();
}

/* FAKE_REFUSE: the code that the operation is to fail with now; HACTL_OK: none. */
static int refusal(const char *operation)
{
    static int refused, armed;
    char which[32], code[32], after[32] = "";
    int times = 0;
    const char *order = getenv("FAKE_REFUSE");
    if (!order || sscanf(order, "%31s %31s %d %31s", which, code, &times, after) < 3)
        return HACTL_OK;
    if (strcmp(operation, after) == 0)
        armed = 1;
    if (strcmp(operation, which) != 0 || (after[0] && !armed) || refused >= times)
        return HACTL_OK;
    refused++;
    return code_named(code);
}

void fake_delay_next(struct fake *fake, struct hactl_call *call)
{
    const char *ms = getenv("FAKE_RETRY_MS");
    fake->host->retry_after(call, ms ? (uint32_t)atoi(ms) : 1);
}

static void slow_down(const char *operation)
{
    char which[32];
    int ms = 0;
    const char *order = getenv("FAKE_SLOW");
    if (order && sscanf(order, "%31s %d", which, &ms) == 2 && strcmp(which, operation) == 0)
        usleep((unsigned)ms * 1000);
}

/* FAKE_MEET: whether the other of the two has begun before this one goes on. Of operations that come one after another
 * the first waits in vain. */
static int has_met(const char *operation)
{
    char directory[256], pair[2][32], path[300];
    int seconds = 0;
    const char *order = getenv("FAKE_MEET");
    if (!order || sscanf(order, "%255s %31s %31s %d", directory, pair[0], pair[1], &seconds) != 4)
        return 1;
    int which = strcmp(operation, pair[0]) == 0 ? 0 : 1;
    if (strcmp(operation, pair[which]) != 0)
        return 1;
    snprintf(path, sizeof path, "%s/%s", directory, operation);
    FILE *mark = fopen(path, "a");
    if (!mark || fclose(mark))
        abort();
    snprintf(path, sizeof path, "%s/%s", directory, pair[1 - which]);
    for (int tries = 0; tries < seconds * 100; tries++, usleep(10000))
        if (access(path, F_OK) == 0)
            return 1;
    return 0;
}

static int disturb(struct fake *fake, struct hactl_call *call, const char *operation, int *disturbed)
{
    int code = refusal(operation);
    *disturbed = 1;
    slow_down(operation);
    while (fake_is_told("FAKE_HANG", operation))
        pause();
    if (code != HACTL_OK)
        return fake->host->fail(call, code, "%s: the world refuses", operation);
    if (!has_met(operation))
        return fake->host->fail(call, HACTL_E_FAILED, "%s: the other did not begin meanwhile", operation);
    if (fake_is_told("FAKE_FAIL", operation))
        return fail_as_told(fake, call, operation);
    if (fake_is_told("FAKE_PEND", operation)) {
        int rc = pend(fake, call, operation);
        *disturbed = rc != HACTL_OK;
        return rc;
    }
    if (fake_is_told("FAKE_BUSY", operation)) {
        fake_delay_next(fake, call);
        return fake->host->fail(call, HACTL_E_BUSY, "%s: the world is busy", operation);
    }
    *disturbed = fake_is_told("FAKE_LIE", operation);
    return HACTL_OK;
}

/* Every operation goes through here. */
int fake_run(struct fake *fake, struct hactl_call *call, const char *operation,
             int (*body)(struct fake *, struct hactl_call *, const void *), const void *arguments)
{
    static int lost;
    int disturbed;
    point(operation, "before");
    fake_load(fake);
    fake->call = call;
    int rc = disturb(fake, call, operation, &disturbed);
    if (!disturbed)
        rc = body(fake, call, arguments);
    if (fake_is_told("FAKE_LOSE", operation) && rc == HACTL_OK && !lost++)
        rc = fake->host->fail(call, HACTL_E_TIMEOUT, "%s: no answer", operation);
    point(operation, "after");
    return rc;
}

/* The first time that it is asked for, it is not to be had. */
int fake_is_coy(struct fake *fake, const char *what)
{
    json_t *asked = fake_part(fake, "asked");
    if (json_object_get(asked, what))
        return 0;
    json_object_set_new(asked, what, json_true());
    fake_save(fake);
    return 1;
}
