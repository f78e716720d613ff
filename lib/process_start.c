/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon is started: the caller's side, and what its child does before exec. */
#define _GNU_SOURCE
#include "lib/process.h"
#include "lib/process_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
    char boot_id[HA_BOOT_ID_SIZE];
    int null_fd, log_fd, report_fd;
    int listen_fd; /* -1: none */
};

struct report {
    pid_t pid;
    int error;
};

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
    ssize_t got = ha_process_read_small("/proc/thread-self/stat", stat, sizeof(stat));
    int fd, rc;

    if (got < 0)
        return (int)got;
    rc = ha_process_parse_stat(stat, &state, &start_time);
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
    int rc = ha_process_boot_id(launch->boot_id);

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
    rc = ha_process_start_lock(daemon->pid_path, &lock_fd);
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
