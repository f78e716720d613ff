/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a group looks like now. Every endpoint is asked at once, each for three
 * things in a row (its status, a linearizable read, the member list), so that
 * a member that hangs delays nothing but its own answer. The list comes after
 * the read: then it holds whatever was committed before.
 */
#include "plugins/etcd/etcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/json.h"

#define STATUS "/v3/maintenance/status"
#define READ   "/v3/kv/range"
#define LIST   "/v3/cluster/member/list"
/* However slow the status was, the rest gets a fair try. */
#define LEAST_MS 250

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void take_status(struct etcd_answer *answer, const struct ha_http_response *response)
{
    const char *version;
    json_t *body, *header;

    answer->code = etcd_refusal(response, answer->error, sizeof(answer->error));
    if (answer->code != HACTL_OK)
        return;
    body = etcd_parse(response, answer->error, sizeof(answer->error));
    header = json_object_get(body, "header");
    answer->cluster_id = ha_json_u64(header, "cluster_id");
    answer->member_id = ha_json_u64(header, "member_id");
    answer->leader = ha_json_u64(body, "leader");
    answer->term = ha_json_u64(body, "raftTerm");
    answer->raft_index = ha_json_u64(body, "raftIndex");
    answer->applied_index = ha_json_u64(body, "raftAppliedIndex");
    answer->learner = ha_json_bool(body, "isLearner");
    answer->db_size_bytes = ha_json_i64(body, "dbSize");
    answer->revision = ha_json_i64(header, "revision");
    answer->complaints = json_incref(json_object_get(body, "errors"));
    version = ha_json_string(body, "version");
    snprintf(answer->version, sizeof(answer->version), "%s", version ? version : "");
    answer->answered = answer->cluster_id != 0 && answer->member_id != 0;
    if (!answer->answered) {
        answer->code = HACTL_E_UNSUPPORTED;
        if (body)
            snprintf(answer->error, sizeof(answer->error), "the answer is not an etcd status");
    }
    json_decref(body);
}

static void take_read(struct etcd_answer *answer, const struct ha_http_response *response)
{
    answer->reads = etcd_refusal(response, answer->error, sizeof(answer->error)) == HACTL_OK;
}

static void take_list(struct etcd_answer *answer, const struct ha_http_response *response)
{
    char words[256];
    json_t *body;

    if (etcd_refusal(response, words, sizeof(words)) != HACTL_OK)
        return;
    body = etcd_parse(response, words, sizeof(words));
    answer->members = json_incref(json_object_get(body, "members"));
    json_decref(body);
}

static void ask(struct ha_http_exchange *exchange, const char *path, const char *body)
{
    struct etcd_answer *answer = exchange->user;
    int64_t left_ms = answer->until_ms - now_ms();

    exchange->request = (struct ha_http_request){
        .method = "POST",
        .path = path,
        .body = body,
        .body_size = strlen(body),
        .repeatable = true,
        .timeout_ms = (uint32_t)(left_ms > LEAST_MS ? left_ms : LEAST_MS),
    };
}

static bool ask_next(struct ha_http_exchange *exchange)
{
    struct etcd_answer *answer = exchange->user;
    const char *path = exchange->request.path;

    if (strcmp(path, STATUS) == 0) {
        take_status(answer, &exchange->response);
        if (!answer->answered || answer->learner) /* a learner serves nothing else */
            return false;
        ask(exchange, READ, "{\"key\":\"aGVhbHRo\",\"keys_only\":true}");
        return true;
    }
    if (strcmp(path, READ) == 0) {
        take_read(answer, &exchange->response);
        ask(exchange, LIST, "{}");
        return true;
    }
    take_list(answer, &exchange->response);
    return false;
}

static int ask_all(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want,
                   struct etcd_view *view)
{
    struct ha_http_exchange *exchanges = calloc(want->endpoint_count + 1, sizeof(*exchanges));
    int code = HACTL_OK;

    view->answers = calloc(want->endpoint_count + 1, sizeof(*view->answers));
    if (!exchanges || !view->answers) {
        code = self->host->fail(call, HACTL_E_INTERNAL, "no memory");
        goto out;
    }
    for (size_t i = 0; i < want->endpoint_count; i++) {
        struct etcd_answer *answer = &view->answers[i];

        answer->endpoint = want->endpoints[i];
        answer->http = etcd_endpoint(self, call, answer->endpoint->reach, want->tls);
        if (!answer->http) {
            code = HACTL_E_INVALID;
            goto out;
        }
        answer->until_ms = now_ms() + self->status_timeout_ms;
        exchanges[i].endpoint = answer->http;
        exchanges[i].next = ask_next;
        exchanges[i].user = answer;
        ask(&exchanges[i], STATUS, "{}");
    }
    view->answer_count = want->endpoint_count;
    ha_http_run(self->http, self->host, call, exchanges, want->endpoint_count);
    for (size_t i = 0; i < want->endpoint_count; i++)
        if (!view->answers[i].answered && view->answers[i].error[0] == '\0') /* not asked, or given up */
            snprintf(view->answers[i].error, sizeof(view->answers[i].error), "%s", exchanges[i].response.error);
    if (self->host->cancelled(call))
        code = self->host->fail(call, HACTL_E_CANCELLED, "interrupted");
out:
    for (size_t i = 0; exchanges && i < want->endpoint_count; i++)
        ha_http_response_clear(&exchanges[i].response);
    free(exchanges);
    return code;
}

/* Who is known to belong to another cluster has no say in this one: as a member it does not answer. */
static void set_aside(const struct etcd *self, struct etcd_answer *answer, const char *cluster_id)
{
    snprintf(answer->error, sizeof(answer->error),
             "answers for the etcd cluster %" PRIx64 ", not for group %s (%s); something else listens there, or the "
             "group was formed anew",
             answer->cluster_id, self->group, cluster_id);
    json_decref(answer->complaints);
    json_decref(answer->members);
    answer->complaints = answer->members = NULL;
    answer->code = HACTL_E_CONFLICT;
    answer->answered = answer->reads = false;
    answer->foreign = true;
    answer->db_size_bytes = 0;
}

static int set_foreign_aside(struct etcd *self, struct hactl_call *call, const char *cluster_id, struct etcd_view *view)
{
    const struct etcd_answer *foreign = NULL;
    bool some = false;
    uint64_t wanted;

    if (!etcd_id_parse(cluster_id, &wanted))
        return self->host->fail(call, HACTL_E_INVALID, "\"%s\" is not the ID of an etcd cluster", cluster_id);
    for (size_t i = 0; i < view->answer_count; i++) {
        struct etcd_answer *answer = &view->answers[i];

        if (answer->answered && answer->cluster_id != wanted)
            set_aside(self, answer, cluster_id);
        foreign = answer->foreign ? answer : foreign;
        some = some || answer->answered;
    }
    if (foreign && !some)
        return self->host->fail(call, HACTL_E_CONFLICT, "%s %s", foreign->endpoint->replica, foreign->error);
    return HACTL_OK;
}

static int one_cluster(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want,
                       struct etcd_view *view)
{
    const struct etcd_answer *first = NULL;
    int code = want->cluster_id ? set_foreign_aside(self, call, want->cluster_id, view) : HACTL_OK;

    for (size_t i = 0; code == HACTL_OK && i < view->answer_count; i++) {
        const struct etcd_answer *answer = &view->answers[i];

        if (!answer->answered)
            continue;
        if (!first)
            first = answer;
        if (answer->cluster_id != first->cluster_id)
            return self->host->fail(call, HACTL_E_CONFLICT,
                                    "group %s is two clusters: %s answers for %" PRIx64 ", %s for %" PRIx64
                                    "; stop the one that must not be and move its data aside",
                                    self->group, first->endpoint->replica, first->cluster_id, answer->endpoint->replica,
                                    answer->cluster_id);
    }
    view->answered = first != NULL;
    view->cluster_id = first ? first->cluster_id : 0;
    return code;
}

/* The leader is whom the answer of the highest term names. */
static void find_leader(struct etcd_view *view)
{
    uint64_t term = 0;

    view->learners_only = view->answered;
    for (size_t i = 0; i < view->answer_count; i++) {
        const struct etcd_answer *answer = &view->answers[i];

        if (!answer->answered)
            continue;
        view->quorum = view->quorum || answer->reads;
        view->learners_only = view->learners_only && answer->learner;
        if (answer->leader != 0 && answer->term > term) {
            term = answer->term;
            view->leader = answer->leader;
        }
    }
    for (size_t i = 0; i < view->answer_count; i++)
        if (view->answers[i].answered && view->answers[i].member_id == view->leader)
            view->leader_index = view->answers[i].raft_index;
}

/* After a linearizable read a list is up to date; without one, the member that
 * has applied most knows best. */
static const json_t *best_list(const struct etcd_view *view)
{
    const struct etcd_answer *best = NULL;

    for (size_t i = 0; i < view->answer_count; i++) {
        const struct etcd_answer *answer = &view->answers[i];

        if (!json_is_array(answer->members))
            continue;
        if (!best || answer->reads > best->reads ||
            (answer->reads == best->reads && answer->applied_index > best->applied_index))
            best = answer;
    }
    return best ? best->members : NULL;
}

static bool has_host(const json_t *urls, const char *address)
{
    char host[256];
    size_t i;
    json_t *url;

    json_array_foreach(urls, i, url)
    {
        etcd_url_host(json_string_value(url) ? json_string_value(url) : "", host, sizeof(host));
        if (strcmp(host, address) == 0)
            return true;
    }
    return false;
}

/* By the ID that the endpoint tells; one that tells nothing, by its address. */
static const struct etcd_answer *answer_of(const struct etcd_view *view, uint64_t id, const json_t *entry)
{
    for (size_t i = 0; i < view->answer_count; i++)
        if (view->answers[i].answered && view->answers[i].member_id == id)
            return &view->answers[i];
    for (size_t i = 0; i < view->answer_count; i++) {
        const struct etcd_answer *answer = &view->answers[i];

        if (!answer->answered && (has_host(json_object_get(entry, "peerURLs"), answer->endpoint->reach->verify) ||
                                  has_host(json_object_get(entry, "clientURLs"), answer->endpoint->reach->verify)))
            return answer;
    }
    return NULL;
}

static int fill_peers(struct etcd *self, struct hactl_call *call, struct etcd_view *view)
{
    const json_t *list = best_list(view);
    size_t i;
    json_t *entry;

    view->peers = calloc(json_array_size(list) + 1, sizeof(*view->peers));
    if (!view->peers)
        return self->host->fail(call, HACTL_E_INTERNAL, "no memory");
    json_array_foreach(list, i, entry)
    {
        struct etcd_peer *peer = &view->peers[view->peer_count];
        const char *url = json_string_value(json_array_get(json_object_get(entry, "peerURLs"), 0));

        peer->id = ha_json_u64(entry, "ID");
        if (peer->id == 0)
            continue;
        peer->name = ha_json_string(entry, "name");
        peer->published = json_array_size(json_object_get(entry, "clientURLs")) > 0;
        peer->peer_url = url ? url : "";
        etcd_url_host(peer->peer_url, peer->address, sizeof(peer->address));
        peer->learner = ha_json_bool(entry, "isLearner");
        peer->answer = answer_of(view, peer->id, entry);
        view->peer_count++;
    }
    return HACTL_OK;
}

static void explain(const struct etcd *self, struct etcd_view *view)
{
    size_t used = 0;

    if (view->quorum)
        return;
    if (view->answer_count == 0)
        snprintf(view->why, sizeof(view->why), "no replica of group %s can be asked", self->group);
    for (size_t i = 0; i < view->answer_count && used < sizeof(view->why); i++) {
        const struct etcd_answer *answer = &view->answers[i];
        const char *words = answer->answered && answer->learner ? "answers, but is a learner" : answer->error;
        int length = snprintf(view->why + used, sizeof(view->why) - used, "%s%s: %s", used > 0 ? "; " : "",
                              answer->endpoint->replica, words);

        used += length > 0 ? (size_t)length : 0;
    }
}

int etcd_observe(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want,
                 struct etcd_view *view)
{
    int code;

    memset(view, 0, sizeof(*view));
    code = ask_all(self, call, want, view);
    if (code == HACTL_OK)
        code = one_cluster(self, call, want, view);
    if (code != HACTL_OK)
        return code;
    find_leader(view);
    explain(self, view);
    return fill_peers(self, call, view);
}

void etcd_view_clear(struct etcd_view *view)
{
    for (size_t i = 0; i < view->answer_count; i++) {
        json_decref(view->answers[i].complaints);
        json_decref(view->answers[i].members);
    }
    free(view->answers);
    free(view->peers);
    memset(view, 0, sizeof(*view));
}

const struct etcd_peer *etcd_view_peer(const struct etcd_view *view, uint64_t id)
{
    for (size_t i = 0; i < view->peer_count; i++)
        if (view->peers[i].id == id)
            return &view->peers[i];
    return NULL;
}

/* A leader that has lost its quorum believes in itself for up to two election
 * timeouts more; a read that a voter serves proves that it follows. */
bool etcd_peer_healthy(const struct etcd_view *view, const struct etcd_peer *peer)
{
    const struct etcd_answer *answer = peer->answer;

    return answer && answer->answered && answer->leader != 0 && answer->leader == view->leader &&
           (answer->learner || answer->reads);
}

int64_t etcd_peer_lag(const struct etcd_view *view, const struct etcd_peer *peer)
{
    if (!peer->answer || !peer->answer->answered || view->leader_index == 0)
        return -1;
    if (peer->answer->applied_index >= view->leader_index)
        return 0;
    return (int64_t)(view->leader_index - peer->answer->applied_index);
}

const char *etcd_peer_label(const struct etcd_peer *peer)
{
    return peer->name ? peer->name : peer->peer_url;
}
