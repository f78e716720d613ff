/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a whole collection without a look at each resource: who
 * has a label, who leads to what, how much all weigh. So one cluster among a
 * thousand costs no more than one alone.
 */
#include <stdlib.h>
#include <string.h>

#include "store.h"

static char *entry_name(const char *label, const json_t *value)
{
    return em_format("%s=%s", label, json_string_value(value) == NULL ? "" : json_string_value(value));
}

void em_store_unindex(struct em_resource *resource)
{
    struct em_collection *collection = resource->collection;
    const char *label;
    json_t *value;

    json_object_foreach(resource->indexed, label, value)
    {
        char *name = entry_name(label, value);
        json_t *entry = json_object_get(collection->index, name);

        json_object_del(entry, resource->name);
        if (json_object_size(entry) == 0) {
            json_object_del(collection->index, name);
        }
        free(name);
    }
    json_decref(resource->indexed);
    resource->indexed = NULL;
    for (size_t i = 0; i < EM_WEIGHTS; i++) {
        collection->weights[i] -= resource->weights[i];
        resource->weights[i] = 0;
    }
}

/* A label's name has no dot. NULL: nothing. */
static json_t *found_by(const struct em_resource *resource)
{
    const struct em_type *type = resource->collection->type;
    const json_t *labels = json_object_get(resource->json, "labels");
    json_t *all = labels == NULL ? json_object() : json_copy((json_t *)labels);

    for (size_t i = 0; i < sizeof(type->leads) / sizeof(type->leads[0]) && type->leads[i] != NULL; i++) {
        const char *path = em_link_path(em_text(resource->json, type->leads[i]));
        char *label = em_format(".%s", type->leads[i]);

        if (path != NULL) {
            em_set(all, label, path);
        }
        free(label);
    }
    if (json_object_size(all) == 0) {
        json_decref(all);
        all = NULL;
    }
    return all;
}

void em_store_changed(struct em_resource *resource)
{
    struct em_collection *collection = resource->collection;
    const char *label;
    json_t *value;

    em_store_unindex(resource);
    if (collection->type->weigh != NULL) {
        collection->type->weigh(resource, resource->weights);
    }
    for (size_t i = 0; i < EM_WEIGHTS; i++) {
        collection->weights[i] += resource->weights[i];
    }
    resource->indexed = found_by(resource);
    if (resource->indexed != NULL && collection->index == NULL) {
        collection->index = json_object();
    }
    json_object_foreach(resource->indexed, label, value)
    {
        char *name = entry_name(label, value);

        if (json_object_get(collection->index, name) == NULL) {
            json_object_set_new(collection->index, name, json_object());
        }
        json_object_set_new(json_object_get(collection->index, name), resource->name, json_true());
        free(name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct em_resource *const *)a)->name, (*(struct em_resource *const *)b)->name);
}

struct em_resource **em_store_indexed(const struct em_collection *collection, const char *label, const char *value,
                                      size_t *count)
{
    char *name = em_format("%s=%s", label, value);
    json_t *entry = json_object_get(collection->index, name), *unused;
    struct em_resource **list = em_alloc((json_object_size(entry) + 1) * sizeof(*list));
    const char *of;
    bool found;

    *count = 0;
    json_object_foreach(entry, of, unused)
    {
        size_t at = em_store_position(collection, of, &found);

        if (found) {
            list[(*count)++] = collection->resources[at];
        }
    }
    qsort(list, *count, sizeof(*list), by_name);
    free(name);
    return list;
}
