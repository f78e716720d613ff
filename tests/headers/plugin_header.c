/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled as C90, C99, C11 and C++11 by header.test: plain enough for each. */
#include <hactl/plugin.h>

static int opens(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **self)
{
    *self = NULL;
    if (host->conf_string(conf, "colour") == NULL)
        return host->fail(call, HACTL_E_INVALID, "no %s", "colour");
    return HACTL_OK;
}

static void closes(void *self)
{
    (void)self;
}

/* No HACTL_EXPORT here: the header has declared it so, and in C++ a const
 * object takes its linkage from there. */
const struct hactl_plugin hactl_plugin = {sizeof(struct hactl_plugin),
                                          HACTL_ABI_MAJOR,
                                          HACTL_ABI_MINOR,
                                          "header",
                                          "1",
                                          "For a test.",
                                          NULL,
                                          opens,
                                          closes,
                                          NULL,
                                          NULL,
                                          NULL,
                                          NULL,
                                          NULL,
                                          NULL,
                                          NULL};
