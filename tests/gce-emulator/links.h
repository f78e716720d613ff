/* SPDX-License-Identifier: Apache-2.0 */
/* The forms in which clients name a resource, and names that the API accepts. */
#ifndef GCE_EMULATOR_LINKS_H
#define GCE_EMULATOR_LINKS_H

#include "emulator.h"

/*
 * The path of what `text` means: a full URL on any host, "projects/...",
 * "zones/...", "regions/...", "global/...", or a bare name, which is looked
 * for in the request's project under `scope`. NULL when it names no resource
 * of `collection`. Caller frees.
 */
char *em_links_path(const char *text, const char *project, const char *scope, const char *collection);

/* The resource of that path, or NULL with the error in *answer. `field` is the body's member, for the message. */
struct em_resource *em_links_resolve(const struct em_request *request, const char *text, const char *scope,
                                     const char *collection, const char *field, struct em_answer *answer);

/* Replaces the member by its resource's own link. NULL with the error in *answer when there is none. */
struct em_resource *em_links_member(const struct em_request *request, json_t *object, const char *name,
                                    const char *scope, const char *collection, struct em_answer *answer);

/* [a-z]([-a-z0-9]{0,61}[a-z0-9])? */
bool em_name_good(const char *name);
/* Whether the labels are as the API allows them; else its words. */
const char *em_labels_wrong(const json_t *labels);
/* "us-central1" of "zones/us-central1-a" or "regions/us-central1"; caller frees. */
char *em_region_of(const char *scope);

#endif
