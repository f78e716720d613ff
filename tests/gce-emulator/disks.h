/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GCE_EMULATOR_DISKS_H
#define GCE_EMULATOR_DISKS_H

#include "emulator.h"

/* Completes the JSON of a new disk: size, type, image. status 0: good. */
struct em_answer em_disk_prepare(const struct em_request *request, json_t *disk, const char *image);
/* An instance begins or ceases to use it. */
void em_disk_use(struct em_resource *disk, const char *instance_path, bool used);
/* Removes it together with what it holds. */
void em_disk_destroy(struct em_resource *disk);

extern const struct em_type em_disk_type;
extern const struct em_method em_disks_methods[];

#endif
