/* SPDX-License-Identifier: Apache-2.0 */
#define PLUGIN_OPEN NULL
#include "tests/faulty/sound.h"
