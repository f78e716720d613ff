/* SPDX-License-Identifier: Apache-2.0 */
/* The rules behind `ha_rules`, one for each kind of step; the table is in
 * planner_table.c. A rule says whether its step is the thing to do now, and on
 * what; it must be true only while the step is safe. */
#ifndef HACTL_CORE_PLANNER_RULES_H
#define HACTL_CORE_PLANNER_RULES_H

#include "core/planner.h"

#define RULE_ARGUMENTS const struct ha_model *model, const struct ha_plan_scope *scope, struct ha_step *out

ha_rule ha_rule_address_reserve, ha_rule_internal_address_reserve, ha_rule_internal_address_delete,
    ha_rule_address_delete, ha_rule_firewall_ensure, ha_rule_firewall_delete, ha_rule_authority_create,
    ha_rule_certificate_issue, ha_rule_certificate_deliver, ha_rule_certificate_retire, ha_rule_authority_delete,
    ha_rule_instance_create, ha_rule_instance_start, ha_rule_instance_delete, ha_rule_components_start,
    ha_rule_replica_await;        /* planner_base.c */
ha_rule ha_rule_authority_rotate; /* planner_rotation.c */
ha_rule ha_rule_member_add, ha_rule_member_start, ha_rule_group_await, ha_rule_member_catch_up, ha_rule_member_promote,
    ha_rule_leader_move, ha_rule_member_remove; /* planner_members.c */
ha_rule ha_rule_balancer_build, ha_rule_backend_add, ha_rule_backend_remove, ha_rule_balancer_await,
    ha_rule_replica_release, ha_rule_replica_claim, ha_rule_balancer_release, ha_rule_balancer_claim,
    ha_rule_balancer_delete, ha_rule_temporary_address_detach, ha_rule_temporary_address_attach,
    ha_rule_endpoint_verify; /* planner_endpoint.c */

#endif
