/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GCE_EMULATOR_HEALTH_CHECKS_H
#define GCE_EMULATOR_HEALTH_CHECKS_H

#include "emulator.h"

/* Global and regional ones are one type; the legacy HTTP ones another. */
extern const struct em_type em_health_check_type, em_http_health_check_type;
extern const struct em_method em_health_checks_methods[];

#endif
