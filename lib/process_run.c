/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lib/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where Debian keeps daemons that a user's PATH leaves out. */
#define DAEMON_PATH  "/usr/local/sbin:/usr/sbin:/sbin"
#define POLL_STEP_MS 5

static bool is_program(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

/* Empty and relative entries are passed over: what runs must not depend on
 * the directory that hactl was called in. */
static int find_on(const char *search, const char *name, char **path)
{
    while (search && *search) {
        size_t length = strcspn(search, ":");
        if (search[0] == '/') {
            if (asprintf(path, "%.*s/%s", (int)length, search, name) < 0) {
                *path = NULL;
                return -ENOMEM;
            }
            if (is_program(*path))
                return 0;
            free(*path);
            *path = NULL;
        }
        search += length + (search[length] == ':');
    }
    return -ENOENT;
}

int ha_program_find(const char *name, char **path)
{
    int rc;

    *path = NULL;
    if (name[0] == '/') {
        if (!is_program(name))
            return -ENOENT;
        *path = strdup(name);
        return *path ? 0 : -ENOMEM;
    }
    if (name[0] == '\0' || strchr(name, '/'))
        return -ENOENT;
    rc = find_on(getenv("PATH"), name, path);
    return rc == -ENOENT ? find_on(DAEMON_PATH, name, path) : rc;
}

/* ---- running to the end --------------------------------------------------- */

struct capture {
    char *text;
    size_t size, limit;
};

/* 1: the end of the output. What is beyond the limit is read and dropped, so
 * that the program does not block on a full pipe. */
static int capture_read(struct capture *capture, int fd)
{
    char chunk[4096];
    ssize_t got = read(fd, chunk, sizeof(chunk));
    size_t room = capture->limit - capture->size;

    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (got == 0)
        return 1;
    if ((size_t)got < room)
        room = (size_t)got;
    memcpy(capture->text + capture->size, chunk, room);
    capture->size += room;
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int spawn(const char *program, const char *const *argv, int output_fd, pid_t *pid)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    int error;

    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, output_fd, 1);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, output_fd, 2);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (!error)
        error = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!error)
        error = posix_spawnattr_setsigmask(&attributes, &none);
    /* A group of its own, so that a time-out ends its children too. */
    if (!error)
        error = posix_spawnattr_setpgroup(&attributes, 0);
    if (!error)
        error = posix_spawnattr_setflags(&attributes,
                                         POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    if (!error)
        error = posix_spawn(pid, program, &actions, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Until the program has ended: a child of its own may keep the output open
 * for longer. Without a pidfd (valgrind; Linux before 5.3) it is asked after
 * every few milliseconds. */
static int follow(pid_t pid, int process_fd, int output_fd, unsigned timeout_ms, struct capture *capture)
{
    int64_t deadline_ms = now_ms() + timeout_ms;
    struct pollfd wanted[2] = {{.fd = process_fd, .events = POLLIN}, {.fd = output_fd, .events = POLLIN}};

    for (;;) {
        int64_t left_ms = deadline_ms - now_ms();
        int longest_ms = process_fd < 0 ? POLL_STEP_MS : INT_MAX;
        int got = poll(wanted, 2, left_ms < 0 ? 0 : left_ms > longest_ms ? longest_ms : (int)left_ms);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0 && process_fd < 0 && has_ended(pid))
            return 0;
        if (got == 0 && left_ms <= longest_ms)
            return -ETIMEDOUT;
        if (got > 0 && wanted[1].revents) {
            int rc = capture_read(capture, output_fd);
            if (rc < 0)
                return rc;
            if (rc == 1)
                wanted[1].fd = -1;
        } else if (got > 0 && wanted[0].revents) {
            return 0;
        }
    }
}

static int run_child(const char *program, const char *const *argv, unsigned timeout_ms, struct capture *capture,
                     int *status)
{
    int fds[2], process_fd, output_fd, rc;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    output_fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 3); /* above the streams it is copied to */
    close(fds[1]);
    rc = output_fd < 0 ? -EMFILE : spawn(program, argv, output_fd, &pid);
    if (output_fd >= 0)
        close(output_fd);
    if (rc < 0) {
        close(fds[0]);
        return rc;
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    process_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    rc = process_fd < 0 && errno != ENOSYS ? -errno : follow(pid, process_fd, fds[0], timeout_ms, capture);
    if (rc < 0)
        kill(-pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    if (process_fd >= 0)
        close(process_fd);
    close(fds[0]);
    return rc;
}

int ha_program_run(const char *const *argv, unsigned timeout_ms, size_t limit, char **output, int *status)
{
    struct capture capture = {.limit = limit};
    char *program = NULL;
    int ignored = 0, rc;

    if (output)
        *output = NULL;
    rc = ha_program_find(argv[0], &program);
    if (rc < 0)
        return rc;
    capture.text = malloc(limit + 1);
    rc = capture.text ? run_child(program, argv, timeout_ms, &capture, status ? status : &ignored) : -ENOMEM;
    free(program);
    if (capture.text && output && (rc == 0 || rc == -ETIMEDOUT)) {
        capture.text[capture.size] = '\0';
        *output = capture.text;
        capture.text = NULL;
    }
    free(capture.text);
    return rc;
}
