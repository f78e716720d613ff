/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was called: by method, by kind, and the longest chain of calls of which
 * each began after the one before had been answered; for changing calls: after
 * its operation was done. That is an upper bound of the chain of calls that
 * depend on each other, seen from outside. The same as somebody counts who
 * waits with each: a change with the polls of its operation is one, and so is
 * a read that is repeated while nothing else is done. And each time that a reserved
 * external address lost its user: which changing calls it took until another
 * had it.
 */
#ifndef GCE_EMULATOR_COUNTS_H
#define GCE_EMULATOR_COUNTS_H

#include "emulator.h"

struct em_call_count {
    const struct em_method *method;
    unsigned depth, changing_depth, waited_depth;
    unsigned round; /* of counting: a reset begins another */
    unsigned long modelled_ms; /* of the chain of changes up to this one */
};

/* `what` tells it from other calls of the method. */
void em_counts_begin(struct em_call_count *call, const struct em_method *method, const char *what);
void em_counts_end(const struct em_call_count *call, int status);
/* Of an operation that is about to take effect; NULL: none is any more. */
void em_counts_effect(const struct em_call_count *call);
void em_counts_done(const struct em_call_count *call);
/* The address has lost its user, or has one again. */
void em_counts_dark(const char *address, bool dark);
json_t *em_counts_get(void);
/* A table for people. Caller frees. */
char *em_counts_table(void);
void em_counts_reset(void);

#endif
