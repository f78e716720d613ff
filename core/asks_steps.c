/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of steps, and of deliveries, which are made of several. */
#include <stdio.h>
#include <string.h>

#include "core/asks_internal.h"
#include "core/delivery.h"
#include "core/wants.h"

/* ---- the operations, entered by the worker */

static int run_address_ensure(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, cloud)->address_ensure(SELF(c), c, a->name, (enum hactl_address_kind)a->number, a->other, a->third);
}

static int run_address_destroy(struct hactl_call *c)
{
    return OPS(c, cloud)->address_destroy(SELF(c), c, ARGUMENTS(c)->name,
                                          (enum hactl_address_kind)ARGUMENTS(c)->number);
}

static int run_instance_ensure(struct hactl_call *c)
{
    return OPS(c, cloud)->instance_ensure(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_instance_destroy(struct hactl_call *c)
{
    return OPS(c, cloud)->instance_destroy(SELF(c), c, ARGUMENTS(c)->name);
}

static int run_deliver(struct hactl_call *c)
{
    return OPS(c, cloud)->deliver(SELF(c), c, ARGUMENTS(c)->name, ARGUMENTS(c)->want);
}

static int run_claim(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, cloud)->claim(SELF(c), c, a->other, a->name, (uint16_t)a->port, (uint16_t)a->second_port);
}

static int run_release(struct hactl_call *c)
{
    return OPS(c, cloud)->release(SELF(c), c, ARGUMENTS(c)->other, ARGUMENTS(c)->name);
}

static int run_firewall_ensure(struct hactl_call *c)
{
    return OPS(c, cloud)->firewall_ensure(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_firewall_destroy(struct hactl_call *c)
{
    return OPS(c, cloud)->firewall_destroy(SELF(c), c);
}

static int run_requests(struct hactl_call *c)
{
    return OPS(c, cloud)->requests(SELF(c), c, ARGUMENTS(c)->name);
}

static int run_temporary_address_ensure(struct hactl_call *c)
{
    return OPS(c, cloud)->temporary_address_ensure(SELF(c), c, ARGUMENTS(c)->name);
}

static int run_temporary_address_destroy(struct hactl_call *c)
{
    return OPS(c, cloud)->temporary_address_destroy(SELF(c), c, ARGUMENTS(c)->name);
}

static int run_authority(struct hactl_call *c)
{
    return OPS(c, issuer)->authority_ensure(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_issue(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, issuer)->issue(SELF(c), c, a->want, a->name, a->second, (size_t)a->number);
}

static int run_rotate(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    if (!OPS(c, issuer)->rotate)
        return ha_call_fail(c, HACTL_E_UNSUPPORTED, "this issuer cannot rotate its authorities");
    return OPS(c, issuer)->rotate(SELF(c), c, a->want, a->name, (enum hactl_rotation)a->number);
}

static int run_retire(struct hactl_call *c)
{
    return OPS(c, issuer)->retire(SELF(c), c, ARGUMENTS(c)->name);
}

static int run_issuer_destroy(struct hactl_call *c)
{
    return OPS(c, issuer)->destroy(SELF(c), c);
}

static int run_seal(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, issuer)->seal(SELF(c), c, a->other, a->third, a->name, a->want);
}

static int run_member_add(struct hactl_call *c)
{
    return OPS(c, member)->add(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->second);
}

static int run_promote(struct hactl_call *c)
{
    return OPS(c, member)->promote(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->name);
}

static int run_move_leader(struct hactl_call *c)
{
    return OPS(c, member)->move_leader(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->name);
}

static int run_member_remove(struct hactl_call *c)
{
    return OPS(c, member)->remove(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->name);
}

static int run_render(struct hactl_call *c)
{
    return OPS(c, payload)->render(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_balancer_ensure(struct hactl_call *c)
{
    return OPS(c, balancer)->ensure(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_backend_ensure(struct hactl_call *c)
{
    return OPS(c, balancer)->backend_ensure(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->second);
}

static int run_backend_destroy(struct hactl_call *c)
{
    return OPS(c, balancer)->backend_destroy(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->name);
}

static int run_balancer_claim(struct hactl_call *c)
{
    return OPS(c, balancer)->claim(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->other);
}

static int run_balancer_release(struct hactl_call *c)
{
    return OPS(c, balancer)->release(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->other);
}

static int run_balancer_destroy(struct hactl_call *c)
{
    return OPS(c, balancer)->destroy(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_poll(struct hactl_call *c)
{
    return c->instance->plugin->descriptor->poll(SELF(c), c, ARGUMENTS(c)->name);
}

/* ---- which of them, with what */

/* Which plugin a kind of step calls, and how. */
enum addressee { TO_NOBODY, TO_CLOUD, TO_ISSUER, TO_GROUP, TO_BALANCER };

static const struct {
    enum addressee to;
    int (*run)(struct hactl_call *);
} step_calls[HA_STEP_KINDS] = {
    [HA_STEP_ADDRESS_RESERVE] = {TO_CLOUD, run_address_ensure},
    [HA_STEP_INTERNAL_ADDRESS_RESERVE] = {TO_CLOUD, run_address_ensure},
    [HA_STEP_INTERNAL_ADDRESS_DELETE] = {TO_CLOUD, run_address_destroy},
    [HA_STEP_ADDRESS_DELETE] = {TO_CLOUD, run_address_destroy},
    [HA_STEP_FIREWALL_ENSURE] = {TO_CLOUD, run_firewall_ensure},
    [HA_STEP_FIREWALL_DELETE] = {TO_CLOUD, run_firewall_destroy},
    [HA_STEP_AUTHORITY_CREATE] = {TO_ISSUER, run_authority},
    [HA_STEP_CERTIFICATE_ISSUE] = {TO_ISSUER, run_issue},
    [HA_STEP_AUTHORITY_ROTATE] = {TO_ISSUER, run_rotate},
    [HA_STEP_CERTIFICATE_RETIRE] = {TO_ISSUER, run_retire},
    [HA_STEP_AUTHORITY_DELETE] = {TO_ISSUER, run_issuer_destroy},
    [HA_STEP_INSTANCE_CREATE] = {TO_CLOUD, run_instance_ensure},
    [HA_STEP_INSTANCE_START] = {TO_CLOUD, run_instance_ensure},
    [HA_STEP_INSTANCE_DELETE] = {TO_CLOUD, run_instance_destroy},
    [HA_STEP_MEMBER_ADD] = {TO_GROUP, run_member_add},
    [HA_STEP_MEMBER_PROMOTE] = {TO_GROUP, run_promote},
    [HA_STEP_LEADER_MOVE] = {TO_GROUP, run_move_leader},
    [HA_STEP_MEMBER_REMOVE] = {TO_GROUP, run_member_remove},
    [HA_STEP_BALANCER_BUILD] = {TO_BALANCER, run_balancer_ensure},
    [HA_STEP_BACKEND_ADD] = {TO_BALANCER, run_backend_ensure},
    [HA_STEP_BACKEND_REMOVE] = {TO_BALANCER, run_backend_destroy},
    [HA_STEP_REPLICA_RELEASE] = {TO_CLOUD, run_release},
    [HA_STEP_REPLICA_CLAIM] = {TO_CLOUD, run_claim},
    [HA_STEP_BALANCER_RELEASE] = {TO_BALANCER, run_balancer_release},
    [HA_STEP_BALANCER_CLAIM] = {TO_BALANCER, run_balancer_claim},
    [HA_STEP_BALANCER_DELETE] = {TO_BALANCER, run_balancer_destroy},
    [HA_STEP_TEMPORARY_ADDRESS_DETACH] = {TO_CLOUD, run_temporary_address_destroy},
    [HA_STEP_TEMPORARY_ADDRESS_ATTACH] = {TO_CLOUD, run_temporary_address_ensure},
};

static struct ha_instance *addressee(struct ha_session *session, const struct ha_step *step)
{
    switch (step_calls[step->kind].to) {
    case TO_CLOUD:
        return session->cloud;
    case TO_ISSUER:
        return session->issuer;
    case TO_GROUP:
        return session->payloads[step->group];
    case TO_BALANCER:
        return session->balancer;
    case TO_NOBODY:
        break;
    }
    return NULL;
}

/* Of the member that the step is about; one that this very plan added is
 * looked up by its replica. */
static const char *member_id(const struct ha_model *model, const struct ha_step *step)
{
    const struct ha_group *group = &model->groups[step->group];
    if (step->member_id[0])
        return step->member_id;
    if (step->kind == HA_STEP_LEADER_MOVE) {
        for (int m = 0; m < group->member_count; m++)
            if (strcmp(group->members[m].name, step->to) == 0)
                return group->members[m].id;
        return "";
    }
    int m = step->replica >= 0 ? ha_model_member_of(group, step->replica) : -1;
    return m >= 0 ? group->members[m].id : "";
}

static void give_cloud(struct ha_session *session, const struct ha_step *step, struct arguments *a)
{
    const struct ha_model *model = &session->observed.model;
    const struct ha_replica *r = step->replica >= 0 ? &model->replicas[step->replica] : NULL;
    bool internal = step->kind == HA_STEP_INTERNAL_ADDRESS_RESERVE || step->kind == HA_STEP_INTERNAL_ADDRESS_DELETE;
    a->number = internal ? HACTL_ADDRESS_INTERNAL : HACTL_ADDRESS_EXTERNAL;
    a->name = ha_arena_string(a->arena, r ? r->name : session->configuration->cluster_name);
    a->other = ha_arena_string(a->arena, r ? r->name : NULL);
    a->third = ha_arena_string(a->arena, r ? r->zone : NULL);
    if (step->kind == HA_STEP_FIREWALL_ENSURE)
        a->want = ha_firewall_want(a->arena, session);
    else if (r)
        a->want = ha_instance_want(a->arena, session, r);
    if (step->kind == HA_STEP_REPLICA_CLAIM || step->kind == HA_STEP_REPLICA_RELEASE)
        a->other = ha_arena_string(a->arena, model->external_address);
    a->port = session->observed.endpoint_port;
    a->second_port = ha_session_backend_port(session);
}

static void give_balancer(struct ha_session *session, const struct ha_step *step, struct arguments *a)
{
    const struct ha_model *model = &session->observed.model;
    a->want = ha_balancer_want(a->arena, session);
    a->other = ha_arena_string(a->arena, model->external_address);
    if (step->replica < 0)
        return;
    const struct hactl_backend_want *backend = ha_backend_want(a->arena, &model->replicas[step->replica]);
    a->second = backend;
    a->name = backend->name;
}

struct hactl_call *ha_ask_step(struct ha_session *session, const struct ha_step *step, int64_t timeout_ms)
{
    struct ha_instance *instance = addressee(session, step);
    struct arguments *a;
    char what[96];
    if (!instance)
        return NULL;
    snprintf(what, sizeof what, "%s %.60s", ha_step_types[step->kind].name, step->subject);
    struct hactl_call *call = ha_ask(session, instance, step_calls[step->kind].run, what, timeout_ms, &a);
    call->may_pend = true;
    switch (step_calls[step->kind].to) {
    case TO_CLOUD:
        give_cloud(session, step, a);
        break;
    case TO_ISSUER:
        a->want = ha_inventory_want(a->arena, session);
        if (step->replica >= 0)
            a->name = ha_arena_string(a->arena, session->observed.model.replicas[step->replica].name);
        else if (!session->cloud && step->kind == HA_STEP_CERTIFICATE_ISSUE)
            a->name = HACTL_EVERYTHING;
        if (step->kind == HA_STEP_AUTHORITY_ROTATE)
            a->name = ha_arena_string(a->arena, session->observed.model.rotation);
        a->number = step->phase;
        break;
    case TO_GROUP:
        a->want = ha_group_want(a->arena, session, step->group);
        a->name = ha_arena_string(a->arena, member_id(&session->observed.model, step));
        if (step->kind == HA_STEP_MEMBER_ADD)
            a->second = ha_replica_want(a->arena, &session->observed.model.replicas[step->replica]);
        break;
    case TO_BALANCER:
        give_balancer(session, step, a);
        break;
    case TO_NOBODY:
        break;
    }
    return call;
}

struct hactl_call *ha_ask_poll(struct ha_session *session, struct ha_instance *instance, const char *token,
                               int64_t timeout_ms)
{
    struct arguments *a;
    struct hactl_call *call = ha_ask(session, instance, run_poll, "poll", timeout_ms, &a);
    a->name = ha_arena_string(a->arena, token);
    call->polls = true;
    return call;
}

struct hactl_call *ha_ask_render(struct ha_session *session, int payload, int replica, int64_t timeout_ms)
{
    struct arguments *a;
    struct hactl_call *call = ha_ask(session, session->payloads[payload], run_render, "render", timeout_ms, &a);
    a->want = ha_payload_want(a->arena, session, payload, replica);
    return call;
}

struct hactl_call *ha_ask_seal(struct ha_session *session, const char *purpose, const char *part, const char *replica,
                               const char *recipient)
{
    struct arguments *a;
    if (!session->issuer || !ha_offers(session->issuer->plugin->descriptor->issuer, seal))
        return NULL;
    struct hactl_call *call = ha_ask(session, session->issuer, run_seal, "seal", LIST_TIMEOUT_MS, &a);
    a->name = ha_arena_string(a->arena, replica);
    a->other = ha_arena_string(a->arena, purpose);
    a->third = ha_arena_string(a->arena, part);
    a->want = ha_arena_string(a->arena, recipient);
    return call;
}

struct hactl_call *ha_ask_deliver(struct ha_session *session, const struct ha_delivery_work *work, int64_t timeout_ms)
{
    const struct hactl_call *rendered = work->rendered;
    int payload = work->payload, replica = work->replica;
    struct arguments *a;
    char what[96];
    snprintf(what, sizeof what, "deliver to %.60s", session->observed.model.replicas[replica].name);
    struct hactl_call *call = ha_ask(session, session->cloud, run_deliver, what, timeout_ms, &a);
    call->may_pend = true;
    struct hactl_payload *want = ha_arena_take(a->arena, sizeof *want);
    want->struct_size = sizeof *want;
    want->name = ha_arena_string(a->arena, session->payloads[payload]->conf->instance);
    want->digest = ha_arena_string(a->arena, work->digest);
    want->keep_running = work->keep_running;
    want->files = POINTERS(a->arena, hactl_file, rendered->files, rendered->file_count);
    want->file_count = rendered->file_count;
    want->units = POINTERS(a->arena, hactl_unit, rendered->units, rendered->unit_count);
    want->unit_count = rendered->unit_count;
    want->ports = POINTERS(a->arena, hactl_port, rendered->ports, rendered->port_count);
    want->port_count = rendered->port_count;
    a->want = want;
    a->name = ha_arena_string(a->arena, session->observed.model.replicas[replica].name);
    return call;
}

struct hactl_call *ha_ask_requests(struct ha_session *session, int replica, int64_t timeout_ms)
{
    struct arguments *a;
    char what[96];
    if (!session->cloud || !ha_offers(session->cloud->plugin->descriptor->cloud, requests))
        return NULL;
    snprintf(what, sizeof what, "requests of %.60s", session->observed.model.replicas[replica].name);
    struct hactl_call *call = ha_ask(session, session->cloud, run_requests, what, timeout_ms, &a);
    a->name = ha_arena_string(a->arena, session->observed.model.replicas[replica].name);
    return call;
}

struct hactl_call *ha_ask_issue(struct ha_session *session, int replica, const struct hactl_call *requested,
                                int64_t timeout_ms)
{
    struct arguments *a;
    char what[96];
    snprintf(what, sizeof what, "sign the requests of %.60s", session->observed.model.replicas[replica].name);
    struct hactl_call *call = ha_ask(session, session->issuer, run_issue, what, timeout_ms, &a);
    call->may_pend = true;
    a->want = ha_inventory_want(a->arena, session);
    a->name = ha_arena_string(a->arena, session->observed.model.replicas[replica].name);
    a->second = POINTERS(a->arena, hactl_request, requested->requests, requested->request_count);
    a->number = (int)requested->request_count;
    return call;
}

struct hactl_call *ha_ask_move_leader(struct ha_session *session, int group, const char *to_id, int64_t timeout_ms)
{
    struct arguments *a;
    struct hactl_call *call = ha_ask(session, session->payloads[group], run_move_leader, "move leader", timeout_ms, &a);
    call->may_pend = true;
    a->want = ha_group_want(a->arena, session, group);
    a->name = ha_arena_string(a->arena, to_id);
    return call;
}
