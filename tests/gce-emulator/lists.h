/* SPDX-License-Identifier: Apache-2.0 */
/* get, list and aggregatedList: the same for every type of resource. */
#ifndef GCE_EMULATOR_LISTS_H
#define GCE_EMULATOR_LISTS_H

#include "emulator.h"

em_handler em_get;
em_handler em_list;
em_handler em_aggregated_list;

/* What a GET shows; a new reference. */
json_t *em_present(const struct em_resource *resource);
/* The path that a request asks for, for messages; caller frees. */
char *em_request_path(const struct em_request *request);

#endif
