/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ha_fault_point(const char *where)
{
    static long strike = -1, passed;
    static const char *count_file;
    if (strike < 0) {
        const char *text = getenv("HACTL_FAULT_POINT");
        count_file = getenv("HACTL_FAULT_COUNT");
        strike = text ? strtol(text, NULL, 10) : 0;
    }
    if (!strike && !count_file)
        return;
    passed++;
    if (count_file) {
        int fd = open(count_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0) {
            ssize_t ignored = write(fd, where, strlen(where));
            ignored += write(fd, "\n", 1);
            (void)ignored;
            close(fd);
        }
    }
    if (passed == strike)
        kill(getpid(), SIGKILL);
}
