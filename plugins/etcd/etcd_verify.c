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

#define HASHED_MAX 8    /* members compared at once */
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

/* Told of a group that has its quorum; "" if all is well. */
void etcd_view_doubt(const struct etcd_view *view, char *words, size_t size)
{
    const struct etcd_peer *oldest = oldest_voter(view);
    unsigned major, minor, oldest_major, oldest_minor;

    words[0] = '\0';
    for (size_t i = 0; i < view->answer_count; i++)
        if (view->answers[i].foreign) {
            snprintf(words, size, "%s %s", view->answers[i].endpoint->replica, view->answers[i].error);
            return;
        }
    if (!etcd_view_agrees(view, words, size) || !oldest ||
        !parse_version(oldest->answer->version, &oldest_major, &oldest_minor))
        return;
    for (size_t i = 0; i < view->peer_count && !words[0]; i++) {
        const struct etcd_peer *peer = &view->peers[i];

        if (!peer->learner && peer->answer && parse_version(peer->answer->version, &major, &minor) &&
            (major != oldest_major || minor > oldest_minor + 1))
            snprintf(words, size, "%s runs etcd %s and %s etcd %s, more than one minor version apart",
                     etcd_peer_label(oldest), oldest->answer->version, etcd_peer_label(peer), peer->answer->version);
    }
}

/* ---- its data ------------------------------------------------------------ */

/* Hashes at one revision: first that of the new voter, then those of others. */
struct sample {
    const struct etcd_peer *peers[HASHED_MAX];
    const struct etcd_answer *answers[HASHED_MAX];
    struct etcd_hash hashes[HASHED_MAX];
    size_t count;
    int64_t revision;
    size_t same, others; /* of those that can be compared with the first: with its hash, with another */
};

static void add_peer(struct sample *sample, const struct etcd_peer *peer)
{
    if (sample->count == HASHED_MAX)
        return;
    if (sample->count == 0 || peer->answer->revision < sample->revision)
        sample->revision = peer->answer->revision;
    sample->peers[sample->count] = peer;
    sample->answers[sample->count++] = peer->answer;
}

/* Hashing holds up a member's writes while it lasts: one other is enough
 * at first, and a follower is asked rather than the leader, if there is one. */
static void choose_peers(const struct etcd_view *view, const struct etcd_peer *voter, bool all, struct sample *sample)
{
    memset(sample, 0, sizeof(*sample));
    add_peer(sample, voter);
    for (int leader = 0; leader <= 1; leader++) {
        for (size_t i = 0; i < view->peer_count && (all || sample->count < 2); i++) {
            const struct etcd_peer *peer = &view->peers[i];

            if (peer != voter && !peer->learner && (peer->id == view->leader) == leader &&
                etcd_peer_healthy(view, peer))
                add_peer(sample, peer);
        }
    }
}

static bool is_too_large(const struct etcd *self, const struct sample *sample)
{
    for (size_t i = 0; i < sample->count; i++)
        if (sample->answers[i]->db_size_bytes > self->compare_data_bytes)
            return true;
    return false;
}

static void take_sample(struct etcd *self, struct hactl_call *call, struct sample *sample)
{
    if (sample->revision <= 0)
        return;
    etcd_hash_all(self, call, sample->answers, sample->count, sample->revision, sample->hashes);
    for (size_t i = 1; i < sample->count; i++) {
        if (!etcd_hash_comparable(&sample->hashes[0], &sample->hashes[i]))
            continue;
        if (sample->hashes[i].hash == sample->hashes[0].hash)
            sample->same++;
        else
            sample->others++;
    }
}

static void say_hashes(const struct sample *sample, char *words, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < sample->count && used < size; i++) {
        int length;

        if (i > 0 && !etcd_hash_comparable(&sample->hashes[0], &sample->hashes[i]))
            continue;
        length = snprintf(words + used, size - used, "%s%s %" PRIu32, i > 0 ? ", " : "",
                          etcd_peer_label(sample->peers[i]), sample->hashes[i].hash);
        used += length > 0 ? (size_t)length : 0;
    }
}

/* A new voter that has what most have is as it must be, whatever another has:
 * this may be the one that is to replace it. */
static int judge_sample(struct etcd *self, struct hactl_call *call, const struct sample *sample)
{
    const char *name = etcd_peer_label(sample->peers[0]);
    char words[400];

    say_hashes(sample, words, sizeof(words));
    if (sample->same + 1 <= sample->others || sample->same == 0)
        return self->host->fail(call, HACTL_E_FAILED,
                                "the new voter %s has other data than the others, which etcd calls CORRUPT; HashKV at "
                                "revision %" PRId64 ": %s. Have a snapshot made (hactl etcd snapshot), then take %s "
                                "out again (hactl op abort), unless it is the other that is wrong (hactl op resume, "
                                "hactl replica replace)",
                                name, sample->revision, words, name);
    self->host->log(call, HACTL_LOG_WARNING,
                    "etcd group %s: not all members have the same data, which etcd calls CORRUPT; HashKV at revision "
                    "%" PRId64 ": %s. %s has what most have; replace those that differ (hactl replica replace)",
                    self->group, sample->revision, words, name);
    return HACTL_OK;
}

static void log_uncompared(struct etcd *self, struct hactl_call *call, const struct etcd_peer *peer, const char *why)
{
    self->host->log(call, HACTL_LOG_INFO, "etcd group %s: the data of %s were not compared with another member's: %s",
                    self->group, etcd_peer_label(peer), why);
}

/* Once more, with everybody, before anything is said: it has consequences. */
static int verify_data(struct etcd *self, struct hactl_call *call, const struct hactl_group_want *want, uint64_t id,
                       struct etcd_view *view)
{
    const struct etcd_peer *voter;
    struct sample sample;

    for (int look = 0; look < 2; look++) {
        if (look > 0) {
            etcd_view_clear(view);
            if (etcd_observe(self, call, want, view) != HACTL_OK)
                return HACTL_OK;
        }
        voter = etcd_view_peer(view, id);
        if (!voter || voter->learner || !etcd_peer_healthy(view, voter))
            return HACTL_OK;
        choose_peers(view, voter, look > 0, &sample);
        if (is_too_large(self, &sample)) {
            log_uncompared(self, call, voter, "the database is larger than compare_data_bytes");
            return HACTL_OK;
        }
        take_sample(self, call, &sample);
        if (sample.same > 0 && sample.others == 0)
            return HACTL_OK;
    }
    if (sample.others > 0)
        return judge_sample(self, call, &sample);
    log_uncompared(self, call, voter, "no HashKV of it and of another at one revision");
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
                        "etcd group %s: %" PRIx64 " is a voter now, and has not served a read yet", self->group, id);
    etcd_view_clear(&view);
    return code;
}
