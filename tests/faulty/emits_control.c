/* SPDX-License-Identifier: Apache-2.0 */
/* A name that would move the cursor. */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    struct hactl_port port = {sizeof port, "a\033[2J", 7, 0};

    (void)self;
    return sound_host->emit_port(call, &port);
}
