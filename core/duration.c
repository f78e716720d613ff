/* SPDX-License-Identifier: Apache-2.0 */
#include "core/duration.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *suffix;
    int64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

/* Added to any time of day or of this machine it is a time still. */
#define LONGEST_MS (INT64_MAX / 4)

int ha_duration_parse(const char *text, int64_t *ms)
{
    char *end;
    long long number;

    if (!isdigit((unsigned char)text[0]))
        return -1;
    number = strtoll(text, &end, 10);
    if (strcmp(text, "0") == 0) {
        *ms = 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].suffix) == 0 && number <= LONGEST_MS / units[i].ms) {
            *ms = number * units[i].ms;
            return 0;
        }
    return -1;
}
