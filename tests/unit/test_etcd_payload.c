/* SPDX-License-Identifier: Apache-2.0 */
/* What the etcd plugin has run on a replica: arguments that let a member found, join and come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/etcd/etcd.h"
#include "tests/unit/etcd_rig.h"

static const char *argument(const struct hactl_call *call, const char *name)
{
    for (int i = 1; call->units[0].argv[i]; i++)
        if (strncmp(call->units[0].argv[i], name, strlen(name)) == 0 && call->units[0].argv[i][strlen(name)] == '=')
            return call->units[0].argv[i] + strlen(name) + 1;
    return NULL;
}

/* "demo-1=1" stands for the peer URL of the first address. */
static void assert_cluster(const struct rig *rig, const char *cluster, const char *wanted)
{
    char expected[512] = "";
    size_t used = 0;

    for (const char *at = wanted; *at; at++) {
        bool address = at > wanted && at[-1] == '=';

        used += (size_t)(address ? snprintf(expected + used, sizeof(expected) - used, "https://%s:2382",
                                            rig->addresses[*at - '1'])
                                 : snprintf(expected + used, sizeof(expected) - used, "%c", *at));
    }
    assert_string_equal(cluster, expected);
}

static struct hactl_call *render(struct rig *rig, const struct hactl_payload_want *want, int wanted)
{
    struct hactl_call *call = fake_call_new(1000);

    assert_int_equal(hactl_plugin.payload->render(rig->self, call, want), wanted);
    return call;
}

static void same_arguments(const struct hactl_call *a, const struct hactl_call *b)
{
    int i;

    for (i = 0; a->units[0].argv[i] && b->units[0].argv[i]; i++)
        assert_string_equal(a->units[0].argv[i], b->units[0].argv[i]);
    assert_ptr_equal(a->units[0].argv[i], b->units[0].argv[i]);
}

static void test_render(void **state)
{
    struct fake_setting settings[] = {
        {"group", "events"}, {"client_port", "2381"}, {"peer_port", "2382"}, {"extra_arguments", "--a --b=c"}, {0}};
    struct rig *rig = rig_new(13, settings);
    struct hactl_member members[3] = {0};
    char urls[3][64];
    const struct hactl_member *member_list[3] = {&members[0], &members[1], &members[2]};
    struct hactl_payload_want want = {.struct_size = sizeof(want),
                                      .cluster = &rig->cluster,
                                      .replica = &rig->replicas[1],
                                      .peers = rig->replica_list,
                                      .peer_count = 2,
                                      .founding = 1};
    struct hactl_call *call, *again;

    (void)state;
    call = render(rig, &want, HACTL_OK);
    assert_string_equal(call->units[0].name, "etcd-events");
    assert_string_equal(argument(call, "--initial-cluster-token"), "demo-events");
    assert_string_equal(argument(call, "--initial-cluster-state"), "new");
    assert_cluster(rig, argument(call, "--initial-cluster"), "demo-1=1,demo-2=2");
    assert_string_equal(argument(call, "--b"), "c");
    assert_int_equal(call->file_count, 6);
    assert_int_equal(call->port_count, 2);
    assert_int_equal(call->ports[0].flags, HACTL_PORT_OPERATOR);
    fake_call_free(call);

    for (int i = 0; i < 3; i++)
        snprintf(urls[i], sizeof(urls[i]), "https://%s:2382", rig->addresses[i]);
    for (int i = 0; i < 3; i++)
        members[i] =
            (struct hactl_member){.struct_size = sizeof(members[i]), .id = "7", .voter = 1, .peer_url = urls[i]};
    members[0].name = "demo-1";
    members[0].started = HACTL_YES;
    members[1].started = members[2].started = HACTL_NO;
    want.founding = 0;
    want.members = member_list;
    want.member_count = 3;
    call = render(rig, &want, HACTL_OK); /* joins */
    assert_string_equal(argument(call, "--initial-cluster-state"), "existing");
    assert_cluster(rig, argument(call, "--initial-cluster"), "demo-1=1,demo-2=2,unnamed-7=3");
    fake_call_free(call);

    members[1].name = "demo-2"; /* of one that was to found the group and has never started */
    call = render(rig, &want, HACTL_OK);
    assert_cluster(rig, argument(call, "--initial-cluster"), "demo-1=1,demo-2=2,unnamed-7=3");
    fake_call_free(call);

    members[1].started = HACTL_YES; /* the others make no difference any more */
    call = render(rig, &want, HACTL_OK);
    want.member_count = 2;
    again = render(rig, &want, HACTL_OK);
    same_arguments(call, again);
    assert_cluster(rig, argument(call, "--initial-cluster"), "demo-2=2");
    fake_call_free(call);
    fake_call_free(again);

    for (int i = 0; i < 3; i++) {
        snprintf(urls[i], sizeof(urls[i]), "https://%s:2380", rig->addresses[i]);
        members[i].address = rig->addresses[i];
    }
    call = render(rig, &want, HACTL_E_INVALID); /* they came to be with another peer_port */
    assert_non_null(strstr(call->text, urls[1]));
    assert_non_null(strstr(call->text, "set peer_port back"));
    fake_call_free(call);

    want.replica = &rig->replicas[4];
    fake_call_free(render(rig, &want, HACTL_E_NOT_FOUND));
    want.founding = 1;
    fake_call_free(render(rig, &want, HACTL_E_INVALID));
    rig_free(rig);
}

/* Where clients are served is a setting; where they are sent is not. */
static void test_render_listen(void **state)
{
    static const char *const values[] = {"internal", "all"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fake_setting settings[] = {{"client_port", "2381"}, {"client_listen", values[i]}, {0}};
        struct rig *rig = rig_new(13, settings);
        struct hactl_payload_want want = {.struct_size = sizeof(want),
                                          .cluster = &rig->cluster,
                                          .replica = &rig->replicas[0],
                                          .peers = rig->replica_list,
                                          .peer_count = 1,
                                          .founding = 1};
        struct hactl_call *call = render(rig, &want, HACTL_OK);
        char expected[64];

        snprintf(expected, sizeof(expected), "https://%s:2381", rig->addresses[0]);
        assert_string_equal(argument(call, "--advertise-client-urls"), expected);
        assert_string_equal(argument(call, "--listen-client-urls"), i == 0 ? expected : "https://0.0.0.0:2381");
        fake_call_free(call);
        rig_free(rig);
    }
}

/* With its data a member comes back by the arguments of "afterwards"; without,
 * it refuses to start. */
static void test_restart(void **state)
{
    struct rig *rig = rig_new(14, NULL);
    struct hactl_call *call;

    (void)state;
    rig_found(rig, 3);
    rig_kill(rig, 2);
    rig_join(rig, 2);
    rig_settle(rig, 3);
    rig_kill(rig, 2);
    rig_wipe(rig, 2);
    rig_join(rig, 2);
    rig_sleep_ms(1500);
    call = rig_list(rig);
    assert_int_equal(rig_member(call, "demo-3")->healthy, HACTL_NO);
    fake_call_free(call);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_render_listen),
        cmocka_unit_test(test_restart),
    };

    if (getenv("HACTL_TEST_ONLY"))
        cmocka_set_test_filter(getenv("HACTL_TEST_ONLY"));
    return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
