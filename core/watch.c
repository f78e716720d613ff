/* SPDX-License-Identifier: Apache-2.0 */
#include "core/watch.h"

#include <stdio.h>

static void add(struct ha_watches *watches, enum ha_subject subject, int index)
{
    watches->items[watches->count++] = (struct ha_watch){.subject = subject, .index = index};
}

void ha_watches_init(struct ha_watches *watches, struct ha_session *session)
{
    *watches = (struct ha_watches){.session = session, .tick = 1};
    add(watches, HA_SUBJECT_CLOUD, 0);
    add(watches, HA_SUBJECT_ISSUER, 0);
    add(watches, HA_SUBJECT_BALANCER, 0);
    add(watches, HA_SUBJECT_TRIAL, 0);
    add(watches, HA_SUBJECT_ENDPOINT, 0);
    for (int g = 0; g < HA_GROUPS; g++)
        add(watches, HA_SUBJECT_GROUP, g);
    for (int i = 0; i < HA_REPLICAS; i++)
        add(watches, HA_SUBJECT_READY, i);
}

static struct ha_watch *find(struct ha_watches *watches, enum ha_subject subject, int index)
{
    for (int i = 0; i < watches->count; i++)
        if (watches->items[i].subject == subject && watches->items[i].index == index)
            return &watches->items[i];
    return NULL;
}

int ha_watches_of(struct ha_watches *watches, const struct ha_step *step, unsigned more_scopes, struct ha_watch *out[8])
{
    unsigned scopes = ha_step_types[step->kind].scope | more_scopes;
    int count = 0;
    static const struct {
        unsigned scope;
        enum ha_subject subject;
    } single[] = {{HA_SCOPE_CLOUD, HA_SUBJECT_CLOUD},
                  {HA_SCOPE_ISSUER, HA_SUBJECT_ISSUER},
                  {HA_SCOPE_BALANCER, HA_SUBJECT_BALANCER}};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (scopes & single[i].scope)
            out[count++] = find(watches, single[i].subject, 0);
    if (scopes & HA_SCOPE_GROUP && step->group >= 0)
        out[count++] = find(watches, HA_SUBJECT_GROUP, step->group);
    if (scopes & HA_SCOPE_READY && step->replica >= 0)
        out[count++] = find(watches, HA_SUBJECT_READY, step->replica);
    bool on_trial = step->kind == HA_STEP_BALANCER_AWAIT &&
                    watches->session->observed.model.holder != HA_HOLDER_BALANCER &&
                    watches->session->observed.model.holder != HA_HOLDER_BOTH;
    if (scopes & HA_SCOPE_ENDPOINT)
        out[count++] = find(watches, on_trial ? HA_SUBJECT_TRIAL : HA_SUBJECT_ENDPOINT, 0);
    return count;
}

uint64_t ha_watches_want(struct ha_watches *watches, struct ha_watch *const *of, int count)
{
    uint64_t tick = ++watches->tick;
    for (int i = 0; i < count; i++)
        of[i]->wanted = tick;
    return tick;
}

void ha_watches_submit(struct ha_watches *watches)
{
    for (int i = 0; i < watches->count; i++) {
        struct ha_watch *watch = &watches->items[i];
        if (watch->in_flight || watch->wanted <= watch->ended)
            continue;
        struct hactl_call *call = ha_ask_observe(watches->session, watch->subject, watch->index);
        watch->began = ++watches->tick;
        if (!call) {
            ha_observe_merge(watches->session, watch->subject, watch->index, NULL);
            watch->ended = watch->shown = watch->began;
            continue;
        }
        call->user = watch;
        call->looks = true;
        watch->in_flight = true;
        watches->in_flight++;
        ha_call_submit(call, watches->session->completions);
    }
}

/* What a cloud has to gather, and what it asks us to wait, is its measure of
 * how often it may be asked: of the time that is waited, at most half is spent
 * asking. */
static int64_t rest_of(const struct ha_watch *watch, const struct hactl_call *call)
{
    bool remote = watch->subject == HA_SUBJECT_CLOUD || watch->subject == HA_SUBJECT_ISSUER ||
                  watch->subject == HA_SUBJECT_BALANCER;
    int64_t took_ms = remote ? call->ended_ms - call->started_ms : 0;
    return took_ms > call->retry_after_ms ? took_ms : call->retry_after_ms;
}

bool ha_watches_take(struct ha_watches *watches, struct hactl_call *call)
{
    for (int i = 0; i < watches->count; i++) {
        struct ha_watch *watch = &watches->items[i];
        if (call->user != watch)
            continue;
        watch->code = ha_observe_merge(watches->session, watch->subject, watch->index, call);
        watch->in_flight = false;
        watch->rest_ms = rest_of(watch, call);
        watches->in_flight--;
        watch->ended = watch->began;
        if (watch->code >= HACTL_OK)
            watch->shown = watch->began;
        else
            snprintf(watch->why, sizeof watch->why, "%s: %s: %s", call->instance->conf->instance, call->what,
                     call->text[0] ? call->text : ha_code_name(watch->code));
        ha_call_free(call);
        return true;
    }
    return false;
}
