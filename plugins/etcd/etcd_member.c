/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the membership. Each looks first and is done if it is already so;
 * each is sent once, on its own deadline; after any doubt the member list says
 * what has become of it.
 */
#include "plugins/etcd/etcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

struct change {
    const char *path;
    json_t *body;
    uint64_t avoid; /* a member not to ask, or 0 */
    uint64_t only;  /* the one to ask, or 0 */
};

static bool may_ask(const struct etcd_view *view, const struct etcd_peer *peer, const struct change *change)
{
    return !peer->learner && etcd_peer_healthy(view, peer) && peer->id != change->avoid &&
           (change->only == 0 || peer->id == change->only);
}

/* Over healthy voters, the leader first: it is the one that is connected to
 * all, which is what etcd asks for before it changes anything. */
static int send_change(struct etcd *self, struct hactl_call *call, const struct etcd_view *view,
                       const struct change *change, json_t **reply, char *words, size_t size)
{
    int code = HACTL_E_UNAVAILABLE;

    snprintf(words, size, "no healthy voter%s can be asked", change->avoid ? " but itself" : "");
    for (int leader = 1; leader >= 0; leader--) {
        for (size_t i = 0; i < view->peer_count; i++) {
            const struct etcd_peer *peer = &view->peers[i];

            if ((peer->id == view->leader) != leader || !may_ask(view, peer, change))
                continue;
            code = etcd_post(self, call, peer->answer->http, change->path, change->body, self->change_timeout_ms, reply,
                             words, size);
            if (code != HACTL_E_UNAVAILABLE)
                return code;
        }
    }
    return code;
}

/* Everything that has not happened and may yet is worth another request. */
static int fail_change(struct etcd *self, struct hactl_call *call, int code, const char *object, const char *words)
{
    if (code == HACTL_E_CONFLICT) /* the refusal and the list disagree: the list is behind */
        code = HACTL_E_BUSY;
    if (code == HACTL_E_BUSY || code == HACTL_E_UNAVAILABLE)
        self->host->retry_after(call, ETCD_RETRY_MS);
    return self->host->fail(call, code, "etcd group %s, %s: %s", self->group, object, words);
}

static int need_quorum(struct etcd *self, struct hactl_call *call, const struct etcd_view *view)
{
    int code = HACTL_E_BUSY;
    size_t denied = 0;

    if (view->quorum && view->leader != 0)
        return HACTL_OK;
    for (size_t i = 0; i < view->answer_count; i++)
        denied += view->answers[i].code == HACTL_E_DENIED;
    if (!view->answered)
        code = denied > 0 && denied == view->answer_count ? HACTL_E_DENIED : HACTL_E_UNAVAILABLE;
    if (code != HACTL_E_DENIED)
        self->host->retry_after(call, ETCD_RETRY_MS);
    return self->host->fail(call, code, "etcd group %s %s, nothing was changed: %s", self->group,
                            view->answered ? "has no quorum" : "does not answer",
                            view->why[0] ? view->why : "no leader");
}

static int need_id(struct etcd *self, struct hactl_call *call, const char *text, uint64_t *id)
{
    if (etcd_id_parse(text, id))
        return HACTL_OK;
    return self->host->fail(call, HACTL_E_INVALID, "\"%s\" is not the ID of an etcd member", text);
}

/* ---- add ----------------------------------------------------------------- */

static const struct etcd_peer *peer_with_url(const struct etcd_view *view, const char *url)
{
    for (size_t i = 0; i < view->peer_count; i++)
        if (strcmp(view->peers[i].peer_url, url) == 0)
            return &view->peers[i];
    return NULL;
}

static int may_add(struct etcd *self, struct hactl_call *call, const struct etcd_view *view,
                   const struct hactl_replica *replica)
{
    char words[512];
    int code = need_quorum(self, call, view);

    if (code == HACTL_OK && !etcd_view_agrees(view, words, sizeof(words)))
        code = fail_change(self, call, HACTL_E_BUSY, replica->name, words);
    for (size_t i = 0; code == HACTL_OK && i < view->answer_count; i++) {
        const struct etcd_answer *answer = &view->answers[i];

        if (answer->answered && strverscmp(answer->version, "3.4") < 0)
            code = self->host->fail(call, HACTL_E_UNSUPPORTED, "%s runs etcd %s; learners need 3.4 or later",
                                    answer->endpoint->replica, answer->version);
    }
    for (size_t i = 0; code == HACTL_OK && i < view->peer_count; i++) {
        const struct etcd_peer *peer = &view->peers[i];

        if (peer->name && strcmp(peer->name, replica->name) == 0)
            code = self->host->fail(call, HACTL_E_CONFLICT,
                                    "etcd group %s has a member %s at %s (%" PRIx64 "); remove it first", self->group,
                                    peer->name, peer->peer_url, peer->id);
    }
    return code;
}

static int emit_added(struct etcd *self, struct hactl_call *call, const struct etcd_view *view, const json_t *reply,
                      const char *url)
{
    struct etcd_peer added = {.peer_url = url, .learner = true};

    added.id = ha_json_u64(json_object_get(reply, "member"), "ID");
    etcd_url_host(url, added.address, sizeof(added.address));
    return etcd_emit_peer(self, call, view, &added);
}

static int add_url(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want,
                   const struct hactl_replica *replica, const char *url)
{
    struct change change = {.path = "/v3/cluster/member/add"};
    const struct etcd_peer *peer;
    struct etcd_view view;
    json_t *reply = NULL;
    char words[512];
    int code = etcd_observe(self, call, want, &view);

    if (code != HACTL_OK)
        goto out;
    peer = peer_with_url(&view, url);
    if (peer) {
        code = etcd_emit_peer(self, call, &view, peer);
        goto out;
    }
    code = may_add(self, call, &view, replica);
    if (code != HACTL_OK)
        goto out;
    change.body = json_pack("{s:[s],s:b}", "peerURLs", url, "isLearner", 1);
    code = send_change(self, call, &view, &change, &reply, words, sizeof(words));
    if (code == HACTL_OK) {
        code = emit_added(self, call, &view, reply, url);
        goto out;
    }
    etcd_view_clear(&view);
    /* etcd makes the ID from URL and second: one that was removed within the
     * same second is "not found". */
    if (code == HACTL_E_NOT_FOUND)
        code = HACTL_E_BUSY;
    if (etcd_observe(self, call, want, &view) == HACTL_OK && (peer = peer_with_url(&view, url)))
        code = etcd_emit_peer(self, call, &view, peer);
    else
        code = fail_change(self, call, code, url, words);
out:
    json_decref(change.body);
    json_decref(reply);
    etcd_view_clear(&view);
    return code;
}

int etcd_add(void *instance, struct hactl_call *call, const struct hactl_group_want *want,
             const struct hactl_replica *replica)
{
    struct etcd *self = instance;
    char *url;
    int code;

    if (!replica->internal_address)
        return self->host->fail(call, HACTL_E_INVALID, "replica %s has no internal address yet", replica->name);
    url = etcd_url(replica->internal_address, self->peer_port);
    if (!url)
        return self->host->fail(call, HACTL_E_INTERNAL, "no memory");
    code = add_url(self, call, want, replica, url);
    free(url);
    return code;
}

/* ---- promote ------------------------------------------------------------- */

/* etcd itself compares indexes of the whole history and lets a member in that
 * is seconds behind, at the price of an outage; its own applied index is what
 * tells. HACTL_PENDING: level, but once only. */
static int gate(struct etcd *self, struct hactl_call *call, const struct etcd_view *view, const struct etcd_peer *peer)
{
    unsigned seen = etcd_gate_note(self, view, peer);
    int64_t lag = etcd_peer_lag(view, peer);

    if (seen >= 2)
        return HACTL_OK;
    if (seen == 1)
        return HACTL_PENDING;
    self->host->retry_after(call, ETCD_RETRY_MS / 5);
    if (!peer->answer || !peer->answer->answered)
        return self->host->fail(call, HACTL_E_BUSY, "learner %s does not answer for itself yet%s%s",
                                etcd_peer_label(peer), peer->answer ? ": " : "",
                                peer->answer ? peer->answer->error : "");
    if (lag < 0 || !etcd_peer_healthy(view, peer))
        return self->host->fail(call, HACTL_E_BUSY, "learner %s does not follow the leader yet", etcd_peer_label(peer));
    return self->host->fail(call, HACTL_E_BUSY, "learner %s is %" PRId64 " entries behind the leader",
                            etcd_peer_label(peer), lag);
}

/* HACTL_OK: to be promoted. HACTL_PENDING: a voter already. */
static int may_promote(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want, uint64_t id,
                       struct etcd_view *view)
{
    int code = HACTL_PENDING;

    for (int look = 0; look < 2 && code == HACTL_PENDING; look++) {
        const struct etcd_peer *peer;

        etcd_view_clear(view);
        code = etcd_observe(self, call, want, view);
        if (code != HACTL_OK)
            return code;
        peer = etcd_view_peer(view, id);
        if (peer && !peer->learner)
            return HACTL_PENDING;
        code = need_quorum(self, call, view);
        if (code != HACTL_OK)
            return code;
        if (!peer)
            return self->host->fail(call, HACTL_E_NOT_FOUND, "etcd group %s has no member %" PRIx64, self->group, id);
        code = gate(self, call, view, peer);
    }
    if (code == HACTL_PENDING)
        return self->host->fail(call, HACTL_E_BUSY, "learner %" PRIx64 " was level only once", id);
    if (code == HACTL_OK)
        code = etcd_need_version(self, call, view, etcd_view_peer(view, id));
    return code;
}

int etcd_promote(void *instance, struct hactl_call *call, const struct hactl_group_want *want, const char *id_text)
{
    struct etcd *self = instance;
    struct change change = {.path = "/v3/cluster/member/promote"};
    struct etcd_view view = {0};
    const struct etcd_peer *peer;
    json_t *reply = NULL;
    char words[512];
    uint64_t id;
    int code = need_id(self, call, id_text, &id);

    if (code != HACTL_OK)
        return code;
    code = may_promote(self, call, want, id, &view);
    if (code != HACTL_OK) {
        code = code == HACTL_PENDING ? HACTL_OK : code;
        goto out;
    }
    change.body = json_object();
    ha_json_set_u64(change.body, "ID", id);
    change.avoid = id;
    code = send_change(self, call, &view, &change, &reply, words, sizeof(words));
    etcd_view_clear(&view);
    if (code != HACTL_OK) {
        if (etcd_observe(self, call, want, &view) == HACTL_OK && (peer = etcd_view_peer(&view, id)) && !peer->learner)
            code = HACTL_OK;
        else
            code = fail_change(self, call, code, id_text, words);
    }
    if (code == HACTL_OK)
        code = etcd_verify_voter(self, call, want, id);
out:
    json_decref(change.body);
    json_decref(reply);
    etcd_view_clear(&view);
    return code;
}

/* ---- move_leader --------------------------------------------------------- */

static const struct etcd_peer *most_caught_up(const struct etcd_view *view)
{
    const struct etcd_peer *best = NULL;

    for (size_t i = 0; i < view->peer_count; i++) {
        const struct etcd_peer *peer = &view->peers[i];

        if (peer->learner || peer->id == view->leader || !etcd_peer_healthy(view, peer))
            continue;
        if (!best || peer->answer->applied_index > best->answer->applied_index)
            best = peer;
    }
    return best;
}

static int choose_leader(struct etcd *self, struct hactl_call *call, const struct etcd_view *view, uint64_t to_id,
                         const struct etcd_peer **to)
{
    *to = to_id ? etcd_view_peer(view, to_id) : most_caught_up(view);
    if (!*to && to_id)
        return self->host->fail(call, HACTL_E_NOT_FOUND, "etcd group %s has no member %" PRIx64, self->group, to_id);
    if (!*to)
        return fail_change(self, call, HACTL_E_UNAVAILABLE, "leader", "no other healthy voter could lead");
    if ((*to)->learner)
        return self->host->fail(call, HACTL_E_INVALID, "%s is a learner and cannot lead", etcd_peer_label(*to));
    if (to_id != view->leader && !etcd_peer_healthy(view, *to))
        return fail_change(self, call, HACTL_E_BUSY, etcd_peer_label(*to), "does not follow the leader");
    return HACTL_OK;
}

static bool leads(const struct etcd_view *view, uint64_t to_id, uint64_t before)
{
    return to_id ? view->leader == to_id : view->leader != 0 && view->leader != before;
}

int etcd_move_leader(void *instance, struct hactl_call *call, const struct hactl_group_want *want, const char *to_text)
{
    struct etcd *self = instance;
    struct change change = {.path = "/v3/maintenance/transfer-leadership"};
    struct etcd_view view = {0};
    const struct etcd_peer *to;
    json_t *reply = NULL;
    char words[512];
    uint64_t to_id = 0;
    int code = to_text ? need_id(self, call, to_text, &to_id) : HACTL_OK;

    if (code != HACTL_OK)
        return code;
    code = etcd_observe(self, call, want, &view);
    if (code == HACTL_OK)
        code = need_quorum(self, call, &view);
    if (code == HACTL_OK)
        code = choose_leader(self, call, &view, to_id, &to);
    if (code != HACTL_OK || to->id == view.leader)
        goto out;
    change.body = json_object();
    change.only = view.leader;
    ha_json_set_u64(change.body, "targetID", to->id);
    code = send_change(self, call, &view, &change, &reply, words, sizeof(words));
    if (code == HACTL_OK)
        goto out;
    etcd_view_clear(&view);
    if (etcd_observe(self, call, want, &view) == HACTL_OK && leads(&view, to_id, change.only))
        code = HACTL_OK;
    else
        code = fail_change(self, call, code, "leader", words);
out:
    json_decref(change.body);
    json_decref(reply);
    etcd_view_clear(&view);
    return code;
}

/* ---- remove -------------------------------------------------------------- */

static size_t count_voters(const struct etcd_view *view)
{
    size_t voters = 0;

    for (size_t i = 0; i < view->peer_count; i++)
        voters += !view->peers[i].learner;
    return voters;
}

int etcd_remove(void *instance, struct hactl_call *call, const struct hactl_group_want *want, const char *id_text)
{
    struct etcd *self = instance;
    struct change change = {.path = "/v3/cluster/member/remove"};
    struct etcd_view view = {0};
    const struct etcd_peer *peer;
    json_t *reply = NULL;
    char words[512];
    uint64_t id;
    int code = need_id(self, call, id_text, &id);

    if (code != HACTL_OK)
        return code;
    code = etcd_observe(self, call, want, &view);
    if (code == HACTL_OK)
        code = need_quorum(self, call, &view);
    if (code != HACTL_OK)
        goto out;
    peer = etcd_view_peer(&view, id);
    if (!peer)
        goto out;
    if (!peer->learner && count_voters(&view) == 1) {
        code = self->host->fail(call, HACTL_E_INVALID, "%s is the last voter of etcd group %s and is never removed",
                                etcd_peer_label(peer), self->group);
        goto out;
    }
    change.body = json_object();
    change.avoid = id;
    ha_json_set_u64(change.body, "ID", id);
    code = send_change(self, call, &view, &change, &reply, words, sizeof(words));
    if (code == HACTL_OK)
        goto out;
    etcd_view_clear(&view);
    /* A list that stands on no quorum may be that of the member removed. */
    if (etcd_observe(self, call, want, &view) == HACTL_OK && view.quorum && view.peer_count > 0 &&
        !etcd_view_peer(&view, id))
        code = HACTL_OK;
    else
        code = fail_change(self, call, code == HACTL_E_NOT_FOUND ? HACTL_E_BUSY : code, id_text, words);
out:
    json_decref(change.body);
    json_decref(reply);
    etcd_view_clear(&view);
    return code;
}
