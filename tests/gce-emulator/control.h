/* SPDX-License-Identifier: Apache-2.0 */
/* /_emulator/: what tests set and read. README.md lists the paths. */
#ifndef GCE_EMULATOR_CONTROL_H
#define GCE_EMULATOR_CONTROL_H

#include "server.h"

void em_control_handle(struct em_connection *connection);
/* Forgets every resource and every setting. */
void em_control_reset(void);

#endif
