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
void em_filter_free(struct em_filter *filter);

#endif
