/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of plugins over Compute Engine share: the emulator, in which the
 * test runs itself, its controls, and a plugin driven as the core would: an
 * operation that answers PENDING is polled and asked again.
 */
#ifndef HACTL_TESTS_UNIT_GCE_RIG_H
#define HACTL_TESTS_UNIT_GCE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/support/fake_host.h"

/* The plugin under test and its last call. */
struct gce_world {
    struct hactl_conf *conf, *cloud;
    struct hactl_call *call;
    void *self;
    char directory[64], intent[40], address[64], program[4096];
    size_t polls;
};
extern struct gce_world world;

/* Output of a shell command that must end well, in one buffer of all these functions. */
const char *run_curl(const char *command);
/* The emulator's controls; see its README. */
const char *control(const char *verb, const char *path, const char *body);
void fault(const char *rule);
/* One of Google's own calls, as another client would make it; the second through jq, its first line. */
const char *api(const char *verb, const char *path, const char *body);
const char *api_filter(const char *verb, const char *path, const char *body, const char *filter);
/* The same, and the wait for its operation. */
void api_change(const char *verb, const char *path, const char *body);

/* Calls since the last reset: of one method ("instances.insert"), all that change something. */
void forget_counts(void);
long calls_of(const char *method);
long changing_calls(void);

void new_intent(void);
struct hactl_call *next_call(void);
/* Until what the last call began is over. */
int poll_to_end(void);
bool asks_again(int rc, bool patient);

/* OPERATION until it is over; patiently: as the core does, also after what passes. */
#define DRIVE(operation, patient)                                        \
    __extension__({                                                      \
        int rc_ = HACTL_PENDING;                                         \
        for (int i_ = 0; i_ < 200 && asks_again(rc_, (patient)); i_++) { \
            next_call();                                                 \
            rc_ = (operation);                                           \
            if (rc_ == HACTL_PENDING) {                                  \
                int over_ = poll_to_end();                               \
                rc_ = over_ == HACTL_OK ? HACTL_PENDING : over_;         \
            }                                                            \
        }                                                                \
        rc_;                                                             \
    })

/* What a test program ends with: runs itself again inside the emulator, and the tests there. Says if there is none. */
int run_on_emulator(char **argv, const struct CMUnitTest *tests, size_t count);

#endif
