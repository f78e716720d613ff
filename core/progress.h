/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of a change on standard error: a live tree on a terminal, one line a step elsewhere, nothing with -q. */
#ifndef HACTL_CORE_PROGRESS_H
#define HACTL_CORE_PROGRESS_H

#include "core/session.h"

struct ha_progress;

/* `verb` names the pipeline, for the stages of steps; `title` is what is going on: "demo: replica add". */
struct ha_progress *ha_progress_new(const struct ha_configuration *configuration, const char *verb, const char *title);
/* Leaves the last state of the tree on the screen; accepts NULL. */
void ha_progress_free(struct ha_progress *progress);
struct ha_listener ha_progress_listener(struct ha_progress *progress);

#endif
