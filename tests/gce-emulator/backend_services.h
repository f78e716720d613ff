/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GCE_EMULATOR_BACKEND_SERVICES_H
#define GCE_EMULATOR_BACKEND_SERVICES_H

#include "emulator.h"

/* Path of a backend service that refers to the resource in `member` ("backends", "healthChecks"); NULL: none. */
const char *em_backend_services_user(const struct em_resource *resource, const char *member);
/* A load-balanced group other than `except` that holds the instance; NULL: none. */
const char *em_backend_services_holding(const struct em_resource *instance, const struct em_resource *except);

extern const struct em_type em_backend_service_type;
extern const struct em_method em_backend_services_methods[];

#endif
