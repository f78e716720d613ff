/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HACTL_CORE_STORE_INTERNAL_H
#define HACTL_CORE_STORE_INTERNAL_H

#include <limits.h>

#include "core/store.h"

struct ha_store {
    char *directory;
    int lock_fd; /* -1: not held */
};

/* A file or directory of the store cannot be used: who may not is told so by the exit status. */
int ha_store_fail(struct ha_error *error, int code, const char *path);
/* Adds what to do to an error with that errno about a file in `directory`: nothing, unless there is no room. */
void ha_store_advise_room(struct ha_error *error, int code, const char *directory);
int ha_store_path(const struct ha_store *store, const char *name, char out[PATH_MAX], struct ha_error *error);

#endif
