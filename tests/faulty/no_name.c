/* SPDX-License-Identifier: Apache-2.0 */
#define PLUGIN_NAME NULL
#include "tests/faulty/sound.h"
