/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of systemctl: one request a connection, "VERB UNIT", answered "STATUS TEXT". */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MOST 64

/* Somebody who waits until a unit has settled. */
static struct client {
    int fd;
    struct guest_unit *unit;
    bool started; /* start: the unit must not have failed */
} clients[CLIENTS_MOST];
static size_t client_count;

int guest_control_listen(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = GUEST_SOCKET};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    mkdir("/run/gce-guest", 0755);
    unlink(GUEST_SOCKET);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 64) != 0) {
        return -1;
    }
    return fd;
}

static void answer(int fd, int status, const char *text)
{
    dprintf(fd, "%d %s", status, text);
    close(fd);
}

static void settle_later(int fd, struct guest_unit *unit, bool started)
{
    if (client_count == CLIENTS_MOST) {
        answer(fd, 1, "too many clients");
        return;
    }
    clients[client_count++] = (struct client){fd, unit, started};
}

void guest_control_tick(void)
{
    for (size_t i = 0; i < client_count;) {
        struct client *client = &clients[i];

        if (!guest_unit_settled(client->unit)) {
            i++;
            continue;
        }
        if (client->started && strcmp(guest_unit_state(client->unit), "failed") == 0) {
            answer(client->fd, 1, "Job failed. See its log in " GUEST_LOG_DIR ".\n");
        } else {
            answer(client->fd, 0, "");
        }
        *client = clients[--client_count];
    }
}

bool guest_unit_enabled(const char *name)
{
    char path[512];
    struct stat status;

    snprintf(path, sizeof(path), GUEST_UNIT_DIR "/multi-user.target.wants/%s%s", name,
             strchr(name, '.') == NULL ? ".service" : "");
    return lstat(path, &status) == 0;
}

static int enable(const char *name, bool on)
{
    char full[256], link[512], target[512];
    struct guest_unit_file *file;

    snprintf(full, sizeof(full), "%s%s", name, strchr(name, '.') == NULL ? ".service" : "");
    snprintf(link, sizeof(link), GUEST_UNIT_DIR "/multi-user.target.wants/%s", full);
    snprintf(target, sizeof(target), GUEST_UNIT_DIR "/%s", full);
    if (!on) {
        return unlink(link) == 0 || errno == ENOENT ? 0 : 1;
    }
    file = guest_unit_file_read(full);
    if (file == NULL) {
        return 1;
    }
    guest_unit_file_free(file);
    mkdir(GUEST_UNIT_DIR, 0755);
    mkdir(GUEST_UNIT_DIR "/multi-user.target.wants", 0755);
    return symlink(target, link) == 0 || errno == EEXIST ? 0 : 1;
}

static void answer_state(int fd, const char *verb, const char *name)
{
    const struct guest_unit *unit = guest_unit_find(name, false);
    const char *state = guest_unit_state(unit);
    char text[600];
    int status = strcmp(state, "active") == 0 ? 0 : 3;

    if (strcmp(verb, "is-enabled") == 0) {
        bool on = guest_unit_enabled(name);

        answer(fd, on ? 0 : 1, on ? "enabled\n" : "disabled\n");
        return;
    }
    if (strcmp(verb, "is-failed") == 0) {
        status = strcmp(state, "failed") == 0 ? 0 : 1;
    }
    if (strcmp(verb, "status") == 0) {
        snprintf(text, sizeof(text), "%s\n   Active: %s\n Main PID: %d\n", name, state, (int)guest_unit_pid(unit));
    } else if (strcmp(verb, "show") == 0) {
        status = 0;
        snprintf(text, sizeof(text), "ActiveState=%s\nMainPID=%d\n", state, (int)guest_unit_pid(unit));
    } else {
        snprintf(text, sizeof(text), "%s\n", state);
    }
    answer(fd, status, text);
}

static void start(int fd, const char *verb, const char *name)
{
    struct guest_unit *unit = guest_unit_find(name, true);
    bool again = strstr(verb, "restart") != NULL;
    struct guest_unit_file *file = guest_unit_file_read(name);
    char text[400];

    if (file == NULL) {
        snprintf(text, sizeof(text), "Unit %s could not be found.\n", name);
        answer(fd, 5, text);
        return;
    }
    guest_unit_file_free(file);
    if (strcmp(verb, "try-restart") == 0 && strcmp(guest_unit_state(unit), "active") != 0) {
        answer(fd, 0, "");
        return;
    }
    if (again) {
        guest_unit_restart(unit);
    } else {
        guest_unit_start(unit);
    }
    settle_later(fd, unit, true);
}

static void serve(int fd, char *request)
{
    char *verb = request, *space = strchr(request, ' '), *name = request + strlen(request);

    if (space != NULL) {
        *space = '\0';
        name = space + 1;
    }
    if (strlen(name) > 200) {
        answer(fd, 1, "the name is too long\n");
    } else if (strcmp(verb, "start") == 0 || strstr(verb, "restart") != NULL) {
        start(fd, verb, name);
    } else if (strcmp(verb, "stop") == 0) {
        struct guest_unit *unit = guest_unit_find(name, true);

        guest_unit_stop(unit);
        settle_later(fd, unit, false);
    } else if (strcmp(verb, "enable") == 0 || strcmp(verb, "disable") == 0) {
        int status = enable(name, verb[0] == 'e');

        answer(fd, status, status == 0 ? "" : "The unit file does not exist.\n");
    } else if (strcmp(verb, "is-active") == 0 || strcmp(verb, "is-failed") == 0 || strcmp(verb, "is-enabled") == 0 ||
               strcmp(verb, "status") == 0 || strcmp(verb, "show") == 0) {
        answer_state(fd, verb, name);
    } else if (strcmp(verb, "reset-failed") == 0) {
        guest_unit_reset_failed(guest_unit_find(name, true));
        answer(fd, 0, "");
    } else if (strcmp(verb, "poweroff") == 0) {
        answer(fd, 0, "");
        guest_init_shut_down();
    } else {
        answer(fd, 1, "systemctl: this stand-in does not know that command\n");
    }
}

void guest_control_accept(int listener)
{
    char request[512];
    ssize_t size;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        return;
    }
    size = read(fd, request, sizeof(request) - 1); /* our own client writes it in one piece */
    if (size <= 0) {
        close(fd);
        return;
    }
    request[size] = '\0';
    serve(fd, request);
}
