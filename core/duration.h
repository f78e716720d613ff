/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HACTL_CORE_DURATION_H
#define HACTL_CORE_DURATION_H

#include <stdint.h>

/* "200ms", "30s", "5m", "2h", "60d" or "0"; -1 when it is none of these. */
int ha_duration_parse(const char *text, int64_t *ms);

#endif
