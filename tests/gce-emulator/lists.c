/* SPDX-License-Identifier: Apache-2.0 */
#include "lists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "faults.h"
#include "filter.h"
#include "lib/json.h"
#include "store.h"

#define PAGE_MOST  500
#define NAMES_MOST 8

/* One list under way. */
struct listing {
    struct em_filter *filter;
    /* What it asks for, as far as that is a quick way to it; each is matched thoroughly. */
    const char *names[NAMES_MOST];
    size_t name_count;
    bool by_names;
    const char *label, *value;
    const char *prefix; /* of names; NULL: any */
    size_t prefix_length;
    const char *order; /* NULL: by name */
    size_t limit;
    char after[512]; /* path of the last resource of the page before; "" at the beginning */
    size_t skip;     /* the same for other orders */
    size_t taken;
    char last[512];
    bool more;
    bool partial;
    json_t *items;
    json_t *unreachables;
    const struct em_request *request;
};

json_t *em_present(const struct em_resource *resource)
{
    const struct em_type *type = resource->collection->type;

    return type->present != NULL ? type->present(resource) : json_incref(resource->json);
}

char *em_request_path(const struct em_request *request)
{
    const char *name = em_text(request->variables, request->method->type->parameter);

    if (name == NULL) {
        name = em_text(request->variables, "resource");
    }
    return em_format("projects/%s/%s%s%s/%s", request->project, request->scope, request->scope[0] == '\0' ? "" : "/",
                     request->method->type->collection, name);
}

struct em_answer em_get(struct em_request *request)
{
    struct em_resource *resource = em_store_of(request);
    struct em_answer answer;
    char *path;

    if (resource != NULL) {
        return em_ok(em_present(resource));
    }
    path = em_request_path(request);
    answer = em_error_not_found(path);
    free(path);
    return answer;
}

static bool read_token(struct listing *listing, const char *token)
{
    unsigned char text[600];
    ssize_t length;

    if (strlen(token) > sizeof(text)) {
        return false;
    }
    length = ha_base64_decode(token, strlen(token), text);
    if (length < 1 || (size_t)length >= sizeof(listing->after)) {
        return false;
    }
    text[length] = '\0';
    if (text[0] == '#') {
        listing->skip = strtoul((char *)text + 1, NULL, 10);
    } else {
        memcpy(listing->after, text, (size_t)length + 1);
    }
    return true;
}

static char *make_token(const struct listing *listing)
{
    char text[600];

    if (listing->order != NULL) {
        snprintf(text, sizeof(text), "#%zu", listing->skip + listing->taken);
    } else {
        snprintf(text, sizeof(text), "%s", listing->last);
    }
    return ha_base64_encode(text, strlen(text));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Reads the query; false with the error in *answer. */
static bool begin(struct listing *listing, const struct em_request *request, struct em_answer *answer)
{
    const char *filter = em_text(request->query, "filter"), *token = em_text(request->query, "pageToken");
    long long most = em_number(request->query, "maxResults", PAGE_MOST);
    const char *order = em_text(request->query, "orderBy"), *partial = em_text(request->query, "returnPartialSuccess");

    memset(listing, 0, sizeof(*listing));
    listing->request = request;
    listing->partial = partial != NULL && strcasecmp(partial, "true") == 0;
    if (filter != NULL && filter[0] != '\0' && (listing->filter = em_filter_parse(filter)) == NULL) {
        *answer = em_error_invalid("filter", filter, "Invalid list filter expression.");
        return false;
    }
    listing->by_names = em_filter_names(listing->filter, listing->names, NAMES_MOST, &listing->name_count);
    qsort(listing->names, listing->name_count, sizeof(listing->names[0]), by_name);
    listing->label = em_filter_label(listing->filter, &listing->value);
    listing->prefix = em_filter_prefix(listing->filter, &listing->prefix_length);
    if (most < 0 || most > PAGE_MOST) {
        *answer = em_error_invalid("maxResults", em_text(request->query, "maxResults"),
                                   "Must be between 0 and 500, inclusive.");
        return false;
    }
    listing->limit = most == 0 ? PAGE_MOST : (size_t)most;
    if (order != NULL && order[0] != '\0' && strcmp(order, "name") != 0) {
        if (strcmp(order, "creationTimestamp desc") != 0) {
            *answer = em_error_invalid("orderBy", order, "Only name and creationTimestamp desc are supported.");
            return false;
        }
        listing->order = order;
    }
    if (token != NULL && token[0] != '\0' && !read_token(listing, token)) {
        *answer = em_error_invalid("pageToken", token, "The page token is malformed.");
        return false;
    }
    return true;
}

static void end(struct listing *listing)
{
    em_filter_free(listing->filter);
    json_decref(listing->items);
    json_decref(listing->unreachables);
}

/* What may be shown of a collection: all of it, newest first if so ordered. */
static void take(struct listing *listing, struct em_resource *resource, json_t *page)
{
    json_t *shown;

    if (listing->order == NULL && listing->after[0] != '\0' && strcmp(resource->path, listing->after) <= 0) {
        return;
    }
    shown = em_present(resource);
    if (!em_filter_match(listing->filter, shown)) {
        json_decref(shown);
        return;
    }
    if (listing->taken == listing->limit) {
        listing->more = true;
        json_decref(shown);
        return;
    }
    listing->taken++;
    snprintf(listing->last, sizeof(listing->last), "%s", resource->path);
    json_array_append_new(page, shown);
}

static int newest_first(const void *a, const void *b)
{
    const struct em_resource *x = *(struct em_resource *const *)a, *y = *(struct em_resource *const *)b;
    const char *time_x = em_text(x->json, "creationTimestamp"), *time_y = em_text(y->json, "creationTimestamp");

    return strcmp(time_y == NULL ? "" : time_y, time_x == NULL ? "" : time_x);
}

static void take_ordered(struct listing *listing, const struct em_collection *collection, json_t *page)
{
    struct em_resource **sorted = em_alloc((collection->count + 1) * sizeof(*sorted));

    memcpy(sorted, collection->resources, collection->count * sizeof(*sorted));
    qsort(sorted, collection->count, sizeof(*sorted), newest_first);
    for (size_t i = listing->skip; i < collection->count && !listing->more; i++) {
        take(listing, sorted[i], page);
    }
    free(sorted);
}

static void take_named(struct listing *listing, const struct em_collection *collection, json_t *page)
{
    bool found;

    for (size_t i = 0; i < listing->name_count && !listing->more; i++) {
        size_t at = em_store_position(collection, listing->names[i], &found);

        if (found && (i == 0 || strcmp(listing->names[i - 1], listing->names[i]) != 0)) {
            take(listing, collection->resources[at], page);
        }
    }
}

static void take_labelled(struct listing *listing, const struct em_collection *collection, json_t *page)
{
    size_t count;
    struct em_resource **list = em_store_indexed(collection, listing->label, listing->value, &count);

    for (size_t i = 0; i < count && !listing->more; i++) {
        take(listing, list[i], page);
    }
    free(list);
}

static void take_prefixed(struct listing *listing, const struct em_collection *collection, json_t *page)
{
    size_t length = listing->prefix == NULL ? 0 : listing->prefix_length;
    char *prefix = em_format("%.*s", (int)length, length == 0 ? "" : listing->prefix);
    bool found;

    for (size_t i = em_store_position(collection, prefix, &found); i < collection->count && !listing->more; i++) {
        if (strncmp(collection->resources[i]->name, prefix, length) != 0) {
            break;
        }
        take(listing, collection->resources[i], page);
    }
    free(prefix);
}

static void take_collection(struct listing *listing, struct em_collection *collection, json_t *page)
{
    if (collection == NULL) {
        return;
    }
    if (listing->order != NULL) {
        take_ordered(listing, collection, page);
    } else if (listing->by_names) {
        take_named(listing, collection, page);
    } else if (listing->label != NULL) {
        take_labelled(listing, collection, page);
    } else {
        take_prefixed(listing, collection, page);
    }
}

/* "compute#instance" -> "compute#instanceList" or "compute#instanceAggregatedList". */
static json_t *head(const struct listing *listing, const char *ending)
{
    const struct em_request *request = listing->request;
    const struct em_type *type = request->method->type;
    json_t *json = json_object();
    char *path = em_format("projects/%s/%s%s%s", request->project, request->scope, request->scope[0] == '\0' ? "" : "/",
                           type->collection);

    em_set_format(json, "kind", "%s%s", type->kind, ending);
    em_set(json, "id", path);
    em_set_link(json, "selfLink", path);
    free(path);
    return json;
}

static void set_token(struct listing *listing, json_t *json)
{
    char *token;

    if (listing->more) {
        token = make_token(listing);
        em_set(json, "nextPageToken", token);
        free(token);
    }
}

struct em_answer em_list(struct em_request *request)
{
    struct em_answer answer = {0};
    struct listing listing;

    if (begin(&listing, request, &answer)) {
        json_t *page = json_array(), *json = head(&listing, "List");

        take_collection(&listing,
                        em_store_collection(request->project, request->scope, request->method->type->collection), page);
        if (json_array_size(page) > 0) {
            json_object_set(json, "items", page);
        }
        json_decref(page);
        set_token(&listing, json);
        answer = em_ok(json);
    }
    end(&listing);
    return answer;
}

static json_t *no_results(const char *scope)
{
    return json_pack("{s:{s:s,s:s++,s:[{s:s,s:s}]}}", "warning", "code", "NO_RESULTS_ON_PAGE", "message",
                     "There are no results for scope '", scope, "' on this page.", "data", "key", "scope", "value",
                     scope);
}

/* Every scope of the project is mentioned, those of a dead zone as unreachable. */
static void take_scope(struct listing *listing, const char *scope)
{
    const char *collection = listing->request->method->type->collection;
    json_t *page;

    if (em_faults_zone_down(scope)) {
        char *path = em_format("projects/%s/%s", listing->request->project, scope);

        json_array_append_new(listing->unreachables, json_string(path));
        free(path);
        return;
    }
    page = json_array();
    take_collection(listing, em_store_collection(listing->request->project, scope, collection), page);
    if (json_array_size(page) > 0) {
        json_object_set_new(listing->items, scope, json_pack("{s:O}", collection, page));
    } else {
        json_object_set_new(listing->items, scope, no_results(scope));
    }
    json_decref(page);
}

static void take_scopes(struct listing *listing, const char *kind)
{
    struct em_collection *places = em_store_collection(listing->request->project, "", kind);
    struct em_resource *place;

    EM_FOR_EACH(place, places)
    {
        char *scope = em_format("%s/%s", kind, place->name);

        take_scope(listing, scope);
        free(scope);
    }
}

static void take_all_scopes(struct listing *listing)
{
    const char *scopes = listing->request->method->type->scopes;

    if (strstr(scopes, "global") != NULL) {
        take_scope(listing, "global");
    }
    if (strstr(scopes, "regions") != NULL) {
        take_scopes(listing, "regions");
    }
    if (strstr(scopes, "zones") != NULL) {
        take_scopes(listing, "zones");
    }
}

static struct em_answer unreachable(const struct listing *listing)
{
    return em_error(503, "backendError",
                    "The scope '%s' cannot be reached. Please try again, or ask for partial "
                    "success.",
                    json_string_value(json_array_get(listing->unreachables, 0)));
}

struct em_answer em_aggregated_list(struct em_request *request)
{
    struct em_answer answer = {0};
    struct listing listing;

    if (begin(&listing, request, &answer)) {
        listing.items = json_object();
        listing.unreachables = json_array();
        if (listing.order != NULL) {
            listing.order = NULL; /* the pages of several scopes come by name */
        }
        take_all_scopes(&listing);
        if (json_array_size(listing.unreachables) > 0 && !listing.partial) {
            answer = unreachable(&listing);
        } else {
            json_t *json = head(&listing, "AggregatedList");

            json_object_set(json, "items", listing.items);
            if (json_array_size(listing.unreachables) > 0) {
                json_object_set(json, "unreachables", listing.unreachables);
            }
            set_token(&listing, json);
            answer = em_ok(json);
        }
    }
    end(&listing);
    return answer;
}
