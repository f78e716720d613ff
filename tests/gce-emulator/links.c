/* SPDX-License-Identifier: Apache-2.0 */
#include "links.h"

#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "store.h"

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What stands before the last slash ends in /collection. */
static bool is_of(const char *path, const char *collection)
{
    const char *slash = strrchr(path, '/');
    size_t length = strlen(collection);

    if (slash == NULL || slash[1] == '\0' || (size_t)(slash - path) <= length) {
        return false;
    }
    return slash[-(ptrdiff_t)length - 1] == '/' && strncmp(slash - length, collection, length) == 0;
}

char *em_links_path(const char *text, const char *project, const char *scope, const char *collection)
{
    const char *from;
    char *path;

    if (text == NULL || text[0] == '\0') {
        return NULL;
    }
    if (begins(text, "https://") || begins(text, "http://")) {
        from = strstr(text, "/projects/");
        path = from == NULL ? NULL : em_strdup(from + 1);
    } else if (begins(text, "projects/")) {
        path = em_strdup(text);
    } else if (begins(text, "zones/") || begins(text, "regions/") || begins(text, "global/")) {
        path = em_format("projects/%s/%s", project, text);
    } else if (strchr(text, '/') != NULL) {
        path = NULL;
    } else if (scope[0] == '\0') {
        path = em_format("projects/%s/%s/%s", project, collection, text);
    } else {
        path = em_format("projects/%s/%s/%s/%s", project, scope, collection, text);
    }
    if (path != NULL && !is_of(path, collection)) {
        free(path);
        path = NULL;
    }
    return path;
}

struct em_resource *em_links_resolve(const struct em_request *request, const char *text, const char *scope,
                                     const char *collection, const char *field, struct em_answer *answer)
{
    char *path = em_links_path(text, request->project, scope, collection);
    struct em_resource *resource = NULL;

    if (path == NULL) {
        *answer = em_error_invalid(field, text, "The URL is malformed.");
        return NULL;
    }
    resource = em_store_find(path);
    if (resource == NULL) {
        *answer = em_error_not_found(path);
    } else if (resource->busy != NULL) {
        *answer = em_error_not_ready(path);
        resource = NULL;
    }
    free(path);
    return resource;
}

struct em_resource *em_links_member(const struct em_request *request, json_t *object, const char *name,
                                    const char *scope, const char *collection, struct em_answer *answer)
{
    char *field = em_format("resource.%s", name);
    struct em_resource *resource = em_links_resolve(request, em_text(object, name), scope, collection, field, answer);

    free(field);
    if (resource != NULL) {
        em_set_link(object, name, resource->path);
    }
    return resource;
}

bool em_name_good(const char *name)
{
    size_t length = name == NULL ? 0 : strlen(name);

    if (length < 1 || length > 63 || name[0] < 'a' || name[0] > 'z' || name[length - 1] == '-') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

const char *em_labels_wrong(const json_t *labels)
{
    static const char *const allowed = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    const char *key;
    const json_t *value;

    if (json_object_size(labels) > 64) {
        return "There may be no more than 64 labels.";
    }
    json_object_foreach((json_t *)labels, key, value)
    {
        const char *text = json_string_value(value);

        if (text == NULL || strlen(key) > 63 || strlen(text) > 63) {
            return "Label keys and values can be no longer than 63 characters.";
        }
        if (key[0] < 'a' || key[0] > 'z' || strspn(key, allowed) != strlen(key)) {
            return "Label keys must begin with a lowercase letter and can only contain lowercase letters, numeric "
                   "characters, underscores and dashes.";
        }
        if (strspn(text, allowed) != strlen(text)) {
            return "Label values can only contain lowercase letters, numeric characters, underscores and dashes.";
        }
    }
    return NULL;
}

char *em_region_of(const char *scope)
{
    const char *dash;

    if (begins(scope, "regions/")) {
        return em_strdup(scope + 8);
    }
    if (!begins(scope, "zones/") || (dash = strrchr(scope, '-')) == NULL) {
        return em_strdup("");
    }
    return em_format("%.*s", (int)(dash - scope - 6), scope + 6);
}
