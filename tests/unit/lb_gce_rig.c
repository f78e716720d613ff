/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/gce/gce.h"
#include "tests/unit/lb_gce_rig.h"

static const struct hactl_key cloud_keys[] = {
    GCE_KEYS,
    {.name = "network_tier", .type = HACTL_KEY_STRING, .default_value = "PREMIUM"},
    {.name = NULL},
};

const char *const zones[3] = {"us-central1-b", "us-central1-c", "us-central1-f"};
static const struct hactl_cluster cluster = {.struct_size = sizeof(cluster), .name = "demo", .endpoint_port = PORT};
const struct hactl_balancer_want want = {
    .struct_size = sizeof(want), .name = "demo", .cluster = &cluster, .port = PORT, .backend_port = PORT};

const char *get(const char *path, const char *filter)
{
    return api_filter("GET", path, NULL, filter);
}

const char *left(void)
{
    return run_curl("curl -sS \"$GCE_EMULATOR/_emulator/left\" | jq -r '[.left[] | select(test(\"/(healthChecks|"
                    "backendServices|instanceGroups|forwardingRules)/\"))] | length' | tr -d '\\n'");
}

const struct hactl_balancer_ops *lb(void)
{
    return hactl_plugin.balancer;
}

int put(int number)
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

int open_with(const struct fake_setting *more)
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

void make_machine(int number)
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

int setup(void **state)
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

int teardown(void **state)
{
    (void)state;
    close_lb();
    fake_call_free(world.call);
    world.call = NULL;
    return 0;
}

struct hactl_balancer_want wanting(int replicas)
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

const struct hactl_balancer *listed(void)
{
    assert_int_equal(lb()->list(world.self, next_call(), &want), HACTL_OK);
    return world.call->balancer_count ? &world.call->balancers[0] : NULL;
}

int health_of(const char *name)
{
    for (size_t i = 0; i < world.call->backend_count; i++)
        if (strcmp(world.call->backends[i].name, name) == 0)
            return (int)world.call->backends[i].healthy;
    return -1;
}

void build(int backends)
{
    assert_int_equal(DO(ENSURE()), HACTL_OK);
    for (int i = 1; i <= backends; i++)
        assert_int_equal(DO(IN(i)), HACTL_OK);
}

int run_balancer_tests(char **argv, const struct CMUnitTest *tests, size_t count)
{
    static const char *const elsewhere[] = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "CLOUDSDK_CORE_PROJECT",
                                            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"};

    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        unsetenv(elsewhere[i]);
    return run_on_emulator(argv, tests, count);
}
