/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/lb, backend gce: the instance groups, one for each zone, and how they come behind the service. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/lb_gce_rig.h"

/* With who is to be behind it: the zones' groups are made beside the health check and come with the service, so that a
 * replica that has become ready is one call away. Nobody is behind it yet. */
static int build_ahead(int replicas)
{
    struct hactl_balancer_want other = wanting(replicas);

    return DO(lb()->ensure(world.self, world.call, &other));
}

static void test_groups_ahead(void **state)
{
    (void)state;
    api_change("DELETE", "zones/us-central1-f/instances/demo-3", NULL); /* it is about to be made */
    forget_counts();
    assert_int_equal(build_ahead(4), HACTL_OK);
    assert_int_equal(calls_of("instanceGroups.insert"), 3);
    assert_int_equal(changing_calls(), 6);
    listed();
    assert_int_equal(world.call->backend_count, 0);
    assert_int_equal(build_ahead(4), HACTL_OK);
    assert_int_equal(changing_calls(), 6);
    forget_counts();
    make_machine(3);
    forget_counts();
    for (int i = 1; i <= 4; i++)
        assert_int_equal(DO(IN(i)), HACTL_OK);
    assert_int_equal(calls_of("instanceGroups.addInstances"), 4);
    assert_int_equal(changing_calls(), 4);
    listed();
    assert_int_equal(world.call->backend_count, 4);
    assert_int_equal(DO(DESTROY()), HACTL_OK);
}

/* Nobody runs yet who could say what network it is, or a zone does not answer: its group comes later. A group that has
 * somebody in it is not put behind a service that is made anew. */
static void test_groups_not_ahead(void **state)
{
    struct hactl_balancer_want three = wanting(3);

    (void)state;
    control("POST", "zone", "{\"zone\":\"us-central1-c\",\"down\":true}");
    assert_int_equal(build_ahead(3), HACTL_OK);
    assert_int_equal(calls_of("instanceGroups.insert"), 2);
    control("POST", "zone", "{\"zone\":\"us-central1-c\",\"down\":false}");
    assert_int_equal(DO(IN(1)), HACTL_OK);
    assert_int_equal(DO(IN(2)), HACTL_OK);
    api_change("DELETE", "regions/us-central1/forwardingRules/demo-trial", NULL);
    api_change("DELETE", "regions/us-central1/backendServices/demo-balancer", NULL);
    assert_int_equal(build_ahead(3), HACTL_OK);
    assert_int_equal(lb()->list(world.self, next_call(), &three), HACTL_OK);
    assert_int_equal(world.call->backend_count, 0);
    assert_int_equal(DO(IN(1)), HACTL_OK);
    assert_int_equal(lb()->list(world.self, next_call(), &three), HACTL_OK);
    assert_int_equal(world.call->backend_count, 1);
    assert_int_equal(DO(DESTROY()), HACTL_OK);
    api_change("DELETE", "zones/us-central1-b/instances/demo-1", NULL);
    forget_counts();
    assert_int_equal(build_ahead(3), HACTL_OK);
    assert_int_equal(calls_of("instanceGroups.insert"), 0);
    assert_int_equal(changing_calls(), 3);
}

/* Two backends whose steps overlap: both change the same service. */
static void test_side_by_side(void **state)
{
    char intents[2][40], tokens[2][1100] = {"", ""};
    bool over[2] = {false, false};

    (void)state;
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    for (int i = 0; i < 2; i++) {
        new_intent();
        snprintf(intents[i], sizeof(intents[i]), "%s", world.intent);
    }
    for (int round = 0; round < 10000 && (!over[0] || !over[1]); round++) {
        int which = round % 2, rc;

        if (over[which])
            continue;
        usleep(1000);
        snprintf(world.intent, sizeof(world.intent), "%s", intents[which]);
        if (tokens[which][0]) {
            rc = hactl_plugin.poll(world.self, next_call(), tokens[which]);
            if (rc != HACTL_PENDING)
                tokens[which][0] = '\0';
            assert_true(rc == HACTL_PENDING || rc == HACTL_OK || rc == HACTL_E_ENDED);
            continue;
        }
        next_call();
        rc = IN(which + 1);
        over[which] = rc == HACTL_OK;
        if (rc == HACTL_PENDING)
            snprintf(tokens[which], sizeof(tokens[which]), "%s", world.call->token);
        else
            assert_true(rc == HACTL_OK || rc == HACTL_E_BUSY);
    }
    assert_true(over[0] && over[1]);
    assert_non_null(listed());
    assert_int_equal(world.call->backend_count, 2);
}

/* Who comes first puts the others' new groups behind the service as well; a
 * group that is on its way out stays out. */
static void test_groups_in_one_change(void **state)
{
    (void)state;
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    api_change("POST", "zones/us-central1-c/instanceGroups",
               "{\"name\":\"demo-balancer\",\"description\":\"hactl cluster demo\","
               "\"network\":\"global/networks/default\"}");
    api_change("POST", "zones/us-central1-f/instanceGroups",
               "{\"name\":\"demo-balancer\",\"description\":\"hactl cluster demo\"}");
    api_change("POST", "zones/us-central1-f/instanceGroups/demo-balancer/addInstances",
               "{\"instances\":[{\"instance\":\"zones/us-central1-f/instances/demo-3\"}]}");
    assert_int_equal(DO(IN(1)), HACTL_OK);
    assert_string_equal(get("regions/us-central1/backendServices/demo-balancer",
                            "[.backends[].group | split(\"/\")[-3]] | sort | join(\" \")"),
                        "us-central1-b us-central1-c");
    assert_int_equal(DO(IN(2)), HACTL_OK);
    assert_int_equal(calls_of("regionBackendServices.patch"), 1);
    assert_int_equal(DO(IN(3)), HACTL_OK);
    assert_int_equal(calls_of("regionBackendServices.patch"), 2);
    assert_non_null(listed());
    assert_int_equal(world.call->backend_count, 3);
}

/* Google attaches no group that has no network. One is made with the network
 * of its replica; one that has none gets a member first. */
static void test_groups_network(void **state)
{
    (void)state;
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    api_change("POST", "zones/us-central1-c/instanceGroups",
               "{\"name\":\"demo-balancer\",\"description\":\"hactl cluster demo\"}");
    control("POST", "faults",
            "{\"method\":\"instanceGroups.addInstances\",\"nth\":1,\"when\":\"before\",\"status\":503,"
            "\"reason\":\"backendError\"}");
    assert_int_equal(DO(IN(1)), HACTL_OK);
    assert_string_equal(
        get("zones/us-central1-b/instanceGroups/demo-balancer", ".network | split(\"/\")[-3:] | join(\"/\")"),
        "global/networks/default");
    assert_string_equal(get("regions/us-central1/backendServices/demo-balancer", ".backends | length"), "1");
    forget_counts();
    assert_int_equal(DO(IN(2)), HACTL_OK);
    assert_int_equal(changing_calls(), 2);
    assert_string_equal(get("regions/us-central1/backendServices/demo-balancer", ".backends | length"), "2");
    assert_non_null(listed());
    assert_int_equal(world.call->backend_count, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EACH(test_groups_ahead),         EACH(test_groups_not_ahead), EACH(test_side_by_side),
        EACH(test_groups_in_one_change), EACH(test_groups_network),
    };

    (void)argc;
    return run_balancer_tests(argv, tests, sizeof(tests) / sizeof(tests[0]));
}
