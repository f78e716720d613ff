/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gce_cloud_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"

/* ---- small doings with the emulator ------------------------------------------------------ */

size_t left(void)
{
    char why[100];
    const char *text = control("GET", "left", NULL);
    json_t *json = ha_json_parse(text, strlen(text), why, sizeof(why));
    size_t count = json_array_size(json_object_get(json, "left"));

    json_decref(json);
    return count;
}

/* ---- the plugin as the core drives it ----------------------------------------------------- */

const struct hactl_cloud_ops *cloud(void)
{
    return hactl_plugin.cloud;
}

void close_cloud(void)
{
    hactl_plugin.close(world.self);
    fake_conf_free(world.conf);
    world.self = NULL;
    world.conf = NULL;
}

const char *cluster_name = "demo";

int open_with(const struct fake_setting *more)
{
    struct fake_setting settings[24] = {{"zones", "us-central1-b us-central1-c us-central1-f"},
                                        {"poll_interval_ms", "1"},
                                        {"admin_ranges", "203.0.113.0/24"},
                                        {"programs", "etcd\thttps://example.org/etcd.tar.gz\t" SHA}};
    size_t count = 4;

    close_cloud();
    for (; more && more->key; more++)
        settings[count++] = *more;
    world.conf = fake_conf_new(cloud_keys, settings, "cloud", cluster_name, world.directory);
    return hactl_plugin.open(&fake_host, world.conf, next_call(), &world.self);
}

int setup(void **state)
{
    (void)state;
    strcpy(world.directory, "/tmp/hactl-gce-XXXXXX");
    assert_non_null(mkdtemp(world.directory));
    control("POST", "reset", NULL);
    new_intent();
    assert_int_equal(open_with(NULL), HACTL_OK);
    return 0;
}

int teardown(void **state)
{
    (void)state;
    cluster_name = "demo";
    close_cloud();
    fake_call_free(world.call);
    world.call = NULL;
    ha_tree_remove(world.directory);
    return 0;
}

/* ---- small doings ----------------------------------------------------------------------------- */

char address_text[64];

int reserve(const char *name, enum hactl_address_kind kind)
{
    int rc = DO(cloud()->address_ensure(world.self, world.call, name, kind,
                                        kind == HACTL_ADDRESS_INTERNAL ? name : NULL, "us-central1-b"));

    if (rc == HACTL_OK) {
        assert_int_equal(world.call->address_count, 1);
        assert_string_equal(world.call->addresses[0].name, name);
        snprintf(address_text, sizeof(address_text), "%s", world.call->addresses[0].address);
    }
    return rc;
}

static struct hactl_replica the_replica;
static const char *const purposes[] = {"etcd-server", "etcd-peer", NULL};

int ensure(const struct hactl_replica *replica)
{
    static struct hactl_instance_want want;

    the_replica = *replica;
    want = (struct hactl_instance_want){.struct_size = sizeof(want), .replica = &the_replica, .key_purposes = purposes};
    return cloud()->instance_ensure(world.self, world.call, &want);
}

struct hactl_replica replica(const char *name, const char *zone, const char *address)
{
    return (struct hactl_replica){
        .struct_size = sizeof(struct hactl_replica), .name = name, .zone = zone, .internal_address = address};
}

void make(const char *name, const char *zone)
{
    char address[64];

    assert_int_equal(reserve(name, HACTL_ADDRESS_INTERNAL), HACTL_OK);
    snprintf(address, sizeof(address), "%s", address_text);
    struct hactl_replica want = replica(name, zone, address);
    assert_int_equal(DO(ensure(&want)), HACTL_OK);
}

const struct hactl_instance *listed(const char *name)
{
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    for (size_t i = 0; i < world.call->instance_count; i++)
        if (strcmp(world.call->instances[i].name, name) == 0)
            return &world.call->instances[i];
    return NULL;
}

const struct hactl_address *listed_address(enum hactl_address_kind kind)
{
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    for (size_t i = 0; i < world.call->address_count; i++)
        if (world.call->addresses[i].kind == kind)
            return &world.call->addresses[i];
    return NULL;
}

/* A member of an instance, as dotted path for jq. */
const char *of_instance(const char *zone, const char *name, const char *filter)
{
    static char text[65536];
    char command[1024];
    FILE *pipe;
    size_t size;

    snprintf(command, sizeof(command),
             "curl -sS -H \"Authorization: Bearer $(cat $GCE_EMULATOR_DIR/token)\" "
             "\"$GCE_EMULATOR/compute/v1/projects/emulated/zones/%s/%s\" | jq -r '%s'",
             zone, name, filter);
    pipe = popen(command, "r");
    size = fread(text, 1, sizeof(text) - 1, pipe);
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
    assert_int_equal(pclose(pipe), 0);
    return text;
}

void tell(const char *zone, const char *name, const char *key, const char *value)
{
    char body[1024];

    snprintf(body, sizeof(body),
             "{\"zone\":\"%s\",\"instance\":\"%s\",\"namespace\":\"hactl\",\"key\":\"%s\",\"value\":\"%s\"}", zone,
             name, key, value);
    control("POST", "guest-attribute", body);
}

/* ---- firewall ---------------------------------------------------------------------------- */

static const struct hactl_port
    api_port = {.struct_size = sizeof(api_port), .name = "api", .port = 443, .flags = HACTL_PORT_ENDPOINT},
    client_port = {.struct_size = sizeof(client_port),
                   .name = "etcd-client",
                   .port = 2379,
                   .flags = HACTL_PORT_OPERATOR | HACTL_PORT_ENDPOINT},
    peer_port = {.struct_size = sizeof(peer_port), .name = "etcd-peer", .port = 2380, .flags = HACTL_PORT_PEERS};
static const struct hactl_port *const ports[] = {&api_port, &client_port, &peer_port};

int open_firewall(const char *digest)
{
    struct hactl_cluster cluster = {.struct_size = sizeof(cluster), .name = "demo", .endpoint_port = 443};
    struct hactl_firewall_want want = {
        .struct_size = sizeof(want), .cluster = &cluster, .ports = ports, .port_count = 3, .digest = digest};

    return cloud()->firewall_ensure(world.self, world.call, &want);
}

/* ---- deliver ------------------------------------------------------------------------------ */

const char *sealed;
int keep_running;

int deliver(const char *digest, const char *content, size_t size, bool with_key)
{
    static const char *const argv[] = {"etcd", "--data-dir=${data}/etcd", "--x=${directory}/a \"b\" \\ $HOME 5%", NULL};
    struct hactl_file files[] = {
        {.struct_size = sizeof(files[0]),
         .path = "sub/greeting",
         .mode = 0640,
         .content = content,
         .content_size = size},
        {.struct_size = sizeof(files[0]), .path = "own.key", .mode = 0600, .purpose = "etcd-peer", .part = "key"},
    };
    struct hactl_file shared = {.struct_size = sizeof(shared),
                                .path = "shared.key",
                                .mode = 0600,
                                .content = sealed,
                                .content_size = sealed ? strlen(sealed) : 0,
                                .purpose = "service-account",
                                .part = "key",
                                .sealed_to = "etcd-peer"};
    const struct hactl_file *const file_list[] = {&files[0], &files[1], &shared};
    struct hactl_unit unit = {.struct_size = sizeof(unit),
                              .name = "etcd",
                              .argv = argv,
                              .package = "etcd-server",
                              .restart = HACTL_RESTART_ON_FAILURE,
                              .stop_timeout_ms = 5000};
    const struct hactl_unit *const units[] = {&unit};
    struct hactl_payload payload = {.struct_size = sizeof(payload),
                                    .name = "etcd",
                                    .digest = digest,
                                    .keep_running = keep_running,
                                    .files = file_list,
                                    .file_count = sealed ? 3 : 2,
                                    .units = units,
                                    .unit_count = 1};

    if (with_key) {
        files[1].content = "SECRET KEY";
        files[1].content_size = strlen("SECRET KEY");
    }
    return DO(cloud()->deliver(world.self, world.call, "demo-1", &payload));
}
