/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/log_line.h"

#include <stddef.h>
#include <string.h>

enum ha_log_weight ha_log_weight_of(const char *line)
{
    /* A log in JSON, and one with a letter for the level ("2026-11-25 16:17:28.352327 I | ..."). */
    static const struct {
        const char *mark;
        enum ha_log_weight weight;
    } marks[] = {
        {"\"level\":\"debug\"", HA_LOG_CHATTER},
        {"\"level\":\"info\"", HA_LOG_CHATTER},
        {"\"level\":\"warn\"", HA_LOG_WARNING},
        {" D | ", HA_LOG_CHATTER},
        {" I | ", HA_LOG_CHATTER},
        {" N | ", HA_LOG_CHATTER},
        {" W | ", HA_LOG_WARNING},
    };

    if (line[strspn(line, " \t\r\n")] == '\0')
        return HA_LOG_NOTHING;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (strstr(line, marks[i].mark))
            return marks[i].weight;
    return HA_LOG_REASON;
}
