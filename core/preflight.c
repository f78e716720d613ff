/* SPDX-License-Identifier: Apache-2.0 */
#include "core/preflight.h"

#include "core/asks.h"
#include "core/log.h"

/* Not now is not never: the steps themselves wait and ask again. */
static bool is_final(int code)
{
    return code < 0 && code != HACTL_E_BUSY && code != HACTL_E_UNAVAILABLE && code != HACTL_E_TIMEOUT;
}

/* Takes the call over; NULL is nothing to ask. */
static int settle(struct hactl_call *call, struct ha_error *error)
{
    int code = call ? ha_call_wait(call) : HACTL_OK, rc = 0;
    if (is_final(code))
        rc = ha_fail(error, ha_exit_of_code(code), "%s: %s", call->instance->conf->instance, call->text);
    else if (code < 0)
        ha_log(HACTL_LOG_DEBUG, "%s: %s: %s", call->instance->conf->instance, call->what, call->text);
    ha_call_free(call);
    return rc;
}

static bool has(const struct ha_plan *plan, enum ha_step_kind kind)
{
    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].kind == kind)
            return true;
    return false;
}

static bool starts(const struct ha_plan *plan, int payload)
{
    for (int i = 0; i < plan->count; i++) {
        enum ha_step_kind kind = plan->steps[i].kind;
        if ((kind == HA_STEP_MEMBER_START || kind == HA_STEP_COMPONENTS_START) && plan->steps[i].group == payload)
            return true;
    }
    return false;
}

static int ask_programs(struct ha_session *session, int payload, struct ha_error *error)
{
    struct hactl_call *programs = ha_ask_programs(session, payload);
    int rc = 0;
    if (programs && ha_call_wait(programs) == HACTL_OK)
        rc = settle(ha_ask_can_run(session, programs), error);
    ha_call_free(programs);
    return rc;
}

int ha_preflight(struct ha_session *session, const struct ha_plan *plan, struct ha_error *error)
{
    if (session->cloud && has(plan, HA_STEP_INSTANCE_CREATE) && settle(ha_ask_check(session->cloud), error))
        return -1;
    if (session->balancer && has(plan, HA_STEP_BALANCER_BUILD) && settle(ha_ask_check(session->balancer), error))
        return -1;
    for (int p = 0; p < session->payload_count; p++)
        if (starts(plan, p) && ask_programs(session, p, error))
            return -1;
    return 0;
}
