/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gce/outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const volatile_names[] = {
    "id",        "creationTimestamp",   "fingerprint", "natIP",        "labelFingerprint",    "lastStartTimestamp",
    "networkIP", "IPAddress",           "address",     "cpuPlatform",  "lastAttachTimestamp", "lastStopTimestamp",
    "value",     "lastDetachTimestamp", "description", "sourceImageId"};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

json_t *outcome_sorted(const json_t *array)
{
    size_t count = json_array_size(array);
    char **texts = calloc(count + 1, sizeof(*texts));
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++)
        texts[i] = json_dumps(json_array_get(array, i), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    qsort(texts, count, sizeof(*texts), by_text);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(out, json_loads(texts[i], JSON_DECODE_ANY, NULL));
        free(texts[i]);
    }
    free(texts);
    return out;
}

/* Without what another run has otherwise: numbers, times, addresses, texts of metadata. Who uses an address, and which
 * keys metadata have, stays. */
static json_t *settled(const json_t *json)
{
    json_t *out, *value, *list;
    const char *name;
    size_t index;

    if (json_is_array(json)) {
        list = json_array();
        json_array_foreach((json_t *)(uintptr_t)json, index, value)
        {
            json_array_append_new(list, settled(value));
        }
        out = outcome_sorted(list);
        json_decref(list);
        return out;
    }
    if (!json_is_object(json))
        return json_deep_copy(json);
    out = json_object();
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        bool leave = false;

        for (size_t i = 0; i < sizeof(volatile_names) / sizeof(*volatile_names); i++)
            leave |= strcmp(name, volatile_names[i]) == 0;
        if (!leave)
            json_object_set_new(out, name, settled(value));
    }
    return out;
}

/* What each did, to what. Access configs are left out: a replica that a kill has left without an address is given one
 * to be reached at, and loses it again; who has which at the end is compared. */
static void add_operation(json_t *operations, const json_t *resource)
{
    const char *link = json_string_value(json_object_get(resource, "targetLink"));
    const char *type = json_string_value(json_object_get(resource, "operationType"));
    char text[600];

    if (json_object_get(resource, "error") || !type || strstr(type, "AccessConfig"))
        return;
    snprintf(text, sizeof(text), "%s %s", type, link && strstr(link, "/projects/") ? strstr(link, "/projects/") : "");
    json_array_append_new(operations, json_string(text));
}

json_t *outcome_take(CURL *curl, struct reply *reply)
{
    json_t *all, *both, *resources = json_object(), *operations = json_array();
    const char *path;

    if (!control(curl, "GET", "state", NULL, reply) || !(all = json_loads(reply->text, 0, NULL)))
        return NULL;
    json_object_foreach(all, path, both)
    {
        if (strstr(path, "/operations/"))
            add_operation(operations, json_object_get(both, "resource"));
        else
            json_object_set_new(resources, path, settled(json_object_get(both, "resource")));
    }
    json_decref(all);
    both = json_pack("{s:o, s:o}", "resources", resources, "operations", outcome_sorted(operations));
    json_decref(operations);
    return both;
}

/* ---- comparing ----------------------------------------------------------------------------------- */

static size_t count_of(const json_t *list, const char *text)
{
    size_t index, count = 0;
    json_t *value;

    json_array_foreach((json_t *)(uintptr_t)list, index, value)
    {
        count += strcmp(json_string_value(value), text) == 0;
    }
    return count;
}

void outcome_subtract(json_t *now, const json_t *before)
{
    json_t *operations = json_object_get(now, "operations"), *value;
    size_t index, at;

    json_array_foreach(json_object_get(before, "operations"), index, value)
    {
        for (at = 0; at < json_array_size(operations); at++)
            if (json_equal(json_array_get(operations, at), value))
                break;
        json_array_remove(operations, at);
    }
}

static size_t count_groups_made(const json_t *operations)
{
    size_t index, count = 0;
    json_t *value;

    json_array_foreach((json_t *)(uintptr_t)operations, index, value)
    {
        const char *text = json_string_value(value);

        count += strncmp(text, "insert ", 7) == 0 && strstr(text, "/instanceGroups/");
    }
    return count;
}

/* Who comes first takes the other zones' groups along, so how often the backend service is changed differs from run to
 * run: once for each group at most. */
static size_t allowed(const char *text, const json_t *got, const json_t *want)
{
    size_t count = count_of(want, text), groups = count_groups_made(got);
    bool attaches = strncmp(text, "patch ", 6) == 0 && strstr(text, "/backendServices/");

    return attaches && groups > count ? groups : count;
}

static bool nothing_twice(const char *where, const json_t *got, const json_t *want)
{
    const char *last = "";
    bool good = true;
    json_t *value;
    size_t index;

    json_array_foreach((json_t *)(uintptr_t)got, index, value)
    {
        const char *text = json_string_value(value);

        if (strcmp(text, last) != 0 && count_of(got, text) > allowed(text, got, want)) {
            printf("# %s: done %zu times, and %zu times without being struck: %s\n", where, count_of(got, text),
                   count_of(want, text), text);
            good = false;
        }
        last = text;
    }
    return good;
}

static bool print_difference(const char *where, const char *label, const json_t *one, const json_t *other)
{
    const char *name;
    bool same = true;
    json_t *value;
    char *text;

    json_object_foreach((json_t *)(uintptr_t)one, name, value)
    {
        if (json_equal(value, json_object_get(other, name)))
            continue;
        text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
        printf("# %s: %s %s: %s\n", where, label, name, text);
        free(text);
        same = false;
    }
    return same;
}

bool outcome_same(const char *where, const json_t *got, const json_t *want)
{
    const json_t *there = json_object_get(got, "resources"), *wanted = json_object_get(want, "resources");
    bool same = got && want;

    if (!same)
        printf("# %s: the emulator does not say what there is\n", where);
    same &= print_difference(where, "there is  ", there, wanted);
    same &= print_difference(where, "should be ", wanted, there);
    same &= nothing_twice(where, json_object_get(got, "operations"), json_object_get(want, "operations"));
    fflush(stdout);
    return same;
}
