/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons whose pid file somebody has lost: found again by what they are. */
#define _GNU_SOURCE
#include "lib/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As in /proc/PID/cmdline: each argument with its NUL. Caller frees. */
static char *command_line(const char *const *argv, size_t *size)
{
    char *text = NULL;
    FILE *stream = open_memstream(&text, size);

    for (size_t i = 0; stream && argv[i]; i++)
        fwrite(argv[i], 1, strlen(argv[i]) + 1, stream);
    if (!stream || fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static bool runs(int process, const char *line, size_t size)
{
    char *found = malloc(size + 1);
    int fd = openat(process, "cmdline", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = 0;

    while (found && fd >= 0 && used <= size && (got = read(fd, found + used, size + 1 - used)) > 0)
        used += (size_t)got;
    bool same = found && fd >= 0 && used == size && memcmp(found, line, size) == 0;
    if (fd >= 0)
        close(fd);
    free(found);
    return same;
}

static bool works_in(int process, const char *directory)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(process, "cwd", target, sizeof(target) - 1);

    if (length < 0)
        return false;
    target[length] = '\0';
    return strcmp(target, directory) == 0;
}

/* Of this user: nobody else's process is ever taken for ours. */
static bool is_it(const char *pid, const char *line, size_t size, const char *directory)
{
    char path[300];
    struct stat info;
    int process;

    snprintf(path, sizeof(path), "/proc/%s", pid);
    process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (process < 0)
        return false;
    bool same = fstat(process, &info) == 0 && info.st_uid == geteuid() && works_in(process, directory) &&
                runs(process, line, size);
    close(process);
    return same;
}

/* `address` NULL: whether it listens or not. */
static int search(const struct ha_daemon *daemon, const char *address, uint16_t port, pid_t *pid)
{
    char directory[PATH_MAX], *line;
    struct dirent *entry;
    DIR *processes;
    size_t size;
    int rc = -ESRCH;

    if (!realpath(daemon->directory ? daemon->directory : "/", directory))
        return errno == ENOENT ? -ESRCH : -errno;
    line = command_line(daemon->argv, &size);
    if (!line)
        return -ENOMEM;
    processes = opendir("/proc");
    while (processes && rc != 0 && (entry = readdir(processes)))
        if (isdigit((unsigned char)entry->d_name[0]) && is_it(entry->d_name, line, size, directory) &&
            (!address || ha_listener_is((pid_t)atol(entry->d_name), address, port))) {
            *pid = (pid_t)atol(entry->d_name);
            rc = 0;
        }
    if (processes)
        closedir(processes);
    free(line);
    return rc;
}

int ha_daemon_find(const struct ha_daemon *daemon, pid_t *pid)
{
    pid_t recorded;

    ha_daemon_state(daemon->pid_path, &recorded);
    return recorded != 0 ? -ESRCH : search(daemon, NULL, 0, pid);
}

int ha_daemon_find_listening(const struct ha_daemon *daemon, const char *address, uint16_t port, pid_t *pid)
{
    pid_t recorded;

    ha_daemon_state(daemon->pid_path, &recorded);
    return recorded != 0 ? -ESRCH : search(daemon, address, port, pid);
}

int ha_daemon_adopt(const struct ha_daemon *daemon, pid_t *pid)
{
    pid_t found, still = 0;
    int rc = ha_daemon_find(daemon, &found);

    if (rc == 0)
        rc = ha_daemon_record(daemon->pid_path, found);
    /* It may have ended, and its pid be another's, before it was recorded. */
    if (rc == 0 && (search(daemon, NULL, 0, &still) < 0 || still != found)) {
        unlink(daemon->pid_path);
        rc = -ESRCH;
    }
    if (rc == 0)
        *pid = found;
    return rc;
}
