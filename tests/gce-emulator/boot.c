/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include "emulator.h"

bool em_boot_start(void)
{
    em_log(0, "--boot: not in this build yet");
    return false;
}

void em_boot_end(void)
{
}
