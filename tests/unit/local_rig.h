/* SPDX-License-Identifier: Apache-2.0 */
/* The local cloud in a directory and a network of the test's own. What it is given to
 * run is the test's own program, called as "PROGRAM unit serve|deaf|fail ...". */
#ifndef HACTL_TESTS_LOCAL_RIG_H
#define HACTL_TESTS_LOCAL_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <sys/types.h>

#include "plugins/local/local.h"
#include "tests/support/fake_host.h"

#define PORT     2379
#define ENDPOINT 6443
#define EXTERNAL at(1)

struct world {
    char directory[128];
    struct hactl_conf *conf;
    void *self;
    struct hactl_call *call; /* the last one */
};

/* One of all that the test opens; top: the directory of all of it. */
extern struct world world;
extern char top[64];

/* An address of the test's own network; each of the last eight stays. */
const char *at(unsigned host);

/* ---- a cloud to ask */

/* Every question gets a call of its own; its answers stay until the next. */
struct hactl_call *next_call(void);
/* `wanted`: its network, or NULL. */
int open_cloud(struct world *out, const char *cluster, const char *directory, const char *wanted);
void close_cloud(struct world *old);
const struct hactl_cloud_ops *cloud(void);

void make_instance(const char *name);
int ensure_again(const char *name);
int destroy(const char *name);
int claim(const char *instance);
int release(const char *instance);
/* Whose the address is: "" for nobody. */
const char *owner(void);
/* All of demo-1, demo-2 and demo-3. */
void down(void);

/* What a test changes of the payload that all of them deliver. */
struct order {
    const char *mode, *content, *path, *program, *unit, *digest;
    uint16_t port;
    uint32_t stop_timeout_ms;
    bool keep_running;
};

int deliver(const char *instance, const char *address, struct order order);
int deliver_usual(const char *instance);

/* ---- what came of it */

/* A path below the cloud's directory; the format has %s for the instance. */
const char *below(const char *format, const char *instance);
pid_t unit_pid(const char *instance);
void wait_until_gone(pid_t pid); /* of demo-1 */
void pause_ms(long ms);
/* Of processes that work below the directory of this test. */
void expect_processes(size_t wanted);

int dial(const char *address, uint16_t port); /* -1 and errno */
/* Sends a byte, gets the greeting. */
bool ask(int fd, const char *wanted);
/* Starting takes the server a moment. */
bool ask_soon(const char *address, uint16_t port, const char *wanted);

/* ---- the frame */

int local_begin(void **state);
/* Whatever a test did, `down` leaves nothing of it. */
int local_end(void **state);
#define EACH(test) cmocka_unit_test_setup_teardown(test, local_begin, local_end)

/* First in main(): a unit never comes back from it. */
void local_rig(int argc, char **argv);

#endif
