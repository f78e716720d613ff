/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP: listeners, connections, answers now or later. libmicrohttpd does the protocol, our one loop calls it. */
#ifndef GCE_EMULATOR_SERVER_H
#define GCE_EMULATOR_SERVER_H

#include "counts.h"
#include "emulator.h"
#include "timers.h"

struct em_server;

/* One HTTP request. */
struct em_connection {
    struct em_server *server;
    char *verb;
    char *path; /* decoded, without the query */
    json_t *query;
    char *body;
    size_t body_size;
    /* Set by whoever handles it. */
    struct em_request request;
    struct em_call_count count;
    bool counted;
    struct em_timer timer;
    void *context;
    /* Called once, before the answer goes out; may change it. */
    void (*finish)(struct em_connection *connection, struct em_answer *answer);
    /* Called when it is gone while somebody still wanted to answer. */
    void (*forget)(struct em_connection *connection);
    /* Part of a batch: who gets the answer. */
    void (*deliver)(struct em_connection *connection, struct em_answer answer);
    struct em_connection_mhd *mhd;
};

/* Answers by em_connection_answer(), at once or later. */
typedef void em_server_handler(struct em_connection *connection);

/* Listens on address:port (0: any), or on `socket` when that is not -1. `context` is the handler's. NULL: errno says.
 */
struct em_server *em_server_start(const char *address, int *port, int socket, em_server_handler *handler,
                                  void *context);
/* A listening socket, in the namespace of the calling thread; -1: errno says. */
int em_server_listen(const char *address, int *port);
void *em_server_context(const struct em_server *server);
void em_server_stop(struct em_server *server);

/* Takes the answer. */
void em_connection_answer(struct em_connection *connection, struct em_answer answer);
/* A header of the request, or NULL. */
const char *em_connection_header(const struct em_connection *connection, const char *name);
/* "127.0.0.1" */
void em_connection_peer(const struct em_connection *connection, char *text, size_t size);
void em_connection_free_request(struct em_connection *connection);

/* Also watched by the loop: called when fd can be read. NULL removes it. */
void em_loop_watch(int fd, void (*function)(void *context), void *context);
/* Runs until em_loop_end(). */
void em_loop_run(void);
void em_loop_end(void);

#endif
