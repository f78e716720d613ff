/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories, durably and without surprises. Functions return 0 or
 * a negative errno value and log nothing. */
#ifndef HACTL_LIB_FILE_H
#define HACTL_LIB_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Replaces `path` by way of a temporary file beside it and rename(2), so that
 * a reader sees the old content or the new. `durable`: fsync the file and its
 * directory before returning. */
int ha_file_replace(const char *path, const void *content, size_t size, mode_t mode, bool durable);

/* Creates `path` exclusively (O_EXCL, O_NOFOLLOW) with `mode` from its first
 * instant; -EEXIST when there is one. For keys. */
int ha_file_create(const char *path, const void *content, size_t size, mode_t mode, bool durable);

/* Replaces only if content or mode differ; `*changed` says so. */
int ha_file_update(const char *path, const void *content, size_t size, mode_t mode, bool *changed);

/* The whole file, with a NUL after it; -EFBIG beyond `limit`. Caller frees. */
int ha_file_read(const char *path, size_t limit, char **content, size_t *size);

/* mkdir -p; the last component gets `mode`, those made on the way 0700. */
int ha_directory_make(const char *path, mode_t mode);
int ha_directory_sync(const char *path);

/* rm -rf that follows no symbolic link; a missing `path` is 0. */
int ha_tree_remove(const char *path);

/* Zeroes, in a way the compiler keeps, then frees. Accept NULL. */
void ha_secret_free(char *secret, size_t size);

#endif
