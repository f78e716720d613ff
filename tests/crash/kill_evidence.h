/* SPDX-License-Identifier: Apache-2.0 */
/* What a killed hactl leaves behind in the world below `base`, for the kill harness to compare. */
#ifndef HACTL_TESTS_KILL_EVIDENCE_H
#define HACTL_TESTS_KILL_EVIDENCE_H

#include <jansson.h>
#include <stdbool.h>

/* World and store without what may differ: what was asked for how often, who
 * was shown first, generation and the operation's name. */
json_t *evidence_state(const char *base);
/* What the cluster is, whatever was done on the way to it: who is there, where,
 * who votes, who has the address, and what the store knows of it. */
json_t *evidence_cluster(const char *base);
/* What is wrong with the journal of `the-operation`, the effects' intents, or the files; NULL: nothing. */
const char *evidence_fault(const char *base);
bool evidence_unfinished(const char *base);

#endif
