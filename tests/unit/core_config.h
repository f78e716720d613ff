/* SPDX-License-Identifier: Apache-2.0 */
/* A scratch directory with configuration files, for the core's own tests. */
#ifndef HACTL_TESTS_UNIT_CORE_CONFIG_H
#define HACTL_TESTS_UNIT_CORE_CONFIG_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"

static char scratch[64];

static int scratch_make(void **state)
{
    const char *source = getenv("top_srcdir");
    char data[PATH_MAX];

    (void)state;
    snprintf(scratch, sizeof scratch, "/tmp/hactl-test-XXXXXX");
    snprintf(data, sizeof data, "%s/conf", source == NULL ? "." : source);
    setenv("HACTL_DATA_DIR", data, 1);
    setenv("XDG_STATE_HOME", "/nonexistent/state", 1);
    unsetenv("HACTL_CONFIG");
    unsetenv("HACTL_PLUGIN_DIR");
    return mkdtemp(scratch) == NULL ? -1 : 0;
}

static int scratch_remove(void **state)
{
    (void)state;
    return ha_tree_remove(scratch);
}

static inline const char *scratch_path(const char *name)
{
    static char path[16][PATH_MAX];
    static unsigned next;
    char *out = path[next++ % 16];

    snprintf(out, PATH_MAX, "%s/%s", scratch, name);
    return out;
}

static inline const char *scratch_file(const char *name, const char *content)
{
    const char *path = scratch_path(name);

    return ha_file_replace(path, content, strlen(content), 0600, false) == 0 ? path : NULL;
}

#endif
