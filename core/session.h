/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command works with: configuration, plugins, store, and the three
 * things it may do with a cluster: observe it, plan for it, change it. The
 * commands (cmd_*.c) parse, call this, and print.
 */
#ifndef HACTL_CORE_SESSION_H
#define HACTL_CORE_SESSION_H

#include "core/call.h"
#include "core/configuration.h"
#include "core/error.h"
#include "core/journal.h"
#include "core/planner.h"
#include "core/plugins.h"
#include "core/store.h"

/* Global options, as the command line gave them. */
struct ha_options {
    const char *config;
    const char *const *sets; /* ends with NULL */
    bool json;               /* -o json */
    bool dry_run, yes, detailed_exitcode;
    bool accept_budget_zero; /* --accept-budget 0 */
    int64_t timeout_ms;      /* of the whole operation; 0: each step's own */
    int64_t lock_timeout_ms; /* -1: the configuration's */
    const char *operation;   /* --op */
    const char *stage;       /* stage run: only this one */
    const char *command;     /* "replica add", for the lock's text; NULL: not known */
    /* One that was read already, for the next session to take over; NULL, or NULL in it: the session reads it. */
    struct ha_configuration **configuration;
};

/* A certificate as observed, for reports. */
struct ha_certificate {
    char purpose[HA_NAME], replica[HA_NAME], authority[HA_NAME], reason[512], subject[128], names[1024], path[512];
    char wanted[2048]; /* the names it is to have, each with why */
    int64_t not_before_s, not_after_s, due_s, retire_s;
    enum hactl_tristate ready;
    enum hactl_rotation rotation;
    bool is_authority, revocations, rotates, carries_trust, new_key;
};

struct ha_observation {
    struct ha_model model;
    struct ha_certificate *certificates;
    size_t certificate_count;
    uint16_t endpoint_port;
    char fronts[HA_NAME];            /* "etcd-client": which port the endpoint fronts */
    char balancer_detail[HA_DETAIL]; /* for people: what its plugin says of it, such as why it does not run */
    char
        cloud_place[HA_DETAIL]; /* "project p-1, region us-central1": what the cloud's settings lead to; "": not said */
};

struct ha_session {
    const struct ha_options *options;
    struct ha_configuration *configuration;
    struct ha_plugins *plugins;
    struct ha_store *store;
    struct ha_desired desired;
    struct ha_completions *completions;
    struct ha_instance *cloud, *issuer, *balancer; /* NULL: none configured */
    struct ha_instance *payloads[HA_PAYLOADS];
    int payload_count; /* those of groups first */
    int group_count;   /* payloads[0..group_count) are member plugins too */
    struct ha_observation observed;
    struct ha_session_private *private;
};

/* HA_OF_ANY_CLOUD: only the configuration is shown, whichever cluster the store knows. */
enum ha_session_need { HA_NEED_CONFIGURATION = 1, HA_NEED_PLUGINS = 2, HA_NEED_LOCK = 4, HA_OF_ANY_CLOUD = 8 };

/* `verb` names the pipeline and, in the lock's text, what is going on. */
int ha_session_open(const struct ha_options *options, unsigned needs, const char *verb, struct ha_session **out,
                    struct ha_error *error);
void ha_session_close(struct ha_session *session);

/* Notes which cloud the cluster is made by, and (once that was looked at) in which place, where that is not known yet.
 */
void ha_session_note_cloud(const struct ha_session *session, struct ha_desired *desired);
/* That there is one, the configuration's; or that there is none. */
void ha_session_note_balancer(const struct ha_session *session, bool there, struct ha_desired *desired);
/* That the configuration's has made certificates, where that is not known yet. */
void ha_session_note_issuer(const struct ha_session *session, struct ha_desired *desired);
/* Some of what it lists is there. */
bool ha_session_some_certificate(const struct ha_session *session);

/* Asks every plugin, side by side; fills session->observed. Changes nothing. */
int ha_session_observe(struct ha_session *session, unsigned scopes, struct ha_error *error);

/* ---- changing */

enum ha_request_kind {
    HA_REQUEST_UP,
    HA_REQUEST_DOWN,
    HA_REQUEST_ADD,
    HA_REQUEST_REMOVE,
    HA_REQUEST_REPLACE,
    HA_REQUEST_PROMOTE,
    HA_REQUEST_DEMOTE,
    HA_REQUEST_RECONCILE,
    HA_REQUEST_ROTATE,
    HA_REQUEST_RENEW,
    HA_REQUEST_STAGE,
    HA_REQUEST_RESUME,
    HA_REQUEST_ABORT
};

struct ha_request {
    enum ha_request_kind kind;
    const char *name; /* replica, stage, operation, authority; renew: what, divided by spaces */
    const char *zone;
    const char *phase; /* rotate: "trust", "back", ... */
    bool rekey;        /* renew */
    bool all;          /* remove: every replica of the zone */
    int replicas;      /* up: how many; 0: as configured or stored */
};

/* How a change went; kept in the journal's end record and printed. */
struct ha_report {
    char operation[64];
    uint64_t generation;
    int steps, replans;
    int64_t wall_ms, cpu_ms;
    unsigned syncs, calls;
    bool gap_measured;
    int64_t endpoint_gap_ms; /* last good answer (or first probe) to first good answer; 0: none seen */
    unsigned probes, probes_failed;
    struct {
        char text[HA_NAME * 3];
        int64_t ms;
    } timings[HA_STEPS];
    int timing_count;
    bool nothing_to_do;
};

/* What the request would write as desired state, and the plan towards it;
 * reads only. `warnings`: one line each, about even counts and zones. */
int ha_session_prepare(struct ha_session *session, const struct ha_request *request, struct ha_desired *desired,
                       struct ha_plan *plan, char (*warnings)[256], int *warning_count, struct ha_error *error);

/* Called as things go on; all optional. From the main thread only. */
struct ha_listener {
    void *context;
    void (*planned)(void *context, const struct ha_plan *plan);
    void (*step_started)(void *context, int index, const struct ha_step *step);
    void (*step_waiting)(void *context, int index, const char *why); /* busy, retrying */
    void (*step_ended)(void *context, int index, const struct ha_step *step, int64_t ms, const char *failure);
    void (*said)(void *context, const char *text); /* "replanned: ...", "gave the address back to demo-1" */
};

/* Prepares, asks `consent` (NULL: given) with the plan, writes the next
 * generation, converges, verifies. `report` is all zero before. */
typedef bool ha_consent(void *context, const struct ha_plan *plan, const char (*warnings)[256], int warning_count);
int ha_session_change(struct ha_session *session, const struct ha_request *request, ha_consent *consent,
                      void *consent_context, const struct ha_listener *listener, struct ha_report *report,
                      struct ha_error *error);

/* One call to a group's member plugin with its endpoints and TLS filled in,
 * for `etcd snapshot|move-leader`. */
int ha_session_snapshot(struct ha_session *session, const char *group, const char *path, char digest[65],
                        struct ha_error *error);
/* Could `to` (NULL: anyone) lead? As it was last observed. */
int ha_session_successor(struct ha_session *session, const char *group, const char *to, struct ha_error *error);
int ha_session_move_leader(struct ha_session *session, const char *group, const char *to, struct ha_error *error);
/* `check` of every instance: first failure in `error`, each said to `hear`. */
int ha_session_check(struct ha_session *session,
                     void (*hear)(void *context, const char *instance, int code, const char *text), void *context,
                     struct ha_error *error);

#endif
