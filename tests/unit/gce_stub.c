/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gce_stub.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 64, REQUESTS = 4096, REQUEST_LIMIT = 1 << 20 };

struct connection {
    struct gce_stub *stub;
    int fd;
    pthread_t thread;
    bool used, ended;
};

struct gce_stub {
    gce_stub_answerer *answerer;
    pthread_mutex_t mutex;
    pthread_t thread;
    int fd;
    uint16_t port;
    struct connection connections[CONNECTIONS];
    size_t connection_count; /* in all */
    char *requests[REQUESTS];
    size_t request_count;
};

static void die(const char *what)
{
    perror(what);
    abort();
}

static void note(struct gce_stub *stub, const struct gce_stub_request *request)
{
    char *text = NULL;

    /* A server of many requests keeps the first of them. */
    if (stub->request_count == REQUESTS)
        return;
    if (asprintf(&text, "%s %s\n%s", request->method, request->path, request->body) < 0)
        die("gce_stub");
    stub->requests[stub->request_count++] = text;
}

static bool send_answer(int fd, const struct gce_stub_answer *answer)
{
    char *text;
    int length = asprintf(&text, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s%s\r\n%s",
                          answer->status, strlen(answer->body), answer->header ? answer->header : "",
                          answer->header ? "\r\n" : "", answer->body);
    bool sent = length > 0 && send(fd, text, (size_t)length, MSG_NOSIGNAL) == length;

    free(text);
    return sent;
}

/* One whole request at the start of `buffer`: its length, or 0. */
static size_t whole(const char *buffer, size_t size)
{
    const char *end = memmem(buffer, size, "\r\n\r\n", 4), *length;
    size_t head, body = 0;

    if (!end)
        return 0;
    head = (size_t)(end - buffer) + 4;
    length = memmem(buffer, head, "Content-Length: ", 16);
    if (length)
        body = strtoul(length + 16, NULL, 10);
    return size >= head + body ? head + body : 0;
}

static bool serve_one(struct connection *connection, char *text, size_t length)
{
    struct gce_stub *stub = connection->stub;
    struct gce_stub_answer *answer = calloc(1, sizeof(*answer));
    struct gce_stub_request request = {0};
    char *copy = strndup(text, length), *body = NULL, *method, *path, *rest = NULL, *line;
    bool goes_on;

    if (!answer || !copy || !(body = strstr(copy, "\r\n\r\n")))
        die("gce_stub");
    *body = '\0';
    request.body = body + 4;
    request.head = copy;
    line = strndup(copy, strcspn(copy, "\r"));
    method = strtok_r(line, " ", &rest);
    path = strtok_r(NULL, " ", &rest);
    request.method = method ? method : "";
    request.path = path ? path : "";
    answer->status = 200;
    pthread_mutex_lock(&stub->mutex);
    note(stub, &request);
    stub->answerer(&request, answer);
    pthread_mutex_unlock(&stub->mutex);
    goes_on = !answer->drop && send_answer(connection->fd, answer);
    free(line);
    free(copy);
    free(answer);
    return goes_on;
}

static void *serve(void *argument)
{
    struct connection *connection = argument;
    char *buffer = malloc(REQUEST_LIMIT);
    size_t used = 0, length;
    ssize_t got;

    while (buffer && (got = recv(connection->fd, buffer + used, REQUEST_LIMIT - used, 0)) > 0) {
        used += (size_t)got;
        while ((length = whole(buffer, used)) > 0) {
            if (!serve_one(connection, buffer, length)) {
                shutdown(connection->fd, SHUT_RDWR);
                used = 0;
                break;
            }
            memmove(buffer, buffer + length, used - length);
            used -= length;
        }
    }
    free(buffer);
    pthread_mutex_lock(&connection->stub->mutex);
    connection->ended = true;
    pthread_mutex_unlock(&connection->stub->mutex);
    return NULL;
}

static void forget(struct connection *connection)
{
    pthread_join(connection->thread, NULL);
    close(connection->fd);
    connection->used = connection->ended = false;
}

static struct connection *free_slot(struct gce_stub *stub)
{
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (stub->connections[i].ended)
            forget(&stub->connections[i]);
        if (!stub->connections[i].used)
            return &stub->connections[i];
    }
    die("gce_stub: too many connections");
    return NULL;
}

static void *accept_all(void *argument)
{
    struct gce_stub *stub = argument;
    int fd;

    while ((fd = accept4(stub->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct connection *connection;

        pthread_mutex_lock(&stub->mutex);
        connection = free_slot(stub);
        stub->connection_count++;
        connection->used = true;
        connection->stub = stub;
        connection->fd = fd;
        if (pthread_create(&connection->thread, NULL, serve, connection) != 0)
            die("pthread_create");
        pthread_mutex_unlock(&stub->mutex);
    }
    return NULL;
}

struct gce_stub *gce_stub_start(gce_stub_answerer *answerer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    struct gce_stub *stub = calloc(1, sizeof(*stub));

    if (!stub)
        die("calloc");
    stub->answerer = answerer;
    pthread_mutex_init(&stub->mutex, NULL);
    stub->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stub->fd < 0 || bind(stub->fd, (struct sockaddr *)&address, size) < 0 || listen(stub->fd, 32) < 0 ||
        getsockname(stub->fd, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    stub->port = ntohs(address.sin_port);
    if (pthread_create(&stub->thread, NULL, accept_all, stub) != 0)
        die("pthread_create");
    return stub;
}

void gce_stub_stop(struct gce_stub *stub)
{
    if (!stub)
        return;
    shutdown(stub->fd, SHUT_RDWR);
    pthread_join(stub->thread, NULL);
    close(stub->fd);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (!stub->connections[i].used)
            continue;
        shutdown(stub->connections[i].fd, SHUT_RDWR);
        forget(&stub->connections[i]);
    }
    gce_stub_reset(stub);
    pthread_mutex_destroy(&stub->mutex);
    free(stub);
}

uint16_t gce_stub_port(const struct gce_stub *stub)
{
    return stub->port;
}

size_t gce_stub_count(struct gce_stub *stub, const char *beginning)
{
    size_t count = 0;

    pthread_mutex_lock(&stub->mutex);
    for (size_t i = 0; i < stub->request_count; i++)
        count += strncmp(stub->requests[i], beginning, strlen(beginning)) == 0;
    pthread_mutex_unlock(&stub->mutex);
    return count;
}

size_t gce_stub_connections(struct gce_stub *stub)
{
    size_t count;

    pthread_mutex_lock(&stub->mutex);
    count = stub->connection_count;
    pthread_mutex_unlock(&stub->mutex);
    return count;
}

const char *gce_stub_request_at(struct gce_stub *stub, size_t index)
{
    const char *text;

    pthread_mutex_lock(&stub->mutex);
    text = index < stub->request_count ? stub->requests[index] : NULL;
    pthread_mutex_unlock(&stub->mutex);
    return text;
}

void gce_stub_reset(struct gce_stub *stub)
{
    pthread_mutex_lock(&stub->mutex);
    for (size_t i = 0; i < stub->request_count; i++)
        free(stub->requests[i]);
    stub->request_count = 0;
    pthread_mutex_unlock(&stub->mutex);
}
