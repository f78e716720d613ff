/* SPDX-License-Identifier: Apache-2.0 */
#include <hactl/plugin.h>

static int faulty_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                       void **self)
{
    *self = NULL;
    if (host->conf_string(conf, "taste") != NULL || host->conf_integer(conf, "colour") != 0)
        return HACTL_OK;
    return host->fail(call, HACTL_E_INTERNAL, "got nothing, as it should be");
}
#define PLUGIN_OPEN faulty_open
#include "tests/faulty/sound.h"
