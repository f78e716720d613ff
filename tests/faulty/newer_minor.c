/* SPDX-License-Identifier: Apache-2.0 */
#define PLUGIN_MINOR (HACTL_ABI_MINOR + 1)
#include "tests/faulty/sound.h"
