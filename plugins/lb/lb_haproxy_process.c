/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lib/file.h"
#include "lib/process.h"
#include "plugins/lb/lb_haproxy.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_MS 2000
#define STOP_TIMEOUT_MS  500
#define LISTEN_BACKLOG   4096

static const char package[] = "haproxy is not installed: apt-get install haproxy";

static int internal(const struct lb_haproxy *lb, struct hactl_call *call, const char *what, int error)
{
    /* A machine that is too busy to run haproxy in time will do so later. */
    return lb->host->fail(call, error == -ETIMEDOUT ? HACTL_E_BUSY : HACTL_E_INTERNAL, "%s: %s", what,
                          strerror(-error));
}

int lb_taken(const struct lb_haproxy *lb, struct hactl_call *call, int error, const char *address, uint16_t port)
{
    char *holder;
    int rc;

    if (error == -EADDRNOTAVAIL)
        return lb->host->fail(call, HACTL_E_INVALID, "%s: no interface of this machine has this address", address);
    if (error == -EACCES)
        return lb->host->fail(call, HACTL_E_DENIED, "%s:%u: port %u needs a right that this user has not", address,
                              port, port);
    if (error == -EINVAL)
        return lb->host->fail(call, HACTL_E_INVALID, "\"%s\" is not an IPv4 address", address);
    if (error != -EADDRINUSE)
        return lb->host->fail(call, HACTL_E_INTERNAL, "%s:%u: %s", address, port, strerror(-error));
    holder = ha_listener_describe(address, port);
    rc = lb->host->fail(call, HACTL_E_CONFLICT, "%s:%u is held by %s", address, port,
                        holder ? holder : "another process");
    free(holder);
    return rc;
}

bool lb_process_answers(const struct lb_haproxy *lb, char hash[LB_HASH_SIZE])
{
    pid_t recorded, answering;

    return ha_daemon_state(lb->pid_path, &recorded) == HA_PROCESS_RUNNING &&
           lb_control_info(lb, &answering, hash) == 0 && recorded == answering;
}

bool lb_process_holds(const struct lb_haproxy *lb, const char *address, uint16_t port, pid_t *pid)
{
    return ha_daemon_state(lb->pid_path, pid) != HA_PROCESS_GONE && ha_listener_is(*pid, address, port);
}

/* ---- configuration ---------------------------------------------------------- */

/* What haproxy complains of: its first [ALERT], without the preamble. */
static void first_alert(char *output, char *out, size_t size)
{
    char *line = strstr(output, "[ALERT]"), *text;

    line = line ? line : output;
    text = strstr(line, " : ");
    text = text ? text + 3 : line;
    text[strcspn(text, "\n")] = '\0';
    snprintf(out, size, "%s", text);
}

static int validate(const struct lb_haproxy *lb, struct hactl_call *call, const char *path)
{
    const char *const argv[] = {"haproxy", "-c", "-f", path, NULL};
    char *output = NULL, words[300];
    int status = 0, rc;

    rc = ha_program_run(argv, START_TIMEOUT_MS, 1u << 16, &output, &status);
    if (rc == -ENOENT)
        return lb->host->fail(call, HACTL_E_INVALID, "%s", package);
    if (rc == -ETIMEDOUT)
        return lb->host->fail(call, HACTL_E_BUSY, "haproxy -c %s did not end within %d ms", path, START_TIMEOUT_MS);
    if (rc < 0)
        return internal(lb, call, "haproxy -c", rc);
    first_alert(output, words, sizeof(words));
    free(output);
    return status == 0 ? HACTL_OK
                       : lb->host->fail(call, HACTL_E_INVALID, "haproxy refuses its configuration: %s", words);
}

static bool same_file(const char *path, const char *text)
{
    char *current = NULL;
    size_t size = 0;
    bool same = ha_file_read(path, 1u << 22, &current, &size) == 0 && strcmp(current, text) == 0;

    free(current);
    return same;
}

int lb_process_configure(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state,
                         const struct lb_server_status *up, size_t up_count)
{
    char hash[LB_HASH_SIZE], *text = lb_config_text(lb, state, up, up_count, hash), *trial = NULL;
    int rc = HACTL_OK, error;

    if (!text || asprintf(&trial, "%s/new.cfg", lb->run) < 0) {
        trial = NULL;
        rc = internal(lb, call, "haproxy.cfg", -ENOMEM);
        goto out;
    }
    if (same_file(lb->config_path, text))
        goto out;
    error = ha_file_replace(trial, text, strlen(text), 0600, false);
    if (error < 0) {
        rc = internal(lb, call, trial, error);
        goto out;
    }
    rc = validate(lb, call, trial);
    if (rc == HACTL_OK && rename(trial, lb->config_path) < 0)
        rc = internal(lb, call, lb->config_path, -errno);
out:
    free(trial);
    free(text);
    return rc;
}

/* ---- sockets ------------------------------------------------------------------ */

static int trial_socket(const struct lb_haproxy *lb, struct hactl_call *call, struct lb_state *state, int *out)
{
    struct sockaddr_in name;
    int rc;

    if (*out >= 0)
        return HACTL_OK;
    rc = lb_socket_bound(state->trial_host, state->trial_port, out);
    if (rc == -EADDRINUSE && lb->host->conf_integer(lb->conf, "trial_port") == 0)
        rc = lb_socket_bound(state->trial_host, 0, out);
    if (rc < 0)
        return lb_taken(lb, call, rc, state->trial_host, state->trial_port);
    if (lb_socket_name(*out, &name) == 0)
        state->trial_port = ntohs(name.sin_port);
    rc = lb_state_write(lb, state);
    return rc < 0 ? internal(lb, call, lb->state_path, rc) : HACTL_OK;
}

/* One that is not claimed is bound to a port that the kernel chooses: such a
 * binding, and no other, ends when it is silenced, so that `claim` can bind again. */
static int public_socket(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state, int *out)
{
    int rc;

    if (*out >= 0 && lb_socket_listens(*out) && state->address)
        return HACTL_OK;
    if (*out >= 0)
        close(*out);
    *out = -1;
    rc = lb_socket_bound(state->address ? state->address : state->trial_host, state->address ? state->port : 0, out);
    if (rc == 0 && state->address && listen(*out, LISTEN_BACKLOG) < 0)
        rc = -errno;
    if (rc < 0)
        return lb_taken(lb, call, rc, state->address ? state->address : state->trial_host,
                        state->address ? state->port : 0);
    return HACTL_OK;
}

static int write_public(const struct lb_haproxy *lb, struct hactl_call *call, int fd)
{
    struct sockaddr_in name;
    int rc = lb_socket_name(fd, &name);
    char *text = rc == 0 ? lb_public_text(&name) : NULL;

    if (rc == 0)
        rc = text ? ha_file_replace(lb->public_path, text, strlen(text), 0600, false) : -ENOMEM;
    free(text);
    return rc < 0 ? internal(lb, call, lb->public_path, rc) : HACTL_OK;
}

int lb_process_listen(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state, int fd,
                      const char *address)
{
    char *words = NULL;
    int rc = 0;

    if (!lb_socket_listens(fd) && listen(fd, LISTEN_BACKLOG) < 0)
        rc = -errno;
    if (rc < 0)
        return lb_taken(lb, call, rc, address, state->port);
    rc = lb_control_do(lb, &words, "enable frontend public");
    if (rc == -EPROTO && words && strstr(words, "already"))
        rc = 0;
    if (rc < 0) {
        (void)lb_socket_silence(fd);
        rc = lb->host->fail(call, HACTL_E_UNAVAILABLE, "haproxy: enable frontend: %s", words ? words : strerror(-rc));
    }
    free(words);
    return rc;
}

/* ---- servers -------------------------------------------------------------------- */

static const struct lb_server_status *find_status(const struct lb_server_status *servers, size_t count,
                                                  const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(servers[i].name, name) == 0)
            return &servers[i];
    return NULL;
}

/* "down" first: it is served when its first check has passed, not before. */
static int server_enter(const struct lb_haproxy *lb, char **words, const char *name)
{
    int rc = lb_control_do(lb, words, "set server " LB_MEMBERS "/%s health down", name);

    if (rc == 0)
        rc = lb_control_do(lb, words, "enable health " LB_MEMBERS "/%s", name);
    if (rc == 0)
        rc = lb_control_do(lb, words, "set server " LB_MEMBERS "/%s state ready", name);
    return rc;
}

static int server_add(const struct lb_haproxy *lb, char **words, const struct lb_state *state,
                      const struct lb_server *server)
{
    char *text = lb_server_text(lb, state, server);
    int rc = text ? lb_control_do(lb, words, "add server " LB_MEMBERS "/%s %s", server->name, text) : -ENOMEM;

    free(text);
    if (rc == -EPROTO && *words && strstr(*words, "registered")) /* its answer when it succeeds */
        rc = 0;
    return rc;
}

static int server_place(const struct lb_haproxy *lb, char **words, const struct lb_state *state,
                        const struct lb_server *server, const struct lb_server_status *status)
{
    bool moved = status && status->address[0] && strcmp(status->address, server->address) != 0;
    int rc = 0;

    if (!status)
        rc = server_add(lb, words, state, server);
    else if (moved)
        rc = lb_control_do(lb, words, "set server " LB_MEMBERS "/%s addr %s port %u", server->name, server->address,
                           state->backend_port);
    if (rc == -EPROTO && *words && strstr(*words, "changed from"))
        rc = 0;
    if (rc < 0)
        return rc;
    if (!status || moved || (status->suspended && !status->draining))
        return server_enter(lb, words, server->name);
    /* While it drained it was checked, and has connections that must last. One
     * that is down meanwhile does not tell that it drains; it may. */
    return status->draining || !status->up
               ? lb_control_do(lb, words, "set server " LB_MEMBERS "/%s state ready", server->name)
               : 0;
}

/* Draining, then gone when its last connection is; the next look finds it. */
static void server_leave(const struct lb_haproxy *lb, const struct lb_server_status *status)
{
    if (!status->suspended && (status->up || status->sessions > 0))
        (void)lb_control_do(lb, NULL, "set server " LB_MEMBERS "/%s state drain", status->name);
    else if (status->sessions == 0 &&
             lb_control_do(lb, NULL, "set server " LB_MEMBERS "/%s state maint", status->name) == 0)
        (void)lb_control_do(lb, NULL, "del server " LB_MEMBERS "/%s", status->name);
}

int lb_process_servers(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state)
{
    struct lb_server_status *servers = NULL;
    char *words = NULL;
    size_t count = 0;
    int rc = lb_control_servers(lb, &servers, &count);

    for (size_t i = 0; rc == 0 && i < state->server_count; i++)
        rc = server_place(lb, &words, state, &state->servers[i], find_status(servers, count, state->servers[i].name));
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (!lb_state_server(state, servers[i].name))
            server_leave(lb, &servers[i]);
    if (rc < 0)
        rc = lb->host->fail(call, HACTL_E_UNAVAILABLE, "haproxy: %s", words ? words : strerror(-rc));
    free(words);
    free(servers);
    return rc;
}

/* ---- processes -------------------------------------------------------------------- */

typedef int (*pid_file_function)(const char *path);

static int finish_connections(const char *path)
{
    return ha_daemon_state(path, NULL) == HA_PROCESS_GONE ? ha_daemon_stop(path, 0) : ha_daemon_signal(path, SIGUSR1);
}

static int stop(const char *path)
{
    return ha_daemon_stop(path, STOP_TIMEOUT_MS);
}

/* A process that was replaced keeps a pid file "old-PID.pid" until it is gone. */
static int each_pid_file(const struct lb_haproxy *lb, const char *prefix, pid_file_function function)
{
    DIR *directory = opendir(lb->run);
    struct dirent *entry;
    char *path;
    int rc = 0, error;

    if (!directory)
        return errno == ENOENT ? 0 : -errno;
    while ((entry = readdir(directory)) != NULL) {
        size_t length = strlen(entry->d_name);

        if (length < 4 || strcmp(entry->d_name + length - 4, ".pid") != 0 ||
            strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        if (asprintf(&path, "%s/%s", lb->run, entry->d_name) < 0) {
            rc = -ENOMEM;
            break;
        }
        error = function(path);
        if (error < 0 && error != -ESRCH)
            rc = error;
        free(path);
    }
    closedir(directory);
    return rc;
}

int lb_process_stop(const struct lb_haproxy *lb, struct hactl_call *call)
{
    int rc = stop(lb->pid_path);

    return rc < 0 ? internal(lb, call, lb->pid_path, rc) : HACTL_OK;
}

int lb_process_stop_all(const struct lb_haproxy *lb, struct hactl_call *call)
{
    int rc = each_pid_file(lb, "", stop);

    return rc < 0 ? internal(lb, call, "stopping haproxy", rc) : HACTL_OK;
}

static char *old_path(const struct lb_haproxy *lb, pid_t pid)
{
    char *path = NULL;

    return asprintf(&path, "%s/old-%d.pid", lb->run, (int)pid) < 0 ? NULL : path;
}

/* Leaves the process that answers, if any, under haproxy.pid. A hactl that was
 * killed while it replaced one leaves the old one answering under its other
 * pid file, and beside it a new one that waits for sockets or nothing. */
static int settle(const struct lb_haproxy *lb, struct hactl_call *call, bool *answers)
{
    char hash[LB_HASH_SIZE], *path = NULL;
    pid_t pid;
    int rc;

    *answers = lb_process_answers(lb, hash);
    if (*answers)
        return HACTL_OK;
    rc = lb_process_stop(lb, call);
    if (rc != HACTL_OK)
        return rc;
    if (lb_control_info(lb, &pid, hash) < 0)
        return HACTL_OK;
    path = old_path(lb, pid);
    if (path && ha_daemon_state(path, NULL) == HA_PROCESS_RUNNING && rename(path, lb->pid_path) == 0)
        *answers = true;
    free(path);
    return HACTL_OK;
}

/* Makes room for a new one beside the one that runs, and back. */
static int set_aside(const struct lb_haproxy *lb, char **path)
{
    pid_t pid;

    if (ha_daemon_state(lb->pid_path, &pid) == HA_PROCESS_GONE)
        return 0;
    *path = old_path(lb, pid);
    if (!*path)
        return -ENOMEM;
    return rename(lb->pid_path, *path) < 0 ? -errno : 0;
}

void lb_process_finish_old(const struct lb_haproxy *lb)
{
    (void)each_pid_file(lb, "old-", finish_connections);
}

static int start_failed(const struct lb_haproxy *lb, struct hactl_call *call, int error)
{
    char *log = NULL, words[300] = "";
    size_t size = 0;

    if (error == -ENOENT)
        return lb->host->fail(call, HACTL_E_INVALID, "%s", package);
    if (ha_file_read(lb->log_path, 1u << 20, &log, &size) == 0 && strstr(log, "[ALERT]"))
        first_alert(log, words, sizeof(words));
    free(log);
    return lb->host->fail(call, HACTL_E_UNAVAILABLE, "haproxy does not start: %s%s%s, see %s", strerror(-error),
                          words[0] ? ": " : "", words, lb->log_path);
}

static int wait_for(const struct lb_haproxy *lb, pid_t pid)
{
    const struct timespec pause = {0, 2000000};
    char hash[LB_HASH_SIZE];
    pid_t answering = 0;

    for (int i = 0; i < START_TIMEOUT_MS / 2; i++) {
        if (lb_control_info(lb, &answering, hash) == 0 && answering == pid)
            return 0;
        if (ha_daemon_state(lb->pid_path, NULL) == HA_PROCESS_GONE)
            return -ECHILD;
        nanosleep(&pause, NULL);
    }
    return -ETIMEDOUT;
}

static int launch(const struct lb_haproxy *lb, const struct lb_sockets *sockets)
{
    static const char *const argv[] = {"haproxy", "-db",           "-f", "../haproxy.cfg", "-f", "public.cfg",
                                       "-x",      "handover.sock", NULL};
    const struct ha_daemon daemon = {
        .argv = argv, .directory = lb->run, .log_path = lb->log_path, .pid_path = lb->pid_path};
    pid_t pid = 0;
    int fd, rc;

    unlink(lb->log_path); /* what is in it is of another process */
    fd = lb_handover_open(lb);
    if (fd < 0)
        return fd;
    rc = ha_daemon_start(&daemon, &pid);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    rc = lb_handover_serve(fd, sockets, START_TIMEOUT_MS);
    if (rc == 0)
        rc = wait_for(lb, pid);
    if (rc < 0)
        (void)stop(lb->pid_path);
    return rc;
}

/* Until it is claimed the public frontend accepts from nothing. */
static int park(const struct lb_haproxy *lb, struct hactl_call *call, int fd)
{
    char *words = NULL;
    int rc = lb_control_do(lb, &words, "disable frontend public");

    if (rc == 0)
        rc = lb_socket_silence(fd);
    if (rc < 0)
        rc = lb->host->fail(call, HACTL_E_UNAVAILABLE, "haproxy: disable frontend: %s", words ? words : strerror(-rc));
    free(words);
    return rc;
}

int lb_process_start(const struct lb_haproxy *lb, struct hactl_call *call, struct lb_state *state)
{
    struct lb_sockets sockets = {-1, -1};
    struct lb_server_status *servers = NULL;
    char *old = NULL;
    size_t count = 0;
    bool answers;
    int rc, error;

    rc = settle(lb, call, &answers);
    if (rc == HACTL_OK && answers &&
        (lb_sockets_fetch(lb, state, &sockets) < 0 || lb_control_servers(lb, &servers, &count) < 0))
        rc = lb->host->fail(call, HACTL_E_UNAVAILABLE, "haproxy does not answer on its socket");
    if (rc == HACTL_OK)
        rc = trial_socket(lb, call, state, &sockets.trial);
    if (rc == HACTL_OK)
        rc = public_socket(lb, call, state, &sockets.public);
    if (rc == HACTL_OK)
        rc = write_public(lb, call, sockets.public);
    if (rc == HACTL_OK)
        rc = lb_process_configure(lb, call, state, servers, count);
    if (rc != HACTL_OK)
        goto out;
    error = set_aside(lb, &old);
    if (error == 0)
        error = launch(lb, &sockets);
    if (error < 0) {
        rc = start_failed(lb, call, error);
        if (old)
            (void)rename(old, lb->pid_path);
        goto out;
    }
    if (!state->address)
        rc = park(lb, call, sockets.public);
    if (rc == HACTL_OK)
        rc = lb_process_servers(lb, call, state);
    lb_process_finish_old(lb);
    if (rc == HACTL_OK)
        lb->host->log(call, HACTL_LOG_INFO, "%s: haproxy started, answers on %s:%u", state->name, state->trial_host,
                      state->trial_port);
out:
    free(old);
    lb_sockets_done(&sockets);
    free(servers);
    return rc;
}
