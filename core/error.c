/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"

#include <hactl/plugin.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

static const struct {
    int code;
    const char *name;
    enum ha_exit status;
} codes[] = {
    {HACTL_OK, "ok", HA_EXIT_DONE},
    {HACTL_PENDING, "pending", HA_EXIT_DONE},
    {HACTL_E_INVALID, "invalid", HA_EXIT_USAGE},
    {HACTL_E_DENIED, "denied", HA_EXIT_DENIED},
    {HACTL_E_NOT_FOUND, "not-found", HA_EXIT_FAILED},
    {HACTL_E_CONFLICT, "conflict", HA_EXIT_FAILED},
    {HACTL_E_QUOTA, "quota", HA_EXIT_FAILED},
    {HACTL_E_BUSY, "busy", HA_EXIT_TIMEOUT},
    {HACTL_E_UNAVAILABLE, "unavailable", HA_EXIT_TIMEOUT},
    {HACTL_E_TIMEOUT, "timeout", HA_EXIT_TIMEOUT},
    {HACTL_E_UNSUPPORTED, "unsupported", HA_EXIT_FAILED},
    {HACTL_E_INTERNAL, "internal", HA_EXIT_PLUGIN},
    {HACTL_E_LOST, "lost", HA_EXIT_DECISION},
    {HACTL_E_FAILED, "failed", HA_EXIT_FAILED},
    {HACTL_E_CANCELLED, "cancelled", HA_EXIT_INTERRUPTED},
    {HACTL_E_ENDED, "ended", HA_EXIT_FAILED},
};

/* Texts carry a remote's own words, which must neither break the line, nor
 * reach the terminal as control sequences, nor spoil a JSON document. */
static void set_text(struct ha_error *error, enum ha_exit status, const char *format, va_list arguments)
{
    error->status = status;
    error->next[0] = error->log[0] = '\0';
    vsnprintf(error->what, sizeof error->what, format, arguments);
    ha_text_repair(error->what);
}

int ha_fail(struct ha_error *error, enum ha_exit status, const char *format, ...)
{
    va_list arguments;

    if (error == NULL || error->status != HA_EXIT_DONE)
        return -1;
    va_start(arguments, format);
    set_text(error, status, format, arguments);
    va_end(arguments);
    return -1;
}

int ha_fail_errno(struct ha_error *error, enum ha_exit status, int errnum, const char *format, ...)
{
    char reason[128];
    size_t used;
    va_list arguments;

    if (error == NULL || error->status != HA_EXIT_DONE)
        return -1;
    va_start(arguments, format);
    set_text(error, status, format, arguments);
    va_end(arguments);
    used = strlen(error->what);
    snprintf(error->what + used, sizeof error->what - used, ": %s",
             strerror_r(errnum < 0 ? -errnum : errnum, reason, sizeof reason));
    ha_text_repair(error->what);
    return -1;
}

void ha_advise(struct ha_error *error, const char *format, ...)
{
    va_list arguments;

    if (error == NULL || error->status == HA_EXIT_DONE || error->next[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(error->next, sizeof error->next, format, arguments);
    va_end(arguments);
    ha_text_repair(error->next);
}

void ha_error_log(struct ha_error *error, const char *text)
{
    if (error == NULL || error->status == HA_EXIT_DONE)
        return;
    ha_text_copy(error->log, sizeof error->log, text);
    ha_text_repair(error->log);
}

void ha_error_prefix(struct ha_error *error, const char *format, ...)
{
    char said[sizeof error->what];
    size_t used;
    va_list arguments;

    if (error == NULL || error->status == HA_EXIT_DONE)
        return;
    memcpy(said, error->what, sizeof said);
    va_start(arguments, format);
    vsnprintf(error->what, sizeof error->what, format, arguments);
    va_end(arguments);
    used = strlen(error->what);
    snprintf(error->what + used, sizeof error->what - used, ": %s", said);
    ha_text_repair(error->what);
}

enum ha_exit ha_exit_of_code(int code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code)
            return codes[i].status;
    return HA_EXIT_PLUGIN;
}

const char *ha_code_name(int code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code)
            return codes[i].name;
    return "unknown";
}
