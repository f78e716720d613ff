/* SPDX-License-Identifier: Apache-2.0 */
/* A token of more than 1,000 bytes. */
#include <hactl/plugin.h>

static int faulty_ports(void *self, struct hactl_call *call);
#define PLUGIN_PORTS faulty_ports
#include "tests/faulty/sound.h"

static int faulty_ports(void *self, struct hactl_call *call)
{
    char token[1002];

    (void)self;
    for (int i = 0; i < 1001; i++)
        token[i] = (char)(97 + i % 26);
    token[1001] = 0;
    sound_host->emit_token(call, token);
    return HACTL_PENDING;
}
