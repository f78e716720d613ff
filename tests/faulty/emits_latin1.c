/* SPDX-License-Identifier: Apache-2.0 */
/* A name in another encoding. */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    struct hactl_port port = {sizeof port, "m\374nchen", 7, 0};

    (void)self;
    return sound_host->emit_port(call, &port);
}
