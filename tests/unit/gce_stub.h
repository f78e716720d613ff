/* SPDX-License-Identifier: Apache-2.0 */
/* A web server in threads of the test, that answers as the test's function
 * says. It knows nothing of Compute Engine. */
#ifndef HACTL_TESTS_GCE_STUB_H
#define HACTL_TESTS_GCE_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gce_stub_request {
    const char *method, *path; /* with its query */
    const char *head;          /* request line and headers */
    const char *body;          /* "" when there is none */
};

struct gce_stub_answer {
    int status;
    const char *header; /* optional; a whole line */
    char body[1 << 20];
    bool drop; /* close the connection without an answer */
};

/* Entered by one request at a time. */
typedef void gce_stub_answerer(const struct gce_stub_request *request, struct gce_stub_answer *answer);

struct gce_stub;
struct gce_stub *gce_stub_start(gce_stub_answerer *answerer);
void gce_stub_stop(struct gce_stub *stub);
uint16_t gce_stub_port(const struct gce_stub *stub);
/* How many requests began so ("POST /token"), since the start or the last reset. */
size_t gce_stub_count(struct gce_stub *stub, const char *beginning);
size_t gce_stub_connections(struct gce_stub *stub);
void gce_stub_reset(struct gce_stub *stub);
/* The request of that number, "METHOD PATH\nBODY"; NULL past the end. */
const char *gce_stub_request_at(struct gce_stub *stub, size_t index);

#endif
