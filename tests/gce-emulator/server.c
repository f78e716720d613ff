/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MOST  (4u * 1024 * 1024)
#define WATCH_MOST 512

struct em_connection_mhd {
    struct MHD_Connection *connection;
    enum { RECEIVING, WAITING, ANSWERED } state;
    bool suspended, too_large;
    struct em_answer answer;
    struct em_connection *next, *previous; /* of the server */
};

struct em_server {
    struct MHD_Daemon *daemon;
    em_server_handler *handler;
    void *context;
    struct em_connection *connections;
    struct em_server *next;
};

static struct em_server *servers;
static struct {
    int fd;
    void (*function)(void *context);
    void *context;
} watched[WATCH_MOST];
static int watched_count;
static bool ending;
static bool resumed; /* libmicrohttpd wants to be called, and does not say so itself */

static struct em_connection *new_connection(struct em_server *server, struct MHD_Connection *mhd, const char *url,
                                            const char *verb)
{
    struct em_connection *connection = em_alloc(sizeof(*connection));

    connection->server = server;
    connection->verb = em_strdup(verb);
    connection->path = em_strdup(url);
    connection->query = json_object();
    connection->mhd = em_alloc(sizeof(*connection->mhd));
    connection->mhd->connection = mhd;
    connection->mhd->next = server->connections;
    if (server->connections != NULL) {
        server->connections->mhd->previous = connection;
    }
    server->connections = connection;
    return connection;
}

void em_connection_free_request(struct em_connection *connection)
{
    json_decref(connection->request.variables);
    json_decref(connection->request.body);
    json_decref(connection->request.sent);
    free(connection->request.scope);
    json_decref(connection->query);
    free(connection->verb);
    free(connection->path);
    free(connection->body);
}

static void free_answer(struct em_answer *answer)
{
    json_decref(answer->body);
    json_decref(answer->headers);
    free(answer->text);
    memset(answer, 0, sizeof(*answer));
}

static void free_connection(struct em_connection *connection)
{
    struct em_connection_mhd *mhd = connection->mhd;

    em_timer_clear(&connection->timer);
    if (connection->forget != NULL) {
        connection->forget(connection);
    }
    if (mhd->previous != NULL) {
        mhd->previous->mhd->next = mhd->next;
    } else {
        connection->server->connections = mhd->next;
    }
    if (mhd->next != NULL) {
        mhd->next->mhd->previous = mhd->previous;
    }
    free_answer(&mhd->answer);
    free(mhd);
    em_connection_free_request(connection);
    free(connection);
}

static enum MHD_Result add_query(void *closure, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind;
    em_set(closure, key, value == NULL ? "" : value);
    return MHD_YES;
}

static void receive(struct em_connection *connection, const char *data, size_t size)
{
    if (connection->body_size + size > BODY_MOST) {
        connection->mhd->too_large = true;
        return;
    }
    connection->body = realloc(connection->body, connection->body_size + size + 1);
    if (connection->body == NULL) {
        abort();
    }
    memcpy(connection->body + connection->body_size, data, size);
    connection->body_size += size;
    connection->body[connection->body_size] = '\0';
}

static enum MHD_Result send_answer(struct em_connection *connection)
{
    struct em_answer *answer = &connection->mhd->answer;
    char *text = answer->text;
    struct MHD_Response *response;
    const char *name;
    json_t *value;
    enum MHD_Result result;

    if (answer->drop) {
        return MHD_NO;
    }
    if (text == NULL && answer->body != NULL) {
        text = json_dumps(answer->body, JSON_COMPACT);
    }
    answer->text = NULL;
    response = MHD_create_response_from_buffer(text == NULL ? 0 : strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        abort();
    }
    json_object_foreach(answer->headers, name, value)
    {
        MHD_add_response_header(response, name, json_string_value(value));
    }
    if (json_object_get(answer->headers, "Content-Type") == NULL) {
        MHD_add_response_header(response, "Content-Type",
                                answer->body != NULL ? "application/json; charset=UTF-8" : "text/plain");
    }
    result = MHD_queue_response(connection->mhd->connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void handle(struct em_connection *connection)
{
    connection->mhd->state = WAITING;
    MHD_get_connection_values(connection->mhd->connection, MHD_GET_ARGUMENT_KIND, add_query, connection->query);
    if (connection->mhd->too_large) {
        em_connection_answer(connection, (struct em_answer){.status = 413, .text = em_strdup("too large\n")});
        return;
    }
    connection->server->handler(connection);
}

static enum MHD_Result on_request(void *closure, struct MHD_Connection *mhd, const char *url, const char *verb,
                                  const char *version, const char *data, size_t *size, void **context)
{
    struct em_connection *connection = *context;

    (void)version;
    if (connection == NULL) {
        *context = new_connection(closure, mhd, url, verb);
        return MHD_YES;
    }
    if (*size > 0) {
        receive(connection, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (connection->mhd->state == RECEIVING) {
        handle(connection);
    }
    if (connection->mhd->state == WAITING) {
        connection->mhd->suspended = true;
        MHD_suspend_connection(mhd);
        return MHD_YES;
    }
    return send_answer(connection);
}

static void on_completed(void *closure, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
    (void)closure;
    (void)mhd;
    (void)code;
    if (*context != NULL) {
        free_connection(*context);
        *context = NULL;
    }
}

void em_connection_answer(struct em_connection *connection, struct em_answer answer)
{
    connection->forget = NULL;
    if (connection->finish != NULL) {
        connection->finish(connection, &answer);
    }
    if (connection->deliver != NULL) {
        connection->deliver(connection, answer);
        return;
    }
    connection->mhd->answer = answer;
    connection->mhd->state = ANSWERED;
    if (connection->mhd->suspended) {
        connection->mhd->suspended = false;
        MHD_resume_connection(connection->mhd->connection);
        resumed = true;
    }
}

const char *em_connection_header(const struct em_connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection->mhd->connection, MHD_HEADER_KIND, name);
}

void em_connection_peer(const struct em_connection *connection, char *text, size_t size)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr_in *address = info == NULL ? NULL : (const struct sockaddr_in *)info->client_addr;

    if (address == NULL || inet_ntop(AF_INET, &address->sin_addr, text, (socklen_t)size) == NULL) {
        snprintf(text, size, "?");
    }
}

int em_server_listen(const char *text, int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    socklen_t size = sizeof(address);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        listen(fd, 512) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

struct em_server *em_server_start(const char *address, int *port, int socket, em_server_handler *handler, void *context)
{
    struct em_server *server;
    int fd = socket >= 0 ? socket : em_server_listen(address, port);

    if (fd < 0) {
        return NULL;
    }
    server = em_alloc(sizeof(*server));
    server->handler = handler;
    server->context = context;
    server->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, server,
                                      MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                                      MHD_OPTION_CONNECTION_LIMIT, 4000u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                      (size_t)65536, MHD_OPTION_END);
    if (server->daemon == NULL) {
        close(fd);
        free(server);
        return NULL;
    }
    server->next = servers;
    servers = server;
    return server;
}

void *em_server_context(const struct em_server *server)
{
    return server->context;
}

/* On whoever still waits; false: nobody does. */
static bool hang_up(struct em_server *server)
{
    bool some = false;

    for (struct em_connection *connection = server->connections; connection != NULL;
         connection = connection->mhd->next) {
        em_timer_clear(&connection->timer);
        if (connection->mhd->suspended) {
            connection->finish = NULL;
            if (connection->forget != NULL) {
                connection->forget(connection);
            }
            em_connection_answer(connection, (struct em_answer){.drop = true});
            some = true;
        }
    }
    return some;
}

void em_server_stop(struct em_server *server)
{
    struct em_server **place = &servers;

    if (server == NULL) {
        return;
    }
    /* What is read while some are hung up on may have to wait in its turn, and with that MHD does not stop. */
    while (hang_up(server)) {
        MHD_run(server->daemon);
    }
    MHD_stop_daemon(server->daemon);
    while (*place != server) {
        place = &(*place)->next;
    }
    *place = server->next;
    free(server);
}

void em_loop_watch(int fd, void (*function)(void *context), void *context)
{
    int i = 0;

    while (i < watched_count && watched[i].fd != fd) {
        i++;
    }
    if (function == NULL) {
        if (i < watched_count) {
            watched[i] = watched[--watched_count];
        }
        return;
    }
    if (i == WATCH_MOST) {
        em_log(0, "too many descriptors to watch");
        abort();
    }
    watched[i].fd = fd;
    watched[i].function = function;
    watched[i].context = context;
    watched_count += i == watched_count;
}

static void run_watched(const struct pollfd *fds, int count)
{
    for (int i = 0; i < count; i++) {
        if (fds[i].revents == 0) {
            continue;
        }
        for (int k = 0; k < watched_count; k++) {
            if (watched[k].fd == fds[i].fd) {
                watched[k].function(watched[k].context);
                break;
            }
        }
    }
}

/* Fills in what to poll; the sooner of `timeout` and what libmicrohttpd wants. */
static int gather(struct pollfd *fds, nfds_t *count, int timeout)
{
    *count = 0;
    for (int i = 0; i < watched_count; i++) {
        fds[(*count)++] = (struct pollfd){.fd = watched[i].fd, .events = POLLIN};
    }
    for (struct em_server *server = servers; server != NULL && *count < 2 * WATCH_MOST; server = server->next) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        MHD_UNSIGNED_LONG_LONG wanted;

        fds[(*count)++] = (struct pollfd){.fd = info->epoll_fd, .events = POLLIN};
        if (MHD_get_timeout(server->daemon, &wanted) == MHD_YES && (timeout < 0 || wanted < (unsigned)timeout)) {
            timeout = (int)wanted;
        }
    }
    return resumed ? 0 : timeout;
}

void em_loop_run(void)
{
    static struct pollfd fds[2 * WATCH_MOST];
    nfds_t count;

    while (!ending) {
        int timeout = gather(fds, &count, em_timers_run());
        int own = watched_count;

        if (poll(fds, count, timeout) < 0 && errno != EINTR) {
            break;
        }
        run_watched(fds, own);
        resumed = false;
        for (struct em_server *server = servers; server != NULL; server = server->next) {
            MHD_run(server->daemon);
        }
    }
}

void em_loop_end(void)
{
    ending = true;
}
