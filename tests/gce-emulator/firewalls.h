/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GCE_EMULATOR_FIREWALLS_H
#define GCE_EMULATOR_FIREWALLS_H

#include "emulator.h"

extern const struct em_type em_firewall_type;
extern const struct em_method em_firewalls_methods[];

#endif
