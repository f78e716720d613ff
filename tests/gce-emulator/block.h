/* SPDX-License-Identifier: Apache-2.0 */
/* Data disks: a sparse file each, and a loop device while a machine has it. */
#ifndef GCE_EMULATOR_BLOCK_H
#define GCE_EMULATOR_BLOCK_H

#include "emulator.h"

/* The device of a disk, made if there is none yet. false with a line on stderr. */
bool em_block_attach(const struct em_resource *disk, unsigned *major_number, unsigned *minor_number);
void em_block_detach(const struct em_resource *disk);
/* Device and content. */
void em_block_remove(const struct em_resource *disk);
void em_block_end(void);

#endif
