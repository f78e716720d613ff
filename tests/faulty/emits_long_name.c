/* SPDX-License-Identifier: Apache-2.0 */
/* A name that does not fit. */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    struct hactl_port port = {sizeof port, "sixty-four-bytes-are-one-more-than-the-longest-name-that-there-i", 7, 0};

    (void)self;
    return sound_host->emit_port(call, &port);
}
