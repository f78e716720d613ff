/* SPDX-License-Identifier: Apache-2.0 */
/* What the observer asks: who is there, and how it is. */
#include <stdio.h>
#include <time.h>

#include "core/asks_internal.h"
#include "core/wants.h"

enum { REACH_PAUSE_MS = 50, REACHES_TIMEOUT_MS = 5000, PROBE_TIMEOUT_MS = 1500 };

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

static int run_group_list(struct hactl_call *c)
{
    return OPS(c, member)->list(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_probe(struct hactl_call *c)
{
    return OPS(c, payload)->probe(SELF(c), c, ARGUMENTS(c)->want);
}

static int run_balancer_list(struct hactl_call *c)
{
    return OPS(c, balancer)->list(SELF(c), c, ARGUMENTS(c)->want);
}

static struct hactl_call *ask_probe(struct ha_session *session, const char *what, const char *host, uint16_t port,
                                    const char *verify)
{
    struct arguments *a;
    int front = session->private->front;
    if (front < 0 || !host[0] || !port)
        return NULL;
    struct hactl_call *call = ha_ask(session, session->private->prober, run_probe, what, PROBE_TIMEOUT_MS, &a);
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
        ha_ask(session, session->payloads[group], run_group_list, "list members", LIST_TIMEOUT_MS, &a);
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
        ha_ask(session, session->cloud, run_cloud_list, "list", LIST_TIMEOUT_MS + REACHES_TIMEOUT_MS, &a);
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
    struct hactl_call *call =
        ha_ask(session, session->issuer, run_issuer_list, "list certificates", LIST_TIMEOUT_MS, &a);
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
        call = ha_ask(session, session->balancer, run_balancer_list, "list", LIST_TIMEOUT_MS, &a);
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
