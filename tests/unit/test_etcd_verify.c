/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of members beyond the quorum: versions that fit, the same
 * members in every list, the same data everywhere. Against real etcd; where
 * it would have to be one that is broken, through somebody who changes its
 * answers, or with its data changed under it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/file.h"
#include "plugins/etcd/etcd.h"
#include "tests/unit/etcd_liar.h"
#include "tests/unit/etcd_rig.h"

#define OPS   hactl_plugin.member
#define TRIES 20
/* {"key":"Zm9v","value":"QkFE..."}: a value that is found again in the database file */
#define VALUE     "GOODGOODGOODGOODGOODGOOD"
#define OTHER     "BAD!BAD!BAD!BAD!BAD!BAD!"
#define PUT_VALUE "{\"key\":\"Zm9v\",\"value\":\"R09PREdPT0RHT09ER09PREdPT0RHT09E\"}"

static char text[1024]; /* of the last operation */

static int end(struct hactl_call *call, int code)
{
    snprintf(text, sizeof(text), "%s", call->text);
    fake_call_free(call);
    return code;
}

/* As the core does: what is not ready yet, such as a group within the five seconds, is asked for again. */
static void add_learner(struct rig *rig, int index, char id[32])
{
    int64_t until_ms = rig_now_ms() + 15000;
    int code;

    rig->want.endpoint_count = (size_t)index + 1;
    do {
        struct hactl_call *call = fake_call_new(10000);

        code = OPS->add(rig->self, call, &rig->want, &rig->replicas[index]);
        if (code == HACTL_OK)
            snprintf(id, 32, "%s", call->members[0].id);
        end(call, code);
        if (code == HACTL_E_BUSY)
            rig_sleep_ms(250);
    } while (code == HACTL_E_BUSY && rig_now_ms() < until_ms);
    assert_int_equal(code, HACTL_OK);
    rig_join(rig, index);
}

static void await_caught_up(struct rig *rig, int index)
{
    bool done = false;

    for (int64_t until_ms = rig_now_ms() + 15000; !done; rig_sleep_ms(20)) {
        struct hactl_call *call = rig_list(rig);
        const struct hactl_member *member = rig_member(call, rig->names[index]);

        done = member && member->caught_up == HACTL_YES && member->healthy == HACTL_YES;
        fake_call_free(call);
        if (!done && rig_now_ms() > until_ms)
            fail_msg("the learner does not catch up");
    }
}

static int promote(struct rig *rig, const char *id)
{
    int64_t until_ms = rig_now_ms() + 15000;
    int code;

    do {
        struct hactl_call *call = fake_call_new(10000);

        code = end(call, OPS->promote(rig->self, call, &rig->want, id));
        if (code == HACTL_E_BUSY)
            rig_sleep_ms(50);
    } while (code == HACTL_E_BUSY && rig_now_ms() < until_ms);
    return code;
}

static size_t count_voters(struct rig *rig)
{
    struct hactl_call *call = rig_list(rig);
    size_t voters = 0;

    for (size_t i = 0; i < call->member_count; i++)
        voters += call->members[i].voter != 0;
    fake_call_free(call);
    return voters;
}

/* ---- data ---------------------------------------------------------------- */

static void hash_both(struct rig *rig, int64_t revision, struct etcd_hash hashes[2], bool known)
{
    struct hactl_call *call = fake_call_new(5000);
    struct etcd_view view;

    assert_int_equal(etcd_observe(rig->self, call, &rig->want, &view), HACTL_OK);
    {
        const struct etcd_answer *const members[2] = {&view.answers[0], &view.answers[1]};

        if (revision == 0)
            revision = members[0]->revision;
        etcd_hash_all(rig->self, call, members, 2, revision, hashes);
        assert_int_equal(etcd_hash_comparable(&hashes[0], &hashes[1]), known);
    }
    etcd_view_clear(&view);
    fake_call_free(call);
}

/* Of sound members, while the history is whole and after it was shortened, and what cannot be compared. */
static void test_hashes(void **state)
{
    struct rig *rig = rig_new(1, NULL);
    struct etcd_hash first[2], second[2];

    (void)state;
    rig_found(rig, 2);
    rig_write(rig, 0, 10);
    rig_settle(rig, 2);
    hash_both(rig, 0, first, true);
    assert_int_not_equal(first[0].hash, 0);
    assert_int_equal(first[0].hash, first[1].hash);
    assert_int_not_equal(first[0].member_id, first[1].member_id);
    hash_both(rig, 5, second, true);
    assert_int_equal(second[0].hash, second[1].hash);
    assert_int_not_equal(second[0].hash, first[0].hash);
    hash_both(rig, 1000, second, false); /* in the future */
    rig_post(rig, 0, "/v3/kv/compaction", "{\"revision\":\"6\",\"physical\":true}", 1);
    hash_both(rig, 3, second, false); /* in the past */
    rig_free(rig);
}

/* The learner's database is changed under it while it is stopped. */
static void spoil(struct rig *rig, int index)
{
    char path[160], *content, *at;
    size_t size, found = 0;
    FILE *file;

    kill(rig->pids[index], SIGTERM);
    waitpid(rig->pids[index], NULL, 0);
    rig->pids[index] = 0;
    snprintf(path, sizeof(path), "%s/%s/etcd/member/snap/db", rig->directory, rig->names[index]);
    assert_int_equal(ha_file_read(path, 1 << 26, &content, &size), 0);
    while ((at = memmem(content, size, VALUE, strlen(VALUE)))) {
        memcpy(at, OTHER, strlen(OTHER));
        found++;
    }
    assert_true(found > 0);
    file = fopen(path, "r+");
    assert_int_equal(fwrite(content, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    free(content);
}

static void join_with_other_data(struct rig *rig, char id[32])
{
    rig_found(rig, 1);
    rig_post(rig, 0, "/v3/kv/put", PUT_VALUE, 3);
    add_learner(rig, 1, id);
    await_caught_up(rig, 1);
    spoil(rig, 1);
    rig_join(rig, 1);
    await_caught_up(rig, 1);
}

/* etcd's own check at the start would find it in this case; in others nothing does. */
static const struct fake_setting unchecked[] = {{"corrupt_check", "false"}, {NULL, NULL}};

static void test_other_data(void **state)
{
    struct rig *rig = rig_new(2, unchecked);
    char id[32];

    (void)state;
    join_with_other_data(rig, id);
    assert_int_equal(promote(rig, id), HACTL_E_FAILED);
    assert_non_null(strstr(text, "new voter demo-2 has other data than the others"));
    assert_non_null(strstr(text, ", demo-1 "));
    assert_non_null(strstr(text, "CORRUPT"));
    assert_non_null(strstr(text, "hactl op abort"));

    /* It is a voter all the same. One more that has what most have is right, which is how the other is replaced. */
    add_learner(rig, 2, id);
    await_caught_up(rig, 2);
    if (promote(rig, id) != HACTL_OK)
        fail_msg("%s", text);
    assert_int_equal(count_voters(rig), 3);
    rig_free(rig);
}

static void test_data_not_compared(void **state)
{
    static const struct fake_setting settings[] = {
        {"corrupt_check", "false"}, {"compare_data_bytes", "0"}, {NULL, NULL}};
    struct rig *rig = rig_new(3, settings);
    char id[32];

    (void)state;
    join_with_other_data(rig, id);
    assert_int_equal(promote(rig, id), HACTL_OK);
    rig_free(rig);
}

static void test_hash_frames(void **state)
{
    /* member 7, revision 5; hash 300; compacted at 3; a field of a later version */
    static const unsigned char good[] = {0, 0, 0, 0, 13, 0x0a, 4, 0x10, 7, 0x18, 5, 0x10, 0xac, 2, 0x18, 3, 0x20, 5};
    unsigned char frame[sizeof(good)];
    struct etcd_hash hash;

    (void)state;
    assert_true(etcd_hash_parse(good, sizeof(good), &hash));
    assert_int_equal(hash.member_id, 7);
    assert_int_equal(hash.hash, 300);
    assert_int_equal(hash.compact_revision, 3);
    for (size_t size = 0; size < sizeof(good); size++) {
        unsigned char *exact = malloc(size + 1); /* for the sanitizer to see what is read beyond it */

        memcpy(exact, good, size);
        if (size > 5)
            exact[4] = (unsigned char)(size - 5);
        /* Cut between two fields it is a shorter message. */
        assert_int_equal(etcd_hash_parse(exact, size, &hash), size == 11 || size == 14 || size == 16);
        free(exact);
    }
    for (size_t at = 0; at < sizeof(good); at++) {
        for (int value = 0; value < 256; value++) {
            memcpy(frame, good, sizeof(good));
            frame[at] = (unsigned char)value;
            etcd_hash_parse(frame, sizeof(frame), &hash); /* whatever comes of it, within its bounds */
        }
    }
    memcpy(frame, good, sizeof(good));
    frame[0] = 1; /* compressed */
    assert_false(etcd_hash_parse(frame, sizeof(frame), &hash));
    memcpy(frame, good, sizeof(good));
    frame[6] = 200; /* a part that is longer than the whole */
    assert_false(etcd_hash_parse(frame, sizeof(frame), &hash));
    assert_false(etcd_hash_parse(NULL, 0, &hash));
}

/* ---- versions ------------------------------------------------------------ */

static int judge_versions(struct rig *rig, const char *learner_version, const char *voter_version, const char *other)
{
    struct hactl_endpoint endpoint = {.struct_size = sizeof(endpoint), .replica = "demo-1"};
    struct etcd_answer answers[3] = {
        {.answered = true, .learner = true}, {.answered = true, .endpoint = &endpoint}, {.answered = true}};
    struct etcd_peer peers[3] = {{.id = 1, .name = "demo-3", .learner = true, .answer = &answers[0]},
                                 {.id = 2, .name = "demo-1", .answer = &answers[1]},
                                 {.id = 3, .name = "demo-2", .answer = &answers[2]}};
    struct etcd_view view = {.answers = answers, .answer_count = 3, .peers = peers, .peer_count = 3};
    struct hactl_call *call = fake_call_new(1000);

    snprintf(answers[0].version, sizeof(answers[0].version), "%s", learner_version);
    snprintf(answers[1].version, sizeof(answers[1].version), "%s", voter_version);
    snprintf(answers[2].version, sizeof(answers[2].version), "%s", other);
    return end(call, etcd_need_version(rig->self, call, &view, &peers[0]));
}

static void test_version_rule(void **state)
{
    struct rig *rig = rig_new(4, NULL);

    (void)state;
    assert_int_equal(judge_versions(rig, "3.4.23", "3.4.37", "3.4.23"), HACTL_OK);
    assert_int_equal(judge_versions(rig, "3.5.16", "3.4.23", "3.4.23"), HACTL_OK);
    assert_int_equal(judge_versions(rig, "3.4.23", "3.5.16", "3.5.16"), HACTL_OK);
    assert_int_equal(judge_versions(rig, "3.10.0", "3.9.9", "3.10.0"), HACTL_OK);
    assert_int_equal(judge_versions(rig, "3.6.0-rc.0", "3.5.16", "3.6.1"), HACTL_OK);
    assert_int_equal(judge_versions(rig, "", "3.5.16", "3.6.1"), HACTL_OK); /* not known */
    assert_int_equal(judge_versions(rig, "3.6.4", "3.4.23", "3.5.16"), HACTL_E_UNSUPPORTED);
    assert_non_null(strstr(text, "demo-3 runs etcd 3.6.4 and demo-1 etcd 3.4.23"));
    assert_non_null(strstr(text, "etcd 3.4 or 3.5"));
    assert_int_equal(judge_versions(rig, "3.4.23", "3.6.4", "3.6.4"), HACTL_E_UNSUPPORTED);
    assert_int_equal(judge_versions(rig, "4.5.0", "3.5.16", "3.5.16"), HACTL_E_UNSUPPORTED);
    rig_free(rig);
}

/* Who stands between is slow on a slow machine, and counts as not answering while it is. */
static struct hactl_call *list_until_told(struct rig *rig, const char *words)
{
    struct hactl_call *call = rig_list(rig);

    for (int i = 0; i < TRIES && (!call->groups[0].detail || !strstr(call->groups[0].detail, words)); i++) {
        fake_call_free(call);
        call = rig_list(rig);
    }
    assert_non_null(call->groups[0].detail);
    assert_non_null(strstr(call->groups[0].detail, words));
    return call;
}

/* It answers for itself, as one that is ten minor versions ahead. */
static void test_version_of_learner(void **state)
{
    struct rig *rig = rig_new(5, NULL);
    struct hactl_call *call;
    char id[32];
    pid_t liar;

    (void)state;
    rig_found(rig, 1);
    add_learner(rig, 1, id);
    await_caught_up(rig, 1);
    liar = liar_start(rig, 1, "\"version\":\"3.", "\"version\":\"3.1");
    assert_int_equal(promote(rig, id), HACTL_E_UNSUPPORTED);
    assert_non_null(strstr(text, "learner demo-2 runs etcd 3.1"));
    assert_int_equal(count_voters(rig), 1);
    liar_stop(rig, 1, liar);
    assert_int_equal(promote(rig, id), HACTL_OK);
    assert_int_equal(count_voters(rig), 2);

    liar = liar_start(rig, 1, "\"version\":\"3.", "\"version\":\"3.1"); /* as one that was started anew */
    call = list_until_told(rig, "more than one minor version apart");
    assert_int_equal(call->groups[0].quorum, HACTL_YES);
    fake_call_free(call);
    liar_stop(rig, 1, liar);
    rig_free(rig);
}

/* ---- lists --------------------------------------------------------------- */

/* A voter that knows another member than the others know. */
static void test_other_members(void **state)
{
    static const char dissent[] = "https://127.41.255.1:2380, and demo-2 does not";
    struct rig *rig = rig_new(6, NULL);
    struct hactl_call *call;
    char address[64], id[32];
    pid_t liar;

    (void)state;
    rig_found(rig, 2);
    snprintf(address, sizeof(address), "https://%s:2380", rig->addresses[1]);
    liar = liar_start(rig, 0, address, "https://127.41.255.1:2380");
    rig->want.endpoint_count = 3;
    text[0] = '\0';
    for (int i = 0; i < TRIES && !strstr(text, dissent); i++) {
        call = fake_call_new(10000);
        assert_int_equal(end(call, OPS->add(rig->self, call, &rig->want, &rig->replicas[2])), HACTL_E_BUSY);
    }
    assert_non_null(strstr(text, dissent));
    call = list_until_told(rig, dissent); /* and whoever looks is told */
    assert_int_equal(call->groups[0].quorum, HACTL_YES);
    fake_call_free(call);
    liar_stop(rig, 0, liar);
    rig->want.endpoint_count = 2;
    rig_settle(rig, 2);
    call = rig_list(rig);
    assert_null(call->groups[0].detail);
    fake_call_free(call);

    /* It is seen after a promotion as well. */
    add_learner(rig, 2, id);
    await_caught_up(rig, 2);
    liar = liar_start(rig, 0, address, "https://127.41.255.1:2380");
    assert_int_equal(promote(rig, id), HACTL_E_FAILED);
    assert_non_null(strstr(text, "do not know the same members"));
    assert_non_null(strstr(text, "demo-"));
    liar_stop(rig, 0, liar);
    assert_int_equal(count_voters(rig), 3);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_frames),
        cmocka_unit_test(test_version_rule),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_other_data),
        cmocka_unit_test(test_data_not_compared),
        cmocka_unit_test(test_version_of_learner),
        cmocka_unit_test(test_other_members),
    };

    if (getenv("HACTL_TEST_ONLY"))
        cmocka_set_test_filter(getenv("HACTL_TEST_ONLY"));
    return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
