/* SPDX-License-Identifier: Apache-2.0 */
/* Ends before the kinds. */
#define PLUGIN_SIZE offsetof(struct hactl_plugin, cloud)
#include "tests/faulty/sound.h"
