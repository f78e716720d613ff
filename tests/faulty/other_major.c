/* SPDX-License-Identifier: Apache-2.0 */
#define PLUGIN_MAJOR 7
#define PLUGIN_MINOR 3
#include "tests/faulty/sound.h"
