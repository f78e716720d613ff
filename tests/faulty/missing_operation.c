/* SPDX-License-Identifier: Apache-2.0 */
#define PLUGIN_RENDER NULL
#include "tests/faulty/sound.h"
