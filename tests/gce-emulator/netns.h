/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces, as ip(8) names them in /run/netns, and commands run in them. */
#ifndef GCE_EMULATOR_NETNS_H
#define GCE_EMULATOR_NETNS_H

#include "emulator.h"

bool em_netns_add(const char *name);
void em_netns_delete(const char *name);
/* Deletes what emulators that were killed have left. */
void em_netns_clean(void);

/* The calling thread moves there; em_netns_leave() brings it back. */
bool em_netns_enter(const char *name);
void em_netns_leave(void);

/* Runs in a namespace (NULL: here); `input` goes to its standard input by way of a file. false with a line on stderr.
 */
bool em_netns_run(const char *name, const char *const *argv, const char *input);
/* ip -batch with these lines; `force`: goes on after errors and says nothing. */
bool em_netns_ip(const char *name, const char *lines, bool force);

#endif
