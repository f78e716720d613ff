/* SPDX-License-Identifier: Apache-2.0 */
#define PLUGIN_PAYLOAD NULL
#include "tests/faulty/sound.h"
