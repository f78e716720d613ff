/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call into a plugin, made ready: which instance, which operation, with
 * which arguments. Nothing runs until it is submitted.
 */
#ifndef HACTL_CORE_ASKS_H
#define HACTL_CORE_ASKS_H

#include "core/session.h"

enum ha_subject {
    HA_SUBJECT_CLOUD,
    HA_SUBJECT_ISSUER,
    HA_SUBJECT_GROUP,
    HA_SUBJECT_BALANCER,
    HA_SUBJECT_READY,
    HA_SUBJECT_TRIAL,
    HA_SUBJECT_ENDPOINT,
    HA_SUBJECTS
};

/* Looks at one part of the world; `index`: replica or group. NULL when there
 * is nothing to ask (no such plugin, nobody to dial). */
struct hactl_call *ha_ask_observe(struct ha_session *session, enum ha_subject subject, int index);

/* Side results of lists: of the cloud, which reach record is whose (name,
 * port); of the issuer, which credential record is which (payload, part). */
enum { HA_FOUND = HA_REPLICAS * HA_PAYLOADS * 2 };
struct ha_found {
    int count;
    struct {
        const char *name;
        int port, part;
        size_t record;
    } items[HA_FOUND];
};
const struct ha_found *ha_call_found(const struct hactl_call *call);

/* The operation of a step; NULL for steps that only wait. MEMBER_START and
 * COMPONENTS_START begin with render and go on through delivery.c. */
struct hactl_call *ha_ask_step(struct ha_session *session, const struct ha_step *step, int64_t timeout_ms);

/* What the replica wants to have certified; NULL: the cloud cannot tell. */
struct hactl_call *ha_ask_requests(struct ha_session *session, int replica, int64_t timeout_ms);
/* Signs what `requested` emitted. */
struct hactl_call *ha_ask_issue(struct ha_session *session, int replica, const struct hactl_call *requested,
                                int64_t timeout_ms);
struct hactl_call *ha_ask_poll(struct ha_session *session, struct ha_instance *instance, const char *token,
                               int64_t timeout_ms);
struct hactl_call *ha_ask_render(struct ha_session *session, int payload, int replica, int64_t timeout_ms);
struct hactl_call *ha_ask_credential(struct ha_session *session, const char *replica, const char *purpose,
                                     const char *part);
/* That part, sealed to the key for `recipient` of that replica; NULL: this issuer cannot. */
struct hactl_call *ha_ask_seal(struct ha_session *session, const char *purpose, const char *part, const char *replica,
                               const char *recipient);
/* What an issuer may offer beside its steps; NULL: this one does not. */
struct hactl_call *ha_ask_sign(struct ha_session *session, const char *replica, const char *purpose,
                               const char *request);
struct hactl_call *ha_ask_request(struct ha_session *session, const char *replica);
struct hactl_call *ha_ask_import(struct ha_session *session, const char *certificate);
/* Delivers what was rendered; its files must all have content by now. */
struct ha_delivery_work;
struct hactl_call *ha_ask_deliver(struct ha_session *session, const struct ha_delivery_work *work, int64_t timeout_ms);
struct hactl_call *ha_ask_ports(struct ha_session *session, int payload);
/* NULL: the plugin cannot say. */
struct hactl_call *ha_ask_programs(struct ha_session *session, int payload);
/* Of what `programs` emitted. NULL: the cloud cannot say. */
struct hactl_call *ha_ask_can_run(struct ha_session *session, const struct hactl_call *programs);
struct hactl_call *ha_ask_zones(struct ha_session *session);
struct hactl_call *ha_ask_check(struct ha_instance *instance);
struct hactl_call *ha_ask_unit_log(struct ha_session *session, const char *instance, const char *unit);
/* NULL: the plugin makes none. */
struct hactl_call *ha_ask_snapshot(struct ha_session *session, int group, const char *path, int64_t timeout_ms);
struct hactl_call *ha_ask_move_leader(struct ha_session *session, int group, const char *to_id, int64_t timeout_ms);
/* `certificate`: its PEM. */
struct hactl_call *ha_ask_revoke(struct ha_session *session, const char *certificate, int64_t timeout_ms);
struct hactl_call *ha_ask_forget(struct ha_session *session, int64_t timeout_ms);

/* Submits the call and waits until what it began is over, polling; for what is
 * asked outside a plan. Returns its code, which is never HACTL_PENDING. */
int ha_ask_to_the_end(struct ha_session *session, struct hactl_call *call);

#endif
