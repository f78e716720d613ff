/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GCE_EMULATOR_FORWARDING_RULES_H
#define GCE_EMULATOR_FORWARDING_RULES_H

#include "emulator.h"

/* Path of a rule that points at the target pool or backend service; NULL: none. */
const char *em_forwarding_rules_user(const struct em_resource *target);
/* Each of those. */
typedef void em_forwarding_rule_visitor(struct em_resource *rule, void *context);
void em_forwarding_rules_visit(const struct em_resource *target, em_forwarding_rule_visitor *visitor, void *context);

extern const struct em_type em_forwarding_rule_type;
extern const struct em_method em_forwarding_rules_methods[];

#endif
