/* SPDX-License-Identifier: Apache-2.0 */
/* Who stands before a member of the rig and hands everything on, but changes one text in the member's answers. */
#ifndef HACTL_TESTS_ETCD_LIAR_H
#define HACTL_TESTS_ETCD_LIAR_H

#include "tests/unit/etcd_rig.h"

/* From now on member `index` is reached through it; returns its process. */
pid_t liar_start(struct rig *rig, int index, const char *truth, const char *lie);
/* Ends it; the member is reached directly again. */
void liar_stop(struct rig *rig, int index, pid_t pid);

#endif
