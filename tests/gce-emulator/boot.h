/* SPDX-License-Identifier: Apache-2.0 */
/* The mode in which instances run. */
#ifndef GCE_EMULATOR_BOOT_H
#define GCE_EMULATOR_BOOT_H

#include <stdbool.h>

/* Makes the network and takes the hooks of machines.h. false with a line on stderr. */
bool em_boot_start(void);
/* Stops every machine and takes the network down. */
void em_boot_end(void);

#endif
