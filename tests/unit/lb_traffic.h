/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that echo, and clients that notice when nobody does, in a network of the test's own. */
#ifndef HACTL_TESTS_LB_TRAFFIC_H
#define HACTL_TESTS_LB_TRAFFIC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define PORT         7443
#define BACKEND_PORT 7500

enum { LB_ADDRESS_SIZE = 20 };

/* Defined by each program: the third part of its addresses, 127.44.N.0/24. */
extern const unsigned lb_network;
/* Where clients ask; the fixture sets it. */
extern char public_address[LB_ADDRESS_SIZE];
void lb_address(char address[LB_ADDRESS_SIZE], unsigned host);

double now_ms(void);
void sleep_ms(long ms);

/* ---- an echo server, one thread for all its connections */

struct echo {
    char address[LB_ADDRESS_SIZE];
    int listener;
    pthread_t thread;
    atomic_bool stop;
    atomic_int served; /* connections that brought data: checks bring none */
};

int listen_on(const char *address, uint16_t port);
void echo_start(struct echo *echo, int number);
void echo_stop(struct echo *echo);

/* ---- clients */

/* A connection, or -errno. */
int dial(const char *address, uint16_t port);
/* 0 if what is sent comes back. */
int ask(int fd);
bool answers(const char *address, uint16_t port);

/* Asks over a new connection each time, and over one that it keeps. */
struct prober {
    pthread_t thread;
    atomic_bool stop;
    bool persistent;                   /* keep one, too */
    atomic_int answered, kept_answers; /* waited for by the test */
    int refused, failed, broken;
    int ended;       /* of the broken ones: by the other side, not for want of an answer in time */
    double worst_ms; /* the longest time between two answers */
    char why[128];   /* the first exchange that failed and should not have */
};

enum { REPEAT_MS = 250 };

void *prober_run(void *data);
/* The client of the promise: repeats once, and no sooner than clients do. */
void *client_run(void *data);
void prober_start(struct prober *prober, void *(*run)(void *), bool persistent);
/* Its connections are made: one that still queues is lost with the listener, as
 * one that was refused. */
void prober_settle(struct prober *prober);
void prober_stop(struct prober *prober);

#endif
