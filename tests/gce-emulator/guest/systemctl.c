/* SPDX-License-Identifier: Apache-2.0 */
/* systemctl, as far as scripts that install a server use it. */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int ask(const char *verb, const char *unit, bool quiet)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = GUEST_SOCKET};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
    char text[4096], *rest;
    size_t used = 0;
    ssize_t size;

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fputs("System has not been booted with systemd as init system (PID 1). Can't operate.\n", stderr);
        return 1;
    }
    dprintf(fd, "%s %s", verb, unit);
    while (used < sizeof(text) - 1 && (size = read(fd, text + used, sizeof(text) - 1 - used)) > 0) {
        used += (size_t)size;
    }
    close(fd);
    text[used] = '\0';
    status = (int)strtol(text, &rest, 10);
    if (used == 0) {
        return 1;
    }
    if (!quiet && *rest == ' ') {
        fputs(rest + 1, strcmp(verb, "start") == 0 || strcmp(verb, "restart") == 0 ? stderr : stdout);
    }
    return status;
}

/* Words that have nothing to do here. */
static bool nothing_to_do(const char *verb)
{
    return strcmp(verb, "daemon-reload") == 0 || strcmp(verb, "daemon-reexec") == 0 || strcmp(verb, "preset") == 0 ||
           strcmp(verb, "unmask") == 0 || strcmp(verb, "mask") == 0;
}

int guest_systemctl(int argc, char **argv)
{
    bool now = false, quiet = false;
    const char *verb = NULL, *units[64];
    size_t count = 0;
    int status = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--now") == 0) {
            now = true;
        } else if (strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "--quiet") == 0) {
            quiet = true;
        } else if (strcmp(argv[i], "-p") == 0 || strcmp(argv[i], "-n") == 0) {
            i++; /* and its value */
        } else if (argv[i][0] == '-') {
            continue; /* --no-block, --no-pager, --system */
        } else if (verb == NULL) {
            verb = argv[i];
        } else if (count < 64) {
            units[count++] = argv[i];
        }
    }
    if (verb == NULL) {
        fputs("usage: systemctl [--now] VERB [UNIT...]\n", stderr);
        return 1;
    }
    if (nothing_to_do(verb)) {
        return 0;
    }
    if (count == 0) {
        return ask(verb, "", quiet);
    }
    for (size_t i = 0; i < count; i++) {
        int one = ask(verb, units[i], quiet);

        if (one == 0 && now && (strcmp(verb, "enable") == 0 || strcmp(verb, "disable") == 0)) {
            one = ask(verb[0] == 'e' ? "start" : "stop", units[i], quiet);
        }
        status = one != 0 ? one : status;
    }
    return status;
}
