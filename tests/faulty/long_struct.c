/* SPDX-License-Identifier: Apache-2.0 */
/* Claims more bytes than the object has. */
#define PLUGIN_SIZE (sizeof(struct hactl_plugin) + 64)
#include "tests/faulty/sound.h"
