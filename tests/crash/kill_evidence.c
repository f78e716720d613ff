/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/kill_evidence.h"
#include "tests/crash/tree.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *sorted(json_t *log)
{
    size_t count = json_array_size(log);
    const char **lines = calloc(count + 1, sizeof *lines);
    json_t *out = json_array();
    for (size_t i = 0; i < count; i++)
        lines[i] = json_string_value(json_array_get(log, i));
    qsort(lines, count, sizeof *lines, by_text);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, json_string(lines[i]));
    free(lines);
    return out;
}

json_t *evidence_state(const char *base)
{
    char path[PATH_MAX + 64];
    const char *name;
    json_t *machine;
    snprintf(path, sizeof path, "%s/now/world.json", base);
    json_t *world = json_load_file(path, 0, NULL);
    snprintf(path, sizeof path, "%s/now/state/fake/desired.json", base);
    json_t *desired = json_load_file(path, 0, NULL);
    json_object_del(world, "asked");
    json_object_del(world, "requests");
    json_object_foreach(json_object_get(world, "instances"), name, machine)
    {
        json_object_del(machine, "shared"); /* sealed anew, it has other bytes; the machine has opened it */
    }
    json_object_set_new(world, "log", sorted(json_object_get(world, "log")));
    json_object_del(desired, "generation");
    if (!desired)
        json_object_del(world, "leader"); /* who of them led last */
    return json_pack("{so? so?}", "world", world, "desired", desired);
}

/* The lines of the operation's journal; NULL: the cluster is gone, and this with it. */
static json_t *read_journal(const char *base)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/now/state/fake/operations/the-operation.ndjson", base);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    json_t *records = json_array(), *record;
    while ((record = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)))
        json_array_append_new(records, record);
    fclose(file);
    return records;
}

static const char *word(const json_t *record, const char *key)
{
    const char *value = json_string_value(json_object_get(record, key));
    return value ? value : "";
}

/* Between the two something was done that makes it a new thing to do: another step to the same, or a phase of a
 * rotation, after which members are started once more. */
static bool comes_between(const json_t *first, const json_t *next)
{
    if (strcmp(word(next, "type"), "intent") || strcmp(word(next, "step"), word(first, "step")) == 0)
        return false;
    return strcmp(word(next, "subject"), word(first, "subject")) == 0 ||
           strcmp(word(next, "step"), "authority-rotate") == 0;
}

/* An intent whose result never came is the same intent when it is repeated. */
static const char *find_new_name(const json_t *records)
{
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *first = json_array_get(records, i), *seq = json_object_get(first, "seq");
        bool open = strcmp(word(first, "type"), "intent") == 0;
        for (size_t j = i + 1; open && j < json_array_size(records); j++) {
            const json_t *next = json_array_get(records, j);
            if (strcmp(word(next, "type"), "result") == 0 && json_equal(json_object_get(next, "seq"), seq))
                open = false;
            if (comes_between(first, next))
                open = false;
            if (strcmp(word(next, "type"), "intent") || strcmp(word(next, "step"), word(first, "step")) ||
                strcmp(word(next, "subject"), word(first, "subject")))
                continue;
            if (open && strcmp(word(next, "intent"), word(first, "intent")))
                return "an intent without a result was repeated under another name";
            open = false;
        }
    }
    return NULL;
}

static bool has_intent(const json_t *records, const char *intent)
{
    size_t index;
    json_t *record;
    json_array_foreach((json_t *)records, index, record)
    {
        if (strcmp(word(record, "type"), "intent") == 0 && strcmp(word(record, "intent"), intent) == 0)
            return true;
    }
    return false;
}

/* Every effect was announced before it was had; "form" is nobody's operation. */
static const char *find_unannounced(const char *base, const json_t *records)
{
    char path[PATH_MAX + 16], what[64], intent[64];
    const char *fault = NULL;
    snprintf(path, sizeof path, "%s/intents", base);
    FILE *file = fopen(path, "r");
    while (file && !fault && fscanf(file, "%63s %63s", what, intent) == 2) {
        if (strcmp(what, "form") && !has_intent(records, intent))
            fault = "an effect was had under an intent that is not in the journal";
    }
    if (file)
        fclose(file);
    return fault;
}

const char *evidence_fault(const char *base)
{
    json_t *records = read_journal(base);
    const char *fault = NULL;
    if (records) {
        const json_t *last = json_array_get(records, json_array_size(records) - 1);
        if (strcmp(word(last, "type"), "end") || json_integer_value(json_object_get(last, "status")))
            fault = "the journal does not end with the operation's end";
        if (!fault)
            fault = find_new_name(records);
        if (!fault)
            fault = find_unannounced(base, records);
    }
    json_decref(records);
    char state[PATH_MAX + 16];
    snprintf(state, sizeof state, "%s/now/state", base);
    return fault ? fault : tree_has(state, ".tmp") ? "a temporary file was left behind" : NULL;
}

static json_t *only(json_t *from, const char *key)
{
    const char *name;
    json_t *item, *out = json_object();
    json_object_foreach(from, name, item)
    {
        json_object_set(out, name, key ? json_object_get(item, key) : item);
    }
    return out;
}

/* The names alone: a machine that is made anew has a new key. */
static json_t *names_of(json_t *from)
{
    const char *name;
    json_t *item, *out = json_object();
    json_object_foreach(from, name, item)
    {
        json_object_set_new(out, name, json_true());
    }
    return out;
}

json_t *evidence_cluster(const char *base)
{
    json_t *state = evidence_state(base), *world = json_object_get(state, "world"),
           *desired = json_object_get(state, "desired");
    json_t *replicas = json_object(), *rotations = json_object_get(world, "rotations");
    size_t index;
    json_t *replica;
    json_array_foreach(json_object_get(desired, "replicas"), index, replica)
    {
        json_object_set(replicas, word(replica, "name"), replica);
    }
    json_t *cluster = json_pack(
        "{so so sO? sO? so sO? so sO? sO? sO? sO? sO?}", "instances", only(json_object_get(world, "instances"), "zone"),
        "members", only(json_object_get(world, "members"), "voter"), "holder", json_object_get(world, "holder"),
        "balancer", json_object_get(world, "balancer"), "certificates",
        names_of(json_object_get(world, "certificates")), "internal", json_object_get(world, "internal"), "replicas",
        replicas, "endpoint", json_object_get(desired, "endpoint"), "formed", json_object_get(desired, "formed"),
        "operation", json_object_get(desired, "operation"), "destroy", json_object_get(desired, "destroy"), "rotations",
        rotations && json_object_size(rotations) > 0 ? rotations : NULL);
    json_decref(state);
    return cluster;
}

bool evidence_unfinished(const char *base)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/now/state/fake/desired.json", base);
    json_t *desired = json_load_file(path, 0, NULL);
    bool unfinished = strcmp(word(desired, "operation"), "the-operation") == 0;
    json_decref(desired);
    return unfinished;
}
