/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/lb on real HAProxy, before replicas that are threads that echo. LB_GAPS=1 prints measured gaps. */
#ifndef HACTL_TESTS_LB_RIG_H
#define HACTL_TESTS_LB_RIG_H

#include "tests/support/fake_host.h"
#include "tests/unit/lb_traffic.h"

#include <sys/types.h>

#define BACKENDS 3

struct fixture {
    char *directory;
    struct hactl_conf *conf;
    void *self;
    struct hactl_cluster cluster;
    struct hactl_balancer_want want;
    struct echo echoes[BACKENDS];
    struct hactl_call *listed;
};

void fixture_open(struct fixture *f, const struct fake_setting *settings);
void fixture_close(struct fixture *f);
int setup(void **state);
int teardown(void **state);
/* Runs the tests, or those that HACTL_TEST_ONLY names. */
int lb_run(const struct CMUnitTest *tests, size_t count);

/* ---- what is asked of the plugin */

enum verb { LIST, ENSURE, DESTROY, CLAIM, RELEASE, BACKEND_DESTROY };

/* `out`, unless NULL, is the caller's; without it an error is printed. */
int doing(struct fixture *f, enum verb verb, const char *text, struct hactl_call **out);
int backend(struct fixture *f, int i);
/* The one balancer, or NULL; both it and f->listed stay until the next one. */
const struct hactl_balancer *list(struct fixture *f);
bool trial_answers(struct fixture *f);
/* A balancer with so many backends, all of them healthy. */
void whole(struct fixture *f, size_t count);

/* ---- what is waited for */

size_t healthy(struct fixture *f);
/* How long it took, in ms. */
double wait_healthy(struct fixture *f, size_t count);
/* The check of that backend has said so, however busy this machine is. */
void wait_detail(struct fixture *f, size_t index, const char *word);
void wait_served(const struct echo *echo, int before);
/* Nothing has come for 100 ms, as it never does while clients are sent there. */
void wait_quiet(const struct echo *echo);
pid_t haproxy_pid(struct fixture *f);
/* Ended; whether its parent has taken notice is not this test's matter. */
bool ended(pid_t pid);

#endif
