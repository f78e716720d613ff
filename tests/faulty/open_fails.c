/* SPDX-License-Identifier: Apache-2.0 */
#include <hactl/plugin.h>

static int faulty_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                       void **self)
{
    (void)self;
    return host->fail(call, HACTL_E_DENIED, "no key for %s in\nits pocket", host->conf_instance(conf));
}
#define PLUGIN_OPEN faulty_open
#include "tests/faulty/sound.h"
