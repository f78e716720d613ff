/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lib/process.h"

#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BOOT_ID_SIZE 37
#define LOCK_WAIT_MS 2000
#define KILL_WAIT_MS 5000

/* What makes a process itself: a pid alone is given to another one later. */
struct identity {
    pid_t pid;
    uint64_t start_time; /* clock ticks since boot: field 22 of /proc/PID/stat */
    char boot_id[BOOT_ID_SIZE];
};

/* Everything the child needs, prepared before fork: between fork and exec
 * only async-signal-safe functions may run, as another thread of the caller
 * may have held any lock. */
struct launch {
    const char *program;
    const char *const *argv;
    char **environment;
    const char *directory;
    const char *pid_path;
    char *pid_path_new;
    char boot_id[BOOT_ID_SIZE];
    int null_fd, log_fd, report_fd;
    int listen_fd; /* -1: none */
};

struct report {
    pid_t pid;
    int error;
};

static void sleep_ms(long ms)
{
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&wait, NULL);
}

/* Also used by the child: open, read and close are async-signal-safe. */
static ssize_t read_small(const char *path, char *buffer, size_t size)
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

static int read_boot_id(char out[BOOT_ID_SIZE])
{
    ssize_t got = read_small("/proc/sys/kernel/random/boot_id", out, BOOT_ID_SIZE);

    if (got < 0)
        return (int)got;
    out[strcspn(out, "\n")] = '\0';
    return out[0] ? 0 : -EIO;
}

/* The command name, field 2, may hold spaces and parentheses: fields are
 * counted from the last ')'. No library call, as the child uses it. */
static int parse_stat(const char *stat, char *state, uint64_t *start_time)
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
    got = read_small(path, stat, sizeof(stat));
    return got < 0 ? (int)got : parse_stat(stat, state, start_time);
}

static int identity_read(const char *pid_path, struct identity *out)
{
    char text[128];
    ssize_t got = read_small(pid_path, text, sizeof(text));
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
    char boot_id[BOOT_ID_SIZE], state;
    uint64_t start_time;

    if (read_boot_id(boot_id) < 0 || strcmp(boot_id, identity->boot_id) != 0)
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

/*
 * The directory of the pid file is the lock of a start. The child inherits it
 * and lets go by exec, so a start whose caller was killed is still seen as
 * under way by the next caller: two of them cannot run one unit twice, and a
 * stop cannot overlook one that is about to record itself.
 */
static int start_lock(const char *pid_path, int *out)
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
    int lock_fd, rc = start_lock(pid_path, &lock_fd);

    if (rc < 0)
        return rc;
    if (ha_daemon_state(pid_path, NULL) != HA_PROCESS_GONE)
        rc = -EALREADY;
    if (rc == 0)
        rc = read_boot_id(identity.boot_id);
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

    rc = start_lock(pid_path, &lock_fd);
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

    rc = start_lock(pid_path, &lock_fd);
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

/* ---- the child: async-signal-safe from here ... -------------------------- */

static char *put_text(char *p, const char *text)
{
    while (*text)
        *p++ = *text++;
    return p;
}

static char *put_number(char *p, uint64_t value)
{
    char digits[20];
    int count = 0;

    do
        digits[count++] = (char)('0' + value % 10);
    while (value /= 10);
    while (count > 0)
        *p++ = digits[--count];
    return p;
}

static int child_write_pid_file(const struct launch *launch)
{
    char stat[1024], line[128], *p = line, state;
    uint64_t start_time;
    ssize_t got = read_small("/proc/thread-self/stat", stat, sizeof(stat));
    int fd, rc;

    if (got < 0)
        return (int)got;
    rc = parse_stat(stat, &state, &start_time);
    if (rc < 0)
        return rc;
    p = put_number(p, (uint64_t)getpid());
    *p++ = ' ';
    p = put_number(p, start_time);
    *p++ = ' ';
    p = put_text(p, launch->boot_id);
    *p++ = '\n';
    fd = open(launch->pid_path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    got = write(fd, line, (size_t)(p - line));
    rc = got == p - line ? 0 : got < 0 ? -errno : -ENOSPC;
    close(fd);
    if (rc == 0 && rename(launch->pid_path_new, launch->pid_path) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(launch->pid_path_new);
    return rc;
}

static void child_reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int signal = 1; signal < _NSIG; signal++)
        sigaction(signal, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A terminal's or a service's own score must not make a control plane the
 * kernel's first victim; without the right to lower it, it stays. What is
 * there of a process that must not be dumped, as hactl itself, is root's. */
static void child_reset_oom_score(void)
{
    int fd;

    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "0", 1) < 0) { /* nothing to be done about it */
    }
    close(fd);
}

static void child_close_on_exec(void)
{
    long limit;

    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    limit = sysconf(_SC_OPEN_MAX); /* a kernel before 5.11 */
    for (int fd = 3; fd < (limit > 0 ? limit : 1024); fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int child_pass_listener(const struct launch *launch)
{
    if (launch->listen_fd < 0)
        return 0;
    return dup2(launch->listen_fd, 3) < 0 || fcntl(3, F_SETFD, 0) < 0 ? -errno : 0;
}

static void child_report(const struct launch *launch, int error)
{
    struct report report = {getpid(), error};

    if (write(launch->report_fd, &report, sizeof(report)) < 0) { /* the caller was killed: the pid file tells */
    }
}

_Noreturn static void grandchild(const struct launch *launch)
{
    int rc = 0;

    umask(077);
    if (dup2(launch->null_fd, 0) < 0 || dup2(launch->log_fd, 1) < 0 || dup2(launch->log_fd, 2) < 0 ||
        chdir(launch->directory) < 0)
        rc = -errno;
    if (rc == 0)
        rc = child_write_pid_file(launch);
    if (rc == 0) {
        child_report(launch, 0);
        child_reset_oom_score();
        child_close_on_exec();
        child_reset_signals();
        rc = child_pass_listener(launch);
        if (rc == 0) {
            execve(launch->program, (char *const *)launch->argv, launch->environment);
            rc = -errno;
        }
        unlink(launch->pid_path);
    }
    child_report(launch, rc);
    _exit(127);
}

/* Two forks: the daemon belongs to init, so no zombie stays with the caller. */
_Noreturn static void child(const struct launch *launch)
{
    pid_t pid;

    setsid();
    pid = _Fork();
    if (pid == 0)
        grandchild(launch);
    if (pid < 0)
        child_report(launch, -errno);
    _exit(0);
}

/* ---- ... to here ---------------------------------------------------------- */

/* Above the descriptors that the child replaces: the standard streams and 3. */
#define LOWEST_FD 4

static int open_high(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int high, error;

    if (fd < 0)
        return -errno;
    high = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
    error = errno;
    close(fd);
    return high < 0 ? -error : high;
}

/* The last report counts: "recorded" may be followed by "exec failed". */
static int read_reports(int fd, pid_t *pid)
{
    struct report report;
    int rc = -EIO;

    for (;;) {
        ssize_t got = read(fd, &report, sizeof(report));
        if (got < 0 && errno == EINTR)
            continue;
        if (got != (ssize_t)sizeof(report))
            return rc;
        rc = report.error;
        *pid = report.pid;
    }
}

static int launch_run(struct launch *launch, pid_t *out)
{
    sigset_t all, before;
    int pipe_fds[2], rc = 0;
    pid_t pid;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    launch->report_fd = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, LOWEST_FD);
    close(pipe_fds[1]);
    if (launch->report_fd < 0) {
        close(pipe_fds[0]);
        return -EMFILE;
    }
    /* No handler of the caller's may run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        child(launch);
    if (pid < 0)
        rc = -errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(launch->report_fd);
    if (rc == 0) {
        rc = read_reports(pipe_fds[0], out);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(pipe_fds[0]);
    return rc;
}

static int launch_prepare(struct launch *launch, const struct ha_daemon *daemon)
{
    extern char **environ;
    int rc = read_boot_id(launch->boot_id);

    if (rc < 0)
        return rc;
    launch->argv = daemon->argv;
    launch->environment = environ;
    launch->directory = daemon->directory ? daemon->directory : "/";
    launch->pid_path = daemon->pid_path;
    if (asprintf(&launch->pid_path_new, "%s.new", daemon->pid_path) < 0) {
        launch->pid_path_new = NULL;
        return -ENOMEM;
    }
    launch->null_fd = open_high("/dev/null", O_RDONLY);
    if (launch->null_fd < 0)
        return launch->null_fd;
    launch->log_fd = open_high(daemon->log_path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW);
    return launch->log_fd < 0 ? launch->log_fd : 0;
}

int ha_daemon_start(const struct ha_daemon *daemon, pid_t *pid)
{
    return ha_daemon_start_listening(daemon, -1, pid);
}

int ha_daemon_start_listening(const struct ha_daemon *daemon, int listen_fd, pid_t *pid)
{
    struct launch launch = {.null_fd = -1, .log_fd = -1, .listen_fd = listen_fd};
    char *program = NULL;
    int lock_fd = -1, rc;
    pid_t started = 0;

    rc = ha_program_find(daemon->argv[0], &program);
    if (rc < 0)
        goto out;
    launch.program = program;
    rc = start_lock(daemon->pid_path, &lock_fd);
    if (rc < 0)
        goto out;
    if (ha_daemon_state(daemon->pid_path, &started) != HA_PROCESS_GONE) {
        rc = -EALREADY;
        goto out;
    }
    rc = launch_prepare(&launch, daemon);
    if (rc == 0)
        rc = launch_run(&launch, &started);

out:
    if (pid && (rc == 0 || rc == -EALREADY))
        *pid = started;
    if (launch.null_fd >= 0)
        close(launch.null_fd);
    if (launch.log_fd >= 0)
        close(launch.log_fd);
    if (lock_fd >= 0)
        close(lock_fd);
    free(launch.pid_path_new);
    free(program);
    return rc;
}
