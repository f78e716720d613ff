/* SPDX-License-Identifier: Apache-2.0 */
/* Another file with the name of sound.c. */
#include "tests/faulty/sound.h"
