/* SPDX-License-Identifier: Apache-2.0 */
/* lib/gce before a server that says what a script wants. */
#ifndef HACTL_TESTS_GCE_API_RIG_H
#define HACTL_TESTS_GCE_API_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/gce/gce.h"
#include "tests/support/fake_host.h"
#include "tests/unit/gce_stub.h"

/* What the test has open; file: credentials.json in its directory. */
extern struct gce_api_world {
    struct gce_stub *stub;
    struct hactl_conf *conf;
    struct hactl_call *call;
    struct gce *gce;
    char directory[64], file[128];
} world;

/* What the server says, and what it was asked. */
extern struct gce_api_script {
    int token_status;
    const char *token_body, *token_header;
    char last_token_request[8192], last_head[4096];
    int status; /* of the API */
    const char *body;
    int refuse_tokens; /* so many requests with a 401 first */
    int drop;          /* so many changing requests whose answer is lost */
    char ids[8][64];
    int id_count;
} script;

/* A test's setup and teardown. */
int setup(void **state);
int teardown(void **state);
/* As after setup: tokens are given, and the API answers with an empty object. */
void reset_script(void);

/* What every call is for; request ids are made of it. */
extern const char *intent;
/* Ends the call before it. */
struct hactl_call *next_call(void);
/* Of the server; each of the last eight stays. */
const char *url(const char *path);
/* A file of the test's directory, which is gcloud's configuration, too. */
void write_file(const char *name, const char *text);

/* Whoever was open is closed. `more` ends with a NULL key. */
int open_gce(const struct fake_setting *more);
void close_gce(void);

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
