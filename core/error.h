/* SPDX-License-Identifier: Apache-2.0 */
/* Errors for people, and the exit status of each. */
#ifndef HACTL_CORE_ERROR_H
#define HACTL_CORE_ERROR_H

#include <stdarg.h>

enum ha_exit {
    HA_EXIT_DONE = 0,
    HA_EXIT_FAILED = 1,
    HA_EXIT_CHANGES = 2, /* plan --detailed-exitcode */
    HA_EXIT_USAGE = 3,   /* usage or configuration */
    HA_EXIT_DENIED = 4,  /* credentials or permission */
    HA_EXIT_REFUSED = 5, /* a safety guard */
    HA_EXIT_LOCKED = 6,
    HA_EXIT_TIMEOUT = 7,     /* safe to resume */
    HA_EXIT_INTERRUPTED = 8, /* safe to resume */
    HA_EXIT_UNHEALTHY = 9,   /* check */
    HA_EXIT_WARNING = 10,    /* check: warnings only */
    HA_EXIT_PLUGIN = 11,
    HA_EXIT_DECISION = 12, /* partly done and needs a decision */
    HA_EXIT_INTERNAL = 70
};

struct ha_error {
    enum ha_exit status; /* HA_EXIT_DONE: no error */
    char what[512];      /* what failed, on which object, why; one line */
    char next[256];      /* what to do next; may be empty */
    char log[640];       /* what a unit wrote last; may be empty */
};

/* Sets it unless it is set already (the lowest layer knows the cause).
 * Returns -1, so that callers can `return ha_fail(...)`. */
int ha_fail(struct ha_error *error, enum ha_exit status, const char *format, ...) __attribute__((format(printf, 3, 4)));
int ha_fail_errno(struct ha_error *error, enum ha_exit status, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds what to do next. */
void ha_advise(struct ha_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds what a unit wrote last. */
void ha_error_log(struct ha_error *error, const char *text);
/* Puts "context: " before what is said already. */
void ha_error_prefix(struct ha_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The exit status for a plugin's HACTL_E_* code. */
enum ha_exit ha_exit_of_code(int code);
/* "denied", "busy", ... for journals and reports. */
const char *ha_code_name(int code);

#endif
