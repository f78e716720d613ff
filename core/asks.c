/* SPDX-License-Identifier: Apache-2.0 */
/* How a call is made; and the calls that are neither looks nor steps. */
#include "core/asks_internal.h"
#include "core/wants.h"

static void arguments_free(void *context)
{
    struct arguments *arguments = context;
    ha_arena_free(arguments->arena);
}

struct hactl_call *ha_ask(struct ha_session *session, struct ha_instance *instance, int (*run)(struct hactl_call *),
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

static int run_credential(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, issuer)->credential(SELF(c), c, a->name, a->other, a->third);
}

struct hactl_call *ha_ask_credential(struct ha_session *session, const char *replica, const char *purpose,
                                     const char *part)
{
    struct arguments *a;
    if (!session->issuer || !purpose)
        return NULL;
    struct hactl_call *call = ha_ask(session, session->issuer, run_credential, "credential", LIST_TIMEOUT_MS, &a);
    a->name = ha_arena_string(a->arena, replica);
    a->other = ha_arena_string(a->arena, purpose);
    a->third = ha_arena_string(a->arena, part);
    return call;
}

enum { ISSUER_TIMEOUT_MS = 60000 };

static struct hactl_call *ask_issuer(struct ha_session *session, bool offered, int (*run)(struct hactl_call *),
                                     const char *what, struct arguments **a)
{
    if (!offered)
        return NULL;
    struct hactl_call *call = ha_ask(session, session->issuer, run, what, ISSUER_TIMEOUT_MS, a);
    (*a)->want = ha_inventory_want((*a)->arena, session);
    return call;
}

static int run_sign(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    return OPS(c, issuer)->sign(SELF(c), c, a->want, a->name, a->other, a->third);
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

static int run_request(struct hactl_call *c)
{
    return OPS(c, issuer)->request(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->name);
}

struct hactl_call *ha_ask_request(struct ha_session *session, const char *replica)
{
    struct arguments *a;
    struct hactl_call *call = ask_issuer(session, OFFERS(session, request), run_request, "request", &a);
    if (call)
        a->name = ha_arena_string(a->arena, replica);
    return call;
}

static int run_import(struct hactl_call *c)
{
    return OPS(c, issuer)->import(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->third);
}

struct hactl_call *ha_ask_import(struct ha_session *session, const char *certificate)
{
    struct arguments *a;
    struct hactl_call *call = ask_issuer(session, OFFERS(session, import), run_import, "import", &a);
    if (call)
        a->third = ha_arena_string(a->arena, certificate);
    return call;
}

static int run_can_run(struct hactl_call *c)
{
    return OPS(c, cloud)->can_run(SELF(c), c, ARGUMENTS(c)->want, (size_t)ARGUMENTS(c)->number);
}

struct hactl_call *ha_ask_can_run(struct ha_session *session, const struct hactl_call *programs)
{
    struct arguments *a;
    if (!session->cloud || !ha_offers(session->cloud->plugin->descriptor->cloud, can_run))
        return NULL;
    struct hactl_call *call = ha_ask(session, session->cloud, run_can_run, "can run", CHECK_TIMEOUT_MS, &a);
    a->want = POINTERS(a->arena, hactl_unit, programs->units, programs->unit_count);
    a->number = (int)programs->unit_count;
    return call;
}

static int run_ports(struct hactl_call *c)
{
    return OPS(c, payload)->ports(SELF(c), c);
}

struct hactl_call *ha_ask_ports(struct ha_session *session, int payload)
{
    return ha_ask(session, session->payloads[payload], run_ports, "ports", LIST_TIMEOUT_MS, NULL);
}

static int run_programs(struct hactl_call *c)
{
    return OPS(c, payload)->programs(SELF(c), c);
}

struct hactl_call *ha_ask_programs(struct ha_session *session, int payload)
{
    struct ha_instance *instance = session->payloads[payload];
    if (!ha_offers(instance->plugin->descriptor->payload, programs))
        return NULL;
    return ha_ask(session, instance, run_programs, "programs", CHECK_TIMEOUT_MS, NULL);
}

static int run_zones(struct hactl_call *c)
{
    return OPS(c, cloud)->zones(SELF(c), c);
}

struct hactl_call *ha_ask_zones(struct ha_session *session)
{
    return ha_ask(session, session->cloud, run_zones, "zones", LIST_TIMEOUT_MS, NULL);
}

static int run_check(struct hactl_call *c)
{
    const struct hactl_plugin *descriptor = c->instance->plugin->descriptor;
    return ha_offers(descriptor, check) ? descriptor->check(SELF(c), c) : HACTL_OK;
}

struct hactl_call *ha_ask_check(struct ha_instance *instance)
{
    return ha_ask(NULL, instance, run_check, "check", CHECK_TIMEOUT_MS, NULL);
}

static int run_unit_log(struct hactl_call *c)
{
    return OPS(c, cloud)->unit_log(SELF(c), c, ARGUMENTS(c)->name, ARGUMENTS(c)->other);
}

struct hactl_call *ha_ask_unit_log(struct ha_session *session, const char *instance, const char *unit)
{
    struct arguments *a;
    if (!session->cloud || !ha_offers(session->cloud->plugin->descriptor->cloud, unit_log))
        return NULL;
    struct hactl_call *call = ha_ask(session, session->cloud, run_unit_log, "unit log", LIST_TIMEOUT_MS, &a);
    a->name = ha_arena_string(a->arena, instance);
    a->other = ha_arena_string(a->arena, unit);
    return call;
}

static int run_snapshot(struct hactl_call *c)
{
    return OPS(c, member)->snapshot(SELF(c), c, ARGUMENTS(c)->want, ARGUMENTS(c)->name);
}

struct hactl_call *ha_ask_snapshot(struct ha_session *session, int group, const char *path, int64_t timeout_ms)
{
    struct arguments *a;
    if (!ha_offers(session->payloads[group]->plugin->descriptor->member, snapshot))
        return NULL;
    struct hactl_call *call = ha_ask(session, session->payloads[group], run_snapshot, "snapshot", timeout_ms, &a);
    call->interruptible = true;
    a->want = ha_group_want(a->arena, session, group);
    a->name = ha_arena_string(a->arena, path);
    return call;
}

static int run_revoke(struct hactl_call *c)
{
    const struct arguments *a = ARGUMENTS(c);
    if (!OPS(c, issuer)->revoke)
        return ha_call_fail(c, HACTL_E_UNSUPPORTED, "this issuer cannot revoke certificates");
    return OPS(c, issuer)->revoke(SELF(c), c, a->want, a->name);
}

struct hactl_call *ha_ask_revoke(struct ha_session *session, const char *certificate, int64_t timeout_ms)
{
    struct arguments *a;
    struct hactl_call *call = ha_ask(session, session->issuer, run_revoke, "revoke", timeout_ms, &a);
    a->want = ha_inventory_want(a->arena, session);
    a->name = ha_arena_string(a->arena, certificate);
    return call;
}

static int run_forget(struct hactl_call *c)
{
    return OPS(c, cloud)->forget(SELF(c), c);
}

struct hactl_call *ha_ask_forget(struct ha_session *session, int64_t timeout_ms)
{
    if (!session->cloud || !ha_offers(session->cloud->plugin->descriptor->cloud, forget))
        return NULL;
    struct hactl_call *call = ha_ask(session, session->cloud, run_forget, "forget", timeout_ms, NULL);
    call->may_pend = true;
    return call;
}
