/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lib/file.h"
#include "lib/process.h"
#include "plugins/lb/lb.h"
#include "plugins/lb/lb_haproxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int internal(const struct lb_haproxy *lb, struct hactl_call *call, const char *what, int error)
{
    /* A machine that is too busy to run haproxy in time will do so later. */
    return lb->host->fail(call, error == -ETIMEDOUT ? HACTL_E_BUSY : HACTL_E_INTERNAL, "%s: %s", what,
                          strerror(-error));
}

static void haproxy_close(void *data)
{
    struct lb_haproxy *lb = data;

    if (!lb)
        return;
    free(lb->directory);
    free(lb->run);
    free(lb->config_path);
    free(lb->public_path);
    free(lb->state_path);
    free(lb->pid_path);
    free(lb->log_path);
    free(lb);
}

static int haproxy_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                        void **data)
{
    struct lb_haproxy *lb = calloc(1, sizeof(*lb));
    const char *directory = host->conf_directory(conf);
    bool whole;

    if (!lb)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    lb->host = host;
    lb->conf = conf;
    lb->directory = strdup(directory);
    whole = lb->directory != NULL;
    const struct {
        char **place;
        const char *name;
    } paths[] = {
        {&lb->run, "run"},
        {&lb->config_path, "haproxy.cfg"},
        {&lb->public_path, "run/public.cfg"},
        {&lb->state_path, "state.json"},
        {&lb->pid_path, "run/haproxy.pid"},
        {&lb->log_path, "haproxy.log"},
    };
    for (size_t i = 0; whole && i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (asprintf(paths[i].place, "%s/%s", directory, paths[i].name) < 0) {
            *paths[i].place = NULL;
            whole = false;
        }
    }
    if (!whole) {
        haproxy_close(lb);
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    }
    *data = lb;
    return HACTL_OK;
}

static int haproxy_check(void *data, struct hactl_call *call)
{
    static const char *const argv[] = {"haproxy", "-v", NULL};
    const struct lb_haproxy *lb = data;
    unsigned major = 0, minor = 0;
    char *output = NULL;
    const char *version;
    int status = 0, rc;

    rc = ha_program_run(argv, 2000, 4096, &output, &status);
    if (rc == -ENOENT)
        return lb->host->fail(call, HACTL_E_INVALID, "haproxy is not installed: apt-get install haproxy");
    if (rc < 0)
        return internal(lb, call, "haproxy -v", rc);
    version = strstr(output, "version ");
    if (!version || sscanf(version, "version %u.%u", &major, &minor) != 2)
        rc = lb->host->fail(call, HACTL_E_UNSUPPORTED, "haproxy -v does not tell a version");
    else if (major < 2 || (major == 2 && minor < 6))
        rc = lb->host->fail(call, HACTL_E_UNSUPPORTED,
                            "haproxy %u.%u is too old, 2.6 is the first that was tried: apt-get install haproxy", major,
                            minor);
    free(output);
    return rc;
}

/* The state of the balancer that `want` means; HACTL_E_NOT_FOUND: none. */
static int find(const struct lb_haproxy *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                struct lb_state *out)
{
    int rc = lb_state_read(lb, out);

    if (rc == -ENOENT)
        return lb->host->fail(call, HACTL_E_NOT_FOUND, "%s: there is no such balancer", want->name);
    if (rc == -EBADMSG)
        return lb->host->fail(call, HACTL_E_LOST, "%s is damaged: remove it, and hactl makes it anew", lb->state_path);
    if (rc < 0)
        return internal(lb, call, lb->state_path, rc);
    if (strcmp(out->name, want->name) == 0)
        return HACTL_OK;
    rc = lb->host->fail(call, HACTL_E_CONFLICT, "%s: the balancer in %s is \"%s\"", want->name, lb->directory,
                        out->name);
    lb_state_done(out);
    return rc;
}

/* ---- list ------------------------------------------------------------------------ */

static int emit_servers(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state,
                        bool running)
{
    struct lb_server_status *servers = NULL;
    size_t count = 0;
    int rc = HACTL_OK;

    if (running && lb_control_servers(lb, &servers, &count) < 0)
        count = 0;
    for (size_t i = 0; rc == HACTL_OK && i < state->server_count; i++) {
        struct hactl_backend backend = {.struct_size = sizeof(backend),
                                        .name = state->servers[i].name,
                                        .healthy = HACTL_NO,
                                        .detail = running ? "haproxy does not know it" : "haproxy does not run"};

        const struct lb_server_status *server = NULL;

        for (size_t j = 0; j < count && !server; j++)
            server = strcmp(servers[j].name, backend.name) == 0 ? &servers[j] : NULL;
        if (server) {
            backend.healthy = server->up ? HACTL_YES : HACTL_NO;
            backend.detail = server->detail;
        }
        /* Somebody has taken it out of service: whoever wants it there adds it. */
        if (!server || !server->suspended)
            rc = lb->host->emit_backend(call, &backend);
    }
    free(servers);
    return rc;
}

/* Whether the socket listens, and haproxy accepts from it. */
static bool public_address(const struct lb_haproxy *lb, const struct lb_state *state, char out[INET_ADDRSTRLEN])
{
    struct lb_sockets sockets;
    struct sockaddr_in name;
    bool listens = false;

    if (lb_sockets_fetch(lb, state, &sockets) == 0 && sockets.public >= 0 && lb_socket_listens(sockets.public) &&
        lb_socket_name(sockets.public, &name) == 0 && ntohs(name.sin_port) == state->port)
        listens = inet_ntop(AF_INET, &name.sin_addr, out, INET_ADDRSTRLEN) != NULL && lb_control_accepts(lb);
    lb_sockets_done(&sockets);
    return listens;
}

/* What it holds, and does not answer on: nobody else can have it before it has been released. */
static const char *held_address(const struct lb_haproxy *lb, const struct lb_state *state)
{
    const char *address = state->address ? state->address : state->trial_host;
    pid_t pid;

    return lb_process_holds(lb, address, state->port, &pid) ? address : NULL;
}

static int haproxy_list(void *data, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    const struct lb_haproxy *lb = data;
    char hash[LB_HASH_SIZE], address[INET_ADDRSTRLEN], detail[128];
    struct hactl_balancer balancer = {.struct_size = sizeof(balancer)};
    struct lb_state state;
    enum ha_process_state process;
    bool running;
    pid_t pid;
    int rc = lb_state_read(lb, &state);

    if (rc == -ENOENT)
        return HACTL_OK;
    if (rc < 0)
        return find(lb, call, want, &state);
    process = ha_daemon_state(lb->pid_path, &pid);
    running = lb_process_answers(lb, hash);
    balancer.name = state.name;
    balancer.running = running ? HACTL_YES : HACTL_NO;
    balancer.trial_host = state.trial_host;
    balancer.trial_port = state.trial_port;
    if (!running)
        balancer.address = held_address(lb, &state);
    else if (public_address(lb, &state, address))
        balancer.address = address;
    snprintf(detail, sizeof(detail), "haproxy (pid %d) %s", (int)pid,
             process == HA_PROCESS_GONE                ? "is gone"
             : process == HA_PROCESS_STOPPED_BY_SIGNAL ? "is stopped by a signal"
             : running                                 ? "runs"
                                                       : "does not answer on its socket");
    balancer.detail = detail;
    rc = lb->host->emit_balancer(call, &balancer);
    if (rc == HACTL_OK)
        rc = emit_servers(lb, call, &state, running);
    lb_state_done(&state);
    return rc;
}

/* ---- ensure ------------------------------------------------------------------------ */

static int state_new(const struct lb_haproxy *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                     struct lb_state *out)
{
    int rc = ha_directory_make(lb->directory, 0700);

    if (rc == 0)
        rc = ha_directory_make(lb->run, 0700);
    if (rc < 0)
        return internal(lb, call, lb->run, rc);
    memset(out, 0, sizeof(*out));
    out->name = strdup(want->name);
    out->trial_host = strdup(want->cluster->external_address);
    if (!out->name || !out->trial_host) {
        lb_state_done(out);
        return internal(lb, call, want->name, -ENOMEM);
    }
    return HACTL_OK;
}

static int state_adapt(const struct lb_haproxy *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                       struct lb_state *state)
{
    int64_t trial_port = lb->host->conf_integer(lb->conf, "trial_port");
    bool moved = strcmp(state->trial_host, want->cluster->external_address) != 0;
    char *trial_host;

    if (state->address && state->port != want->port)
        return lb->host->fail(call, HACTL_E_CONFLICT, "%s: holds %s:%u; release it before the port becomes %u",
                              state->name, state->address, state->port, want->port);
    if (moved) {
        trial_host = strdup(want->cluster->external_address);
        if (!trial_host)
            return internal(lb, call, state->name, -ENOMEM);
        free(state->trial_host);
        state->trial_host = trial_host;
        state->trial_port = 0;
    }
    if (trial_port != 0)
        state->trial_port = (uint16_t)trial_port;
    state->port = want->port;
    state->backend_port = want->backend_port;
    return HACTL_OK;
}

/* What runs is what the configuration says, and holds what was claimed. */
static bool is_current(const struct lb_haproxy *lb, const struct lb_state *state)
{
    char hash[LB_HASH_SIZE] = "", wanted[LB_HASH_SIZE] = "", address[INET_ADDRSTRLEN];
    char *text = lb_config_text(lb, state, NULL, 0, wanted);
    bool current = text && state->trial_port && lb_process_answers(lb, hash) && strcmp(hash, wanted) == 0;

    free(text);
    if (current && state->address)
        current = public_address(lb, state, address) && strcmp(address, state->address) == 0;
    return current;
}

/* What a claim or release that was killed half way has left: the address held,
 * and not answered. Without a record it is nobody's: let go. */
static void let_go(const struct lb_haproxy *lb, const struct lb_state *state)
{
    struct lb_sockets sockets = {-1, -1};

    if (!state->address && !lb_control_accepts(lb) && lb_sockets_fetch(lb, state, &sockets) == 0 &&
        sockets.public >= 0 && lb_socket_listens(sockets.public))
        (void)lb_socket_silence(sockets.public);
    lb_sockets_done(&sockets);
}

static int ensure_current(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state)
{
    lb_process_finish_old(lb);
    let_go(lb, state);
    return lb_process_servers(lb, call, state);
}

static int haproxy_ensure(void *data, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    const struct lb_haproxy *lb = data;
    struct lb_state state;
    int rc;

    if (!want->cluster->external_address)
        return lb->host->fail(call, HACTL_E_INVALID, "%s: the cluster has no external address yet", want->name);
    if (access(lb->state_path, F_OK) < 0 && errno == ENOENT)
        rc = state_new(lb, call, want, &state);
    else
        rc = find(lb, call, want, &state);
    if (rc != HACTL_OK)
        return rc;
    rc = state_adapt(lb, call, want, &state);
    if (rc == HACTL_OK && is_current(lb, &state))
        rc = ensure_current(lb, call, &state);
    else if (rc == HACTL_OK)
        rc = lb_process_start(lb, call, &state);
    lb_state_done(&state);
    return rc;
}

/* ---- backends ------------------------------------------------------------------------ */

/* The file first, so that a killed hactl or haproxy comes back to the same. */
static int state_apply(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state, bool changed)
{
    char hash[LB_HASH_SIZE];
    int rc = HACTL_OK, error = changed ? lb_state_write(lb, state) : 0;

    if (error < 0)
        return internal(lb, call, lb->state_path, error);
    if (!lb_process_answers(lb, hash))
        return lb->host->fail(call, HACTL_E_NOT_FOUND, "%s: haproxy does not run", state->name);
    rc = lb_process_servers(lb, call, state);
    return rc == HACTL_OK ? lb_process_configure(lb, call, state, NULL, 0) : rc;
}

static int haproxy_backend_ensure(void *data, struct hactl_call *call, const struct hactl_balancer_want *want,
                                  const struct hactl_backend_want *backend)
{
    const struct lb_haproxy *lb = data;
    struct in_addr parsed;
    struct lb_state state;
    bool changed = false;
    int rc;

    if (inet_pton(AF_INET, backend->address, &parsed) != 1)
        return lb->host->fail(call, HACTL_E_INVALID, "%s: \"%s\" is not an IPv4 address", backend->name,
                              backend->address);
    if (backend->name[strspn(backend->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")])
        return lb->host->fail(call, HACTL_E_INVALID, "\"%s\" cannot be the name of a haproxy server", backend->name);
    rc = find(lb, call, want, &state);
    if (rc != HACTL_OK)
        return rc;
    rc = lb_state_server_set(&state, backend, &changed);
    rc = rc < 0 ? internal(lb, call, backend->name, rc) : state_apply(lb, call, &state, changed);
    if (rc == HACTL_OK && changed)
        lb->host->log(call, HACTL_LOG_INFO, "%s: backend %s at %s:%u", state.name, backend->name, backend->address,
                      state.backend_port);
    lb_state_done(&state);
    return rc;
}

static int haproxy_backend_destroy(void *data, struct hactl_call *call, const struct hactl_balancer_want *want,
                                   const char *name)
{
    const struct lb_haproxy *lb = data;
    struct lb_state state;
    char hash[LB_HASH_SIZE];
    bool changed;
    int rc;

    if (access(lb->state_path, F_OK) < 0 && errno == ENOENT)
        return HACTL_OK;
    rc = find(lb, call, want, &state);
    if (rc != HACTL_OK)
        return rc;
    changed = lb_state_server(&state, name) != NULL;
    lb_state_server_unset(&state, name);
    if (lb_process_answers(lb, hash)) {
        rc = state_apply(lb, call, &state, changed);
    } else if (changed) {
        rc = lb_state_write(lb, &state);
        rc = rc < 0 ? internal(lb, call, lb->state_path, rc) : HACTL_OK;
    }
    if (rc == HACTL_OK && changed)
        lb->host->log(call, HACTL_LOG_INFO, "%s: backend %s takes no new connections", state.name, name);
    lb_state_done(&state);
    return rc;
}

/* ---- claim and release --------------------------------------------------------------- */

static int record_claim(const struct lb_haproxy *lb, struct hactl_call *call, struct lb_state *state,
                        const char *address)
{
    char *copy = NULL;
    int rc;

    if (address && !(copy = strdup(address)))
        return internal(lb, call, address, -ENOMEM);
    if (state->address == NULL && copy == NULL)
        return HACTL_OK;
    free(state->address);
    state->address = copy;
    rc = lb_state_write(lb, state);
    return rc < 0 ? internal(lb, call, lb->state_path, rc) : HACTL_OK;
}

/* Binds the socket that haproxy has to the address, unless it already is. One
 * that is bound to another address must be made anew, with the process. */
static int claim_socket(const struct lb_haproxy *lb, struct hactl_call *call, struct lb_state *state, int fd,
                        const char *address, bool *stale)
{
    struct sockaddr_in name;
    struct in_addr wanted;
    bool there;
    int rc = lb_socket_name(fd, &name);

    *stale = false;
    if (rc < 0 || inet_pton(AF_INET, address, &wanted) != 1)
        return lb_taken(lb, call, rc < 0 ? rc : -EINVAL, address, state->port);
    there = ntohs(name.sin_port) == state->port && name.sin_addr.s_addr == wanted.s_addr;
    if (!there && lb_socket_listens(fd)) { /* killed before it was parked */
        (void)lb_control_do(lb, NULL, "disable frontend public");
        (void)lb_socket_silence(fd);
    }
    rc = there ? 0 : lb_socket_bind(fd, address, state->port);
    if (rc == -EINVAL) {
        *stale = true;
        return HACTL_OK;
    }
    if (rc < 0)
        return lb_taken(lb, call, rc, address, state->port);
    return lb_process_listen(lb, call, state, fd, address);
}

static int claim_anew(const struct lb_haproxy *lb, struct hactl_call *call, struct lb_state *state, const char *address)
{
    char *former = state->address;
    int rc;

    state->address = strdup(address);
    rc = state->address ? lb_process_start(lb, call, state) : internal(lb, call, address, -ENOMEM);
    free(state->address);
    state->address = former;
    return rc;
}

static int haproxy_claim(void *data, struct hactl_call *call, const struct hactl_balancer_want *want,
                         const char *address)
{
    const struct lb_haproxy *lb = data;
    struct lb_sockets sockets = {-1, -1};
    struct lb_state state;
    bool stale = false;
    int rc = find(lb, call, want, &state);

    if (rc != HACTL_OK)
        return rc;
    if (state.address && strcmp(state.address, address) != 0) {
        rc = lb->host->fail(call, HACTL_E_CONFLICT, "%s: holds %s; release it first", state.name, state.address);
        goto out;
    }
    if (lb_sockets_fetch(lb, &state, &sockets) < 0) {
        rc = lb->host->fail(call, HACTL_E_NOT_FOUND, "%s: haproxy does not run", state.name);
        goto out;
    }
    if (sockets.public < 0)
        stale = true;
    else
        rc = claim_socket(lb, call, &state, sockets.public, address, &stale);
    if (rc == HACTL_OK && stale)
        rc = claim_anew(lb, call, &state, address);
    /* After the fact: the address is dark meanwhile, and `list` asks the socket. */
    if (rc == HACTL_OK && !state.address)
        rc = record_claim(lb, call, &state, address);
    if (rc == HACTL_OK)
        lb->host->log(call, HACTL_LOG_INFO, "%s: answers on %s:%u", state.name, address, state.port);
out:
    lb_sockets_done(&sockets);
    lb_state_done(&state);
    return rc;
}

/* One that is stopped by a signal, or hangs, does not hand its socket out; with the process that ends, too. */
static int release_by_end(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state,
                          const char *address, pid_t pid)
{
    int rc = lb_process_stop(lb, call);

    if (rc == HACTL_OK)
        lb->host->log(call, HACTL_LOG_WARNING, "%s: haproxy (pid %d) held %s:%u and did not answer: it was ended",
                      state->name, (int)pid, address, state->port);
    return rc;
}

static int release_socket(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state,
                          const char *address, const struct in_addr *wanted)
{
    struct lb_sockets sockets = {-1, -1};
    char hash[LB_HASH_SIZE];
    struct sockaddr_in name;
    int rc = HACTL_OK;
    pid_t pid;

    if (!lb_process_answers(lb, hash) && lb_process_holds(lb, address, state->port, &pid))
        return release_by_end(lb, call, state, address, pid);
    if (lb_sockets_fetch(lb, state, &sockets) == 0 && sockets.public >= 0 && lb_socket_listens(sockets.public) &&
        lb_socket_name(sockets.public, &name) == 0 && name.sin_addr.s_addr == wanted->s_addr &&
        ntohs(name.sin_port) == state->port) {
        (void)lb_control_do(lb, NULL, "disable frontend public");
        rc = lb_socket_silence(sockets.public);
        if (rc < 0)
            rc = internal(lb, call, address, rc);
        else
            lb->host->log(call, HACTL_LOG_INFO, "%s: no longer answers on %s:%u", state->name, address, state->port);
    }
    lb_sockets_done(&sockets);
    return rc;
}

static int haproxy_release(void *data, struct hactl_call *call, const struct hactl_balancer_want *want,
                           const char *address)
{
    const struct lb_haproxy *lb = data;
    struct in_addr wanted;
    struct lb_state state;
    int rc;

    if (access(lb->state_path, F_OK) < 0 && errno == ENOENT)
        return HACTL_OK;
    rc = find(lb, call, want, &state);
    if (rc != HACTL_OK)
        return rc;
    if (inet_pton(AF_INET, address, &wanted) != 1) {
        rc = lb_taken(lb, call, -EINVAL, address, state.port);
        goto out;
    }
    /* Before the fact: a killed release must not be undone by `ensure`. */
    if (state.address && strcmp(state.address, address) == 0)
        rc = record_claim(lb, call, &state, NULL);
    if (rc == HACTL_OK)
        rc = release_socket(lb, call, &state, address, &wanted);
out:
    lb_state_done(&state);
    return rc;
}

static int haproxy_destroy(void *data, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    const struct lb_haproxy *lb = data;
    int rc = lb_process_stop_all(lb, call);

    (void)want;
    if (rc == HACTL_OK) {
        rc = ha_tree_remove(lb->directory);
        rc = rc < 0 ? internal(lb, call, lb->directory, rc) : HACTL_OK;
    }
    return rc;
}

const struct lb_backend lb_haproxy = {
    .name = "haproxy",
    .open = haproxy_open,
    .close = haproxy_close,
    .check = haproxy_check,
    .ops =
        {
            .struct_size = sizeof(struct hactl_balancer_ops),
            .list = haproxy_list,
            .ensure = haproxy_ensure,
            .backend_ensure = haproxy_backend_ensure,
            .backend_destroy = haproxy_backend_destroy,
            .claim = haproxy_claim,
            .release = haproxy_release,
            .destroy = haproxy_destroy,
        },
};
