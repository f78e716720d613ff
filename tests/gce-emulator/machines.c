/* SPDX-License-Identifier: Apache-2.0 */
#include "machines.h"

#include "metadata_server.h"

struct em_machines em_machines;

void em_machines_network_changed(void)
{
    em_metadata_changed(NULL);
    if (em_machines.network_changed != NULL) {
        em_machines.network_changed();
    }
}
