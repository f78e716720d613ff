/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: made, run, judged, freed. */
#include "core/call.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/call_internal.h"
#include "core/error.h"
#include "core/log.h"
#include "core/text.h"

static _Atomic int64_t cancelled_at_ms; /* 0: not */

/* Called in a signal handler too. */
void ha_cancel_set(bool cancelled)
{
    atomic_store(&cancelled_at_ms, cancelled ? ha_now_ms() : 0);
}

bool ha_cancelled(void)
{
    return atomic_load(&cancelled_at_ms) != 0;
}

int64_t ha_cancelled_for_ms(void)
{
    int64_t at_ms = atomic_load(&cancelled_at_ms);

    return at_ms ? ha_now_ms() - at_ms : 0;
}

int64_t ha_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the call itself */

struct hactl_call *ha_call_new(struct ha_instance *instance, const char *what, int64_t timeout_ms)
{
    struct hactl_call *call = calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    call->instance = instance;
    snprintf(call->what, sizeof call->what, "%s", what);
    call->timeout_ms = timeout_ms;
    return call;
}

void ha_call_reset(struct hactl_call *call)
{
    ha_call_forget_records(call);
    free(call->token);
    free(call->emitted_text);
    call->token = call->emitted_text = NULL;
    call->text[0] = '\0';
    call->retry_after_ms = 0;
    call->refused = false;
    call->code = HACTL_OK;
}

void ha_call_clear(struct hactl_call *call)
{
    ha_call_reset(call);
    if (call->context_free != NULL)
        call->context_free(call->context);
}

void ha_call_free(struct hactl_call *call)
{
    if (call == NULL)
        return;
    ha_call_clear(call);
    free(call);
}

int ha_call_fail_of(struct hactl_call *call, int code, const char *format, va_list arguments)
{
    if (code >= HACTL_OK)
        code = HACTL_E_INTERNAL;
    if (call->text[0] != '\0')
        return code;
    char said[sizeof call->text];
    vsnprintf(said, sizeof said, format, arguments);
    ha_text_copy(call->text, TEXT_MAX + 1, said);
    ha_text_repair(call->text);
    return code;
}

int ha_call_fail(struct hactl_call *call, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    code = ha_call_fail_of(call, code, format, arguments);
    va_end(arguments);
    return code;
}

/* What breaks the contract is said instead of whatever the plugin said. */
int ha_call_refuse(struct hactl_call *call, const char *format, ...)
{
    va_list arguments;

    if (call->refused)
        return HACTL_E_INTERNAL;
    call->refused = true;
    call->text[0] = '\0';
    va_start(arguments, format);
    ha_call_fail_of(call, HACTL_E_INTERNAL, format, arguments);
    va_end(arguments);
    return HACTL_E_INTERNAL;
}

static int judged_pending(struct hactl_call *call)
{
    const struct ha_plugin *plugin = call->instance == NULL ? NULL : call->instance->plugin;

    if (call->polls)
        return HACTL_PENDING;
    if (!call->may_pend)
        return ha_call_refuse(call, "\"pending\" is no answer to %s", call->what);
    if (call->token == NULL)
        return ha_call_refuse(call, "the plugin answered \"pending\" without a token to poll");
    if (plugin != NULL && !ha_offers(plugin->descriptor, poll))
        return ha_call_refuse(call, "the plugin answered \"pending\" and has no operation poll");
    return HACTL_PENDING;
}

/* A plugin's answer is believed only where it keeps the contract. */
static int judged_code(struct hactl_call *call, int code)
{
    if (call->refused)
        return HACTL_E_INTERNAL;
    if (code > HACTL_PENDING || code < HACTL_E_ENDED)
        return ha_call_refuse(call, "the plugin answered %d, which is no code of the contract", code);
    if (code == HACTL_E_ENDED && !call->polls)
        return ha_call_refuse(call, "\"ended\" is no answer to %s", call->what);
    if (code == HACTL_PENDING)
        return judged_pending(call);
    if (code < HACTL_OK && call->text[0] == '\0')
        return ha_call_fail(call, code, "%s (the plugin gave no reason)", ha_code_name(code));
    return code;
}

void ha_call_run(struct hactl_call *call)
{
    call->started_ms = ha_now_ms();
    call->deadline_ms = call->started_ms + call->timeout_ms;
    call->code = judged_code(call, call->run(call));
    call->ended_ms = ha_now_ms();
    ha_log(HACTL_LOG_DEBUG, "%s: %s: %s after %lld ms%s%s",
           call->instance != NULL && call->instance->conf != NULL ? call->instance->conf->instance : "plugin",
           call->what, ha_code_name(call->code), (long long)(call->ended_ms - call->started_ms),
           call->code < HACTL_OK ? ": " : "", call->code < HACTL_OK ? call->text : "");
}
