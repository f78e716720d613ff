/* SPDX-License-Identifier: Apache-2.0 */
/* What is there before anybody creates anything: projects with their zones, regions, networks, machine types, images.
 */
#ifndef GCE_EMULATOR_CATALOGUE_H
#define GCE_EMULATOR_CATALOGUE_H

#include "emulator.h"

/* Makes the project known on first use. False: there is none of that name. */
bool em_catalogue_project(const char *project);
/* A network of somebody's own, with one subnetwork in each region. */
void em_catalogue_network(const char *project, const char *name, const char *range);

/* The image that a link, a family's link or an image family view means, or NULL. */
struct em_resource *em_catalogue_image(const char *project, const char *text);

/* Names of this kind are not the user's: zones, regions, networks and so on. */
bool em_catalogue_is_ours(const struct em_type *type);

extern const struct em_type em_zone_type, em_region_type, em_network_type, em_subnetwork_type, em_machine_type_type,
    em_image_type, em_project_type;
extern const struct em_method em_catalogue_methods[];

#endif
