/* SPDX-License-Identifier: Apache-2.0 */
/* Lists change nothing: there is nothing that could be pending. */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    (void)self;
    sound_host->emit_token(call, "later");
    return HACTL_PENDING;
}
