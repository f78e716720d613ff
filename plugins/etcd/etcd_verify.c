/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a group beyond its quorum: that a learner's version fits
 * before it becomes a voter, that voters know the same members, and that a new
 * voter serves and has the others' data.
 */
#include "plugins/etcd/etcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/json.h"

#define VERIFY_MS  1500 /* a new voter applies its promotion within milliseconds */
#define PAUSE_MS   10
#define RESERVE_MS 500 /* for the answer to be given before the call's deadline */

/* ---- versions ------------------------------------------------------------ */

static bool parse_version(const char *version, unsigned *major, unsigned *minor)
{
    return sscanf(version, "%u.%u", major, minor) == 2;
}

/* The oldest of the voters: what the group can do is what that one can. */
static const struct etcd_peer *oldest_voter(const struct etcd_view *view)
{
    const struct etcd_peer *oldest = NULL;

    for (size_t i = 0; i < view->peer_count; i++) {
        const struct etcd_peer *peer = &view->peers[i];

        if (!peer->learner && peer->answer && peer->answer->answered && peer->answer->version[0] &&
            (!oldest || strverscmp(peer->answer->version, oldest->answer->version) < 0))
            oldest = peer;
    }
    return oldest;
}

int etcd_need_version(struct etcd *self, struct hactl_call *call, const struct etcd_view *view,
                      const struct etcd_peer *learner)
{
    const struct etcd_peer *oldest = oldest_voter(view);
    unsigned major, minor, group_major, group_minor;

    if (!oldest || !learner->answer || !parse_version(learner->answer->version, &major, &minor) ||
        !parse_version(oldest->answer->version, &group_major, &group_minor))
        return HACTL_OK;
    if (major == group_major && minor <= group_minor + 1 && minor + 1 >= group_minor)
        return HACTL_OK;
    return self->host->fail(call, HACTL_E_UNSUPPORTED,
                            "learner %s runs etcd %s and %s etcd %s; members may be one minor version apart at most, "
                            "so it was not made a voter: install etcd %u.%u or %u.%u where it runs",
                            etcd_peer_label(learner), learner->answer->version, etcd_peer_label(oldest),
                            oldest->answer->version, group_major, group_minor, group_major, group_minor + 1);
}

/* ---- who is a member ----------------------------------------------------- */

static bool lists(const json_t *list, const json_t *member)
{
    size_t i;
    json_t *entry;

    json_array_foreach(list, i, entry)
    {
        if (ha_json_u64(entry, "ID") == ha_json_u64(member, "ID"))
            return ha_json_bool(entry, "isLearner") == ha_json_bool(member, "isLearner") &&
                   json_equal(json_object_get(entry, "peerURLs"), json_object_get(member, "peerURLs"));
    }
    return false;
}

/* One of the first list that the second does not have so. */
static const json_t *missing(const json_t *list, const json_t *in)
{
    size_t i;
    json_t *member;

    json_array_foreach(list, i, member)
    {
        if (!lists(in, member))
            return member;
    }
    return NULL;
}

static void say_dissent(const struct etcd_answer *who, const struct etcd_answer *other, const json_t *member,
                        char *words, size_t size)
{
    const char *url = json_string_value(json_array_get(json_object_get(member, "peerURLs"), 0));

    snprintf(words, size, "%s lists the %s %" PRIx64 " at %s, and %s does not", who->endpoint->replica,
             ha_json_bool(member, "isLearner") ? "learner" : "voter", ha_json_u64(member, "ID"), url ? url : "no URL",
             other->endpoint->replica);
}

/* Of a member whose list came after a linearizable read nothing older is to be
 * heard: if two such differ, no change was under way, or they differ for good. */
bool etcd_view_agrees(const struct etcd_view *view, char *words, size_t size)
{
    const struct etcd_answer *first = NULL;

    for (size_t i = 0; i < view->answer_count; i++) {
        const struct etcd_answer *answer = &view->answers[i];
        const json_t *member;

        if (!answer->reads || !json_is_array(answer->members))
            continue;
        if (!first)
            first = answer;
        member = missing(first->members, answer->members);
        if (member) {
            say_dissent(first, answer, member, words, size);
            return false;
        }
        member = missing(answer->members, first->members);
        if (member) {
            say_dissent(answer, first, member, words, size);
            return false;
        }
    }
    return true;
}

/* ---- its data ------------------------------------------------------------ */

/* Hashing stops a member's writes for as long as it takes: a follower is asked
 * rather than the leader, if there is one. */
static const struct etcd_peer *choose_witness(const struct etcd_view *view, uint64_t id)
{
    const struct etcd_peer *witness = NULL;

    for (size_t i = 0; i < view->peer_count; i++) {
        const struct etcd_peer *peer = &view->peers[i];

        if (peer->id == id || peer->learner || !etcd_peer_healthy(view, peer))
            continue;
        if (!witness || peer->id != view->leader)
            witness = peer;
    }
    return witness;
}

enum comparison { SAME, DIFFERENT, NOT_COMPARED };

static enum comparison compare(struct etcd *self, struct hactl_call *call, const struct etcd_peer *peer,
                               const struct etcd_peer *witness, struct etcd_hash hashes[2], int64_t *revision)
{
    const struct etcd_answer *const members[2] = {peer->answer, witness->answer};

    *revision = members[0]->revision < members[1]->revision ? members[0]->revision : members[1]->revision;
    if (*revision <= 0 || !etcd_hash_pair(self, call, members, *revision, hashes))
        return NOT_COMPARED;
    return hashes[0].hash == hashes[1].hash ? SAME : DIFFERENT;
}

static int fail_difference(struct etcd *self, struct hactl_call *call, const struct etcd_peer *peer,
                           const struct etcd_peer *witness, const struct etcd_hash hashes[2], int64_t revision)
{
    return self->host->fail(
        call, HACTL_E_FAILED,
        "etcd group %s: the new voter %s has other data than %s: at revision %" PRId64 " their HashKV are %" PRIu32
        " and %" PRIu32 ", which etcd calls CORRUPT; have a snapshot made (hactl etcd snapshot), find out which of "
        "them is right, and take %s out again (hactl op abort) or replace the other (hactl replica replace)",
        self->group, etcd_peer_label(peer), etcd_peer_label(witness), revision, hashes[0].hash, hashes[1].hash,
        etcd_peer_label(peer));
}

static void log_uncompared(struct etcd *self, struct hactl_call *call, const struct etcd_peer *peer, const char *why)
{
    self->host->log(call, HACTL_LOG_INFO, "etcd group %s: the data of %s were not compared with another member's: %s",
                    self->group, etcd_peer_label(peer), why);
}

/* Two samples: what is said of two members' data has consequences. */
static int verify_data(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want, uint64_t id,
                       struct etcd_view *view)
{
    enum comparison result = NOT_COMPARED;
    const struct etcd_peer *peer, *witness = NULL;
    struct etcd_hash hashes[2];
    int64_t revision = 0;

    for (int sample = 0; sample < 2 && result != SAME; sample++) {
        if (sample > 0) {
            etcd_view_clear(view);
            if (etcd_observe(self, call, want, view) != HACTL_OK)
                return HACTL_OK;
        }
        peer = etcd_view_peer(view, id);
        witness = choose_witness(view, id);
        if (!peer || !witness || !etcd_peer_healthy(view, peer))
            return HACTL_OK;
        if (peer->answer->db_size_bytes > self->compare_data_bytes ||
            witness->answer->db_size_bytes > self->compare_data_bytes) {
            log_uncompared(self, call, peer, "the database is larger than compare_data_bytes");
            return HACTL_OK;
        }
        result = compare(self, call, peer, witness, hashes, &revision);
    }
    if (result == DIFFERENT)
        return fail_difference(self, call, peer, witness, hashes, revision);
    if (result == NOT_COMPARED)
        log_uncompared(self, call, peer, "no HashKV of both at one revision");
    return HACTL_OK;
}

/* ---- a new voter --------------------------------------------------------- */

static bool serves(const struct etcd_view *view, uint64_t id)
{
    const struct etcd_peer *peer = etcd_view_peer(view, id);

    return peer && !peer->learner && etcd_peer_healthy(view, peer) && !peer->answer->learner;
}

static void pause_briefly(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

    nanosleep(&pause, NULL);
}

/* What it does not come to show in this short time is no fault of it yet: the
 * core goes on to look until all voters are healthy. */
int etcd_verify_voter(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want, uint64_t id)
{
    int64_t spare_ms = self->host->ms_left(call) - VERIFY_MS;
    int64_t until_left_ms = spare_ms > RESERVE_MS ? spare_ms : RESERVE_MS;
    struct etcd_view view;
    char words[512] = "";
    bool agrees, good;
    int code;

    for (;;) {
        code = etcd_observe(self, call, want, &view);
        agrees = code != HACTL_OK || etcd_view_agrees(&view, words, sizeof(words));
        good = code == HACTL_OK && agrees && serves(&view, id);
        if (good || code != HACTL_OK || self->host->ms_left(call) <= until_left_ms)
            break;
        etcd_view_clear(&view);
        pause_briefly();
    }
    if (good)
        code = verify_data(self, call, want, id, &view);
    else if (code == HACTL_OK && !agrees)
        code =
            self->host->fail(call, HACTL_E_FAILED,
                             "etcd group %s: %" PRIx64 " is a voter now, and the voters do not know the same members: "
                             "%s; restart the one that is wrong, or replace it (hactl replica replace)",
                             self->group, id, words);
    else if (code == HACTL_OK)
        self->host->log(call, HACTL_LOG_WARNING,
                        "etcd group %s: %" PRIx64 " is a voter now, and has not served a read "
                        "yet",
                        self->group, id);
    etcd_view_clear(&view);
    return code;
}
