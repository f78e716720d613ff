/* SPDX-License-Identifier: Apache-2.0 */
/* How long requests and operations take, by method. */
#ifndef GCE_EMULATOR_LATENCY_H
#define GCE_EMULATOR_LATENCY_H

#include <jansson.h>

/* For methods that match the glob; the latest setting wins; -1 leaves that part as it is. */
void em_latency_set(const char *glob, int request_ms, int operation_ms);
/* "none" or "realistic", of which so many percent; false: no such name. */
int em_latency_preset(const char *name, int percent);
/* Request and operation together, as "realistic" has them, whatever is set. */
unsigned em_latency_modelled_ms(const char *method);
unsigned em_latency_request_ms(const char *method);
unsigned em_latency_operation_ms(const char *method);
json_t *em_latency_list(void);
void em_latency_clear(void);

#endif
