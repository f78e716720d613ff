/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual machines: making and deleting (instances.c), their disks, network
 * interfaces, power (instance_*.c), and what travels between them and the
 * outside: metadata, labels, tags, guest attributes, serial port (instance_data.c).
 */
#ifndef GCE_EMULATOR_INSTANCES_H
#define GCE_EMULATOR_INSTANCES_H

#include "emulator.h"

extern const struct em_type em_instance_type;
extern const struct em_method em_instances_methods[];
extern const struct em_method em_instance_disks_methods[];
extern const struct em_method em_instance_network_methods[];
extern const struct em_method em_instance_data_methods[];

/* The running instance of a request, or NULL with the error in *answer. */
struct em_resource *em_instance_of(struct em_request *request, struct em_answer *answer);
/* Each change gives it a new fingerprint. */
void em_instance_touched(struct em_resource *instance);
bool em_instance_runs(const struct em_resource *instance);

/* ---- instance_disks.c */
/* Makes or attaches the disks of a new instance; status 0: done. On an error nothing stays. */
struct em_answer em_instance_disks_prepare(struct em_request *request, json_t *instance, const char *instance_path);
void em_instance_disks_ready(struct em_resource *instance);
/* The instance goes: its disks go too if that was asked for (`all`: those that were made with it in any case). */
void em_instance_disks_release(struct em_resource *instance, bool all);

/* ---- instance_network.c */
struct em_answer em_instance_network_prepare(struct em_request *request, json_t *instance, const char *instance_path);
/* Takes external addresses; the error of the operation, or NULL. */
json_t *em_instance_network_attach(struct em_resource *instance, int *status);
/* Ephemeral addresses (all: and internal and static ones) are given back. */
void em_instance_network_release(struct em_resource *instance, bool all);

/* ---- instance_data.c */
struct em_answer em_instance_data_prepare(json_t *instance);
/* Metadata items as an object; a new reference. */
json_t *em_instance_metadata(const struct em_resource *instance);
bool em_instance_guest_attributes_on(const struct em_resource *instance);
void em_instance_guest_attribute_set(struct em_resource *instance, const char *space, const char *key,
                                     const char *value);
const char *em_instance_guest_attribute(const struct em_resource *instance, const char *space, const char *key);
void em_instance_serial_write(struct em_resource *instance, const char *text);

#endif
