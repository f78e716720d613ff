/* SPDX-License-Identifier: Apache-2.0 */
/* gce-guest: by its name process 1 or systemctl; `gce-guest machine SPEC` makes a machine. */
#include "guest.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1;

    if (strcmp(name, "systemctl") == 0) {
        return guest_systemctl(argc, argv);
    }
    if (strcmp(name, "init") == 0) {
        return guest_init();
    }
    if (argc == 3 && strcmp(argv[1], "machine") == 0) {
        return guest_machine(argv[2]);
    }
    fputs("usage: gce-guest machine SPEC (what gce-emulator starts for each instance)\n", stderr);
    return 2;
}
