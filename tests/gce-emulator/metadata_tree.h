/* SPDX-License-Identifier: Apache-2.0 */
/* What a metadata server has to show: a tree, where "a/b/0" is a path in it. */
#ifndef GCE_EMULATOR_METADATA_TREE_H
#define GCE_EMULATOR_METADATA_TREE_H

#include "emulator.h"

/* All that may be at `path` and around it; NULL instance: an operator's machine. New. */
json_t *em_metadata_tree(const struct em_resource *instance, const char *path);
/* The part at `path` ("instance/attributes/"), or NULL. Borrowed. */
json_t *em_metadata_tree_find(json_t *tree, const char *path);
/* As text: a listing of a directory, or the value; with `json` the whole part in camel case. Caller frees. */
char *em_metadata_tree_text(json_t *part, bool json);
/* Identifies that text. */
void em_metadata_tree_etag(const char *text, char *etag, size_t size);

#endif
