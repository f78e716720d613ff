/* SPDX-License-Identifier: Apache-2.0 */
int faulty_nowhere(void);
int faulty_calls(void) __attribute__((visibility("default")));

int faulty_calls(void)
{
    return faulty_nowhere();
}

#include "tests/faulty/sound.h"
