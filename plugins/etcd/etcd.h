/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the etcd plugin. One plugin instance is one etcd group.
 *
 *   etcd.c           descriptor, settings, open and close
 *   etcd_api.c       one request, and what a refusal means
 *   etcd_observe.c   what a group looks like now
 *   etcd_list.c      that, as hactl's records; the gate of learners
 *   etcd_member.c    add, promote, move_leader, remove
 *   etcd_verify.c    what is asked of a new voter, its version and its data
 *   etcd_hash.c      HashKV of members
 *   etcd_snapshot.c  a snapshot to a file
 *   etcd_stream.c    its stream, decoded and checked
 *   etcd_payload.c   etcd's own unit and files; probe
 */
#ifndef HACTL_PLUGINS_ETCD_H
#define HACTL_PLUGINS_ETCD_H

#include <hactl/plugin.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/http.h"

#define ETCD_GATES    16
#define ETCD_RETRY_MS 250 /* the five-second rule of etcd: asking more often only costs CPU */

/* How often running a learner's own applied index was seen at the leader's. */
struct etcd_gate {
    uint64_t cluster_id, member_id, leader;
    unsigned seen;
};

struct etcd {
    const struct hactl_host *host;
    const struct hactl_conf *conf;
    struct ha_http_client *http;
    const char *group;
    uint16_t client_port, peer_port;
    uint32_t status_timeout_ms, request_timeout_ms, change_timeout_ms;
    uint64_t caught_up_lag;
    int64_t compare_data_bytes; /* of no larger database are hashes taken */
    struct etcd_gate gates[ETCD_GATES];
    size_t next_gate;
};

/* What one endpoint said. */
struct etcd_answer {
    const struct hactl_endpoint *endpoint;
    struct ha_http_endpoint *http;
    int64_t until_ms; /* for all its requests together */
    bool answered;    /* its own status */
    bool foreign;     /* it belongs to another cluster than the one that is known; counts as not answered */
    int code;         /* why not */
    char error[512];
    uint64_t cluster_id, member_id, leader, term, raft_index, applied_index;
    bool learner;
    int64_t db_size_bytes, revision;
    char version[32];
    json_t *complaints; /* alarms among them */
    bool reads;         /* a linearizable read was served here */
    json_t *members;    /* as it knows them */
};

/* One member of the list that was chosen; strings are borrowed from it. */
struct etcd_peer {
    uint64_t id;
    const char *name; /* NULL: added, and never started */
    bool published;   /* once it served clients it has said where: one that never did has never started */
    const char *peer_url;
    char address[256];
    bool learner;
    const struct etcd_answer *answer; /* of its endpoint; NULL: it has none */
};

struct etcd_view {
    struct etcd_answer *answers;
    size_t answer_count;
    struct etcd_peer *peers;
    size_t peer_count;
    bool answered, quorum, learners_only;
    uint64_t cluster_id, leader;
    uint64_t leader_index; /* 0: the leader did not answer */
    char why[1024];        /* no answer or no quorum: the reasons */
};

/* ---- etcd_api.c ---- */

/* A refusal in the remote's words, which `words` receives, as a code. */
int etcd_refusal(const struct ha_http_response *response, char *words, size_t size);
/* The answer's object, NULL with the reason in `words`. */
json_t *etcd_parse(const struct ha_http_response *response, char *words, size_t size);
/* One POST. HACTL_OK: *reply is an object (caller's). Otherwise `words` tells. */
int etcd_post(struct etcd *self, struct hactl_call *call, struct ha_http_endpoint *http, const char *path, json_t *body,
              uint32_t timeout_ms, json_t **reply, char *words, size_t words_size);
bool etcd_id_parse(const char *text, uint64_t *id);
/* Host part of a URL, without brackets. */
void etcd_url_host(const char *url, char *out, size_t size);
/* "https://[fd00::1]:2380"; caller frees. NULL: no memory. */
char *etcd_url(const char *address, uint16_t port);
/* NULL after host->fail(). */
bool etcd_may_ask(const struct hactl_tls *tls); /* every file of it is named */
struct ha_http_endpoint *etcd_endpoint(struct etcd *self, struct hactl_call *call, const struct hactl_reach *reach,
                                       const struct hactl_tls *tls);

/* ---- etcd_observe.c ---- */

int etcd_observe(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want,
                 struct etcd_view *view);
void etcd_view_clear(struct etcd_view *view);
const struct etcd_peer *etcd_view_peer(const struct etcd_view *view, uint64_t id);
/* Answered for itself and follows the group's leader. */
bool etcd_peer_healthy(const struct etcd_view *view, const struct etcd_peer *peer);
/* Leader's index less its own applied one; -1: unknown. */
int64_t etcd_peer_lag(const struct etcd_view *view, const struct etcd_peer *peer);
const char *etcd_peer_label(const struct etcd_peer *peer);

/* ---- etcd_list.c ---- */

int etcd_list(void *self, struct hactl_call *call, const struct hactl_group_want *want);
int etcd_emit_peer(struct etcd *self, struct hactl_call *call, const struct etcd_view *view,
                   const struct etcd_peer *peer);
/* Counts this view for the learner; how often running its index has now been there. */
unsigned etcd_gate_note(struct etcd *self, const struct etcd_view *view, const struct etcd_peer *peer);

/* ---- etcd_verify.c ---- */

/* HACTL_E_UNSUPPORTED: that learner's version is too far from the group's. */
int etcd_need_version(struct etcd *self, struct hactl_call *call, const struct etcd_view *view,
                      const struct etcd_peer *learner);
/* All who served a read know the same members; otherwise `words` tells. */
bool etcd_view_agrees(const struct etcd_view *view, char *words, size_t size);
void etcd_view_doubt(const struct etcd_view *view, char *words, size_t size);
/* One that was a learner until now: HACTL_E_FAILED when it is seen to have other data than most voters, or voters do
 * not know the same members. */
int etcd_verify_voter(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want, uint64_t id);

/* ---- etcd_hash.c ---- */

struct etcd_hash {
    uint64_t member_id;
    int64_t compact_revision; /* what of the history counts */
    uint32_t hash;
};

/* An answer to HashKV, framed as gRPC does. */
bool etcd_hash_parse(const void *body, size_t size, struct etcd_hash *hash);
/* Of each at that revision; member_id 0: it did not answer. */
void etcd_hash_all(struct etcd *self, struct hactl_call *call, const struct etcd_answer *const *members, size_t count,
                   int64_t revision, struct etcd_hash *hashes);
/* Both are known, and are of the same history. */
bool etcd_hash_comparable(const struct etcd_hash *one, const struct etcd_hash *other);

/* ---- the other kinds of work ---- */

int etcd_add(void *self, struct hactl_call *call, const struct hactl_group_want *want,
             const struct hactl_replica *replica);
int etcd_promote(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id);
int etcd_move_leader(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *to_id);
int etcd_remove(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id);
int etcd_snapshot(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *path);

extern const struct hactl_payload_ops etcd_payload_ops;

#endif
