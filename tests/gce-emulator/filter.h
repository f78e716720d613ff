/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter parameter of lists: comparisons (=, !=, >, <, >=, <=, :, eq, ne)
 * of a dotted field with a literal, put together with AND, OR, NOT,
 * parentheses, or nothing, which means AND.
 */
#ifndef GCE_EMULATOR_FILTER_H
#define GCE_EMULATOR_FILTER_H

#include "emulator.h"

struct em_filter;

/* NULL: no expression that the API would take. */
struct em_filter *em_filter_parse(const char *text);
bool em_filter_match(const struct em_filter *filter, const json_t *resource);
/* A label that a resource must have to match at all: a quick look before the thorough one. NULL: there is none. */
const char *em_filter_label(const struct em_filter *filter, const char **value);
/* The only names that can match, borrowed; false: others may as well, or they are more than `room`. */
bool em_filter_names(const struct em_filter *filter, const char **names, size_t room, size_t *count);
/* What a name has to begin with to match, borrowed, of *length; NULL: anything. */
const char *em_filter_prefix(const struct em_filter *filter, size_t *length);
void em_filter_free(struct em_filter *filter);

#endif
