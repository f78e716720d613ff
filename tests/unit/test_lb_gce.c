/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins/lb, backend gce, against the emulator, as the core would drive it:
 * an operation that answers PENDING is polled and asked again. Runs itself
 * inside tests/gce-emulator/run, which also holds every request against
 * Google's schema where that is at hand. Project, endpoint and token come from
 * the settings of the cloud's instance alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/gce/gce.h"
#include "lib/json.h"
#include "tests/unit/gce_rig.h"

#define PORT 443

static const struct hactl_key cloud_keys[] = {
    GCE_KEYS,
    {.name = "network_tier", .type = HACTL_KEY_STRING, .default_value = "PREMIUM"},
    {.name = NULL},
};

static const char *const zones[] = {"us-central1-b", "us-central1-c", "us-central1-f"};
static const struct hactl_cluster cluster = {.struct_size = sizeof(cluster), .name = "demo", .endpoint_port = PORT};
static const struct hactl_balancer_want want = {
    .struct_size = sizeof(want), .name = "demo", .cluster = &cluster, .port = PORT, .backend_port = PORT};

/* ---- small doings with the emulator ------------------------------------------------------ */

static const char *get(const char *path, const char *filter)
{
    return api_filter("GET", path, NULL, filter);
}

/* What is there besides the address and the machines with their disks. */
static const char *left(void)
{
    return run_curl("curl -sS \"$GCE_EMULATOR/_emulator/left\" | jq -r '[.left[] | select(test(\"/(healthChecks|"
                    "backendServices|instanceGroups|forwardingRules)/\"))] | length' | tr -d '\\n'");
}

/* ---- the plugin as the core drives it ----------------------------------------------------- */

static const struct hactl_balancer_ops *lb(void)
{
    return hactl_plugin.balancer;
}

#define DO(operation)           \
    __extension__({             \
        new_intent();           \
        DRIVE(operation, true); \
    })
#define ONCE(operation)          \
    __extension__({              \
        new_intent();            \
        DRIVE(operation, false); \
    })
#define ENSURE()  lb()->ensure(world.self, world.call, &want)
#define DESTROY() lb()->destroy(world.self, world.call, &want)
#define CLAIM()   lb()->claim(world.self, world.call, &want, world.address)
#define RELEASE() lb()->release(world.self, world.call, &want, world.address)
#define IN(n)     put(n)
#define OUT(n)    lb()->backend_destroy(world.self, world.call, &want, "demo-" #n)

static int put(int number)
{
    char name[16];
    struct hactl_backend_want backend = {
        .struct_size = sizeof(backend), .name = name, .zone = zones[(number - 1) % 3], .address = "10.128.0.2"};

    snprintf(name, sizeof(name), "demo-%d", number);
    return lb()->backend_ensure(world.self, world.call, &want, &backend);
}

static void close_lb(void)
{
    hactl_plugin.close(world.self);
    fake_conf_free(world.conf);
    fake_conf_free(world.cloud);
    world.self = NULL;
    world.conf = world.cloud = NULL;
}

static int open_with(const struct fake_setting *more)
{
    struct fake_setting cloud[] = {{"zones", "us-central1-b us-central1-c us-central1-f"},
                                   {"poll_interval_ms", "1"},
                                   {"project", getenv("HACTL_GCE_PROJECT")},
                                   {"api_url", getenv("HACTL_GCE_ENDPOINT")},
                                   {"access_token_file", getenv("HACTL_GCE_TOKEN_FILE")},
                                   {NULL, NULL}};
    struct fake_setting settings[16] = {{"backend", "gce"}, {"cloud", "cloud"}};
    size_t count = 2;

    close_lb();
    if (!more)
        settings[count] = (struct fake_setting){"check", "tcp"};
    for (; more && more->key; more++)
        settings[count++] = *more;
    world.cloud = fake_conf_new(cloud_keys, cloud, "cloud", "demo", "/nonexistent");
    world.conf = fake_conf_new(hactl_plugin.keys, settings, "lb", "demo", "/nonexistent");
    fake_conf_link(world.conf, world.cloud);
    return hactl_plugin.open(&fake_host, world.conf, next_call(), &world.self);
}

static void make_machine(int number)
{
    char path[80], body[600];

    snprintf(path, sizeof(path), "zones/%s/instances", zones[(number - 1) % 3]);
    snprintf(body, sizeof(body),
             "{\"name\":\"demo-%d\",\"machineType\":\"zones/%s/machineTypes/e2-small\",\"disks\":[{\"boot\":true,"
             "\"autoDelete\":true,\"initializeParams\":{\"sourceImage\":"
             "\"projects/debian-cloud/global/images/family/debian-12\"}}],"
             "\"networkInterfaces\":[{\"network\":\"global/networks/default\"}]}",
             number, zones[(number - 1) % 3]);
    api_change("POST", path, body);
}

static int setup(void **state)
{
    (void)state;
    control("POST", "reset", NULL);
    new_intent();
    assert_int_equal(open_with(NULL), HACTL_OK);
    for (int i = 1; i <= 4; i++)
        make_machine(i); /* demo-4 is in the zone of demo-1 */
    api_change("POST", "regions/us-central1/addresses", "{\"name\":\"demo-ip\"}");
    snprintf(world.address, sizeof(world.address), "%s", get("regions/us-central1/addresses/demo-ip", ".address"));
    forget_counts();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_lb();
    fake_call_free(world.call);
    world.call = NULL;
    return 0;
}

/* The first of the machines are to be behind it. */
static struct hactl_balancer_want wanting(int replicas)
{
    static struct hactl_backend_want backends[4];
    static const struct hactl_backend_want *list[4];
    static char names[4][16];
    struct hactl_balancer_want other = want;

    for (int i = 0; i < replicas; i++) {
        snprintf(names[i], sizeof(names[i]), "demo-%d", i + 1);
        backends[i] = (struct hactl_backend_want){
            .struct_size = sizeof(backends[i]), .name = names[i], .zone = zones[i % 3], .address = "10.128.0.2"};
        list[i] = &backends[i];
    }
    other.backends = list;
    other.backend_count = (size_t)replicas;
    return other;
}

static const struct hactl_balancer *listed(void)
{
    assert_int_equal(lb()->list(world.self, next_call(), &want), HACTL_OK);
    return world.call->balancer_count ? &world.call->balancers[0] : NULL;
}

/* Health of a backend in the last list; -1: it is not behind the balancer. */
static int health_of(const char *name)
{
    for (size_t i = 0; i < world.call->backend_count; i++)
        if (strcmp(world.call->backends[i].name, name) == 0)
            return (int)world.call->backends[i].healthy;
    return -1;
}

static void build(int backends)
{
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    for (int i = 1; i <= backends; i++)
        assert_int_equal(DO(IN(i)), HACTL_OK);
}

/* ---- tests -------------------------------------------------------------------------------------- */

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
    static const char *const elsewhere[] = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "CLOUDSDK_CORE_PROJECT",
                                            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"};
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_settings),
        EACH(test_no_cloud),
        EACH(test_build),
        EACH(test_groups_ahead),
        EACH(test_groups_not_ahead),
        EACH(test_check_changes),
        EACH(test_backends),
        EACH(test_detached),
        EACH(test_half_way_out),
        EACH(test_claim_and_release),
        EACH(test_never_takes),
        EACH(test_wrong_order),
        EACH(test_destroy),
        EACH(test_strangers),
        EACH(test_fingerprints),
        EACH(test_side_by_side),
        EACH(test_groups_in_one_change),
        EACH(test_groups_network),
        EACH(test_what_cannot_be_asked),
        EACH(test_dead_zone),
        EACH(test_lost_replies),
    };

    (void)argc;
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        unsetenv(elsewhere[i]);
    return run_on_emulator(argv, tests, sizeof(tests) / sizeof(tests[0]));
}
