/* SPDX-License-Identifier: Apache-2.0 */
/* A changing call that no plan waits for: polled here until it is over. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/asks.h"

enum { FIRST_POLL_MS = 50, LONGEST_POLL_MS = 1000 };

static void sleep_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int give_up(struct hactl_call *call)
{
    int code = ha_cancelled() ? HACTL_E_CANCELLED : HACTL_E_TIMEOUT;
    ha_call_reset(call);
    snprintf(call->text, sizeof call->text, "begun, and still under way");
    return call->code = code;
}

/* Until the token ends, however it does. */
static int poll_out(struct ha_session *session, struct hactl_call *call, int64_t until_ms)
{
    int64_t pause_ms = FIRST_POLL_MS, at_least_ms = call->retry_after_ms;
    for (;;) {
        int64_t left_ms = until_ms - ha_now_ms(), wait_ms = pause_ms > at_least_ms ? pause_ms : at_least_ms;
        if (left_ms <= 0 || ha_cancelled())
            return give_up(call);
        sleep_ms(wait_ms < left_ms ? wait_ms : left_ms);
        pause_ms = pause_ms * 2 < LONGEST_POLL_MS ? pause_ms * 2 : LONGEST_POLL_MS;
        struct hactl_call *poll = ha_ask_poll(session, call->instance, call->token, left_ms);
        int code = ha_call_wait(poll);
        at_least_ms = poll->retry_after_ms;
        bool again = code == HACTL_PENDING || code == HACTL_E_BUSY || code == HACTL_E_UNAVAILABLE;
        if (!again && code < 0 && code != HACTL_E_ENDED) {
            ha_call_reset(call);
            memcpy(call->text, poll->text, sizeof call->text);
            call->code = code;
        }
        ha_call_free(poll);
        if (!again)
            return code == HACTL_E_ENDED ? HACTL_OK : code; /* without effect: asked again */
    }
}

int ha_ask_to_the_end(struct ha_session *session, struct hactl_call *call)
{
    int64_t until_ms = ha_now_ms() + call->timeout_ms;
    int code;
    while ((code = ha_call_wait(call)) == HACTL_PENDING) {
        code = poll_out(session, call, until_ms);
        if (code < 0)
            return code;
        /* The token has ended, not the operation. */
        ha_call_reset(call);
    }
    return code;
}
