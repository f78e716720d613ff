/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "lib/json.h"

static void *collections; /* a tree of tsearch(3) */

static int compare_collections(const void *a, const void *b)
{
    return strcmp(((const struct em_collection *)a)->path, ((const struct em_collection *)b)->path);
}

static struct em_collection *find_collection(const char *path)
{
    struct em_collection key = {.path = (char *)path};
    void *node = tfind(&key, &collections, compare_collections);

    return node == NULL ? NULL : *(struct em_collection **)node;
}

static char *collection_path(const char *project, const char *scope, const char *collection)
{
    if (scope[0] == '\0') {
        return em_format("projects/%s/%s", project, collection);
    }
    return em_format("projects/%s/%s/%s", project, scope, collection);
}

struct em_collection *em_store_collection(const char *project, const char *scope, const char *collection)
{
    char *path = collection_path(project, scope, collection);
    struct em_collection *found = find_collection(path);

    free(path);
    return found;
}

static struct em_collection *make_collection(const char *project, const char *scope, const struct em_type *type)
{
    char *path = collection_path(project, scope, type->collection);
    struct em_collection *collection = find_collection(path);

    if (collection != NULL) {
        free(path);
        return collection;
    }
    collection = em_alloc(sizeof(*collection));
    collection->path = path;
    collection->project = em_strdup(project);
    collection->scope = em_strdup(scope);
    collection->type = type;
    if (tsearch(collection, &collections, compare_collections) == NULL) {
        abort();
    }
    return collection;
}

size_t em_store_position(const struct em_collection *collection, const char *name, bool *found)
{
    size_t low = 0, high = collection->count;

    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(collection->resources[middle]->name, name);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void fill_in(struct em_resource *resource)
{
    const struct em_collection *collection = resource->collection;
    json_t *json = resource->json;
    char link[512];

    em_set(json, "kind", collection->type->kind);
    em_set_u64(json, "id", resource->id);
    em_set(json, "name", resource->name);
    em_set_link(json, "selfLink", resource->path);
    if (json_object_get(json, "creationTimestamp") == NULL && strcmp(collection->type->collection, "operations") != 0) {
        em_set_timestamp(json, "creationTimestamp");
    }
    if (strncmp(collection->scope, "zones/", 6) == 0 || strncmp(collection->scope, "regions/", 8) == 0) {
        snprintf(link, sizeof(link), "projects/%s/%s", collection->project, collection->scope);
        em_set_link(json, collection->scope[0] == 'z' ? "zone" : "region", link);
    }
}

struct em_resource *em_store_add(const char *project, const char *scope, const struct em_type *type, const char *name,
                                 json_t *json)
{
    struct em_collection *collection = make_collection(project, scope, type);
    struct em_resource *resource = em_alloc(sizeof(*resource));
    bool found;
    size_t at = em_store_position(collection, name, &found);

    if (found) {
        abort(); /* the caller has looked */
    }
    resource->collection = collection;
    resource->path = em_format("%s/%s", collection->path, name);
    resource->name = resource->path + strlen(collection->path) + 1;
    resource->id = em_random() % 8000000000000000000ULL + 1000000000000000000ULL;
    resource->json = json;
    resource->hidden = json_object();
    if (collection->count == collection->size) {
        collection->size = collection->size == 0 ? 8 : collection->size * 2;
        collection->resources = realloc(collection->resources, collection->size * sizeof(struct em_resource *));
        if (collection->resources == NULL) {
            abort();
        }
    }
    memmove(&collection->resources[at + 1], &collection->resources[at],
            (collection->count - at) * sizeof(struct em_resource *));
    collection->resources[at] = resource;
    collection->count++;
    fill_in(resource);
    em_store_changed(resource);
    return resource;
}

static void free_resource(struct em_resource *resource)
{
    json_decref(resource->json);
    json_decref(resource->indexed);
    json_decref(resource->hidden);
    free(resource->path);
    free(resource);
}

void em_store_remove(struct em_resource *resource)
{
    struct em_collection *collection = resource->collection;
    bool found;
    size_t at = em_store_position(collection, resource->name, &found);

    if (!found) {
        abort();
    }
    em_store_unindex(resource);
    collection->count--;
    memmove(&collection->resources[at], &collection->resources[at + 1],
            (collection->count - at) * sizeof(struct em_resource *));
    free_resource(resource);
}

void em_store_replace(struct em_resource *resource, const json_t *json)
{
    json_t *content = json_deep_copy(json);

    json_object_set(content, "creationTimestamp", json_object_get(resource->json, "creationTimestamp"));
    json_decref(resource->json);
    resource->json = content;
    fill_in(resource);
    em_store_changed(resource);
}

static struct em_resource *find_id(const struct em_collection *collection, const char *text)
{
    char *end;
    unsigned long long id = strtoull(text, &end, 10);

    if (*end != '\0') {
        return NULL;
    }
    for (size_t i = 0; i < collection->count; i++) {
        if (collection->resources[i]->id == id) {
            return collection->resources[i];
        }
    }
    return NULL;
}

struct em_resource *em_store_find(const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    struct em_collection *collection;
    char *parent;
    bool found;
    size_t at;

    if (slash == NULL || slash[1] == '\0') {
        return NULL;
    }
    parent = em_format("%.*s", (int)(slash - path), path);
    collection = find_collection(parent);
    free(parent);
    if (collection == NULL) {
        return NULL;
    }
    at = em_store_position(collection, slash + 1, &found);
    if (found) {
        return collection->resources[at];
    }
    return slash[1] >= '1' && slash[1] <= '9' ? find_id(collection, slash + 1) : NULL;
}

struct em_resource *em_store_of(const struct em_request *request)
{
    const char *name = em_text(request->variables, request->method->type->parameter);
    char *parent, *path;
    struct em_resource *resource;

    if (name == NULL) { /* setLabels calls it so */
        name = em_text(request->variables, "resource");
    }
    parent = collection_path(request->project, request->scope, request->method->type->collection);
    path = em_format("%s/%s", parent, name);
    resource = em_store_find(path);
    free(path);
    free(parent);
    return resource;
}

struct visit {
    const char *project;
    const struct em_type *type;
    em_collection_visitor *visitor;
    void *context;
};

static void visit_node(const void *node, VISIT which, void *closure)
{
    const struct visit *visit = closure;
    struct em_collection *collection = *(struct em_collection *const *)node;

    if (which != postorder && which != leaf) {
        return;
    }
    if ((visit->type == NULL || collection->type == visit->type) &&
        (visit->project == NULL || strcmp(visit->project, collection->project) == 0)) {
        visit->visitor(collection, visit->context);
    }
}

void em_store_visit(const char *project, const struct em_type *type, em_collection_visitor *visitor, void *context)
{
    struct visit visit = {project, type, visitor, context};

    twalk_r(collections, visit_node, &visit);
}

static void free_collection(void *node)
{
    struct em_collection *collection = node;

    for (size_t i = 0; i < collection->count; i++) {
        free_resource(collection->resources[i]);
    }
    json_decref(collection->index);
    free(collection->resources);
    free(collection->path);
    free(collection->project);
    free(collection->scope);
    free(collection);
}

void em_store_clear(void)
{
    tdestroy(collections, free_collection);
    collections = NULL;
}

/* splitmix64, begun anew in each run. */
uint64_t em_random(void)
{
    static uint64_t state;
    uint64_t z;

    if (state == 0 && getrandom(&state, sizeof(state), 0) != sizeof(state)) {
        state = (uint64_t)time(NULL);
    }
    z = state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

char *em_fingerprint(void)
{
    uint64_t number = em_random();

    return ha_base64_encode(&number, sizeof(number));
}

static char standard(char c)
{
    return c == '-' ? '+' : c == '_' ? '/' : c;
}

bool em_fingerprint_equal(const char *a, const char *b)
{
    if (a == NULL || b == NULL) {
        return false;
    }
    while (*a != '\0' && standard(*a) == standard(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

void em_set_fingerprint(json_t *object, const char *name)
{
    char *text = em_fingerprint();

    em_set(object, name, text);
    free(text);
}

void em_timestamp(char *text, size_t size)
{
    struct timespec now;
    struct tm parts;
    char date[32];

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec -= 8 * 3600L; /* Google writes the time of California's winter */
    gmtime_r(&now.tv_sec, &parts);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, size, "%s.%03ld-08:00", date, now.tv_nsec / 1000000L);
}

void em_set_timestamp(json_t *object, const char *name)
{
    char text[64];

    em_timestamp(text, sizeof(text));
    em_set(object, name, text);
}

char *em_link(const char *path)
{
    return em_format(EM_LINK_PREFIX "%s", path);
}

void em_set_link(json_t *object, const char *name, const char *path)
{
    em_set_format(object, name, EM_LINK_PREFIX "%s", path);
}

const char *em_link_path(const char *link)
{
    if (link == NULL) {
        return NULL;
    }
    return strncmp(link, EM_LINK_PREFIX, strlen(EM_LINK_PREFIX)) == 0 ? link + strlen(EM_LINK_PREFIX) : link;
}
