/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lib/process.h"
#include "lib/process_internal.h"

#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_MS 2000
#define KILL_WAIT_MS 5000

/* What makes a process itself: a pid alone is given to another one later. */
struct identity {
    pid_t pid;
    uint64_t start_time; /* clock ticks since boot: field 22 of /proc/PID/stat */
    char boot_id[HA_BOOT_ID_SIZE];
};

static void sleep_ms(long ms)
{
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&wait, NULL);
}

ssize_t ha_process_read_small(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got;
    int error;

    if (fd < 0)
        return -errno;
    do
        got = read(fd, buffer, size - 1);
    while (got < 0 && errno == EINTR);
    error = errno;
    close(fd);
    if (got < 0)
        return -error;
    buffer[got] = '\0';
    return got;
}

int ha_process_boot_id(char out[HA_BOOT_ID_SIZE])
{
    ssize_t got = ha_process_read_small("/proc/sys/kernel/random/boot_id", out, HA_BOOT_ID_SIZE);

    if (got < 0)
        return (int)got;
    out[strcspn(out, "\n")] = '\0';
    return out[0] ? 0 : -EIO;
}

/* The command name, field 2, may hold spaces and parentheses: fields are
 * counted from the last ')'. */
int ha_process_parse_stat(const char *stat, char *state, uint64_t *start_time)
{
    const char *p = strrchr(stat, ')');
    uint64_t value = 0;

    if (!p || p[1] != ' ')
        return -EIO;
    p += 2;
    *state = *p;
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p)
            return -EIO;
        p++;
    }
    if (*p < '0' || *p > '9')
        return -EIO;
    for (; *p >= '0' && *p <= '9'; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    *start_time = value;
    return 0;
}

static int read_stat(pid_t pid, char *state, uint64_t *start_time)
{
    char path[40], stat[1024];
    ssize_t got;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    got = ha_process_read_small(path, stat, sizeof(stat));
    return got < 0 ? (int)got : ha_process_parse_stat(stat, state, start_time);
}

static int identity_read(const char *pid_path, struct identity *out)
{
    char text[128];
    ssize_t got = ha_process_read_small(pid_path, text, sizeof(text));
    int pid, end = 0;

    memset(out, 0, sizeof(*out));
    if (got < 0)
        return (int)got;
    if (sscanf(text, "%d %" SCNu64 " %36[0-9a-f-]%n", &pid, &out->start_time, out->boot_id, &end) != 3 || pid <= 1 ||
        text[end] != '\n')
        return -EBADMSG;
    out->pid = pid;
    return 0;
}

static enum ha_process_state identity_state(const struct identity *identity)
{
    char boot_id[HA_BOOT_ID_SIZE], state;
    uint64_t start_time;

    if (ha_process_boot_id(boot_id) < 0 || strcmp(boot_id, identity->boot_id) != 0)
        return HA_PROCESS_GONE;
    if (read_stat(identity->pid, &state, &start_time) < 0 || start_time != identity->start_time)
        return HA_PROCESS_GONE;
    if (state == 'Z' || state == 'X' || state == 'x')
        return HA_PROCESS_GONE;
    return state == 'T' ? HA_PROCESS_STOPPED_BY_SIGNAL : HA_PROCESS_RUNNING;
}

enum ha_process_state ha_daemon_state(const char *pid_path, pid_t *pid)
{
    struct identity identity;

    if (identity_read(pid_path, &identity) < 0)
        memset(&identity, 0, sizeof(identity));
    if (pid)
        *pid = identity.pid;
    return identity.pid ? identity_state(&identity) : HA_PROCESS_GONE;
}

/*
 * A pidfd keeps naming the process it was opened on, so the comparison comes
 * after it: whoever passes is the process the pid file means, until closed.
 * Where the system has none (valgrind; Linux before 5.3) `*out` is NO_PIDFD:
 * identity and pid are then compared just before each use.
 */
#define NO_PIDFD (-2)

static int identity_open(const char *pid_path, struct identity *identity, int *out)
{
    int rc = identity_read(pid_path, identity);
    int fd;

    if (rc < 0)
        return rc == -ENOENT || rc == -EBADMSG ? -ESRCH : rc;
    fd = (int)syscall(SYS_pidfd_open, identity->pid, 0);
    if (fd < 0 && errno != ENOSYS)
        return errno == EINVAL ? -ESRCH : -errno;
    if (identity_state(identity) == HA_PROCESS_GONE) {
        if (fd >= 0)
            close(fd);
        return -ESRCH;
    }
    if (fd < 0)
        fd = NO_PIDFD;
    *out = fd;
    return 0;
}

static void pidfd_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

static int pidfd_signal(int fd, const struct identity *identity, int signal)
{
    if (fd == NO_PIDFD)
        return identity_state(identity) == HA_PROCESS_GONE ? -ESRCH : kill(identity->pid, signal) < 0 ? -errno : 0;
    return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 ? -errno : 0;
}

int ha_daemon_signal(const char *pid_path, int signal)
{
    struct identity identity;
    int fd, rc;

    rc = identity_open(pid_path, &identity, &fd);
    if (rc < 0)
        return rc;
    rc = pidfd_signal(fd, &identity, signal);
    pidfd_close(fd);
    return rc;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int pidfd_wait(int fd, const struct identity *identity, unsigned timeout_ms)
{
    int64_t deadline_ms = now_ms() + timeout_ms, left_ms;
    struct pollfd wanted = {.fd = fd, .events = POLLIN};

    while (fd == NO_PIDFD && identity_state(identity) != HA_PROCESS_GONE) {
        if (now_ms() >= deadline_ms)
            return -ETIMEDOUT;
        sleep_ms(2);
    }
    while (fd != NO_PIDFD) {
        left_ms = deadline_ms - now_ms();
        if (left_ms < 0)
            left_ms = 0;
        int got = poll(&wanted, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
        if (got > 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return -ETIMEDOUT;
    }
    return 0;
}

int ha_process_start_lock(const char *pid_path, int *out)
{
    const char *slash = strrchr(pid_path, '/');
    char *directory = slash ? strndup(pid_path, slash == pid_path ? 1 : (size_t)(slash - pid_path)) : strdup(".");
    int64_t deadline_ms = now_ms() + LOCK_WAIT_MS;
    int fd, rc = 0;

    if (!directory)
        return -ENOMEM;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        rc = -errno;
    free(directory);
    while (rc == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            rc = -errno;
        else if (now_ms() >= deadline_ms)
            rc = -EBUSY;
        else
            sleep_ms(2);
    }
    if (rc < 0 && fd >= 0)
        close(fd);
    *out = rc < 0 ? -1 : fd;
    return rc;
}

int ha_daemon_record(const char *pid_path, pid_t pid)
{
    struct identity identity = {.pid = pid};
    char state, text[128];
    int lock_fd, rc = ha_process_start_lock(pid_path, &lock_fd);

    if (rc < 0)
        return rc;
    if (ha_daemon_state(pid_path, NULL) != HA_PROCESS_GONE)
        rc = -EALREADY;
    if (rc == 0)
        rc = ha_process_boot_id(identity.boot_id);
    if (rc == 0)
        rc = read_stat(pid, &state, &identity.start_time);
    if (rc == 0) {
        snprintf(text, sizeof(text), "%d %" PRIu64 " %s\n", (int)pid, identity.start_time, identity.boot_id);
        rc = ha_file_replace(pid_path, text, strlen(text), 0600, false);
    }
    close(lock_fd);
    return rc;
}

/* Unless another start has written a new one meanwhile. */
static int pid_file_remove(const char *pid_path, const struct identity *stopped)
{
    struct identity now;
    int lock_fd, rc;

    rc = ha_process_start_lock(pid_path, &lock_fd);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (identity_read(pid_path, &now) < 0 || memcmp(&now, stopped, sizeof(now)) == 0 ||
        identity_state(&now) == HA_PROCESS_GONE)
        rc = unlink(pid_path) < 0 && errno != ENOENT ? -errno : 0;
    close(lock_fd);
    return rc;
}

int ha_daemon_wait(const char *pid_path, unsigned timeout_ms)
{
    struct identity identity;
    int fd, rc;

    rc = identity_open(pid_path, &identity, &fd);
    if (rc < 0)
        return rc == -ESRCH ? 0 : rc;
    rc = pidfd_wait(fd, &identity, timeout_ms);
    pidfd_close(fd);
    return rc;
}

int ha_daemon_stop(const char *pid_path, unsigned timeout_ms)
{
    struct identity identity;
    int lock_fd, fd = -1, rc;

    rc = ha_process_start_lock(pid_path, &lock_fd);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    rc = identity_open(pid_path, &identity, &fd);
    close(lock_fd);
    if (rc == -ESRCH)
        return pid_file_remove(pid_path, &identity);
    if (rc < 0)
        return rc;
    rc = pidfd_signal(fd, &identity, SIGTERM);
    if (rc == 0)
        rc = pidfd_signal(fd, &identity, SIGCONT);
    if (rc == 0)
        rc = pidfd_wait(fd, &identity, timeout_ms);
    if (rc == -ETIMEDOUT) {
        rc = pidfd_signal(fd, &identity, SIGKILL);
        if (rc == 0)
            rc = pidfd_wait(fd, &identity, KILL_WAIT_MS);
    }
    pidfd_close(fd);
    if (rc < 0 && rc != -ESRCH)
        return rc;
    return pid_file_remove(pid_path, &identity);
}
