/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every part of the emulator speaks of: requests, answers, methods and
 * types of resources. One thread runs everything, so nothing here is locked.
 *
 * Memory that jansson or the C library does not give ends the program: this
 * is a test server, and no test wants to go on without its objects.
 */
#ifndef GCE_EMULATOR_EMULATOR_H
#define GCE_EMULATOR_EMULATOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EM_LINK_PREFIX "https://www.googleapis.com/compute/v1/"

struct em_connection;
struct em_resource;
struct em_operation;

/* What a handler says. status 0: the connection waits, somebody answers later. */
struct em_answer {
    int status;
    json_t *body;    /* owned; NULL: empty */
    char *text;      /* owned; instead of a body, as text/plain */
    json_t *headers; /* owned; name -> value */
    bool drop;       /* close the connection instead of answering */
};

/* A type of resource, and the words that the API has for it. */
struct em_type {
    const char *collection; /* "instances" */
    const char *kind;       /* "compute#instance" */
    const char *parameter;  /* the path variable that names one: "instance" */
    const char *scopes;     /* where aggregatedList looks: of "global", "regions", "zones" */
    /* What a GET shows when it is not the stored object; a new reference. */
    json_t *(*present)(const struct em_resource *resource);
    /* Fields with links, by which it is found where they lead. */
    const char *leads[2];
    /* What it takes of each of its metrics (quotas.c); NULL: it is counted, at most. */
    void (*weigh)(const struct em_resource *resource, double *weights);
    /* Takes back an insert that failed. NULL: removing the resource is enough. */
    void (*undo)(struct em_resource *resource);
};

/* Which rate limit counts a call, and whether it changes anything. */
enum em_group { EM_CHANGE, EM_READ, EM_LIST, EM_OPERATION_READ };

struct em_request;
typedef struct em_answer em_handler(struct em_request *request);

struct em_method {
    const char *id;   /* "instances.insert" */
    const char *verb; /* "POST" */
    const char *path; /* "projects/{project}/zones/{zone}/instances" */
    enum em_group group;
    const struct em_type *type;
    em_handler *handler;
};

struct em_request {
    const struct em_method *method;
    json_t *variables; /* of the path: name -> text */
    json_t *query;     /* name -> text */
    json_t *body;      /* NULL: none was sent; handlers may change it */
    json_t *sent;      /* a copy of it for the memory of request ids */
    const char *project;
    char *scope; /* "zones/Z", "regions/R", "global" or "" */
    const char *user;
    struct em_connection *connection;
};

/* Settings of the whole program, set once by main(). */
struct em_options {
    const char *directory; /* tokens, keys, disks, logs of instances */
    const char *schema;    /* NULL: none */
    const char *project;   /* the only one there is; NULL: any */
    bool check_tokens;
    bool no_key;            /* no service account */
    bool boot;              /* instances run */
    unsigned data_plane_ms; /* from a change to the network that follows it; a test may set it */
    int port;
    int metadata_port;
    int verbose;
};
extern struct em_options em_options;

/* ---- memory.c: what cannot fail -------------------------------------------- */

void *em_alloc(size_t size);
char *em_strdup(const char *text);
char *em_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A string member, or NULL. */
const char *em_text(const json_t *object, const char *name);
bool em_true(const json_t *object, const char *name);
/* A member that is a number or digits; `otherwise` when it is neither. */
long long em_number(const json_t *object, const char *name, long long otherwise);
/* Sets a member to a string; NULL removes it. */
void em_set(json_t *object, const char *name, const char *text);
void em_set_number(json_t *object, const char *name, long long number);
/* 64-bit members are strings on the wire. */
void em_set_u64(json_t *object, const char *name, uint64_t number);
/* The same with a format. */
void em_set_format(json_t *object, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Sets it only when there is no string. */
void em_default(json_t *object, const char *name, const char *text);
/* Index of a string in an array, or -1. */
int em_array_find(const json_t *array, const char *text);
/* The array of this name, made when there is none. Borrowed. */
json_t *em_array(json_t *object, const char *name);
/* Removes the element; the member goes with its last one, as the API does. */
void em_array_drop(json_t *object, const char *name, const char *text);

/* Lays a patch over an object: members replace, null removes, objects inside are merged. */
void em_merge(json_t *object, const json_t *patch);

/* Logs a line to stderr; level 1 shows with -v. */
void em_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
