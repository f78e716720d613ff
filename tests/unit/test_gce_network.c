/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In which network plugins/gce makes replicas and the firewall rules for them: the configuration's, that of its
 * subnetwork, that of the replicas that are there; against the emulator.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/gce_cloud_rig.h"

#define OPEN(...) open_with((struct fake_setting[]){__VA_ARGS__, {NULL, NULL}})

/* A network "other" beside "default", with a subnetwork of that name in each region. */
static int setup_networks(void **state)
{
    setup(state);
    control("POST", "network", "{\"name\":\"other\",\"range\":\"172.20\"}");
    return 0;
}

/* The networks of the replica and of each rule, as the last parts of their links. */
static void assert_in(const char *network, const char *zone, const char *name)
{
    static const char *const rules[] = {"demo-api", "demo-peers", "demo-operator", "demo-health"};
    char path[64];

    assert_string_equal(of_instance(zone, name, ".networkInterfaces[0].network|split(\"/\")|last"), network);
    assert_string_equal(of_instance(zone, name, ".networkInterfaces[0].subnetwork|split(\"/\")|last"), network);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        snprintf(path, sizeof(path), "global/firewalls/%s", rules[i]);
        assert_string_equal(api_filter("GET", path, NULL, ".network|split(\"/\")|last"), network);
    }
}

/* Where nobody says which project it is before the metadata server does: at the first look, before anything is made. */
static void test_shared_network(void **state)
{
    const char *project = getenv("CLOUDSDK_CORE_PROJECT");

    (void)state;
    unsetenv("CLOUDSDK_CORE_PROJECT");
    unsetenv("GOOGLE_CLOUD_PROJECT");
    assert_int_equal(open_with((struct fake_setting[]){{"network", "projects/host/global/networks/n"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "is project host's, and the cluster's project is emulated"));
    close_cloud();
    assert_int_equal(
        open_with((struct fake_setting[]){{"subnetwork", "projects/host/regions/r/subnetworks/n"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "subnetwork: "));
    if (project)
        setenv("CLOUDSDK_CORE_PROJECT", project, 1);
}

/* A subnetwork says which network it is of, however it is written. */
static void test_subnetwork_alone(void **state)
{
    static const char *const spelt[] = {"other", "regions/us-central1/subnetworks/other",
                                        "projects/emulated/regions/us-central1/subnetworks/other"};

    (void)state;
    for (size_t i = 0; i < sizeof(spelt) / sizeof(spelt[0]); i++) {
        assert_int_equal(OPEN({"subnetwork", spelt[i]}), HACTL_OK);
        assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK);
        assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
        make("demo-1", "us-central1-b");
        assert_in("other", "us-central1-b", "instances/demo-1");
        forget_counts();
        assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
        assert_int_equal(changing_calls(), 0);
        control("POST", "reset", NULL);
        control("POST", "network", "{\"name\":\"other\",\"range\":\"172.20\"}");
    }
}

static void test_subnetwork_that_does_not_fit(void **state)
{
    static const struct {
        struct fake_setting settings[3];
        const char *text;
    } cases[] = {
        {{{"subnetwork", "nowhere"}}, "`subnetwork`: "},
        {{{"network", "default"}, {"subnetwork", "other"}}, "of network other, and `network` is default"},
        {{{"subnetwork", "regions/europe-west1/subnetworks/other"}}, "in region europe-west1, and the cluster in us-"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(open_with(cases[i].settings), HACTL_OK);
        assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_E_INVALID);
        assert_non_null(strstr(world.call->text, cases[i].text));
        assert_int_equal(DO(open_firewall("d1")), HACTL_E_INVALID);
        assert_non_null(strstr(world.call->text, cases[i].text));
        assert_int_equal(left(), 0);
    }
    assert_int_equal(OPEN({"network", "other"}, {"subnetwork", "other"}), HACTL_OK);
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK);
}

static void test_inherited(void **state)
{
    (void)state;
    assert_int_equal(OPEN({"subnetwork", "other"}), HACTL_OK);
    make("demo-1", "us-central1-b");
    assert_int_equal(open_with(NULL), HACTL_OK);
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    make("demo-2", "us-central1-c");
    assert_in("other", "us-central1-c", "instances/demo-2");
    /* What is asked for is what is used: there need not be a network "default". */
    assert_int_equal(open_with(NULL), HACTL_OK);
    fault("{\"method\":\"networks.get\",\"when\":\"before\",\"status\":404,\"reason\":\"notFound\",\"message\":"
          "\"gone\"}");
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_E_INVALID);
    forget_counts();
    assert_int_equal(OPEN({"subnetwork", "other"}), HACTL_OK);
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK);
    assert_int_equal(calls_of("networks.get"), 0);
}

/* A rule cannot be moved to another network: it goes, and one is made there. */
static void test_rules_follow(void **state)
{
    (void)state;
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    assert_int_equal(OPEN({"network", "global/networks/other"}), HACTL_OK);
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    make("demo-1", "us-central1-b");
    assert_in("other", "us-central1-b", "instances/demo-1");
    forget_counts();
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    assert_int_equal(changing_calls(), 0);
}

int main(int argc, char **argv)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup_networks, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_shared_network), EACH(test_subnetwork_alone), EACH(test_subnetwork_that_does_not_fit),
        EACH(test_inherited),      EACH(test_rules_follow),
    };

    (void)argc;
    return run_on_emulator(argv, tests, sizeof(tests) / sizeof(tests[0]));
}
