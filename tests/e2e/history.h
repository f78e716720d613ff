/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a history of reads and writes of one register linearizable?
 *
 * Every write has a value of its own, so the question is easy (Gibbons and
 * Korach, "Testing Shared Memories", 1997): take, for each value, its write
 * and all reads of it; from the earliest answer among them to the latest call
 * the register must have held it. No two such stretches may overlap, and no
 * value may come and go wholly within another's.
 */
#ifndef HACTL_TESTS_HISTORY_H
#define HACTL_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_NEVER = 0 }; /* the value of a register never written */

struct event {
    bool is_write;
    bool is_unknown; /* a write that was not answered: it may happen at any time, or never */
    uint64_t value;
    int64_t called_ns, answered_ns;
};

/* `why`: for people; at least 200 bytes. */
bool history_is_linearizable(const struct event *events, size_t count, char *why, size_t size);

#endif
