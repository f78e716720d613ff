/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls into plugins. A call is made by the main thread, run by the worker of
 * its instance, and comes back to the main thread through the completion
 * queue; its results are deep copies, so nothing is shared while it runs.
 */
#ifndef HACTL_CORE_CALL_H
#define HACTL_CORE_CALL_H

#include <hactl/plugin.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/plugins.h"

#define HA_RECORDS(type, plural) \
    struct hactl_##type *plural; \
    size_t type##_count

/* A zone, or with NULL what belongs to no zone. */
struct ha_unread {
    char *zone, *why;
};

/* The opaque `struct hactl_call` of plugin.h. */
struct hactl_call {
    struct ha_instance *instance;
    char what[96];       /* "list", "member-add demo-2": for logs and errors */
    char intent[40];     /* empty: changes nothing */
    bool polls;          /* asks about a token, and needs to emit none */
    bool may_pend;       /* changes something: HACTL_PENDING is an answer */
    bool interruptible;  /* host->cancelled() tells it of the first interrupt; others come to their end */
    bool looks;          /* and this one's comes a little later: what is nearly seen is still seen */
    int64_t timeout_ms;  /* from when the worker enters the plugin: a queue costs no time */
    int64_t deadline_ms; /* CLOCK_MONOTONIC; set then */
    /* Runs in the worker: enters the plugin with the arguments behind `context`. */
    int (*run)(struct hactl_call *call);
    void *context;
    void (*context_free)(void *context); /* optional */
    /* results */
    int code;
    char text[640];
    bool refused; /* something that it emitted: whatever it answers is a defect */
    uint32_t retry_after_ms;
    char *token;
    char *emitted_text;
    HA_RECORDS(zone, zones);
    HA_RECORDS(instance, instances);
    HA_RECORDS(delivery, deliveries);
    HA_RECORDS(address, addresses);
    HA_RECORDS(reach, reaches);
    HA_RECORDS(certificate, certificates);
    HA_RECORDS(credential, credentials);
    HA_RECORDS(group, groups);
    HA_RECORDS(member, members);
    HA_RECORDS(balancer, balancers);
    HA_RECORDS(backend, backends);
    HA_RECORDS(file, files);
    HA_RECORDS(unit, units);
    HA_RECORDS(port, ports);
    HA_RECORDS(request, requests);
    HA_RECORDS(firewall, firewalls);
    struct ha_unread *unread; /* what could not be read completely */
    size_t unread_count;
    int64_t started_ms, ended_ms;
    /* the caller's own */
    void *user;
    struct hactl_call *next;
};

/* Note on the member named `instance` twice: the instance that is called is
 * `call->instance`, the emitted instances are `call->instances`. */

extern const struct hactl_host ha_host; /* the table given to plugins */

struct hactl_call *ha_call_new(struct ha_instance *instance, const char *what, int64_t timeout_ms);
/* Forgets the results, so that the same call can be made again. */
void ha_call_reset(struct hactl_call *call);
void ha_call_free(struct hactl_call *call); /* zeroizes credentials; accepts NULL */

/* Set by the interrupt handling; read by host->cancelled. */
void ha_cancel_set(bool cancelled);
bool ha_cancelled(void);
int64_t ha_cancelled_for_ms(void); /* since then; 0: it is not */

int64_t ha_now_ms(void); /* CLOCK_MONOTONIC */

/* ---- workers (core/worker.c) */

struct ha_completions; /* queue of finished calls, with an eventfd to poll */

struct ha_completions *ha_completions_new(void);
void ha_completions_free(struct ha_completions *completions);
int ha_completions_fd(const struct ha_completions *completions);
/* The next finished call, waiting at most `timeout_ms` (0: not at all, negative: for ever); NULL: none. */
struct hactl_call *ha_completions_take(struct ha_completions *completions, int64_t timeout_ms);

struct ha_worker *ha_worker_start(const char *name);
/* Finishes what is queued, then joins. */
void ha_worker_stop(struct ha_worker *worker);
/* Hands the call over; it comes back through `completions`. One that does not
 * return comes back as HACTL_E_INTERNAL some time after its deadline, and so do
 * those that wait for its worker. */
void ha_call_submit(struct hactl_call *call, struct ha_completions *completions);
/* Submits and waits for this one; for commands that make a single call. */
int ha_call_wait(struct hactl_call *call);
/* Some plugin has not returned: its thread may use its instance, and so the
 * configuration, until the process ends. */
bool ha_calls_hang(void);
void ha_calls_note_hang(void);

#endif
