/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GCE_EMULATOR_INSTANCE_GROUPS_H
#define GCE_EMULATOR_INSTANCE_GROUPS_H

#include "emulator.h"

/* Links of the members; borrowed. */
json_t *em_instance_group_members(const struct em_resource *group);
/* An instance is gone: it leaves its groups. */
void em_instance_groups_forget(const char *project, const char *instance_link);

extern const struct em_type em_instance_group_type;
extern const struct em_method em_instance_groups_methods[];

#endif
