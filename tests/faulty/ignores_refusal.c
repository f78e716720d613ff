/* SPDX-License-Identifier: Apache-2.0 */
/* What it emitted was refused, and it goes on as if nothing were. */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    struct hactl_port good = {sizeof good, "sound", 7, 0};
    struct hactl_backend bad = {sizeof bad, "a", (enum hactl_tristate)9, NULL};

    (void)self;
    sound_host->emit_backend(call, &bad);
    sound_host->fail(call, HACTL_E_BUSY, "not now");
    sound_host->emit_port(call, &good);
    return HACTL_OK;
}
