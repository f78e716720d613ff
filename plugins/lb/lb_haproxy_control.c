/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "plugins/lb/lb_haproxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_LIMIT       (4u << 20)
#define CONTROL_TIMEOUT_MS 1000
#define SOCKETS_MAX        16

/* A socket's path may have 107 bytes, a state directory more. HAProxy runs in
 * the directory and uses the bare name; here a descriptor stands for it. */
static int directory_address(const struct lb_haproxy *lb, const char *name, struct sockaddr_un *out, int *directory)
{
    int fd = open(lb->run, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    memset(out, 0, sizeof(*out));
    out->sun_family = AF_UNIX;
    snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%s", fd, name);
    *directory = fd;
    return 0;
}

static int set_timeout(int fd, unsigned timeout_ms)
{
    struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
        return -errno;
    return 0;
}

static int control_open(const struct lb_haproxy *lb, const char *command, int *out)
{
    struct sockaddr_un address;
    size_t size = strlen(command);
    int directory, fd, rc;

    rc = directory_address(lb, "stats.sock", &address, &directory);
    if (rc < 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rc = fd < 0 ? -errno : set_timeout(fd, CONTROL_TIMEOUT_MS);
    if (rc == 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        rc = -errno;
    if (rc == 0 && send(fd, command, size, MSG_NOSIGNAL) != (ssize_t)size)
        rc = -EPIPE;
    close(directory);
    if (rc < 0 && fd >= 0)
        close(fd);
    if (rc == 0)
        *out = fd;
    return rc;
}

static int read_all(int fd, char **out)
{
    size_t size = 0, room = 4096;
    char *text = malloc(room), *grown;
    ssize_t got = 0;

    while (text) {
        got = recv(fd, text + size, room - size - 1, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        size += (size_t)got;
        if (room - size > 1)
            continue;
        room *= 2;
        grown = room > ANSWER_LIMIT ? NULL : realloc(text, room);
        if (!grown)
            free(text);
        text = grown;
    }
    if (!text)
        return -ENOMEM;
    if (got < 0) {
        int error = errno == EAGAIN ? ETIMEDOUT : errno;

        free(text);
        return -error;
    }
    while (size > 0 && text[size - 1] == '\n')
        size--;
    text[size] = '\0';
    *out = text;
    return 0;
}

int lb_control_ask(const struct lb_haproxy *lb, const char *command, char **answer)
{
    char *line = NULL;
    int fd, rc;

    if (asprintf(&line, "%s\n", command) < 0)
        return -ENOMEM;
    rc = control_open(lb, line, &fd);
    free(line);
    if (rc < 0)
        return rc;
    rc = read_all(fd, answer);
    close(fd);
    return rc;
}

int lb_control_do(const struct lb_haproxy *lb, char **answer, const char *format, ...)
{
    char *command = NULL, *text = NULL;
    va_list arguments;
    int rc;

    va_start(arguments, format);
    rc = vasprintf(&command, format, arguments);
    va_end(arguments);
    if (rc < 0)
        return -ENOMEM;
    rc = lb_control_ask(lb, command, &text);
    free(command);
    if (rc == 0 && text[0] == '\0') {
        free(text);
        return 0;
    }
    if (answer) {
        free(*answer);
        *answer = text;
    } else {
        free(text);
    }
    return rc < 0 ? rc : -EPROTO;
}

int lb_control_info(const struct lb_haproxy *lb, pid_t *pid, char hash[LB_HASH_SIZE])
{
    char *answer = NULL;
    const char *line;
    int rc = lb_control_ask(lb, "show info", &answer);

    if (rc < 0)
        return rc;
    line = strstr(answer, "\nPid: ");
    *pid = line ? (pid_t)atol(line + strlen("\nPid: ")) : 0;
    line = strstr(answer, "\ndescription: hactl-");
    snprintf(hash, LB_HASH_SIZE, "%.16s", line ? line + strlen("\ndescription: hactl-") : "");
    free(answer);
    return *pid > 0 ? 0 : -EPROTO;
}

enum column {
    COLUMN_PROXY,
    COLUMN_SERVER,
    COLUMN_STATUS,
    COLUMN_CHECK,
    COLUMN_WORDS,
    COLUMN_LAST,
    COLUMN_SESSIONS,
    COLUMN_ADDRESS,
    COLUMN_COUNT
};

static const char *const column_names[COLUMN_COUNT] = {
    "pxname", "svname", "status", "check_status", "check_desc", "last_chk", "scur", "addr",
};

/* Fields may be quoted; none that is read here holds a quote of its own. */
static char *next_field(char **line)
{
    char *field = *line, *end;

    if (!field)
        return NULL;
    if (*field == '"') {
        end = strchr(++field, '"');
        if (end)
            *end++ = '\0';
    } else {
        end = strchr(field, ',');
    }
    *line = end && *end == ',' ? end + 1 : NULL;
    if (end && *end == ',')
        *end = '\0';
    return field;
}

static void find_columns(char *header, int columns[COLUMN_COUNT])
{
    char *field;

    for (int c = 0; c < COLUMN_COUNT; c++)
        columns[c] = -1;
    for (int i = 0; (field = next_field(&header)) != NULL; i++)
        for (int c = 0; c < COLUMN_COUNT; c++)
            if (strcmp(field, column_names[c]) == 0)
                columns[c] = i;
}

static void server_status(char *line, const int columns[COLUMN_COUNT], struct lb_server_status *out)
{
    const char *value[COLUMN_COUNT] = {"", "", "", "", "", "", "", ""};
    char *field;

    for (int i = 0; (field = next_field(&line)) != NULL; i++)
        for (int c = 0; c < COLUMN_COUNT; c++)
            if (columns[c] == i)
                value[c] = field;
    snprintf(out->name, sizeof(out->name), "%s", value[COLUMN_SERVER]);
    out->open = strcmp(value[COLUMN_STATUS], "OPEN") == 0;
    out->up = strncmp(value[COLUMN_STATUS], "UP", 2) == 0;
    snprintf(out->address, sizeof(out->address), "%.*s", (int)strcspn(value[COLUMN_ADDRESS], ":"),
             value[COLUMN_ADDRESS]);
    out->sessions = (unsigned)strtoul(value[COLUMN_SESSIONS], NULL, 10);
    if (!value[COLUMN_CHECK][0] || strstr(value[COLUMN_CHECK], "INI"))
        snprintf(out->detail, sizeof(out->detail), "not checked yet");
    else
        snprintf(out->detail, sizeof(out->detail), "%s%s%s", value[COLUMN_WORDS], value[COLUMN_LAST][0] ? ": " : "",
                 value[COLUMN_LAST]);
}

static int ask_statuses(const struct lb_haproxy *lb, const char *command, struct lb_server_status **out, size_t *count)
{
    struct lb_server_status *servers = NULL, *grown;
    char *answer = NULL, *rest, *line;
    int columns[COLUMN_COUNT], rc;
    size_t used = 0;

    rc = lb_control_ask(lb, command, &answer);
    if (rc < 0)
        return rc;
    rest = answer;
    line = strsep(&rest, "\n");
    if (strncmp(line, "# ", 2) != 0)
        rc = -EPROTO;
    else
        find_columns(line + 2, columns);
    while (rc == 0 && (line = strsep(&rest, "\n")) != NULL) {
        if (line[0] == '\0')
            continue;
        grown = realloc(servers, (used + 1) * sizeof(*servers));
        if (!grown) {
            rc = -ENOMEM;
            break;
        }
        servers = grown;
        server_status(line, columns, &servers[used++]);
    }
    free(answer);
    if (rc < 0) {
        free(servers);
        return rc;
    }
    *out = servers;
    *count = used;
    return 0;
}

/* Bits of srv_admin_state, by whomever they were set; 0x04 is not among them:
 * it says of a server how it began, and stays. */
#define ADMIN_DRAIN 0x18u
#define ADMIN_MAINT 0x63u

static void admin_state(struct lb_server_status *servers, size_t count, const char *name, unsigned state)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(servers[i].name, name) != 0)
            continue;
        servers[i].draining = (state & ADMIN_DRAIN) != 0 && (state & ADMIN_MAINT) == 0;
        servers[i].suspended = (state & (ADMIN_DRAIN | ADMIN_MAINT)) != 0;
        servers[i].up = servers[i].up && !servers[i].suspended;
        if (servers[i].suspended)
            snprintf(servers[i].detail, sizeof(servers[i].detail), "not in service: %s",
                     servers[i].draining ? "it is drained" : "it is in maintenance");
    }
}

/* The status of a server that is drained and fails its check is DOWN; that it
 * is drained as well, and so never served again, is told here alone. */
static int ask_admin_states(const struct lb_haproxy *lb, struct lb_server_status *servers, size_t count)
{
    char *answer = NULL, *rest, *line, name[256];
    int rc = lb_control_ask(lb, "show servers state " LB_MEMBERS, &answer);
    unsigned state;

    rest = rc < 0 ? NULL : answer;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (sscanf(line, "%*u %*s %*u %255s %*s %*u %u", name, &state) == 2)
            admin_state(servers, count, name, state);
    free(answer);
    return rc;
}

int lb_control_servers(const struct lb_haproxy *lb, struct lb_server_status **out, size_t *count)
{
    struct lb_server_status *servers = NULL;
    size_t found = 0;
    int rc = ask_statuses(lb, "show stat " LB_MEMBERS " 4 -1", &servers, &found);

    if (rc == 0)
        rc = ask_admin_states(lb, servers, found);
    if (rc < 0) {
        free(servers);
        return rc;
    }
    *out = servers;
    *count = found;
    return 0;
}

bool lb_control_accepts(const struct lb_haproxy *lb)
{
    struct lb_server_status *frontend = NULL;
    size_t count = 0;
    bool open = ask_statuses(lb, "show stat public 1 -1", &frontend, &count) == 0 && count == 1 && frontend[0].open;

    free(frontend);
    return open;
}

/* ---- sockets --------------------------------------------------------------- */

static int parse_address(const char *address, uint16_t port, struct sockaddr_in *out)
{
    memset(out, 0, sizeof(*out));
    out->sin_family = AF_INET;
    out->sin_port = htons(port);
    return inet_pton(AF_INET, address, &out->sin_addr) == 1 ? 0 : -EINVAL;
}

int lb_socket_bind(int fd, const char *address, uint16_t port)
{
    struct sockaddr_in name;

    if (parse_address(address, port, &name) < 0)
        return -EINVAL;
    return bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
}

int lb_socket_bound(const char *address, uint16_t port, int *out)
{
    int one = 1, fd, rc;

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Without SO_REUSEPORT: exactly one process answers on an address. */
    rc = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ? -errno : lb_socket_bind(fd, address, port);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

int lb_socket_name(int fd, struct sockaddr_in *out)
{
    socklen_t size = sizeof(*out);

    memset(out, 0, sizeof(*out));
    if (getsockname(fd, (struct sockaddr *)out, &size) < 0)
        return -errno;
    return out->sin_family == AF_INET ? 0 : -EAFNOSUPPORT;
}

bool lb_socket_listens(int fd)
{
    int listens = 0;
    socklen_t size = sizeof(listens);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

/* Not shutdown(2), which on a socket that haproxy has silenced already would
 * leave a mark that every connection accepted later inherits. */
int lb_socket_silence(int fd)
{
    struct sockaddr nothing = {.sa_family = AF_UNSPEC};

    return connect(fd, &nothing, sizeof(nothing)) < 0 ? -errno : 0;
}

void lb_sockets_done(struct lb_sockets *sockets)
{
    if (sockets->trial >= 0)
        close(sockets->trial);
    if (sockets->public >= 0)
        close(sockets->public);
    sockets->trial = sockets->public = -1;
}

static void sort_sockets(const struct lb_state *state, const int *fds, size_t count, struct lb_sockets *out)
{
    struct sockaddr_in name, trial;

    if (parse_address(state->trial_host, state->trial_port, &trial) < 0)
        memset(&trial, 0, sizeof(trial));
    for (size_t i = 0; i < count; i++) {
        int *place = NULL;

        if (lb_socket_name(fds[i], &name) == 0)
            place = name.sin_port == trial.sin_port && name.sin_addr.s_addr == trial.sin_addr.s_addr ? &out->trial
                                                                                                     : &out->public;
        if (place && *place < 0)
            *place = fds[i];
        else
            close(fds[i]);
    }
}

/* The number of sockets, then one message that carries them; beside each its
 * name space, interface and options, which are of no use here. */
static int receive_sockets(int fd, int *fds, size_t *count)
{
    char bytes[SOCKETS_MAX * 64], control[CMSG_SPACE(sizeof(int) * SOCKETS_MAX)];
    struct iovec part = {bytes, sizeof(bytes)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *header;
    int announced;

    *count = 0;
    if (recv(fd, &announced, sizeof(announced), MSG_WAITALL) != (ssize_t)sizeof(announced))
        return -EPROTO;
    if (announced <= 0)
        return 0;
    if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) <= 0)
        return -EPROTO;
    for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        *count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(header), *count * sizeof(int));
        break;
    }
    return 0;
}

int lb_sockets_fetch(const struct lb_haproxy *lb, const struct lb_state *state, struct lb_sockets *out)
{
    int fds[SOCKETS_MAX], fd, rc;
    size_t count = 0;

    out->trial = out->public = -1;
    rc = control_open(lb, "_getsocks\n", &fd);
    if (rc < 0)
        return rc;
    rc = receive_sockets(fd, fds, &count);
    close(fd);
    sort_sockets(state, fds, count, out);
    return rc;
}

int lb_handover_open(const struct lb_haproxy *lb)
{
    struct sockaddr_un address;
    int directory, fd, rc;

    rc = directory_address(lb, "handover.sock", &address, &directory);
    if (rc < 0)
        return rc;
    unlinkat(directory, "handover.sock", 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
        rc = -errno;
    close(directory);
    if (rc < 0 && fd >= 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

static int send_sockets(int fd, const struct lb_sockets *sockets)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * 2)];
    } control;
    int fds[2] = {sockets->trial, sockets->public}, count = 2;
    char names[2 * (1 + 1 + sizeof(int))]; /* no name space, no interface, no options */
    struct iovec part = {names, sizeof(names)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    memset(names, 0, sizeof(names));
    memset(&control, 0, sizeof(control));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(header), fds, sizeof(fds));
    if (send(fd, &count, sizeof(count), MSG_NOSIGNAL) != (ssize_t)sizeof(count) ||
        sendmsg(fd, &message, MSG_NOSIGNAL) != (ssize_t)sizeof(names))
        return -EPIPE;
    return 0;
}

int lb_handover_serve(int fd, const struct lb_sockets *sockets, unsigned timeout_ms)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    char command[16];
    int peer = -1, rc = 0, got;

    do
        got = poll(&wanted, 1, (int)timeout_ms);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        rc = got < 0 ? -errno : -ETIMEDOUT;
    if (rc == 0)
        peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (rc == 0 && peer < 0)
        rc = -errno;
    if (rc == 0)
        rc = set_timeout(peer, timeout_ms);
    if (rc == 0 && recv(peer, command, sizeof(command), 0) <= 0)
        rc = -EPROTO;
    if (rc == 0)
        rc = send_sockets(peer, sockets);
    /* It acknowledges what it received: closing earlier could lose it. */
    if (rc == 0 && recv(peer, command, sizeof(command), 0) < 0)
        rc = -errno;
    if (peer >= 0)
        close(peer);
    close(fd);
    return rc;
}
