/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of core/asks*.c share: how a call is made, and what it is given. */
#ifndef HACTL_CORE_ASKS_INTERNAL_H
#define HACTL_CORE_ASKS_INTERNAL_H

#include "core/asks.h"
#include "core/call_internal.h"
#include "core/session_internal.h"

enum { LIST_TIMEOUT_MS = 5000, CHECK_TIMEOUT_MS = 10000 };

/* What a call is given. Lives in its own arena, freed with the call. */
struct arguments {
    struct ha_arena *arena;
    const void *want;
    const void *second;
    const char *name, *other, *third;
    int number, port, second_port;
    /* Asked for in the same breath as a list, see asks_looks.c. */
    const uint16_t *ports;
    const char *const *purposes;
    struct ha_found *found;
};

#define ARGUMENTS(call) ((const struct arguments *)(call)->context)
#define OPS(call, kind) ((call)->instance->plugin->descriptor->kind)
#define SELF(call)      ((call)->instance->self)

/* Pointers to the records of an array that `rendered` keeps for as long as the
 * delivery runs. */
#define POINTERS(arena, type, array, count)                                                      \
    __extension__({                                                                              \
        const struct type **pointers_ = ha_arena_take(arena, ((count) + 1) * sizeof *pointers_); \
        for (size_t i_ = 0; i_ < (count); i_++)                                                  \
            pointers_[i_] = &(array)[i_];                                                        \
        pointers_;                                                                               \
    })

/* A call of `instance` that `run` enters; `out` (may be NULL): what it is given, to be filled in. */
struct hactl_call *ha_ask(struct ha_session *session, struct ha_instance *instance, int (*run)(struct hactl_call *),
                          const char *what, int64_t timeout_ms, struct arguments **out);

#endif
