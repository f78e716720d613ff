/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, and what all inserts have in common. */
#ifndef GCE_EMULATOR_LABELS_H
#define GCE_EMULATOR_LABELS_H

#include "emulator.h"

/* Good name, good labels, no resource of that name yet; status 0: go on. */
struct em_answer em_insert_check(const struct em_request *request);
/* Gives a new resource of a type with labels its first fingerprint. */
void em_labels_prepare(json_t *json);
/* The same of a type whose labels come by setLabels only: what an insert says of them is not heard. */
void em_labels_prepare_none(json_t *json);
/* The method setLabels of every type. */
em_handler em_set_labels;
/* A fingerprint that the client had to know; status 0: it is the right one. */
struct em_answer em_fingerprint_check(const json_t *given, const json_t *current, const char *name, const char *what);

#endif
