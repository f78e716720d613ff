/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HAProxy process with two frontends and one backend:
 *
 *   trial    the temporary address, from the first `ensure` to `destroy`
 *   public   the public address while it is claimed
 *   members  one server per replica
 *
 * The listening sockets are made by hactl and handed to HAProxy when it
 * starts, over the protocol with which HAProxies hand them to one another
 * (`-x`). They can be fetched back the same way, and as both ends then share
 * one socket, an address is claimed or released by bind, listen and disconnect
 * on it: nothing has to be started or loaded again while the address is dark.
 */
#ifndef HACTL_PLUGINS_LB_HAPROXY_H
#define HACTL_PLUGINS_LB_HAPROXY_H

#include <hactl/plugin.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

#define LB_MEMBERS   "members"
#define LB_HASH_SIZE 17

struct lb_server {
    char *name, *zone, *address;
};

/* state.json: what is wanted; what is there is asked of the process. */
struct lb_state {
    char *name;
    char *trial_host;
    uint16_t trial_port;
    uint16_t port, backend_port;
    char *address; /* the public address while claimed */
    struct lb_server *servers;
    size_t server_count;
};

struct lb_haproxy {
    const struct hactl_host *host;
    const struct hactl_conf *conf;
    char *directory, *run, *config_path, *public_path, *state_path, *pid_path, *log_path;
};

/* A server, or a frontend, as the process sees it. */
struct lb_server_status {
    char name[256];
    char detail[256];
    char address[64];
    bool up, suspended, draining; /* suspended: in maintenance or draining */
    bool open;                    /* of a frontend: it accepts */
    unsigned sessions;
};

/* ---- lb_haproxy_config.c: functions return 0 or a negative errno ---------- */

int lb_state_read(const struct lb_haproxy *lb, struct lb_state *out); /* -ENOENT: no balancer */
int lb_state_write(const struct lb_haproxy *lb, const struct lb_state *state);
void lb_state_done(struct lb_state *state);
struct lb_server *lb_state_server(const struct lb_state *state, const char *name);
int lb_state_server_set(struct lb_state *state, const struct hactl_backend_want *want, bool *changed);
void lb_state_server_unset(struct lb_state *state, const char *name);

/* The arguments of a server, in a configuration as in `add server`. Caller frees. */
char *lb_server_text(const struct lb_haproxy *lb, const struct lb_state *state, const struct lb_server *server);
/* Everything but the public frontend. `hash`: of all but the servers, which
 * can be changed while it runs. Servers start in maintenance, those named in
 * `up` excepted. Caller frees. */
char *lb_config_text(const struct lb_haproxy *lb, const struct lb_state *state, const struct lb_server_status *up,
                     size_t up_count, char hash[LB_HASH_SIZE]);
char *lb_public_text(const struct sockaddr_in *address);

/* ---- lb_haproxy_control.c -------------------------------------------------- */

/* One command; the answer is the caller's to free. -ECONNREFUSED, -ENOENT: nobody answers. */
int lb_control_ask(const struct lb_haproxy *lb, const char *command, char **answer);
/* One that answers nothing when it succeeds: -EPROTO, and what it said in `answer`. */
int lb_control_do(const struct lb_haproxy *lb, char **answer, const char *format, ...) HACTL_FORMAT(3, 4);
/* The pid and description of the process that answers. */
int lb_control_info(const struct lb_haproxy *lb, pid_t *pid, char hash[LB_HASH_SIZE]);
int lb_control_servers(const struct lb_haproxy *lb, struct lb_server_status **out, size_t *count);
/* The public frontend accepts what its socket has. */
bool lb_control_accepts(const struct lb_haproxy *lb);

struct lb_sockets {
    int trial, public; /* -1: none */
};

/* Fetches those that the process has; the other side of `serve`. */
int lb_sockets_fetch(const struct lb_haproxy *lb, const struct lb_state *state, struct lb_sockets *out);
void lb_sockets_done(struct lb_sockets *sockets);
/* A socket to serve on, made before the process starts ... */
int lb_handover_open(const struct lb_haproxy *lb);
/* ... that asks for its listeners there. Closes `fd`. */
int lb_handover_serve(int fd, const struct lb_sockets *sockets, unsigned timeout_ms);

/* A stream socket, bound; port 0: the kernel chooses, and the binding ends when it is silenced. */
int lb_socket_bound(const char *address, uint16_t port, int *out);
int lb_socket_bind(int fd, const char *address, uint16_t port);
int lb_socket_name(int fd, struct sockaddr_in *out);
bool lb_socket_listens(int fd);
/* It listens no longer, in whichever process; what was accepted goes on. */
int lb_socket_silence(int fd);

/* ---- lb_haproxy_process.c: functions return HACTL_OK or have told `call` --- */

/* The process that the pid file names runs and answers as itself. */
bool lb_process_answers(const struct lb_haproxy *lb, char hash[LB_HASH_SIZE]);
/* That process listens there, whether or not it answers: as long as it is there nobody else can. */
bool lb_process_holds(const struct lb_haproxy *lb, const char *address, uint16_t port, pid_t *pid);
/* Ends that process, one that is stopped by a signal as well. */
int lb_process_stop(const struct lb_haproxy *lb, struct hactl_call *call);
/* Starts one with everything `state` says, taking listeners and the health of
 * servers over from one that runs, which then finishes its connections. May
 * choose state->trial_port. */
int lb_process_start(const struct lb_haproxy *lb, struct hactl_call *call, struct lb_state *state);
/* Writes haproxy.cfg if it would change, after haproxy has accepted it. */
int lb_process_configure(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state,
                         const struct lb_server_status *up, size_t up_count);
/* Those that were replaced finish their connections, and end. */
void lb_process_finish_old(const struct lb_haproxy *lb);
int lb_process_stop_all(const struct lb_haproxy *lb, struct hactl_call *call);
/* Servers as in `state`, in the process: there and checked, or draining and gone. */
int lb_process_servers(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state);
/* Listens on the public address, and has haproxy accept from it. */
int lb_process_listen(const struct lb_haproxy *lb, struct hactl_call *call, const struct lb_state *state, int fd,
                      const char *address);
int lb_taken(const struct lb_haproxy *lb, struct hactl_call *call, int error, const char *address, uint16_t port);

#endif
