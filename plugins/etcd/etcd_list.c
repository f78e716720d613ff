/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/etcd/etcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The status of a member names alarms as "memberID:123 alarm:NOSPACE ", the
 * ID in decimal. */
static bool read_alarm(const char *complaint, uint64_t *member_id, char *alarm, size_t size)
{
    const char *id = strstr(complaint, "memberID:");
    const char *kind = strstr(complaint, "alarm:");

    if (!kind)
        return false;
    kind += strlen("alarm:");
    *member_id = id ? strtoull(id + strlen("memberID:"), NULL, 10) : 0;
    snprintf(alarm, size, "%.*s", (int)strcspn(kind, " "), kind);
    return true;
}

static void first_alarm(const struct etcd_view *view, char *text, size_t size)
{
    char alarm[64];
    uint64_t id;
    size_t at;
    json_t *complaint;

    text[0] = '\0';
    for (size_t i = 0; i < view->answer_count; i++) {
        json_array_foreach(view->answers[i].complaints, at, complaint)
        {
            const char *words = json_string_value(complaint);
            const struct etcd_peer *peer;

            if (!words || !read_alarm(words, &id, alarm, sizeof(alarm)))
                continue;
            peer = etcd_view_peer(view, id);
            snprintf(text, size, "%s at %s", alarm, peer ? etcd_peer_label(peer) : "an unknown member");
            return;
        }
    }
}

static const char *lowest_version(const struct etcd_view *view)
{
    const char *lowest = NULL;

    for (size_t i = 0; i < view->answer_count; i++) {
        const struct etcd_answer *answer = &view->answers[i];

        if (answer->answered && answer->version[0] && (!lowest || strverscmp(answer->version, lowest) < 0))
            lowest = answer->version;
    }
    return lowest;
}

static int emit_group(struct etcd *self, struct hactl_call *call, const struct etcd_view *view)
{
    struct hactl_group group = {.struct_size = sizeof(group)};
    char cluster_id[20], alarm[320], doubt[512] = "";

    snprintf(cluster_id, sizeof(cluster_id), "%" PRIx64, view->cluster_id);
    first_alarm(view, alarm, sizeof(alarm));
    group.formed = view->answered ? HACTL_YES : HACTL_UNKNOWN;
    group.quorum = view->quorum ? HACTL_YES : view->answered && !view->learners_only ? HACTL_NO : HACTL_UNKNOWN;
    group.cluster_id = view->answered ? cluster_id : NULL;
    group.version = lowest_version(view);
    group.alarm = alarm[0] ? alarm : NULL;
    for (size_t i = 0; i < view->answer_count; i++)
        if (view->answers[i].db_size_bytes > group.db_size_bytes)
            group.db_size_bytes = view->answers[i].db_size_bytes;
    if (view->quorum)
        etcd_view_doubt(view, doubt, sizeof(doubt));
    group.detail = view->why[0] ? view->why : doubt[0] ? doubt : NULL;
    return self->host->emit_group(call, &group);
}

static struct etcd_gate *gate_of(struct etcd *self, uint64_t cluster_id, uint64_t member_id)
{
    struct etcd_gate *gate;

    for (size_t i = 0; i < ETCD_GATES; i++)
        if (self->gates[i].member_id == member_id && self->gates[i].cluster_id == cluster_id)
            return &self->gates[i];
    gate = &self->gates[self->next_gate];
    self->next_gate = (self->next_gate + 1) % ETCD_GATES;
    *gate = (struct etcd_gate){.cluster_id = cluster_id, .member_id = member_id};
    return gate;
}

/* A learner that is level once may only have met a quiet moment; a new leader
 * starts the count again. */
unsigned etcd_gate_note(struct etcd *self, const struct etcd_view *view, const struct etcd_peer *peer)
{
    struct etcd_gate *gate = gate_of(self, view->cluster_id, peer->id);
    int64_t lag = etcd_peer_lag(view, peer);
    bool level = etcd_peer_healthy(view, peer) && lag >= 0 && (uint64_t)lag <= self->caught_up_lag;

    if (gate->leader != view->leader)
        gate->seen = 0;
    gate->leader = view->leader;
    gate->seen = level ? gate->seen + 1 : 0;
    return gate->seen;
}

static enum hactl_tristate caught_up(struct etcd *self, const struct etcd_view *view, const struct etcd_peer *peer)
{
    int64_t lag = etcd_peer_lag(view, peer);
    unsigned seen;

    if (peer->learner) {
        seen = etcd_gate_note(self, view, peer);
        if (lag >= 0)
            return seen >= 2 ? HACTL_YES : HACTL_NO;
    }
    if (lag < 0)
        return peer->name ? HACTL_UNKNOWN : HACTL_NO;
    return (uint64_t)lag <= self->caught_up_lag ? HACTL_YES : HACTL_NO;
}

static enum hactl_tristate healthy(const struct etcd_view *view, const struct etcd_peer *peer)
{
    if (etcd_peer_healthy(view, peer))
        return HACTL_YES;
    return peer->answer || !peer->name ? HACTL_NO : HACTL_UNKNOWN;
}

int etcd_emit_peer(struct etcd *self, struct hactl_call *call, const struct etcd_view *view,
                   const struct etcd_peer *peer)
{
    struct hactl_member member = {.struct_size = sizeof(member)};
    char id[20];

    snprintf(id, sizeof(id), "%" PRIx64, peer->id);
    member.id = id;
    member.name = peer->name;
    member.address = peer->address;
    member.peer_url = peer->peer_url;
    member.voter = !peer->learner;
    member.leader = peer->id == view->leader;
    member.started = peer->published ? HACTL_YES : HACTL_NO;
    member.healthy = healthy(view, peer);
    member.caught_up = caught_up(self, view, peer);
    member.lag_entries = etcd_peer_lag(view, peer);
    return self->host->emit_member(call, &member);
}

/* Whoever looks at a cluster whose keys are lost is to see the rest of it. */
static int emit_unasked(struct etcd *self, struct hactl_call *call)
{
    struct hactl_group group = {
        .struct_size = sizeof(group),
        .formed = HACTL_UNKNOWN,
        .quorum = HACTL_UNKNOWN,
        .detail = "there is no certificate to ask it with",
    };

    return self->host->emit_group(call, &group);
}

int etcd_list(void *instance, struct hactl_call *call, const struct hactl_group_want *want)
{
    struct etcd *self = instance;
    struct etcd_view view;
    char words[512];
    int code;

    if (!etcd_may_ask(want->tls))
        return emit_unasked(self, call);
    code = etcd_observe(self, call, want, &view);
    if (code == HACTL_OK && !etcd_view_agrees(&view, words, sizeof(words))) {
        etcd_view_clear(&view); /* a change may have been under way */
        code = etcd_observe(self, call, want, &view);
    }
    if (code == HACTL_OK)
        code = emit_group(self, call, &view);
    for (size_t i = 0; code == HACTL_OK && i < view.peer_count; i++)
        code = etcd_emit_peer(self, call, &view, &view.peers[i]);
    etcd_view_clear(&view);
    return code;
}
