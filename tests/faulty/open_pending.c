/* SPDX-License-Identifier: Apache-2.0 */
#include <hactl/plugin.h>

static int faulty_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                       void **self)
{
    (void)conf;
    (void)self;
    host->emit_token(call, "later");
    return HACTL_PENDING;
}
#define PLUGIN_OPEN faulty_open
#include "tests/faulty/sound.h"
