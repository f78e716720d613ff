/* SPDX-License-Identifier: Apache-2.0 */
/* What process.c and process_start.c share: how a process is told from a later one with its pid. */
#ifndef HACTL_LIB_PROCESS_INTERNAL_H
#define HACTL_LIB_PROCESS_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HA_BOOT_ID_SIZE 37

int ha_process_boot_id(char out[HA_BOOT_ID_SIZE]);

/* Both are called between fork and exec, too: nothing in them but what is async-signal-safe. */
ssize_t ha_process_read_small(const char *path, char *buffer, size_t size);
int ha_process_parse_stat(const char *stat, char *state, uint64_t *start_time);

/*
 * The directory of the pid file is the lock of a start. The child inherits it
 * and lets go by exec, so a start whose caller was killed is still seen as
 * under way by the next caller: two of them cannot run one unit twice, and a
 * stop cannot overlook one that is about to record itself.
 */
int ha_process_start_lock(const char *pid_path, int *out);

#endif
