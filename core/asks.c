/* SPDX-License-Identifier: Apache-2.0 */
#include "core/asks.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/call_internal.h"
#include "core/delivery.h"
#include "core/wants.h"
#include "core/session_internal.h"

enum { REACH_PAUSE_MS = 50 };
enum { LIST_TIMEOUT_MS = 5000, REACHES_TIMEOUT_MS = 5000, PROBE_TIMEOUT_MS = 1500, CHECK_TIMEOUT_MS = 10000 };

/* What a call is given. Lives in its own arena, freed with the call. */
struct arguments {
    struct ha_arena *arena;
    const void *want;
    const void *second;
    const char *name, *other, *third;
    int number, port, second_port;
    /* Asked for in the same breath as a list, see run_cloud_list, run_issuer_list. */
    const uint16_t *ports;
    const char *const *purposes;
    struct ha_found *found;
};

static void arguments_free(void *context)
{
    struct arguments *arguments = context;
    ha_arena_free(arguments->arena);
}

#define ARGUMENTS(call) ((const struct arguments *)(call)->context)
#define OPS(call, kind) ((call)->instance->plugin->descriptor->kind)
#define SELF(call)      ((call)->instance->self)

static struct hactl_call *ask(struct ha_session *session, struct ha_instance *instance, int (*run)(struct hactl_call *),
                              const char *what, int64_t timeout_ms, struct arguments **out)
{
    struct hactl_call *call = ha_call_new(instance, what, timeout_ms);
    struct ha_arena *arena = ha_arena_new();
    struct arguments *arguments = ha_arena_take(arena, sizeof *arguments);
    arguments->arena = arena;
    call->context = arguments;
    call->context_free = arguments_free;
    call->run = run;
    if (session)
        session->private->calls++;
    if (out)
        *out = arguments;
    return call;
}

/* ---- the operations, entered by the worker */

/* One that cannot be reached just now is simply not noted. Whether a way is being made. */
static bool find_reach(struct hactl_call *c, const char *instance, uint16_t port)
{
    struct ha_found *found = ARGUMENTS(c)->found;
    size_t before = c->reach_count;
    int rc = OPS(c, cloud)->reach(SELF(c), c, instance, port);
    if (rc != HACTL_OK && !c->refused) {
        c->text[0] = '\0'; /* the list has not failed for that */
        c->retry_after_ms = 0;
    }
    if (rc != HACTL_OK || c->reach_count == before)
        return rc == HACTL_E_BUSY;
    found->items[found->count].name = instance;
    found->items[found->count].port = port;
    found->items[found->count++].record = before;
    return false;
}

/* All ways are begun before the first is waited for: a tunnel takes seconds until it leads anywhere. */
static void find_reaches(struct hactl_call *c)
{
    struct {
        const char *instance;
        uint16_t port;
    } making[HA_FOUND];
    int count = 0, kept;
    for (size_t i = 0; i < c->instance_count; i++)
        for (const uint16_t *port = ARGUMENTS(c)->ports; *port; port++)
            if (c->instances[i].state == HACTL_INSTANCE_RUNNING && ARGUMENTS(c)->found->count + count < HA_FOUND &&
                ha_now_ms() < c->deadline_ms && find_reach(c, c->instances[i].name, *port)) {
                making[count].instance = c->instances[i].name;
                making[count++].port = *port;
            }
    for (; count > 0 && ha_now_ms() < c->deadline_ms && !(c->interruptible && ha_cancelled()); count = kept) {
        nanosleep(&(struct timespec){.tv_nsec = REACH_PAUSE_MS * 1000000L}, NULL);
        kept = 0;
        for (int i = 0; i < count; i++)
            if (find_reach(c, making[i].instance, making[i].port))
                making[kept++] = making[i];
    }
}

/* What runs is asked for its reach at once: it saves a round trip per replica.
 * A slow list leaves the reaches their own time. */
static int run_cloud_list(struct hactl_call *c)
{
    c->deadline_ms -= REACHES_TIMEOUT_MS;
    int rc = OPS(c, cloud)->list(SELF(c), c);
    c->deadline_ms += REACHES_TIMEOUT_MS;
    if (rc == HACTL_OK)
        find_reaches(c);
    return rc;
}
static int run_zones(struct hactl_call *c)
{
    return OPS(c, cloud)->zones(SELF(c), c);
}
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
static int run_unit_log(struct hactl_call *c)
{
    return OPS(c, cloud)->unit_log(SELF(c), c, ARGUMENTS(c)->name, ARGUMENTS(c)->other);
}
static int run_forget(struct hactl_call *c)
{
    return OPS(c, cloud)->forget(SELF(c), c);
}

static const char *const credential_parts[] = {"authority", "certificate", "key"};

/* With the list go the operator's own credentials, for those payloads that
 * hactl dials. */
static int run_issuer_list(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    int rc = OPS(c, issuer)->list(SELF(c), c, a->want);
    for (int p = 0; rc == HACTL_OK && a->purposes[p]; p++)
        for (int part = 0; part < 3 && a->found->count < HA_FOUND; part++) {
            size_t before = c->credential_count;
            if (!a->purposes[p][0] ||
                OPS(c, issuer)->credential(SELF(c), c, NULL, a->purposes[p], credential_parts[part]) != HACTL_OK ||
                c->credential_count == before)
                break;
            a->found->items[a->found->count].port = p;
            a->found->items[a->found->count].part = part;
            a->found->items[a->found->count++].record = before;
        }
    return rc;
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
static int run_revoke(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    if (!OPS(c, issuer)->revoke)
        return ha_call_fail(c, HACTL_E_UNSUPPORTED, "this issuer cannot revoke certificates");
    return OPS(c, issuer)->revoke(SELF(c), c, a->want, a->name);
}
static int run_retire(struct hactl_call *c)
{
    return OPS(c, issuer)->retire(SELF(c), c, ARGUMENTS(c)->name);
}
static int run_issuer_destroy(struct hactl_call *c)
{
    return OPS(c, issuer)->destroy(SELF(c), c);
}
static int run_credential(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, issuer)->credential(SELF(c), c, a->name, a->other, a->third);
}

static int run_seal(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, issuer)->seal(SELF(c), c, a->other, a->third, a->name, a->want);
}

static int run_sign(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, issuer)->sign(SELF(c), c, a->want, a->name, a->other, a->third);
}
static int run_request(struct hactl_call *c)
{
    return OPS(c, issuer)->request(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->name);
}
static int run_import(struct hactl_call *c)
{
    return OPS(c, issuer)->import(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->third);
}

static int run_group_list(struct hactl_call *c)
{
    return OPS(c, member)->list(SELF(c), c, ARGUMENTS(c)->want);
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
static int run_snapshot(struct hactl_call *c)
{
    return OPS(c, member)->snapshot(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->name);
}

static int run_ports(struct hactl_call *c)
{
    return OPS(c, payload)->ports(SELF(c), c);
}
static int run_render(struct hactl_call *c)
{
    return OPS(c, payload)->render(SELF(c), c, ARGUMENTS(c)->want);
}
static int run_probe(struct hactl_call *c)
{
    return OPS(c, payload)->probe(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_balancer_list(struct hactl_call *c)
{
    return OPS(c, balancer)->list(SELF(c), c, ARGUMENTS(c)->want);
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
static int run_programs(struct hactl_call *c)
{
    return OPS(c, payload)->programs(SELF(c), c);
}
static int run_can_run(struct hactl_call *c)
{
    return OPS(c, cloud)->can_run(SELF(c), c, ARGUMENTS(c)->want, (size_t)ARGUMENTS(c)->number);
}
static int run_check(struct hactl_call *c)
{
    const struct hactl_plugin *descriptor = c->instance->plugin->descriptor;
    return ha_offers(descriptor, check) ? descriptor->check(SELF(c), c) : HACTL_OK;
}

/* ---- looking */

static struct hactl_call *ask_probe(struct ha_session *session, const char *what, const char *host, uint16_t port,
                                    const char *verify)
{
    struct arguments *a;
    int front = session->private->front;
    if (front < 0 || !host[0] || !port)
        return NULL;
    struct hactl_call *call = ask(session, session->private->prober, run_probe, what, PROBE_TIMEOUT_MS, &a);
    a->want = ha_probe_want(a->arena, session, front, host, port, verify);
    return call;
}

static struct hactl_call *ask_ready(struct ha_session *session, int replica)
{
    const struct ha_replica *r = &session->observed.model.replicas[replica];
    const struct ha_reach *reach = ha_session_reach(session, r->name, ha_session_backend_port(session));
    char what[96];
    snprintf(what, sizeof what, "probe %s", r->name);
    if (!reach || r->instance != HACTL_INSTANCE_RUNNING)
        return NULL;
    return ask_probe(session, what, reach->host, reach->dial_port, reach->verify);
}

static struct hactl_call *ask_group_list(struct ha_session *session, int group)
{
    struct arguments *a;
    struct hactl_call *call =
        ask(session, session->payloads[group], run_group_list, "list members", LIST_TIMEOUT_MS, &a);
    const struct hactl_group_want *want = ha_group_want(a->arena, session, group);
    a->want = want;
    if (want->endpoint_count)
        return call;
    ha_call_free(call);
    return NULL;
}

static struct hactl_call *ask_cloud_list(struct ha_session *session)
{
    struct arguments *a;
    if (!session->cloud)
        return NULL;
    struct hactl_call *call =
        ask(session, session->cloud, run_cloud_list, "list", LIST_TIMEOUT_MS + REACHES_TIMEOUT_MS, &a);
    uint16_t *ports = ha_arena_take(a->arena, sizeof *ports * (HA_PAYLOADS * 2 + 1));
    for (int p = 0, count = 0; p < session->payload_count; p++) {
        const struct ha_payload_facts *facts = &session->private->payloads[p];
        if (facts->operator_port)
            ports[count++] = facts->operator_port;
        if (facts->endpoint_port && facts->endpoint_port != facts->operator_port)
            ports[count++] = facts->endpoint_port;
    }
    a->ports = ports;
    a->found = ha_arena_take(a->arena, sizeof *a->found);
    return call;
}

static struct hactl_call *ask_issuer_list(struct ha_session *session)
{
    struct arguments *a;
    if (!session->issuer)
        return NULL;
    struct hactl_call *call = ask(session, session->issuer, run_issuer_list, "list certificates", LIST_TIMEOUT_MS, &a);
    const char **purposes = ha_arena_take(a->arena, sizeof *purposes * (HA_PAYLOADS + 1));
    for (int p = 0; p < session->payload_count; p++) {
        const struct hactl_payload_ops *payload = session->payloads[p]->plugin->descriptor->payload;
        const char *purpose = ha_offers(payload, operator_purpose) ? payload->operator_purpose : NULL;
        purposes[p] = ha_arena_string(a->arena, purpose ? purpose : "");
    }
    a->purposes = purposes;
    a->found = ha_arena_take(a->arena, sizeof *a->found);
    a->want = ha_inventory_want(a->arena, session);
    return call;
}

const struct ha_found *ha_call_found(const struct hactl_call *call)
{
    return ARGUMENTS(call)->found;
}

struct hactl_call *ha_ask_observe(struct ha_session *session, enum ha_subject subject, int index)
{
    const struct ha_model *model = &session->observed.model;
    struct hactl_call *call = NULL;
    struct arguments *a;
    switch (subject) {
    case HA_SUBJECT_CLOUD:
        return ask_cloud_list(session);
    case HA_SUBJECT_ISSUER:
        return ask_issuer_list(session);
    case HA_SUBJECT_GROUP:
        return ask_group_list(session, index);
    case HA_SUBJECT_BALANCER:
        if (!session->balancer)
            return NULL;
        call = ask(session, session->balancer, run_balancer_list, "list", LIST_TIMEOUT_MS, &a);
        a->want = ha_balancer_want(a->arena, session);
        return call;
    case HA_SUBJECT_READY:
        return ask_ready(session, index);
    case HA_SUBJECT_TRIAL:
        return ask_probe(session, "probe the balancer", model->trial_host, model->trial_port, model->external_address);
    case HA_SUBJECT_ENDPOINT:
        return ask_probe(session, "probe the endpoint", model->external_address, session->observed.endpoint_port,
                         model->external_address);
    case HA_SUBJECTS:
        break;
    }
    return NULL;
}

/* ---- changing */

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
    struct hactl_call *call = ask(session, instance, step_calls[step->kind].run, what, timeout_ms, &a);
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
    struct hactl_call *call = ask(session, instance, run_poll, "poll", timeout_ms, &a);
    a->name = ha_arena_string(a->arena, token);
    call->polls = true;
    return call;
}

struct hactl_call *ha_ask_render(struct ha_session *session, int payload, int replica, int64_t timeout_ms)
{
    struct arguments *a;
    struct hactl_call *call = ask(session, session->payloads[payload], run_render, "render", timeout_ms, &a);
    a->want = ha_payload_want(a->arena, session, payload, replica);
    return call;
}

struct hactl_call *ha_ask_credential(struct ha_session *session, const char *replica, const char *purpose,
                                     const char *part)
{
    struct arguments *a;
    if (!session->issuer || !purpose)
        return NULL;
    struct hactl_call *call = ask(session, session->issuer, run_credential, "credential", LIST_TIMEOUT_MS, &a);
    a->name = ha_arena_string(a->arena, replica);
    a->other = ha_arena_string(a->arena, purpose);
    a->third = ha_arena_string(a->arena, part);
    return call;
}

struct hactl_call *ha_ask_seal(struct ha_session *session, const char *purpose, const char *part, const char *replica,
                               const char *recipient)
{
    struct arguments *a;
    if (!session->issuer || !ha_offers(session->issuer->plugin->descriptor->issuer, seal))
        return NULL;
    struct hactl_call *call = ask(session, session->issuer, run_seal, "seal", LIST_TIMEOUT_MS, &a);
    a->name = ha_arena_string(a->arena, replica);
    a->other = ha_arena_string(a->arena, purpose);
    a->third = ha_arena_string(a->arena, part);
    a->want = ha_arena_string(a->arena, recipient);
    return call;
}

enum { ISSUER_TIMEOUT_MS = 60000 };

static struct hactl_call *ask_issuer(struct ha_session *session, bool offered, int (*run)(struct hactl_call *),
                                     const char *what, struct arguments **a)
{
    if (!offered)
        return NULL;
    struct hactl_call *call = ask(session, session->issuer, run, what, ISSUER_TIMEOUT_MS, a);
    (*a)->want = ha_inventory_want((*a)->arena, session);
    return call;
}

#define OFFERS(session, operation) \
    ((session)->issuer && (session)->issuer->plugin->descriptor->issuer->operation != NULL)

struct hactl_call *ha_ask_sign(struct ha_session *session, const char *replica, const char *purpose,
                               const char *request)
{
    struct arguments *a;
    struct hactl_call *call = ask_issuer(session, OFFERS(session, sign), run_sign, "sign", &a);
    if (!call)
        return NULL;
    a->name = ha_arena_string(a->arena, replica);
    a->other = ha_arena_string(a->arena, purpose);
    a->third = ha_arena_string(a->arena, request);
    return call;
}

struct hactl_call *ha_ask_request(struct ha_session *session, const char *replica)
{
    struct arguments *a;
    struct hactl_call *call = ask_issuer(session, OFFERS(session, request), run_request, "request", &a);
    if (call)
        a->name = ha_arena_string(a->arena, replica);
    return call;
}

struct hactl_call *ha_ask_import(struct ha_session *session, const char *certificate)
{
    struct arguments *a;
    struct hactl_call *call = ask_issuer(session, OFFERS(session, import), run_import, "import", &a);
    if (call)
        a->third = ha_arena_string(a->arena, certificate);
    return call;
}

/* Pointers to the records of an array that `rendered` keeps for as long as the
 * delivery runs. */
#define POINTERS(arena, type, array, count)                                                      \
    __extension__({                                                                              \
        const struct type **pointers_ = ha_arena_take(arena, ((count) + 1) * sizeof *pointers_); \
        for (size_t i_ = 0; i_ < (count); i_++)                                                  \
            pointers_[i_] = &(array)[i_];                                                        \
        pointers_;                                                                               \
    })

struct hactl_call *ha_ask_deliver(struct ha_session *session, const struct ha_delivery_work *work, int64_t timeout_ms)
{
    const struct hactl_call *rendered = work->rendered;
    int payload = work->payload, replica = work->replica;
    struct arguments *a;
    char what[96];
    snprintf(what, sizeof what, "deliver to %.60s", session->observed.model.replicas[replica].name);
    struct hactl_call *call = ask(session, session->cloud, run_deliver, what, timeout_ms, &a);
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

struct hactl_call *ha_ask_can_run(struct ha_session *session, const struct hactl_call *programs)
{
    struct arguments *a;
    if (!session->cloud || !ha_offers(session->cloud->plugin->descriptor->cloud, can_run))
        return NULL;
    struct hactl_call *call = ask(session, session->cloud, run_can_run, "can run", CHECK_TIMEOUT_MS, &a);
    a->want = POINTERS(a->arena, hactl_unit, programs->units, programs->unit_count);
    a->number = (int)programs->unit_count;
    return call;
}

struct hactl_call *ha_ask_requests(struct ha_session *session, int replica, int64_t timeout_ms)
{
    struct arguments *a;
    char what[96];
    if (!session->cloud || !ha_offers(session->cloud->plugin->descriptor->cloud, requests))
        return NULL;
    snprintf(what, sizeof what, "requests of %.60s", session->observed.model.replicas[replica].name);
    struct hactl_call *call = ask(session, session->cloud, run_requests, what, timeout_ms, &a);
    a->name = ha_arena_string(a->arena, session->observed.model.replicas[replica].name);
    return call;
}

struct hactl_call *ha_ask_issue(struct ha_session *session, int replica, const struct hactl_call *requested,
                                int64_t timeout_ms)
{
    struct arguments *a;
    char what[96];
    snprintf(what, sizeof what, "sign the requests of %.60s", session->observed.model.replicas[replica].name);
    struct hactl_call *call = ask(session, session->issuer, run_issue, what, timeout_ms, &a);
    call->may_pend = true;
    a->want = ha_inventory_want(a->arena, session);
    a->name = ha_arena_string(a->arena, session->observed.model.replicas[replica].name);
    a->second = POINTERS(a->arena, hactl_request, requested->requests, requested->request_count);
    a->number = (int)requested->request_count;
    return call;
}

struct hactl_call *ha_ask_ports(struct ha_session *session, int payload)
{
    return ask(session, session->payloads[payload], run_ports, "ports", LIST_TIMEOUT_MS, NULL);
}

struct hactl_call *ha_ask_programs(struct ha_session *session, int payload)
{
    struct ha_instance *instance = session->payloads[payload];
    if (!ha_offers(instance->plugin->descriptor->payload, programs))
        return NULL;
    return ask(session, instance, run_programs, "programs", CHECK_TIMEOUT_MS, NULL);
}

struct hactl_call *ha_ask_zones(struct ha_session *session)
{
    return ask(session, session->cloud, run_zones, "zones", LIST_TIMEOUT_MS, NULL);
}

struct hactl_call *ha_ask_check(struct ha_instance *instance)
{
    return ask(NULL, instance, run_check, "check", CHECK_TIMEOUT_MS, NULL);
}

struct hactl_call *ha_ask_unit_log(struct ha_session *session, const char *instance, const char *unit)
{
    struct arguments *a;
    if (!session->cloud || !ha_offers(session->cloud->plugin->descriptor->cloud, unit_log))
        return NULL;
    struct hactl_call *call = ask(session, session->cloud, run_unit_log, "unit log", LIST_TIMEOUT_MS, &a);
    a->name = ha_arena_string(a->arena, instance);
    a->other = ha_arena_string(a->arena, unit);
    return call;
}

struct hactl_call *ha_ask_snapshot(struct ha_session *session, int group, const char *path, int64_t timeout_ms)
{
    struct arguments *a;
    if (!ha_offers(session->payloads[group]->plugin->descriptor->member, snapshot))
        return NULL;
    struct hactl_call *call = ask(session, session->payloads[group], run_snapshot, "snapshot", timeout_ms, &a);
    call->interruptible = true;
    a->want = ha_group_want(a->arena, session, group);
    a->name = ha_arena_string(a->arena, path);
    return call;
}

struct hactl_call *ha_ask_move_leader(struct ha_session *session, int group, const char *to_id, int64_t timeout_ms)
{
    struct arguments *a;
    struct hactl_call *call = ask(session, session->payloads[group], run_move_leader, "move leader", timeout_ms, &a);
    call->may_pend = true;
    a->want = ha_group_want(a->arena, session, group);
    a->name = ha_arena_string(a->arena, to_id);
    return call;
}

struct hactl_call *ha_ask_revoke(struct ha_session *session, const char *certificate, int64_t timeout_ms)
{
    struct arguments *a;
    struct hactl_call *call = ask(session, session->issuer, run_revoke, "revoke", timeout_ms, &a);
    a->want = ha_inventory_want(a->arena, session);
    a->name = ha_arena_string(a->arena, certificate);
    return call;
}

struct hactl_call *ha_ask_forget(struct ha_session *session, int64_t timeout_ms)
{
    if (!session->cloud || !ha_offers(session->cloud->plugin->descriptor->cloud, forget))
        return NULL;
    struct hactl_call *call = ask(session, session->cloud, run_forget, "forget", timeout_ms, NULL);
    call->may_pend = true;
    return call;
}
