/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/lb, backend gce: a balancer from its making to its end. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "tests/unit/lb_gce_rig.h"

static void test_settings(void **state)
{
    struct hactl_balancer_want other = want;

    (void)state;
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK);
    assert_int_equal(open_with((struct fake_setting[]){{"rise", "11"}, {NULL, NULL}}), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "rise = 11"));
    assert_int_equal(open_with((struct fake_setting[]){{"check_path", "readyz"}, {NULL, NULL}}), HACTL_E_INVALID);
    assert_int_equal(open_with(NULL), HACTL_OK);
    other.port = 6443;
    assert_int_equal(ONCE(lb()->ensure(world.self, world.call, &other)), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "6443"));
    assert_int_equal(changing_calls(), 0);
}

static void test_no_cloud(void **state)
{
    struct fake_setting settings[] = {{"backend", "gce"}, {NULL, NULL}};
    struct hactl_conf *conf = fake_conf_new(hactl_plugin.keys, settings, "lb", "demo", "/nonexistent");
    void *self = NULL;

    (void)state;
    assert_int_equal(hactl_plugin.open(&fake_host, conf, next_call(), &self), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "needs cloud"));
    fake_conf_free(conf);
}

/* Each part is made once, however often it is asked for. */
static void test_build(void **state)
{
    const struct hactl_balancer *found;

    (void)state;
    assert_null(listed());
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    assert_int_equal(changing_calls(), 3);
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    assert_int_equal(changing_calls(), 3);
    found = listed();
    assert_non_null(found);
    assert_int_equal(found->running, HACTL_YES);
    assert_null(found->address);
    assert_string_not_equal(found->trial_host, world.address);
    assert_int_equal(found->trial_port, PORT);
    assert_int_equal(world.call->backend_count, 0);
    assert_string_equal(get("regions/us-central1/backendServices/demo-balancer",
                            "\"\\(.loadBalancingScheme) \\(.protocol) \\(.description) \\(.healthChecks|length)\""),
                        "EXTERNAL TCP hactl cluster demo 1");
    assert_string_equal(get("regions/us-central1/healthChecks/demo-balancer",
                            "\"\\(.type) \\(.tcpHealthCheck.port) \\(.checkIntervalSec) \\(.timeoutSec) "
                            "\\(.healthyThreshold) \\(.unhealthyThreshold) \\(.description)\""),
                        "TCP 443 1 1 1 2 hactl cluster demo");
    assert_string_equal(get("regions/us-central1/forwardingRules/demo-trial", ".description"), "hactl cluster demo");
}

/* What is configured otherwise later is changed in place. */
static void test_check_changes(void **state)
{
    (void)state;
    build(1);
    forget_counts();
    assert_int_equal(open_with((struct fake_setting[]){
                         {"check", "https"}, {"check_interval_ms", "5000"}, {"drain_timeout_ms", "0"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(listed()->running, HACTL_NO);
    assert_non_null(strstr(world.call->balancers[0].detail, "health check"));
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    assert_int_equal(calls_of("regionHealthChecks.patch"), 1);
    assert_int_equal(calls_of("regionBackendServices.patch"), 1);
    assert_int_equal(changing_calls(), 2);
    assert_int_equal(listed()->running, HACTL_YES);
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    assert_string_equal(get("regions/us-central1/healthChecks/demo-balancer",
                            "\"\\(.type) \\(.httpsHealthCheck.requestPath) \\(.checkIntervalSec) "
                            "\\(.tcpHealthCheck)\""),
                        "HTTPS /readyz 5 null");
    assert_string_equal(
        get("regions/us-central1/backendServices/demo-balancer", ".connectionDraining.drainingTimeoutSec"), "0");
}

static void test_backends(void **state)
{
    (void)state;
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    forget_counts();
    assert_int_equal(DO(IN(1)), HACTL_OK);
    assert_int_equal(calls_of("instanceGroups.insert"), 1);
    assert_int_equal(calls_of("instanceGroups.addInstances"), 1);
    assert_int_equal(calls_of("regionBackendServices.patch"), 1);
    assert_int_equal(changing_calls(), 3);
    assert_int_equal(DO(IN(1)), HACTL_OK);
    assert_int_equal(changing_calls(), 3);
    assert_int_equal(DO(IN(2)), HACTL_OK);
    assert_non_null(listed());
    assert_int_equal(world.call->backend_count, 2);
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    control("POST", "health", "{\"instance\":\"demo-2\",\"state\":\"UNHEALTHY\"}");
    assert_non_null(listed());
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    assert_int_equal(health_of("demo-2"), HACTL_NO);
    assert_string_equal(get("zones/us-central1-b/instanceGroups/demo-balancer", ".description"), "hactl cluster demo");
    forget_counts();
    assert_int_equal(DO(OUT(2)), HACTL_OK);
    assert_int_equal(DO(OUT(2)), HACTL_OK);
    assert_int_equal(DO(OUT(9)), HACTL_OK);
    assert_int_equal(changing_calls(), 2);
    assert_int_equal(calls_of("regionBackendServices.patch"), 1);
    assert_int_equal(calls_of("instanceGroups.delete"), 1);
    assert_non_null(listed());
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    assert_int_equal(health_of("demo-2"), -1);
    assert_int_equal(DO(IN(2)), HACTL_OK);
    /* Two of one zone: the group is there already, and stays with the other. */
    forget_counts();
    assert_int_equal(DO(IN(4)), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    assert_int_equal(DO(OUT(1)), HACTL_OK);
    assert_int_equal(changing_calls(), 2);
    assert_int_equal(calls_of("instanceGroups.removeInstances"), 1);
    assert_non_null(listed());
    assert_int_equal(health_of("demo-1"), -1);
    assert_int_equal(health_of("demo-4"), HACTL_YES);
}

static void attach_nothing(void)
{
    api_change(
        "PATCH", "regions/us-central1/backendServices/demo-balancer",
        run_curl("curl -sS -H \"Authorization: Bearer $(cat $GCE_EMULATOR_DIR/token)\" "
                 "\"$GCE_EMULATOR/compute/v1/projects/emulated/regions/us-central1/backendServices/demo-balancer\" "
                 "| jq -c '{fingerprint, backends: []}' | tr -d '\\n'"));
}

/* A member of a group that nothing leads to is behind nothing, and is put behind it. */
static void test_detached(void **state)
{
    struct hactl_balancer_want both = wanting(2);

    (void)state;
    build(2);
    attach_nothing();
    assert_int_equal(lb()->list(world.self, next_call(), &both), HACTL_OK);
    assert_int_equal(world.call->backend_count, 0);
    assert_int_equal(DO(IN(2)), HACTL_OK);
    assert_non_null(listed());
    assert_int_equal(health_of("demo-2"), HACTL_YES);
}

/* Whoever was killed between the two steps out has left the group: its member is to be told, or nobody would ask for
 * the second. */
static void test_half_way_out(void **state)
{
    struct hactl_balancer_want one = wanting(1);

    (void)state;
    build(2);
    attach_nothing();
    assert_int_equal(DO(IN(1)), HACTL_OK);
    assert_int_equal(lb()->list(world.self, next_call(), &one), HACTL_OK);
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    assert_int_equal(health_of("demo-2"), HACTL_NO);
    forget_counts();
    assert_int_equal(DO(OUT(2)), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    assert_int_equal(calls_of("instanceGroups.delete"), 1);
    assert_int_equal(lb()->list(world.self, next_call(), &one), HACTL_OK);
    assert_int_equal(health_of("demo-2"), -1);
}

/* What the address costs: one changing call each way. */
static void test_claim_and_release(void **state)
{
    (void)state;
    build(2);
    forget_counts();
    assert_int_equal(DO(CLAIM()), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    assert_int_equal(calls_of("forwardingRules.insert"), 1);
    assert_int_equal(DO(CLAIM()), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    assert_string_equal(listed()->address, world.address);
    assert_int_equal(health_of("demo-2"), HACTL_YES);
    assert_string_equal(get("regions/us-central1/addresses/demo-ip", "\"\\(.status) \\(.users|length)\""), "IN_USE 1");
    assert_string_equal(get("regions/us-central1/forwardingRules/demo-endpoint", "\"\\(.portRange) \\(.description)\""),
                        "443-443 hactl cluster demo");
    /* Another address is neither taken besides nor released. */
    assert_int_equal(ONCE(lb()->claim(world.self, world.call, &want, "203.0.113.9")), HACTL_E_CONFLICT);
    assert_int_equal(ONCE(lb()->release(world.self, world.call, &want, "203.0.113.9")), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    forget_counts();
    assert_int_equal(DO(RELEASE()), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    assert_int_equal(calls_of("forwardingRules.delete"), 1);
    assert_int_equal(DO(RELEASE()), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    assert_null(listed()->address);
    assert_int_equal(listed()->running, HACTL_YES);
    assert_string_equal(get("regions/us-central1/addresses/demo-ip", ".status"), "RESERVED");
}

static void test_never_takes(void **state)
{
    char body[200];
    int rc;

    (void)state;
    build(1);
    snprintf(body, sizeof(body), "{\"name\":\"external-nat\",\"type\":\"ONE_TO_ONE_NAT\",\"natIP\":\"%s\"}",
             world.address);
    api_change("POST", "zones/us-central1-c/instances/demo-2/addAccessConfig?networkInterface=nic0", body);
    rc = ONCE(CLAIM());
    assert_true(rc == HACTL_E_BUSY || rc == HACTL_E_ENDED);
    assert_non_null(strstr(world.call->text, world.address));
    assert_null(listed()->address);
    assert_int_equal(DO(RELEASE()), HACTL_OK);
    assert_non_null(strstr(get("regions/us-central1/addresses/demo-ip", ".users[0]"), "instances/demo-2"));
    /* Free again: the same step, asked again, succeeds though its first operation has failed. */
    new_intent();
    rc = DRIVE(CLAIM(), false);
    assert_true(rc == HACTL_E_BUSY || rc == HACTL_E_ENDED);
    api_change(
        "POST",
        "zones/us-central1-c/instances/demo-2/deleteAccessConfig?networkInterface=nic0&accessConfig=external-nat",
        NULL);
    assert_int_equal(DRIVE(CLAIM(), true), HACTL_OK);
    assert_string_equal(listed()->address, world.address);
}

static void test_wrong_order(void **state)
{
    (void)state;
    assert_int_equal(ONCE(IN(1)), HACTL_E_NOT_FOUND);
    assert_int_equal(ONCE(OUT(1)), HACTL_OK);
    assert_int_equal(ONCE(CLAIM()), HACTL_E_NOT_FOUND);
    assert_int_equal(ONCE(RELEASE()), HACTL_OK);
    assert_int_equal(ONCE(DESTROY()), HACTL_OK);
    assert_int_equal(changing_calls(), 0);
    build(1);
    /* Half of it: not whole, so it does not get the address, and is mended. */
    api_change("DELETE", "regions/us-central1/forwardingRules/demo-trial", NULL);
    assert_int_equal(listed()->running, HACTL_NO);
    assert_int_equal(health_of("demo-1"), HACTL_NO);
    assert_int_equal(ONCE(CLAIM()), HACTL_E_NOT_FOUND);
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    assert_int_equal(listed()->running, HACTL_YES);
    /* An unknown machine, a zone of another region. */
    struct hactl_backend_want stranger = {
        .struct_size = sizeof(stranger), .name = "demo-9", .zone = zones[0], .address = "10.128.0.9"};
    int rc = ONCE(lb()->backend_ensure(world.self, world.call, &want, &stranger));
    assert_true(rc == HACTL_E_NOT_FOUND || rc == HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "demo-9"));
    stranger.zone = "europe-west1-b";
    assert_int_equal(ONCE(lb()->backend_ensure(world.self, world.call, &want, &stranger)), HACTL_E_INVALID);
}

/* The rule first, what it points at after it; the address is free again. */
static void test_destroy(void **state)
{
    (void)state;
    build(3);
    assert_int_equal(DO(CLAIM()), HACTL_OK);
    assert_string_equal(left(), "7");
    forget_counts();
    assert_int_equal(DO(DESTROY()), HACTL_OK);
    assert_int_equal(changing_calls(), 7);
    assert_string_equal(left(), "0");
    assert_null(listed());
    assert_int_equal(DO(DESTROY()), HACTL_OK);
    assert_int_equal(changing_calls(), 7);
    assert_string_equal(get("regions/us-central1/addresses/demo-ip", ".status"), "RESERVED");
    /* Half built. */
    assert_int_equal((new_intent(), next_call(), ENSURE()), HACTL_PENDING);
    assert_int_equal(poll_to_end(), HACTL_OK);
    assert_non_null(listed());
    assert_int_equal(listed()->running, HACTL_NO);
    assert_int_equal(DO(DESTROY()), HACTL_OK);
    assert_string_equal(left(), "0");
}

/* What has our name and is not ours is not touched. */
static void test_strangers(void **state)
{
    (void)state;
    api_change("POST", "regions/us-central1/healthChecks",
               "{\"name\":\"demo-balancer\",\"type\":\"TCP\",\"tcpHealthCheck\":{\"port\":80},"
               "\"description\":\"hactl cluster demolition\"}");
    forget_counts();
    assert_null(listed());
    assert_int_equal(ONCE(ENSURE()), HACTL_E_CONFLICT);
    assert_non_null(strstr(world.call->text, "demo-balancer"));
    assert_int_equal(ONCE(DESTROY()), HACTL_E_CONFLICT);
    assert_int_equal(changing_calls(), 0);
    assert_string_equal(left(), "1");
}

/* A service that has changed since it was read is read anew. */
static void test_fingerprints(void **state)
{
    (void)state;
    build(1);
    control("POST", "faults",
            "{\"method\":\"regionBackendServices.patch\",\"nth\":1,\"times\":2,\"when\":\"before\",\"status\":412,"
            "\"reason\":\"conditionNotMet\"}");
    forget_counts();
    new_intent();
    assert_int_equal(DRIVE(IN(2), false), HACTL_E_BUSY);
    assert_int_equal(calls_of("regionBackendServices.patch"), 1);
    assert_int_equal(DRIVE(IN(2), true), HACTL_OK);
    assert_int_equal(calls_of("regionBackendServices.patch"), 3);
    assert_int_equal(calls_of("instanceGroups.addInstances"), 1);
    assert_non_null(listed());
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    assert_int_equal(health_of("demo-2"), HACTL_YES);
}

/* Unknown is not absent. */
static void test_what_cannot_be_asked(void **state)
{
    (void)state;
    build(2);
    control("POST", "faults",
            "{\"method\":\"regionBackendServices.getHealth\",\"nth\":1,\"times\":2,\"when\":\"before\","
            "\"status\":503,\"reason\":\"backendError\"}");
    assert_non_null(listed());
    assert_int_equal(world.call->backend_count, 2);
    assert_int_equal(health_of("demo-1"), HACTL_UNKNOWN);
    assert_int_equal(health_of("demo-2"), HACTL_UNKNOWN);
    control("POST", "faults",
            "{\"method\":\"forwardingRules.list\",\"nth\":1,\"times\":1,\"when\":\"before\",\"status\":503,"
            "\"reason\":\"backendError\"}");
    assert_int_equal(lb()->list(world.self, next_call(), &want), HACTL_E_UNAVAILABLE);
    control("DELETE", "faults", NULL);
    /* Neither the zone nor the region tells who is in the group. */
    control("POST", "faults",
            "{\"method\":\"regionBackendServices.getHealth\",\"nth\":1,\"times\":9,\"when\":\"before\","
            "\"status\":503,\"reason\":\"backendError\"}");
    control("POST", "zone", "{\"zone\":\"us-central1-c\",\"down\":true}");
    assert_int_equal(lb()->list(world.self, next_call(), &want), HACTL_E_UNAVAILABLE);
    assert_int_equal(ONCE(OUT(2)), HACTL_E_UNAVAILABLE);
    control("DELETE", "faults", NULL);
}

static void test_dead_zone(void **state)
{
    (void)state;
    build(2);
    assert_int_equal(DO(CLAIM()), HACTL_OK);
    control("POST", "zone", "{\"zone\":\"us-central1-c\",\"down\":true}");
    assert_string_equal(listed()->address, world.address);
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    assert_int_equal(health_of("demo-2"), HACTL_NO);
    /* Out of it all the same: the region lets go of the group. */
    assert_int_equal(DO(OUT(2)), HACTL_OK);
    assert_non_null(listed());
    assert_int_equal(health_of("demo-2"), -1);
    assert_int_equal(health_of("demo-1"), HACTL_YES);
    assert_int_equal(DO(OUT(2)), HACTL_OK);
    assert_int_equal(ONCE(IN(2)), HACTL_E_UNAVAILABLE);
    /* What can go goes; that the zone's group is still there is said. */
    assert_int_equal(ONCE(DESTROY()), HACTL_E_UNAVAILABLE);
    assert_non_null(strstr(world.call->text, "us-central1-c"));
    assert_string_equal(left(), "1");
    control("POST", "zone", "{\"zone\":\"us-central1-c\",\"down\":false}");
    assert_int_equal(DO(DESTROY()), HACTL_OK);
    assert_string_equal(left(), "0");
}

/* ---- the whole life, with replies that are lost ------------------------------------------------ */

static void life(void)
{
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    assert_int_equal(DO(IN(1)), HACTL_OK);
    assert_int_equal(DO(IN(2)), HACTL_OK);
    assert_int_equal(DO(IN(4)), HACTL_OK);
    assert_int_equal(DO(CLAIM()), HACTL_OK);
    assert_string_equal(listed()->address, world.address);
    assert_int_equal(DO(OUT(4)), HACTL_OK);
    assert_int_equal(DO(OUT(2)), HACTL_OK);
    assert_int_equal(DO(RELEASE()), HACTL_OK);
    assert_null(listed()->address);
    assert_int_equal(DO(DESTROY()), HACTL_OK);
    assert_null(listed());
    assert_string_equal(left(), "0");
}

static void test_lost_replies(void **state)
{
    static const char *const methods[] = {
        "regionHealthChecks.insert", "regionBackendServices.insert",   "forwardingRules.insert",
        "instanceGroups.insert",     "instanceGroups.addInstances",    "regionBackendServices.patch",
        "forwardingRules.delete",    "instanceGroups.removeInstances", "regionBackendServices.delete",
        "regionHealthChecks.delete", "instanceGroups.delete",
    };
    static const char *const whens[] = {"before", "after"};

    (void)state;
    life();
    for (size_t i = 0; i < 2 * sizeof(methods) / sizeof(methods[0]); i++) {
        const char *method = methods[i / 2];
        char rule[200];

        snprintf(rule, sizeof(rule), "{\"method\":\"%s\",\"nth\":1,\"times\":2,\"when\":\"%s\",\"drop\":true}", method,
                 whens[i % 2]);
        control("POST", "faults", rule);
        forget_counts();
        life();
        if (calls_of(method) < 3)
            fail_msg("%s: %ld calls", method, calls_of(method));
        control("DELETE", "faults", NULL);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EACH(test_settings),     EACH(test_no_cloud),
        EACH(test_build),        EACH(test_check_changes),
        EACH(test_backends),     EACH(test_detached),
        EACH(test_half_way_out), EACH(test_claim_and_release),
        EACH(test_never_takes),  EACH(test_wrong_order),
        EACH(test_destroy),      EACH(test_strangers),
        EACH(test_fingerprints), EACH(test_what_cannot_be_asked),
        EACH(test_dead_zone),    EACH(test_lost_replies),
    };

    (void)argc;
    return run_balancer_tests(argv, tests, sizeof(tests) / sizeof(tests[0]));
}
