/* SPDX-License-Identifier: Apache-2.0 */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    (void)self;
    (void)call;
    return HACTL_PENDING;
}
