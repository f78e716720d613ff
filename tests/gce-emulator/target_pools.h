/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GCE_EMULATOR_TARGET_POOLS_H
#define GCE_EMULATOR_TARGET_POOLS_H

#include "emulator.h"

/* Path of a pool that names the resource in `member` ("healthChecks", "instances"); NULL: none. */
const char *em_target_pools_user(const struct em_resource *resource, const char *member);

extern const struct em_type em_target_pool_type;
extern const struct em_method em_target_pools_methods[];

#endif
