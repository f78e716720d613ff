/* SPDX-License-Identifier: Apache-2.0 */
/* Something could not be read, and nobody learns why. */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    (void)self;
    return sound_host->emit_unread(call, NULL, NULL);
}
