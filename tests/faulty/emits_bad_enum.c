/* SPDX-License-Identifier: Apache-2.0 */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    struct hactl_backend backend = {sizeof backend, "a", (enum hactl_tristate)9, NULL};

    (void)self;
    return sound_host->emit_backend(call, &backend);
}
