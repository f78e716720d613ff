/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way to run another program.
 *
 * A daemon outlives hactl: its own session, standard output and error into a
 * log file, known afterwards by a pid file that names the process beyond
 * doubt (pid, start time, boot id), so that no signal can ever reach a
 * stranger that was given the same pid later.
 *
 * Functions return 0 or a negative errno value and log nothing.
 */
#ifndef HACTL_LIB_PROCESS_H
#define HACTL_LIB_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ha_daemon {
    const char *const *argv; /* argv[0]: absolute, or looked up on PATH, then /usr/local/sbin:/usr/sbin:/sbin */
    const char *directory;   /* working directory */
    const char *log_path;    /* appended to, mode 0600 */
    const char *pid_path;    /* written before the program is executed, so none can run unrecorded */
};

enum ha_process_state { HA_PROCESS_GONE, HA_PROCESS_RUNNING, HA_PROCESS_STOPPED_BY_SIGNAL /* SIGSTOP */ };

/* -EALREADY: the pid file names a process that runs. -ENOENT: no such program. */
int ha_daemon_start(const struct ha_daemon *daemon, pid_t *pid);

/* The same; the program finds `listen_fd`, a socket of the caller's, as its
 * descriptor 3. Who connects before it is ready waits instead of being refused. */
int ha_daemon_start_listening(const struct ha_daemon *daemon, int listen_fd, pid_t *pid);

/* Whom the pid file names, and whether it is still that process. A zombie is
 * GONE. A missing or damaged pid file is GONE with *pid = 0. */
enum ha_process_state ha_daemon_state(const char *pid_path, pid_t *pid);

/* Sends `signal` through a pidfd, after the start time was compared. -ESRCH: gone. */
int ha_daemon_signal(const char *pid_path, int signal);

/* A daemon whose pid file is missing or damaged: the process of this user that
 * runs that very program, with those arguments, in that directory. `find` only
 * looks; `adopt` writes the pid file again. -ESRCH: there is none, or the pid
 * file names a process. */
int ha_daemon_find(const struct ha_daemon *daemon, pid_t *pid);
int ha_daemon_adopt(const struct ha_daemon *daemon, pid_t *pid);
/* `find`, where several may run that very program: the one that listens there. */
int ha_daemon_find_listening(const struct ha_daemon *daemon, const char *address, uint16_t port, pid_t *pid);

/* Makes the pid file name that process, unless it names one that runs: -EALREADY. */
int ha_daemon_record(const char *pid_path, pid_t pid);

/* Until it is gone: 0; -ETIMEDOUT. */
int ha_daemon_wait(const char *pid_path, unsigned timeout_ms);

/* SIGTERM (and SIGCONT), SIGKILL after `timeout_ms`, waits for its end,
 * removes the pid file. Gone already is 0. */
int ha_daemon_stop(const char *pid_path, unsigned timeout_ms);

/* Absolute path of a program as ha_daemon_start would find it; caller frees.
 * -ENOENT. */
int ha_program_find(const char *name, char **path);

/* Runs to its end, for short things such as `haproxy -c`. Output (both
 * streams, at most `limit` bytes, NUL-terminated) is the caller's to free.
 * *status as from waitpid(2). -ETIMEDOUT: killed. */
int ha_program_run(const char *const *argv, unsigned timeout_ms, size_t limit, char **output, int *status);

/* Who listens on address:port: "haproxy (pid 4711, user root)"; caller frees.
 * NULL when nobody does or it cannot be told. From /proc/net/tcp and fds. */
char *ha_listener_describe(const char *address, uint16_t port);

/* Whether whoever listened there is on its way out: nobody listens any more, or
 * a socket is left that no process has (a killed one gives its descriptors back
 * one by one). The port is free in an instant. */
bool ha_listener_ending(const char *address, uint16_t port);

/* Whether that very process listens on exactly address:port. */
bool ha_listener_is(pid_t pid, const char *address, uint16_t port);

#endif
