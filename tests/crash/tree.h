/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that are copied and looked through; by one thread at a time. */
#ifndef HACTL_TESTS_CRASH_TREE_H
#define HACTL_TESTS_CRASH_TREE_H

#include <stdbool.h>

/* With the modes of what is there, to a path that is not. 0 or -errno. */
int tree_copy(const char *from, const char *to);
/* A name with that ending. */
bool tree_has(const char *path, const char *ending);

#endif
