/* SPDX-License-Identifier: Apache-2.0 */
/* The one way to say something on standard error. Safe from every thread. A
 * progress display registers itself so that lines do not tear it. */
#ifndef HACTL_CORE_LOG_H
#define HACTL_CORE_LOG_H

#include <hactl/plugin.h>
#include <stdarg.h>

void ha_log_level_set(enum hactl_log_level level); /* default HACTL_LOG_WARNING */
enum hactl_log_level ha_log_level(void);
void ha_log(enum hactl_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ha_log_of(enum hactl_log_level level, const char *speaker, const char *format, va_list arguments);
/* Called under the log's mutex before and after each line; NULL: none. */
void ha_log_hooks_set(void (*before)(void *), void (*after)(void *), void *context);

#endif
