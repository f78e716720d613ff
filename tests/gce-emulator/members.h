/* SPDX-License-Identifier: Apache-2.0 */
/* Which instances a forwarding rule sends its traffic to. */
#ifndef GCE_EMULATOR_MEMBERS_H
#define GCE_EMULATOR_MEMBERS_H

#include "emulator.h"

/* Links of all members, healthy or not; a new array. */
json_t *em_members_of_rule(const struct em_resource *rule);
/* The path of the health check that decides, or NULL: none. Borrowed. */
const char *em_members_health_check(const struct em_resource *rule);
/* Addresses of the rules that have the instance as a member; a new array. */
json_t *em_members_forwarded_ips(const struct em_resource *instance);

#endif
