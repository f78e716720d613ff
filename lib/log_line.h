/* SPDX-License-Identifier: Apache-2.0 */
/* What a line of a program's log says of itself. */
#ifndef HACTL_LIB_LOG_LINE_H
#define HACTL_LIB_LOG_LINE_H

enum ha_log_weight {
    HA_LOG_NOTHING, /* an empty line */
    HA_LOG_CHATTER, /* debug, info, notice */
    HA_LOG_WARNING,
    HA_LOG_REASON /* worse, or no level at all: whoever cannot even log, or dies of it, writes plainly */
};

enum ha_log_weight ha_log_weight_of(const char *line);

#endif
