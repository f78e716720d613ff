/* SPDX-License-Identifier: Apache-2.0 */
#include <hactl/plugin.h>

static const struct hactl_key faulty_keys[] = {
    {"colour", HACTL_KEY_STRING, 0, NULL, 0, 0, NULL, ""},
    {"colour", HACTL_KEY_INTEGER, 0, NULL, 0, 0, NULL, ""},
    {NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};
#define PLUGIN_KEYS faulty_keys
#include "tests/faulty/sound.h"
