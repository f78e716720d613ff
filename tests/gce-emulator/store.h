/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All resources there are: collections such as
 * "projects/p/zones/z/instances", each sorted by name, so that listing and
 * paging need no sorting and a thousand clusters stay cheap.
 */
#ifndef GCE_EMULATOR_STORE_H
#define GCE_EMULATOR_STORE_H

#include "emulator.h"

#define EM_WEIGHTS 2 /* of one type */

struct em_collection {
    char *path;    /* "projects/p/zones/z/instances" */
    char *project; /* "p" */
    char *scope;   /* "zones/z", "global", "" */
    const struct em_type *type;
    struct em_resource **resources;
    size_t count;
    size_t size;
    json_t *index;              /* "label=value", ".field=path" -> names of those that have it; NULL: none has any */
    double weights[EM_WEIGHTS]; /* of all together */
};

struct em_resource {
    struct em_collection *collection;
    char *path;       /* "projects/p/zones/z/instances/m" */
    const char *name; /* the end of it */
    uint64_t id;
    json_t *json;    /* as a GET shows it */
    json_t *indexed; /* what it is found by; NULL: nothing */
    double weights[EM_WEIGHTS];
    json_t *hidden;            /* what the emulator remembers beside it; an object */
    struct em_operation *busy; /* that creates or deletes it */
};

/* Adds under that name and fills in kind, id, name, selfLink, creationTimestamp
 * and zone or region. Takes `json`. The name must be free. */
struct em_resource *em_store_add(const char *project, const char *scope, const struct em_type *type, const char *name,
                                 json_t *json);
void em_store_remove(struct em_resource *resource);
/* Puts another content in the place of this one; what the server gave it (id, selfLink...) stays. */
void em_store_replace(struct em_resource *resource, const json_t *json);

/* Has to be told when the content has changed in any other way. The end of an operation tells it of its target. */
void em_store_changed(struct em_resource *resource);
void em_store_unindex(struct em_resource *resource); /* it is found and weighed no more */

/* By path, with name or numeric id. */
struct em_resource *em_store_find(const char *path);
/* The one that a request's path names; the method's type says which variable does. */
struct em_resource *em_store_of(const struct em_request *request);
/* NULL when the collection has never held anything. */
struct em_collection *em_store_collection(const char *project, const char *scope, const char *collection);

/* Where the name is in its list, or would be. */
size_t em_store_position(const struct em_collection *collection, const char *name, bool *found);
/* Those that have the label, or ".FIELD" that leads to that path, sorted by name. Caller frees the list. */
struct em_resource **em_store_indexed(const struct em_collection *collection, const char *label, const char *value,
                                      size_t *count);

/* All collections of a type (NULL: of every type) in one project (NULL: in all), sorted by path. */
typedef void em_collection_visitor(struct em_collection *collection, void *context);
void em_store_visit(const char *project, const struct em_type *type, em_collection_visitor *visitor, void *context);
void em_store_clear(void);

/* Every resource of a type in a project. */
#define EM_FOR_EACH(resource, collection)                                                                          \
    for (size_t em_i = 0;                                                                                          \
         (collection) != NULL && em_i < (collection)->count && ((resource) = (collection)->resources[em_i], true); \
         em_i++)

uint64_t em_random(void);
/* 8 bytes in base64. Caller frees. */
char *em_fingerprint(void);
/* The same bytes, in either alphabet of base64. */
bool em_fingerprint_equal(const char *a, const char *b);
void em_set_fingerprint(json_t *object, const char *name);
/* Now, as the API writes it: "2026-11-25T07:30:00.123-08:00". */
void em_timestamp(char *text, size_t size);
void em_set_timestamp(json_t *object, const char *name);
/* The link of a path; caller frees. */
char *em_link(const char *path);
void em_set_link(json_t *object, const char *name, const char *path);
/* The path inside a stored link. Borrowed. NULL for NULL. */
const char *em_link_path(const char *link);

#endif
