/* SPDX-License-Identifier: Apache-2.0 */
/* The etcd plugin against real etcd over mutual TLS. HACTL_TEST_ETCD names
 * another etcd than that on PATH. */
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

#include "plugins/etcd/etcd.h"
#include "tests/unit/etcd_rig.h"

#define OPS hactl_plugin.member

static char text[1024];  /* of the last operation */
static char id_text[32]; /* of the last member emitted */
static uint32_t retry_ms;

static int end(struct hactl_call *call, int code)
{
    snprintf(text, sizeof(text), "%s", call->text);
    retry_ms = call->retry_after_ms;
    if (call->member_count > 0)
        snprintf(id_text, sizeof(id_text), "%s", call->members[0].id);
    if (code < 0)
        assert_int_equal(call->code, code);
    fake_call_free(call);
    return code;
}

static int do_add(struct rig *rig, int index)
{
    struct hactl_call *call = fake_call_new(10000);

    return end(call, OPS->add(rig->self, call, &rig->want, &rig->replicas[index]));
}

static int do_promote(struct rig *rig, const char *id)
{
    struct hactl_call *call = fake_call_new(10000);

    return end(call, OPS->promote(rig->self, call, &rig->want, id));
}

static int do_remove(struct rig *rig, const char *id)
{
    struct hactl_call *call = fake_call_new(10000);

    return end(call, OPS->remove(rig->self, call, &rig->want, id));
}

static int do_move(struct rig *rig, const char *id)
{
    struct hactl_call *call = fake_call_new(10000);

    return end(call, OPS->move_leader(rig->self, call, &rig->want, id));
}

/* What the core does with BUSY. */
static void until_ok(int (*operation)(struct rig *, const char *), struct rig *rig, const char *id)
{
    int64_t until_ms = rig_now_ms() + 12000;
    int code;

    while ((code = operation(rig, id)) == HACTL_E_BUSY && rig_now_ms() < until_ms)
        rig_sleep_ms(retry_ms);
    if (code != HACTL_OK)
        fail_msg("%d: %s", code, text);
}

static int replacement = 2;

static int add_wanted(struct rig *rig, const char *id)
{
    (void)id;
    return do_add(rig, replacement);
}

static int index_of(struct rig *rig, bool leader)
{
    struct hactl_call *call = rig_list(rig);
    int found = -1;

    for (size_t i = 0; i < call->member_count; i++)
        if (call->members[i].leader == leader && call->members[i].name)
            found = atoi(call->members[i].name + strlen("demo-")) - 1;
    fake_call_free(call);
    assert_true(found >= 0);
    return found;
}

static void id_of(struct rig *rig, int index, char id[32])
{
    struct hactl_call *call = rig_list(rig);
    const struct hactl_member *member = rig_member(call, rig->names[index]);

    assert_non_null(member);
    snprintf(id, 32, "%s", member->id);
    fake_call_free(call);
}

static size_t member_count(struct rig *rig)
{
    struct hactl_call *call = rig_list(rig);
    size_t count = call->member_count;

    fake_call_free(call);
    return count;
}

/* ---- from nothing to three and back, one by one --------------------------- */

static void test_grow_and_shrink(void **state)
{
    struct rig *rig = rig_new(1, NULL);
    struct hactl_call *call;
    char second[32], third[32], leader[32];

    (void)state;
    rig_found(rig, 1);
    rig_write(rig, 0, 10);
    id_of(rig, 0, leader);
    assert_int_equal(do_move(rig, leader), HACTL_OK); /* leads already */
    assert_int_equal(do_move(rig, NULL), HACTL_E_UNAVAILABLE);
    assert_int_equal(do_remove(rig, leader), HACTL_E_INVALID);
    assert_non_null(strstr(text, "last voter"));

    rig->want.endpoint_count = 2;
    assert_int_equal(do_add(rig, 1), HACTL_OK);
    snprintf(second, sizeof(second), "%s", id_text);
    assert_int_equal(do_add(rig, 1), HACTL_OK);
    assert_string_equal(id_text, second);
    assert_int_equal(do_add(rig, 2), HACTL_E_BUSY);
    assert_non_null(strstr(text, "too many learner"));
    assert_int_equal(do_promote(rig, second), HACTL_E_BUSY);
    assert_non_null(strstr(text, "does not answer for itself"));
    assert_int_equal(do_move(rig, second), HACTL_E_INVALID);

    call = rig_list(rig); /* a member that has never started */
    assert_int_equal(call->member_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct hactl_member *member = &call->members[i];

        if (strcmp(member->id, second) != 0)
            continue;
        assert_null(member->name);
        assert_string_equal(member->address, rig->addresses[1]);
        assert_int_equal(member->voter, 0);
        assert_int_equal(member->started, HACTL_NO);
        assert_int_equal(member->healthy, HACTL_NO);
        assert_int_equal(member->lag_entries, -1);
    }
    assert_int_equal(call->groups[0].quorum, HACTL_YES);
    fake_call_free(call);

    rig_join(rig, 1);
    until_ok(do_promote, rig, second);
    assert_int_equal(do_promote(rig, second), HACTL_OK);
    rig_settle(rig, 2);

    rig->want.endpoint_count = 3;
    assert_int_equal(do_add(rig, 2), HACTL_E_BUSY); /* within five seconds of the last join */
    assert_non_null(strstr(text, "unhealthy cluster"));
    assert_int_equal(retry_ms, ETCD_RETRY_MS);
    until_ok(add_wanted, rig, NULL);
    snprintf(third, sizeof(third), "%s", id_text);
    rig_join(rig, 2);
    until_ok(do_promote, rig, third);
    rig_settle(rig, 3);

    assert_int_equal(do_move(rig, third), HACTL_OK);
    assert_int_equal(do_move(rig, third), HACTL_OK);
    assert_int_equal(index_of(rig, true), 2);
    until_ok(do_remove, rig, leader);
    assert_int_equal(do_remove(rig, leader), HACTL_OK);
    rig_settle(rig, 2);
    assert_int_equal(do_move(rig, NULL), HACTL_OK);
    assert_int_equal(index_of(rig, true), 1);
    until_ok(do_remove, rig, third);
    rig_settle(rig, 1);
    assert_int_equal(do_promote(rig, third), HACTL_E_NOT_FOUND);
    rig_free(rig);
}

/* ---- three at once --------------------------------------------------------- */

static void check_members(struct rig *rig)
{
    struct hactl_call *call = rig_list(rig);
    int leaders = 0;

    assert_int_equal(call->groups[0].formed, HACTL_YES);
    assert_non_null(call->groups[0].cluster_id);
    assert_null(call->groups[0].alarm);
    assert_null(call->groups[0].detail);
    assert_true(call->groups[0].db_size_bytes > 0);
    assert_int_equal(strncmp(call->groups[0].version, "3.", 2), 0);
    for (size_t i = 0; i < call->member_count; i++) {
        const struct hactl_member *member = &call->members[i];

        leaders += member->leader;
        assert_int_equal(member->started, HACTL_YES);
        assert_in_range(member->lag_entries, 0, 16);
        assert_non_null(strstr(member->peer_url, member->address));
        assert_int_equal(strspn(member->id, "0123456789abcdef"), strlen(member->id));
    }
    assert_int_equal(leaders, 1);
    fake_call_free(call);
}

static int do_probe(struct rig *rig, int index)
{
    struct hactl_call *call = fake_call_new(2000);
    struct hactl_probe_want want = {.struct_size = sizeof(want), .reach = &rig->reaches[index], .tls = &rig->tls};

    return end(call, hactl_plugin.payload->probe(rig->self, call, &want));
}

/* Each member tells what it has applied, and a follower applies it later than the one that was asked. */
static void set_alarm(struct rig *rig, const char *action, const char *wanted)
{
    int64_t until_ms = rig_now_ms() + 15000;
    char body[128], id[32];
    bool seen = false;

    id_of(rig, 1, id);
    snprintf(body, sizeof(body), "{\"action\":\"%s\",\"memberID\":\"%llu\",\"alarm\":\"NOSPACE\"}", action,
             strtoull(id, NULL, 16));
    rig_post(rig, 0, "/v3/maintenance/alarm", body, 1);
    while (!seen) {
        struct hactl_call *call = rig_list(rig);
        const char *alarm = call->groups[0].alarm;

        seen = wanted ? alarm && strcmp(alarm, wanted) == 0 : !alarm;
        if (!seen && rig_now_ms() > until_ms)
            fail_msg("%s: the alarm is %s", action, alarm ? alarm : "none");
        fake_call_free(call);
        if (!seen)
            rig_sleep_ms(20);
    }
}

/* No room left: it is named, with whose it is; what is read is still answered. */
static void test_alarm(void **state)
{
    struct rig *rig = rig_new(2, NULL);
    struct hactl_call *call;

    (void)state;
    rig_found(rig, 3);
    set_alarm(rig, "ACTIVATE", "NOSPACE at demo-2");
    call = rig_list(rig);
    assert_int_equal(call->groups[0].quorum, HACTL_YES);
    for (size_t i = 0; i < call->member_count; i++)
        assert_int_equal(call->members[i].healthy, HACTL_YES);
    fake_call_free(call);
    for (int i = 0; i < 3; i++)
        assert_int_equal(do_probe(rig, i), HACTL_OK);
    set_alarm(rig, "DEACTIVATE", NULL);
    check_members(rig);
    rig_free(rig);
}

static void test_static_three(void **state)
{
    struct rig *rig = rig_new(2, NULL);
    char dead[32];
    int follower;

    (void)state;
    rig_found(rig, 3);
    check_members(rig);
    assert_int_equal(do_probe(rig, 0), HACTL_OK);
    assert_int_equal(do_probe(rig, 3), HACTL_E_UNAVAILABLE);
    assert_int_equal(do_promote(rig, "zz"), HACTL_E_INVALID);

    /* A dead follower whose data is gone is found, removed and replaced. */
    follower = index_of(rig, false);
    id_of(rig, follower, dead);
    rig_kill(rig, follower);
    {
        struct hactl_call *call = rig_list(rig);

        assert_int_equal(rig_member(call, rig->names[follower])->healthy, HACTL_NO);
        assert_int_equal(rig_member(call, rig->names[follower])->caught_up, HACTL_UNKNOWN);
        assert_int_equal(call->groups[0].quorum, HACTL_YES);
        fake_call_free(call);
    }
    assert_int_equal(do_add(rig, follower), HACTL_OK); /* its own URL: is a member */
    rig->want.endpoint_count = 4;
    assert_int_equal(do_add(rig, 3), HACTL_E_BUSY);
    assert_int_equal(do_remove(rig, dead), HACTL_OK);
    assert_int_equal(do_remove(rig, dead), HACTL_OK);
    rig->want.endpoint_count = 3;
    rig_wipe(rig, follower);
    replacement = follower;
    until_ok(add_wanted, rig, NULL);
    assert_string_not_equal(id_text, dead);
    snprintf(dead, sizeof(dead), "%s", id_text);
    rig_join(rig, follower);
    until_ok(do_promote, rig, dead);
    rig_settle(rig, 3);
    replacement = 2;
    rig_free(rig);
}

static void test_never_started(void **state)
{
    struct rig *rig = rig_new(3, NULL);
    char id[32];

    (void)state;
    rig_found(rig, 1);
    rig->want.endpoint_count = 3;
    assert_int_equal(do_add(rig, 2), HACTL_OK);
    snprintf(id, sizeof(id), "%s", id_text);
    assert_int_equal(member_count(rig), 2);
    rig_write(rig, 0, 1); /* a learner that is not there takes nothing away */
    assert_int_equal(do_remove(rig, id), HACTL_OK);
    assert_int_equal(do_remove(rig, id), HACTL_OK);
    assert_int_equal(member_count(rig), 1);

    /* The same address once more, with an empty directory. */
    until_ok(add_wanted, rig, NULL);
    assert_string_not_equal(id_text, id);
    snprintf(id, sizeof(id), "%s", id_text);
    rig_join(rig, 2);
    until_ok(do_promote, rig, id);
    rig_free(rig);
}

/* hactl was killed before the third founder was started, and two are a quorum. */
static void test_late_founder(void **state)
{
    struct rig *rig = rig_new(3, NULL);
    struct hactl_call *call;
    bool formed = false;

    (void)state;
    rig_found_some(rig, 3, 2);
    for (int64_t until_ms = rig_now_ms() + 15000; !formed; rig_sleep_ms(50)) {
        call = rig_list(rig);
        formed = call->groups[0].quorum == HACTL_YES && rig_member(call, rig->names[1])->started == HACTL_YES &&
                 rig_member(call, rig->names[0])->started == HACTL_YES;
        if (formed)
            assert_int_equal(rig_member(call, rig->names[2])->started, HACTL_NO);
        fake_call_free(call);
        assert_true(rig_now_ms() < until_ms);
    }
    rig_write(rig, 0, 3);
    rig_join(rig, 2);
    rig_settle(rig, 3);
    call = rig_list(rig);
    assert_int_equal(rig_member(call, rig->names[2])->started, HACTL_YES);
    fake_call_free(call);

    /* From now on it must not come back empty. */
    rig_kill(rig, 2);
    rig_wipe(rig, 2);
    rig_join(rig, 2);
    for (int64_t until_ms = rig_now_ms() + 15000; waitpid(rig->pids[2], NULL, WNOHANG) == 0; rig_sleep_ms(20))
        assert_true(rig_now_ms() < until_ms);
    rig->pids[2] = 0;
    rig_free(rig);
}

/* Less than a call's deadline: one that hangs must not use it up. Twice what is needed, for a busy machine. */
enum { PROMPT_MS = 3500 };

/* ---- members that hang, quorum that is gone -------------------------------- */

static struct hactl_call *timed_list(struct rig *rig, int64_t limit_ms)
{
    int64_t before_ms = rig_now_ms();
    struct hactl_call *call = rig_list(rig);
    int64_t took_ms = rig_now_ms() - before_ms;

    if (took_ms > limit_ms)
        fail_msg("the list took %d ms", (int)took_ms);
    return call;
}

static void test_stopped_member(void **state)
{
    struct rig *rig = rig_new(4, NULL);
    struct hactl_call *call;
    int follower;

    (void)state;
    rig_found(rig, 3);
    follower = index_of(rig, false);
    kill(rig->pids[follower], SIGSTOP);
    call = timed_list(rig, PROMPT_MS);
    assert_int_equal(rig_member(call, rig->names[follower])->healthy, HACTL_NO);
    assert_int_equal(call->groups[0].quorum, HACTL_YES);
    fake_call_free(call);
    assert_int_equal(do_probe(rig, follower), HACTL_E_UNAVAILABLE);
    kill(rig->pids[follower], SIGCONT);
    rig_settle(rig, 3);
    rig_free(rig);
}

static void test_no_quorum(void **state)
{
    struct rig *rig = rig_new(5, NULL);
    struct hactl_call *call;
    char dead[32];
    int64_t before_ms;

    (void)state;
    rig_found(rig, 3);
    id_of(rig, 1, dead);
    rig_kill(rig, 1);
    rig_kill(rig, 2);
    rig_sleep_ms(1500);
    call = timed_list(rig, PROMPT_MS);
    assert_int_equal(call->groups[0].formed, HACTL_YES);
    assert_int_equal(call->groups[0].quorum, HACTL_NO);
    assert_non_null(call->groups[0].detail);
    assert_int_equal(call->member_count, 3);
    assert_int_equal(rig_member(call, "demo-1")->healthy, HACTL_NO);
    fake_call_free(call);
    before_ms = rig_now_ms();
    assert_int_equal(do_remove(rig, dead), HACTL_E_BUSY);
    assert_non_null(strstr(text, "no quorum"));
    assert_true(rig_now_ms() - before_ms < PROMPT_MS);
    rig->want.endpoint_count = 4;
    assert_int_equal(do_add(rig, 3), HACTL_E_BUSY);
    assert_int_equal(do_move(rig, NULL), HACTL_E_BUSY);
    rig->want.endpoint_count = 3;

    rig_kill(rig, 0);
    call = timed_list(rig, PROMPT_MS);
    assert_int_equal(call->groups[0].formed, HACTL_UNKNOWN);
    assert_int_equal(call->groups[0].quorum, HACTL_UNKNOWN);
    assert_non_null(strstr(call->groups[0].detail, "refused"));
    assert_int_equal(call->member_count, 0);
    fake_call_free(call);
    assert_int_equal(do_remove(rig, dead), HACTL_E_UNAVAILABLE);

    /* Nobody was asked at all: that is a reason too. */
    call = fake_call_new(0);
    assert_int_equal(OPS->list(rig->self, call, &rig->want), HACTL_OK);
    assert_non_null(strstr(call->groups[0].detail, "demo-1: "));
    assert_non_null(strstr(call->groups[0].detail, "no time is left"));
    fake_call_free(call);
    rig_free(rig);
}

/* The member that leaves may be the leader, which is asked nothing. */
static void test_remove_leader(void **state)
{
    struct rig *rig = rig_new(6, NULL);
    char id[32];
    int leader;

    (void)state;
    rig_found(rig, 3);
    leader = index_of(rig, true);
    id_of(rig, leader, id);
    kill(rig->pids[leader], SIGKILL);
    rig_sleep_ms(50);
    until_ok(do_remove, rig, id);
    rig_settle(rig, 2);
    rig_free(rig);
}

static void test_two_clusters(void **state)
{
    struct rig *rig = rig_new(7, NULL), *other = rig_new(8, NULL);
    struct hactl_call *call = fake_call_new(5000);
    char id[32];

    (void)state;
    rig_found(rig, 1);
    rig_found(other, 1);
    rig->endpoint_list[1] = &other->endpoints[0];
    rig->want.endpoint_count = 2;
    assert_int_equal(end(call, OPS->list(rig->self, call, &rig->want)), HACTL_E_CONFLICT);
    assert_non_null(strstr(text, "two clusters"));

    /* Which of them it is, is known: the other one does not answer for it, wherever it stands. */
    rig->want.endpoint_count = 1;
    call = fake_call_new(5000);
    assert_int_equal(OPS->list(rig->self, call, &rig->want), HACTL_OK);
    snprintf(id, sizeof(id), "%s", call->groups[0].cluster_id);
    fake_call_free(call);
    rig->want.cluster_id = id;
    rig->want.endpoint_count = 2;
    rig->endpoint_list[1] = rig->endpoint_list[0];
    rig->endpoint_list[0] = &other->endpoints[0];
    call = fake_call_new(5000);
    assert_int_equal(OPS->list(rig->self, call, &rig->want), HACTL_OK);
    assert_string_equal(call->groups[0].cluster_id, id);
    assert_int_equal(call->groups[0].quorum, HACTL_YES);
    assert_non_null(strstr(call->groups[0].detail, "answers for the etcd cluster"));
    assert_int_equal(call->member_count, 1);
    assert_int_equal(call->members[0].healthy, HACTL_YES);
    fake_call_free(call);
    rig->want.endpoint_count = 1;
    call = fake_call_new(5000);
    assert_int_equal(end(call, OPS->list(rig->self, call, &rig->want)), HACTL_E_CONFLICT);
    assert_non_null(strstr(text, "formed anew"));
    rig_free(rig);
    rig_free(other);
}

/* As when the keys are lost: nobody can be asked, which is told and is no failure. */
static void test_no_certificate(void **state)
{
    struct rig *rig = rig_new(7, NULL);
    struct hactl_call *call = fake_call_new(5000);

    (void)state;
    rig_found(rig, 1);
    rig->want.tls = NULL;
    assert_int_equal(OPS->list(rig->self, call, &rig->want), HACTL_OK);
    assert_int_equal(call->group_count, 1);
    assert_int_equal(call->groups[0].formed, HACTL_UNKNOWN);
    assert_int_equal(call->member_count, 0);
    assert_non_null(strstr(call->groups[0].detail, "no certificate"));
    fake_call_free(call);
    assert_int_equal(do_add(rig, 1), HACTL_E_INVALID);
    rig_free(rig);
}

static void test_identity(void **state)
{
    struct rig *rig = rig_new(9, NULL);
    struct hactl_call *call;
    int code = HACTL_OK;

    (void)state;
    rig_found(rig, 1);
    snprintf(rig->certificate, sizeof(rig->certificate), "%s/stranger.pem", rig_pki());
    snprintf(rig->key, sizeof(rig->key), "%s/stranger-key.pem", rig_pki());
    call = rig_list(rig);
    assert_int_equal(call->groups[0].formed, HACTL_UNKNOWN);
    fake_call_free(call);
    /* A server that refuses a certificate may reset the connection before its
     * alert is read; then it is only known that nothing was sent. */
    for (int i = 0; i < 50 && (code = do_add(rig, 1)) == HACTL_E_UNAVAILABLE; i++)
        continue;
    assert_int_equal(code, HACTL_E_DENIED);
    assert_non_null(strstr(text, "TLS"));

    snprintf(rig->certificate, sizeof(rig->certificate), "%s/client.pem", rig_pki());
    snprintf(rig->key, sizeof(rig->key), "%s/client-key.pem", rig_pki());
    rig->reaches[0].verify = "127.41.200.1";
    assert_int_equal(do_probe(rig, 0), HACTL_E_DENIED);
    /* Dialled at one address, verified as another that the certificate has. */
    rig->reaches[0].verify = rig->addresses[1];
    assert_int_equal(do_probe(rig, 0), HACTL_OK);
    rig_free(rig);
}

/* ---- the gate -------------------------------------------------------------- */

static void test_gate(void **state)
{
    struct rig *rig = rig_new(10, NULL);
    struct etcd_answer answer = {.answered = true, .learner = true, .leader = 7, .applied_index = 100};
    struct etcd_peer peer = {.id = 5, .learner = true, .answer = &answer};
    struct etcd_view view = {.cluster_id = 1, .leader = 7, .leader_index = 100};

    (void)state;
    assert_int_equal(etcd_gate_note(rig->self, &view, &peer), 1);
    assert_int_equal(etcd_gate_note(rig->self, &view, &peer), 2);
    view.leader_index = 117; /* one more than caught_up_lag */
    assert_int_equal(etcd_gate_note(rig->self, &view, &peer), 0);
    view.leader_index = 116;
    assert_int_equal(etcd_gate_note(rig->self, &view, &peer), 1);
    view.leader = answer.leader = 8;
    assert_int_equal(etcd_gate_note(rig->self, &view, &peer), 1);
    answer.leader = 7; /* follows another leader */
    assert_int_equal(etcd_gate_note(rig->self, &view, &peer), 0);
    view.leader_index = 0; /* the leader did not answer */
    answer.leader = 8;
    assert_int_equal(etcd_gate_note(rig->self, &view, &peer), 0);
    rig_free(rig);
}

/* A learner that lags is not promoted although etcd would do it. */
static void test_lagging_learner(void **state)
{
    struct rig *rig = rig_new(11, NULL);
    char id[32];

    (void)state;
    rig_found(rig, 1);
    rig_write(rig, 0, 200);
    rig->want.endpoint_count = 2;
    assert_int_equal(do_add(rig, 1), HACTL_OK);
    snprintf(id, sizeof(id), "%s", id_text);
    rig_join(rig, 1);
    for (bool up = false; !up; rig_sleep_ms(20)) {
        struct hactl_call *call = rig_list(rig);

        up = rig_member(call, "demo-2") && rig_member(call, "demo-2")->caught_up == HACTL_YES;
        fake_call_free(call);
    }
    kill(rig->pids[1], SIGSTOP);
    rig_write(rig, 0, 15);
    assert_int_equal(do_promote(rig, id), HACTL_E_BUSY);
    assert_non_null(strstr(text, "does not answer"));
    kill(rig->pids[1], SIGCONT);
    until_ok(do_promote, rig, id);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_static_three),
        cmocka_unit_test(test_alarm),
        cmocka_unit_test(test_grow_and_shrink),
        cmocka_unit_test(test_never_started),
        cmocka_unit_test(test_late_founder),
        cmocka_unit_test(test_stopped_member),
        cmocka_unit_test(test_no_quorum),
        cmocka_unit_test(test_remove_leader),
        cmocka_unit_test(test_two_clusters),
        cmocka_unit_test(test_no_certificate),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_lagging_learner),
    };

    if (getenv("HACTL_TEST_ONLY"))
        cmocka_set_test_filter(getenv("HACTL_TEST_ONLY"));
    return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
