/* SPDX-License-Identifier: Apache-2.0 */
#include <hactl/plugin.h>

static int faulty_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                       void **self)
{
    (void)host;
    (void)conf;
    (void)call;
    (void)self;
    return HACTL_E_QUOTA;
}
#define PLUGIN_OPEN faulty_open
#include "tests/faulty/sound.h"
