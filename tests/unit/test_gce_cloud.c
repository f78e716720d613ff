/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins/gce against the emulator, as the core would drive it: an operation
 * that answers PENDING is polled and asked again. Runs itself inside
 * tests/gce-emulator/run, which also holds every request against Google's
 * schema where that is at hand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "lib/file.h"
#include "lib/json.h"
#include "plugins/gce/cloud.h"
#include "tests/unit/gce_rig.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- small doings with the emulator ------------------------------------------------------ */

static size_t left(void)
{
    char why[100];
    const char *text = control("GET", "left", NULL);
    json_t *json = ha_json_parse(text, strlen(text), why, sizeof(why));
    size_t count = json_array_size(json_object_get(json, "left"));

    json_decref(json);
    return count;
}

/* ---- the plugin as the core drives it ----------------------------------------------------- */

static const struct hactl_cloud_ops *cloud(void)
{
    return hactl_plugin.cloud;
}

/* An intent of its own. */
#define DO(operation)            \
    __extension__({              \
        new_intent();            \
        DRIVE(operation, false); \
    })

static void close_cloud(void)
{
    hactl_plugin.close(world.self);
    fake_conf_free(world.conf);
    world.self = NULL;
    world.conf = NULL;
}

static const char *cluster_name = "demo";

static int open_with(const struct fake_setting *more)
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

static int setup(void **state)
{
    (void)state;
    strcpy(world.directory, "/tmp/hactl-gce-XXXXXX");
    assert_non_null(mkdtemp(world.directory));
    control("POST", "reset", NULL);
    new_intent();
    assert_int_equal(open_with(NULL), HACTL_OK);
    return 0;
}

static int teardown(void **state)
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

static char address_text[64];

static int reserve(const char *name, enum hactl_address_kind kind)
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

static int ensure(const struct hactl_replica *replica)
{
    static struct hactl_instance_want want;

    the_replica = *replica;
    want = (struct hactl_instance_want){.struct_size = sizeof(want), .replica = &the_replica, .key_purposes = purposes};
    return cloud()->instance_ensure(world.self, world.call, &want);
}

static struct hactl_replica replica(const char *name, const char *zone, const char *address)
{
    return (struct hactl_replica){
        .struct_size = sizeof(struct hactl_replica), .name = name, .zone = zone, .internal_address = address};
}

static void make(const char *name, const char *zone)
{
    char address[64];

    assert_int_equal(reserve(name, HACTL_ADDRESS_INTERNAL), HACTL_OK);
    snprintf(address, sizeof(address), "%s", address_text);
    struct hactl_replica want = replica(name, zone, address);
    assert_int_equal(DO(ensure(&want)), HACTL_OK);
}

static const struct hactl_instance *listed(const char *name)
{
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    for (size_t i = 0; i < world.call->instance_count; i++)
        if (strcmp(world.call->instances[i].name, name) == 0)
            return &world.call->instances[i];
    return NULL;
}

static const struct hactl_address *listed_address(enum hactl_address_kind kind)
{
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    for (size_t i = 0; i < world.call->address_count; i++)
        if (world.call->addresses[i].kind == kind)
            return &world.call->addresses[i];
    return NULL;
}

/* A member of an instance, as dotted path for jq. */
static const char *of_instance(const char *zone, const char *name, const char *filter)
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

static void tell(const char *zone, const char *name, const char *key, const char *value)
{
    char body[1024];

    snprintf(body, sizeof(body),
             "{\"zone\":\"%s\",\"instance\":\"%s\",\"namespace\":\"hactl\",\"key\":\"%s\",\"value\":\"%s\"}", zone,
             name, key, value);
    control("POST", "guest-attribute", body);
}

/* ---- tests -------------------------------------------------------------------------------------- */

static void test_zones_and_check(void **state)
{
    (void)state;
    assert_int_equal(cloud()->zones(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->zone_count, 3);
    assert_string_equal(world.call->zones[1].name, "us-central1-c");
    assert_string_equal(world.call->zones[1].region, "us-central1");
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK);
    assert_int_equal(open_with((struct fake_setting[]){{"machine_type", "n9-giant"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "`machine_type`"));
    assert_int_equal(
        open_with((struct fake_setting[]){{"network", "projects/emulated/global/networks/default"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK);
    assert_int_equal(open_with((struct fake_setting[]){{"network", "nowhere"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_E_INVALID);
    assert_int_equal(open_with((struct fake_setting[]){{"zones", "us-central1-b europe-west1-b"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(cloud()->zones(world.self, next_call()), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "europe-west1-b is in region europe-west1"));
    assert_int_equal(open_with((struct fake_setting[]){{"programs", "etcd\thttps://x"}, {NULL, NULL}}),
                     HACTL_E_INVALID);
    assert_int_equal(open_with((struct fake_setting[]){{"labels", "Team=x"}, {NULL, NULL}}), HACTL_E_INVALID);
    assert_int_equal(open_with((struct fake_setting[]){{"reach", "tunnel"}, {NULL, NULL}}), HACTL_E_INVALID);
}

/* Whatever is there: so that the core knows the cluster's project from any other. */
static void test_place(void **state)
{
    (void)state;
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_string_equal(world.call->emitted_text, "project emulated, region us-central1");
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

static void test_addresses(void **state)
{
    char first[64];

    (void)state;
    assert_int_equal(reserve("demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
    snprintf(first, sizeof(first), "%s", address_text);
    assert_int_equal(reserve("demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
    assert_string_equal(address_text, first);
    assert_int_equal(calls_of("addresses.insert"), 1);
    assert_int_equal(reserve("demo-1", HACTL_ADDRESS_INTERNAL), HACTL_OK);
    assert_true(strncmp(address_text, "10.128.", 7) == 0);
    assert_int_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->held, HACTL_NO);
    assert_string_equal(listed_address(HACTL_ADDRESS_INTERNAL)->name, "demo-1");
    /* Somebody else's address of our name is neither taken nor deleted. */
    api("POST", "regions/us-central1/addresses", "{\"name\":\"demo-2-internal-ip\"}");
    assert_int_equal(reserve("demo-2", HACTL_ADDRESS_INTERNAL), HACTL_E_CONFLICT);
    assert_int_equal(DO(cloud()->address_destroy(world.self, world.call, "demo-2", HACTL_ADDRESS_INTERNAL)),
                     HACTL_E_CONFLICT);
    api("DELETE", "regions/us-central1/addresses/demo-2-internal-ip", NULL);
    assert_int_equal(DO(cloud()->address_destroy(world.self, world.call, "demo-1", HACTL_ADDRESS_INTERNAL)), HACTL_OK);
    assert_int_equal(DO(cloud()->address_destroy(world.self, world.call, "demo", HACTL_ADDRESS_EXTERNAL)), HACTL_OK);
    assert_int_equal(DO(cloud()->address_destroy(world.self, world.call, "demo", HACTL_ADDRESS_EXTERNAL)), HACTL_OK);
    assert_int_equal(left(), 0);
    control("POST", "quota", "{\"metric\":\"STATIC_ADDRESSES\",\"limit\":0}");
    assert_int_equal(reserve("demo", HACTL_ADDRESS_EXTERNAL), HACTL_E_QUOTA);
    assert_non_null(strstr(world.call->text, "STATIC_ADDRESSES"));
    assert_non_null(strstr(world.call->text, "us-central1"));
}

/* Addresses have no labels from the beginning: their descriptions tell whose they are, whatever the cluster is called.
 */
static void test_addresses_told_apart(void **state)
{
    (void)state;
    cluster_name = "replica";
    assert_int_equal(open_with(NULL), HACTL_OK);
    assert_int_equal(reserve("replica-1", HACTL_ADDRESS_INTERNAL), HACTL_OK);
    assert_string_equal(listed_address(HACTL_ADDRESS_INTERNAL)->name, "replica-1");
    assert_int_equal(reserve("replica-1", HACTL_ADDRESS_INTERNAL), HACTL_OK);
    assert_int_equal(calls_of("addresses.insert"), 1);
}

static void test_instances(void **state)
{
    (void)state;
    control("POST", "counts/reset", NULL);
    make("demo-1", "us-central1-b");
    assert_int_equal(calls_of("instances.insert"), 1);
    assert_int_equal(calls_of("disks.insert"), 0);
    const struct hactl_instance *found = listed("demo-1");
    assert_non_null(found);
    assert_int_equal(found->state, HACTL_INSTANCE_RUNNING);
    assert_string_equal(found->zone, "us-central1-b");
    assert_string_equal(found->internal_address, address_text);
    assert_string_equal(of_instance("us-central1-b", "instances/demo-1", "[.disks[].autoDelete]|tostring"),
                        "[true,false]");
    assert_string_equal(of_instance("us-central1-b", "disks/demo-1-data", ".labels|tostring"),
                        "{\"hactl-cluster\":\"demo\",\"hactl-replica\":\"demo-1\"}");
    assert_string_equal(of_instance("us-central1-b", "instances/demo-1", ".tags.items[0]"), "demo-master");
    assert_string_equal(of_instance("us-central1-b", "instances/demo-1", ".serviceAccounts|length"), "0");
    assert_string_equal(of_instance("us-central1-b", "instances/demo-1", "[.metadata.items[].key]|sort|tostring"),
                        "[\"enable-guest-attributes\",\"hactl-boot\",\"hactl-cluster\",\"hactl-keys\",\"hactl-"
                        "replica\",\"startup-script\"]");
    /* Stopped and started. */
    api("POST", "zones/us-central1-b/instances/demo-1/stop", NULL);
    for (int i = 0; i < 1000 && listed("demo-1")->state != HACTL_INSTANCE_STOPPED; i++)
        usleep(2000);
    struct hactl_replica want = replica("demo-1", "us-central1-b", address_text);
    assert_int_equal(DO(ensure(&want)), HACTL_OK);
    assert_int_equal(listed("demo-1")->state, HACTL_INSTANCE_RUNNING);
    want.internal_address = "10.128.0.99";
    assert_int_equal(DO(ensure(&want)), HACTL_E_CONFLICT);
    want = replica("demo-1", "europe-west1-b", NULL);
    assert_int_equal(DO(ensure(&want)), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "region us-central1 has us-central1-b"));
    /* Deleted with its disk; by another process that has seen nothing. */
    assert_int_equal(open_with(NULL), HACTL_OK);
    assert_int_equal(DO(cloud()->instance_destroy(world.self, world.call, "demo-1")), HACTL_OK);
    assert_null(listed("demo-1"));
    assert_int_equal(left(), 1); /* the reserved address */
    assert_int_equal(DO(cloud()->instance_destroy(world.self, world.call, "demo-1")), HACTL_OK);
}

/* A data disk without its instance is a replica that is off. */
static void test_lone_disk(void **state)
{
    (void)state;
    make("demo-1", "us-central1-b");
    make("demo-2", "us-central1-c");
    api("DELETE", "zones/us-central1-b/instances/demo-1", NULL);
    api("DELETE", "zones/us-central1-c/instances/demo-2", NULL);
    for (int i = 0; i < 1000 && listed("demo-1")->state != HACTL_INSTANCE_STOPPED; i++)
        usleep(2000);
    assert_int_equal(listed("demo-1")->state, HACTL_INSTANCE_STOPPED);
    assert_int_equal(listed("demo-2")->state, HACTL_INSTANCE_STOPPED);
    char address[64];
    snprintf(address, sizeof(address), "%s", listed("demo-1")->internal_address);
    struct hactl_replica want = replica("demo-1", "us-central1-b", address);
    assert_int_equal(DO(ensure(&want)), HACTL_OK);
    assert_non_null(strstr(of_instance("us-central1-b", "instances/demo-1", ".disks[1].source"), "/disks/demo-1-data"));
    assert_int_equal(listed("demo-1")->state, HACTL_INSTANCE_RUNNING);
    assert_int_equal(DO(cloud()->instance_destroy(world.self, world.call, "demo-2")), HACTL_OK);
    assert_null(listed("demo-2"));
    /* Another's disk of that name is not attached. */
    api("POST", "zones/us-central1-f/disks", "{\"name\":\"demo-3-data\",\"sizeGb\":\"10\"}");
    want = replica("demo-3", "us-central1-f", NULL);
    assert_int_equal(DO(ensure(&want)), HACTL_E_CONFLICT);
}

static void test_inheritance(void **state)
{
    (void)state;
    assert_int_equal(open_with((struct fake_setting[]){{"machine_type", "n1-standard-4"},
                                                       {"image", "projects/ubuntu-os-cloud/global/images/family/"
                                                                 "ubuntu-2204-lts"},
                                                       {"data_disk_gb", "33"},
                                                       {"data_disk_type", "pd-standard"},
                                                       {"boot_disk_gb", "44"},
                                                       {"service_account", "sa@emulated.iam.gserviceaccount.com"},
                                                       {NULL, NULL}}),
                     HACTL_OK);
    make("demo-1", "us-central1-b");
    assert_int_equal(open_with((struct fake_setting[]){{"boot_disk_gb", "55"}, {NULL, NULL}}), HACTL_OK);
    make("demo-2", "us-central1-c");
    assert_non_null(strstr(of_instance("us-central1-c", "instances/demo-2", ".machineType"),
                           "zones/us-central1-c/machineTypes/n1-standard-4"));
    assert_string_equal(of_instance("us-central1-c", "disks/demo-2-data", ".sizeGb"), "33");
    assert_non_null(
        strstr(of_instance("us-central1-c", "disks/demo-2-data", ".type"), "us-central1-c/diskTypes/pd-standard"));
    assert_string_equal(of_instance("us-central1-c", "disks/demo-2", ".sizeGb"), "55");
    assert_non_null(strstr(of_instance("us-central1-c", "disks/demo-2", ".sourceImage"), "ubuntu"));
    assert_string_equal(of_instance("us-central1-c", "instances/demo-2", ".serviceAccounts[0].email"),
                        "sa@emulated.iam.gserviceaccount.com");
}

/* Several start at once: no call waits for the one before. */
static void test_side_by_side(void **state)
{
    static const char *const zones[] = {"us-central1-b", "us-central1-c", "us-central1-f"};
    char names[3][16], tokens[3][1100];

    (void)state;
    control("POST", "latency", "{\"method\":\"instances.insert\",\"operation_ms\":1000000}");
    for (int i = 0; i < 3; i++) {
        snprintf(names[i], sizeof(names[i]), "demo-%d", i + 1);
        struct hactl_replica want = replica(names[i], zones[i], NULL);
        new_intent();
        assert_int_equal((next_call(), ensure(&want)), HACTL_PENDING);
        snprintf(tokens[i], sizeof(tokens[i]), "%s", world.call->token);
        assert_non_null(strstr(tokens[i], zones[i]));
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(hactl_plugin.poll(world.self, next_call(), tokens[i]), HACTL_PENDING);
    assert_true(world.call->retry_after_ms > 0);
}

static void test_claim(void **state)
{
    char address[64], other[160];

    (void)state;
    assert_int_equal(open_with((struct fake_setting[]){{"ephemeral_addresses", "false"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(reserve("demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
    snprintf(address, sizeof(address), "%s", address_text);
    make("demo-1", "us-central1-b");
    make("demo-2", "us-central1-c");
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_UNKNOWN);
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-1", 443, 6443)), HACTL_E_INVALID);
    control("POST", "counts/reset", NULL);
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-1", 443, 443)), HACTL_OK);
    assert_int_equal(calls_of("instances.addAccessConfig"), 1);
    assert_int_equal(calls_of("instances.deleteAccessConfig"), 0);
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-1", 443, 443)), HACTL_OK);
    assert_int_equal(calls_of("instances.addAccessConfig"), 1);
    assert_string_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->instance, "demo-1");
    /* Never taken from another. */
    int rc = DO(cloud()->claim(world.self, world.call, address, "demo-2", 443, 443));
    assert_true(rc == HACTL_E_BUSY || rc == HACTL_E_ENDED);
    assert_non_null(strstr(world.call->text, "demo-2"));
    assert_string_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->instance, "demo-1");
    assert_int_equal(DO(cloud()->release(world.self, world.call, address, "demo-2")), HACTL_OK);
    assert_string_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->instance, "demo-1");
    assert_int_equal(DO(cloud()->address_destroy(world.self, world.call, "demo", HACTL_ADDRESS_EXTERNAL)),
                     HACTL_E_BUSY);
    control("POST", "counts/reset", NULL);
    assert_int_equal(DO(cloud()->release(world.self, world.call, address, "demo-1")), HACTL_OK);
    assert_int_equal(calls_of("instances.deleteAccessConfig"), 1);
    assert_int_equal(calls_of("instances.addAccessConfig"), 0);
    assert_null(listed_address(HACTL_ADDRESS_EXTERNAL)->instance);
    assert_int_equal(DO(cloud()->release(world.self, world.call, address, "demo-1")), HACTL_OK);
    assert_int_equal(DO(cloud()->release(world.self, world.call, address, "demo-9")), HACTL_OK);
    /* With an access config of another name and an ephemeral address in the way. */
    api("POST", "zones/us-central1-c/instances/demo-2/addAccessConfig?networkInterface=nic0",
        "{\"name\":\"External NAT\",\"type\":\"ONE_TO_ONE_NAT\"}");
    for (int i = 0;
         i < 1000 &&
         strcmp(of_instance("us-central1-c", "instances/demo-2", ".networkInterfaces[0].accessConfigs|length"), "1") !=
             0;
         i++)
        usleep(2000);
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-2", 443, 443)), HACTL_OK);
    assert_string_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->instance, "demo-2");
    /* Held by something that is no machine of ours. */
    assert_int_equal(DO(cloud()->release(world.self, world.call, address, "demo-2")), HACTL_OK);
    snprintf(other, sizeof(other), "{\"name\":\"external-nat\",\"type\":\"ONE_TO_ONE_NAT\",\"natIP\":\"%s\"}", address);
    api("POST", "zones/us-central1-a/instances",
        "{\"name\":\"stranger\",\"machineType\":\"zones/us-central1-a/machineTypes/"
        "e2-small\",\"disks\":[{\"boot\":true,"
        "\"initializeParams\":{\"sourceImage\":\"projects/debian-cloud/global/images/family/debian-12\"}}],"
        "\"networkInterfaces\":[{\"network\":\"global/networks/default\"}]}");
    for (int i = 0; i < 1000 && strcmp(of_instance("us-central1-a", "instances/stranger", ".status"), "RUNNING") != 0;
         i++)
        usleep(2000);
    api("POST", "zones/us-central1-a/instances/stranger/addAccessConfig?networkInterface=nic0", other);
    for (int i = 0; i < 1000 && listed_address(HACTL_ADDRESS_EXTERNAL)->held == HACTL_NO; i++)
        usleep(2000);
    assert_int_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->held, HACTL_UNKNOWN);
    assert_null(listed_address(HACTL_ADDRESS_EXTERNAL)->instance);
    assert_non_null(strstr(listed_address(HACTL_ADDRESS_EXTERNAL)->holder, "instances/stranger"));
}

/* Address, access config and rule have to be of one tier, which a project may have another standard for. */
static void test_tier(void **state)
{
    static const char *const tiers[] = {"PREMIUM", "STANDARD"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        control("POST", "reset", NULL);
        assert_int_equal(open_with((struct fake_setting[]){{"network_tier", tiers[i]}, {NULL, NULL}}), HACTL_OK);
        make("demo-1", "us-central1-b");
        assert_int_equal(reserve("demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
        assert_string_equal(api_filter("GET", "regions/us-central1/addresses/demo-ip", NULL, ".networkTier"), tiers[i]);
        assert_int_equal(DO(cloud()->claim(world.self, world.call, address_text, "demo-1", 443, 443)), HACTL_OK);
        assert_string_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->instance, "demo-1");
    }
}

static void test_reach(void **state)
{
    char address[64], internal[64];

    (void)state;
    assert_int_equal(open_with((struct fake_setting[]){{"reach", "external"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(reserve("demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
    snprintf(address, sizeof(address), "%s", address_text);
    make("demo-1", "us-central1-b");
    snprintf(internal, sizeof(internal), "%s", address_text);
    assert_non_null(listed("demo-1"));
    control("POST", "counts/reset", NULL);
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-1", 2379), HACTL_OK);
    assert_string_equal(world.call->reaches[0].verify, internal);
    assert_string_not_equal(world.call->reaches[0].host, internal);
    assert_int_equal(world.call->reaches[0].port, 2379);
    assert_int_equal(calls_of("instances.get"), 0); /* the look has told */
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-9", 2379), HACTL_E_NOT_FOUND);
    /* It is the way there, and in the way of the public one: one call while that is dark. */
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_YES);
    assert_int_equal(DO(cloud()->temporary_address_destroy(world.self, world.call, "demo-1")), HACTL_OK);
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_NO);
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-1", 2379), HACTL_E_UNAVAILABLE);
    control("POST", "counts/reset", NULL);
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-1", 443, 443)), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_NO);
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-1", 2379), HACTL_OK);
    assert_string_equal(world.call->reaches[0].host, address);
    /* So with the release; a way of its own is for later. */
    control("POST", "counts/reset", NULL);
    assert_int_equal(DO(cloud()->release(world.self, world.call, address, "demo-1")), HACTL_OK);
    assert_int_equal(changing_calls(), 1);
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_NO);
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-1", 2379), HACTL_E_UNAVAILABLE);
    assert_int_equal(DO(cloud()->temporary_address_ensure(world.self, world.call, "demo-1")), HACTL_OK);
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_YES);
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-1", 2379), HACTL_OK);
    assert_string_not_equal(world.call->reaches[0].host, address);
    assert_string_not_equal(world.call->reaches[0].host, internal);
    assert_int_equal(open_with(NULL), HACTL_OK);
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-1", 2379), HACTL_OK);
    assert_string_equal(world.call->reaches[0].host, internal);
}

/* It goes while the public address is still lit. */
static void test_temporary_address(void **state)
{
    char address[64];

    (void)state;
    assert_int_equal(reserve("demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
    snprintf(address, sizeof(address), "%s", address_text);
    make("demo-1", "us-central1-b");
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_YES);
    assert_int_equal(DO(cloud()->temporary_address_destroy(world.self, world.call, "demo-1")), HACTL_OK);
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_NO);
    assert_int_equal(DO(cloud()->temporary_address_destroy(world.self, world.call, "demo-1")), HACTL_OK);
    control("POST", "counts/reset", NULL);
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-1", 443, 443)), HACTL_OK);
    assert_int_equal(calls_of("instances.addAccessConfig"), 1);
    assert_int_equal(calls_of("instances.deleteAccessConfig"), 0);
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_NO);
    /* Neither of the two takes the public one for its own. */
    assert_int_equal(DO(cloud()->temporary_address_destroy(world.self, world.call, "demo-1")), HACTL_OK);
    assert_int_equal(DO(cloud()->temporary_address_ensure(world.self, world.call, "demo-1")), HACTL_OK);
    assert_string_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->instance, "demo-1");
    assert_int_equal(DO(cloud()->release(world.self, world.call, address, "demo-1")), HACTL_OK);
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_NO);
    assert_int_equal(DO(cloud()->temporary_address_ensure(world.self, world.call, "demo-1")), HACTL_OK);
    assert_int_equal(listed("demo-1")->temporary_address, HACTL_YES);
    /* Where it is in the way all the same, a claim makes room. */
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-1", 443, 443)), HACTL_OK);
    assert_string_equal(listed_address(HACTL_ADDRESS_EXTERNAL)->instance, "demo-1");
}

/* A tunnel is a process of the operator's machine: here this program, that
 * listens and writes down what it was told. */
static int be_tunnel(char **argv)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    FILE *told = fopen(argv[2], "w");

    for (char **argument = argv + 3; told && *argument; argument++)
        fprintf(told, "%s%s", *argument, argument[1] ? " " : "\n");
    if (!told || fclose(told) != 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
        return 1;
    for (;;)
        close(accept(fd, NULL, NULL));
}

static bool port_answers(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool answers = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    close(fd);
    return answers;
}

static void test_tunnel(void **state)
{
    char command[4600], told_path[128], expected[256], *told = NULL;
    size_t size;
    uint16_t port;
    int rc = HACTL_E_BUSY;

    (void)state;
    snprintf(told_path, sizeof(told_path), "%s/told", world.directory);
    snprintf(command, sizeof(command), "%s tunnel %s {local_port} {instance} {zone} {address}:{port} {project}",
             world.program, told_path);
    assert_int_equal(open_with((struct fake_setting[]){{"reach", "tunnel"}, {"tunnel_command", command}, {NULL, NULL}}),
                     HACTL_OK);
    make("demo-1", "us-central1-b");
    for (int i = 0; i < 6000 && rc == HACTL_E_BUSY; i++) {
        usleep(5000);
        rc = cloud()->reach(world.self, next_call(), "demo-1", 2379);
    }
    assert_int_equal(rc, HACTL_OK);
    port = world.call->reaches[0].port;
    assert_string_equal(world.call->reaches[0].host, "127.0.0.1");
    assert_string_equal(world.call->reaches[0].verify, address_text);
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-1", 2379), HACTL_OK);
    assert_int_equal(world.call->reaches[0].port, port);
    assert_int_equal(ha_file_read(told_path, 4096, &told, &size), 0);
    snprintf(expected, sizeof(expected), "%u demo-1 us-central1-b %s:2379 emulated\n", port, address_text);
    assert_string_equal(told, expected);
    free(told);
    assert_true(port_answers(port));
    /* It ends with the instance of the plugin. */
    close_cloud();
    assert_false(port_answers(port));
}

/* A command that ends is not made one tunnel after the other, and what it wrote is told. */
static void test_tunnel_ends(void **state)
{
    int rc = HACTL_E_BUSY;

    (void)state;
    assert_int_equal(open_with((struct fake_setting[]){{"reach", "tunnel"},
                                                       {"tunnel_command", "sh -c echo\tno\tway\tto\t{instance}\t>&2"},
                                                       {NULL, NULL}}),
                     HACTL_OK);
    make("demo-1", "us-central1-b");
    for (int i = 0; i < 6000 && rc == HACTL_E_BUSY; i++) {
        rc = cloud()->reach(world.self, next_call(), "demo-1", 2379);
        usleep(1000);
    }
    assert_int_equal(rc, HACTL_E_UNAVAILABLE);
    assert_non_null(strstr(world.call->text, "the tunnel to replica demo-1 port 2379 has ended: no way to demo-1"));
}

/* ---- firewall ---------------------------------------------------------------------------------------- */

static const struct hactl_port
    api_port = {.struct_size = sizeof(api_port), .name = "api", .port = 443, .flags = HACTL_PORT_ENDPOINT},
    client_port = {.struct_size = sizeof(client_port),
                   .name = "etcd-client",
                   .port = 2379,
                   .flags = HACTL_PORT_OPERATOR | HACTL_PORT_ENDPOINT},
    peer_port = {.struct_size = sizeof(peer_port), .name = "etcd-peer", .port = 2380, .flags = HACTL_PORT_PEERS};
static const struct hactl_port *const ports[] = {&api_port, &client_port, &peer_port};

static int open_firewall(const char *digest)
{
    struct hactl_cluster cluster = {.struct_size = sizeof(cluster), .name = "demo", .endpoint_port = 443};
    struct hactl_firewall_want want = {
        .struct_size = sizeof(want), .cluster = &cluster, .ports = ports, .port_count = 3, .digest = digest};

    return cloud()->firewall_ensure(world.self, world.call, &want);
}

static const struct hactl_firewall *listed_firewall(void)
{
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_true(world.call->firewall_count <= 1);
    return world.call->firewall_count ? &world.call->firewalls[0] : NULL;
}

static const char *rule(const char *name)
{
    static char text[4][512];
    static int next;
    char command[1024], *out = text[next++ % 4];
    FILE *pipe;
    size_t size;

    snprintf(command, sizeof(command),
             "curl -sS -H \"Authorization: Bearer $(cat $GCE_EMULATOR_DIR/token)\" "
             "\"$GCE_EMULATOR/compute/v1/projects/emulated/global/firewalls/%s\" | "
             "jq -cr 'if .error then \"none\" else [.allowed[0].ports,.sourceRanges//.sourceTags,.targetTags] end'",
             name);
    pipe = popen(command, "r");
    size = fread(out, 1, sizeof(text[0]) - 1, pipe);
    out[size] = '\0';
    out[strcspn(out, "\n")] = '\0';
    assert_int_equal(pclose(pipe), 0);
    return out;
}

static void test_firewall(void **state)
{
    (void)state;
    assert_null(listed_firewall());
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    assert_string_equal(rule("demo-api"), "[[\"443\"],[\"0.0.0.0/0\"],[\"demo-master\"]]");
    assert_string_equal(rule("demo-peers"), "[[\"2380\"],[\"demo-master\"],[\"demo-master\"]]");
    assert_string_equal(rule("demo-operator"), "[[\"443\",\"2379\"],[\"203.0.113.0/24\"],[\"demo-master\"]]");
    assert_non_null(strstr(rule("demo-health"), "35.191.0.0/16"));
    assert_int_equal(calls_of("firewalls.insert"), 4);
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    assert_int_equal(calls_of("firewalls.insert"), 4);
    assert_int_equal(calls_of("firewalls.update"), 0);
    assert_int_equal(listed_firewall()->whole, HACTL_YES);
    assert_string_equal(listed_firewall()->digest, "d1");
    /* Somebody opens it wider: noticed, and mended. */
    api("PATCH", "global/firewalls/demo-peers", "{\"sourceTags\":[],\"sourceRanges\":[\"0.0.0.0/0\"]}");
    for (int i = 0; i < 1000 && listed_firewall()->whole == HACTL_YES; i++)
        usleep(2000);
    assert_int_equal(listed_firewall()->whole, HACTL_NO);
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    assert_int_equal(listed_firewall()->whole, HACTL_YES);
    api("DELETE", "global/firewalls/demo-health", NULL);
    for (int i = 0; i < 1000 && listed_firewall()->whole == HACTL_YES; i++)
        usleep(2000);
    assert_int_equal(listed_firewall()->whole, HACTL_NO);
    assert_int_equal(DO(open_firewall("d2")), HACTL_OK);
    assert_string_equal(listed_firewall()->digest, "d2");
    assert_int_equal(listed_firewall()->whole, HACTL_YES);
    /* Other settings change what is there, and take away what is no longer wanted. */
    assert_int_equal(
        open_with((struct fake_setting[]){{"api_ranges", "198.51.100.0/24"}, {"admin_ranges", ""}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    assert_string_equal(rule("demo-operator"), "none");
    assert_string_equal(rule("demo-api"), "[[\"443\",\"2379\"],[\"198.51.100.0/24\"],[\"demo-master\"]]");
    assert_int_equal(DO(cloud()->firewall_destroy(world.self, world.call)), HACTL_OK);
    assert_int_equal(DO(cloud()->firewall_destroy(world.self, world.call)), HACTL_OK);
    assert_int_equal(left(), 0);
    /* Another's rule of our name stays. */
    api("POST", "global/firewalls",
        "{\"name\":\"demo-api\",\"network\":\"global/networks/default\",\"allowed\":[{"
        "\"IPProtocol\":\"tcp\",\"ports\":[\"22\"]}]}");
    assert_int_equal(DO(open_firewall("d1")), HACTL_E_CONFLICT);
    assert_int_equal(DO(cloud()->firewall_destroy(world.self, world.call)), HACTL_E_CONFLICT);
}

/* ---- deliver -------------------------------------------------------------------------------------------- */

static const char *sealed; /* a third file's content */
static int keep_running;   /* as in struct hactl_payload */

static int deliver(const char *digest, const char *content, size_t size, bool with_key)
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

static const struct hactl_delivery *delivery(void)
{
    assert_non_null(listed("demo-1"));
    assert_int_equal(world.call->delivery_count, 1);
    assert_string_equal(world.call->deliveries[0].payload, "etcd");
    return &world.call->deliveries[0];
}

static const char *payload_lines(void)
{
    return of_instance("us-central1-b", "instances/demo-1",
                       ".metadata.items[]|select(.key==\"hactl-payload-etcd\").value|split(\"\\n\")|tostring");
}

/* What was sealed anew is the same as long as the digest is, and is not sent again. */
static void test_deliver_sealed(void **state)
{
    (void)state;
    make("demo-1", "us-central1-b");
    sealed = "first";
    assert_int_equal(deliver("d1", "hello", 5, false), HACTL_OK);
    assert_non_null(
        strstr(payload_lines(), "\"sealed 0600 /var/lib/hactl/payloads/etcd/shared.key etcd-peer Zmlyc3Q=\""));
    sealed = "sealed again";
    assert_int_equal(deliver("d1", "hello", 5, false), HACTL_OK);
    assert_non_null(strstr(payload_lines(), "Zmlyc3Q="));
    assert_int_equal(deliver("d2", "hello", 5, false), HACTL_OK);
    assert_non_null(strstr(payload_lines(), "c2VhbGVkIGFnYWlu"));
    sealed = NULL;
    assert_int_equal(deliver("d2", "hello", 5, false), HACTL_OK);
    assert_null(strstr(payload_lines(), "shared.key"));
}

/* What the agent is told of a delivery that restarts nothing. */
static void test_keep_running(void **state)
{
    const char *text;

    (void)state;
    make("demo-1", "us-central1-b");
    keep_running = 1;
    assert_int_equal(deliver("d1", "hello", 5, false), HACTL_OK);
    keep_running = 0;
    text = of_instance("us-central1-b", "instances/demo-1",
                       ".metadata.items[]|select(.key==\"hactl-payload-etcd\").value|split(\"\\n\")[:3]|tostring");
    assert_string_equal(text, "[\"payload etcd\",\"digest d1\",\"keep-running\"]");
}

static void test_deliver(void **state)
{
    char *huge = malloc(400000), report[200];
    const char *text;

    (void)state;
    assert_int_equal(deliver("d1", "hello", 5, false), HACTL_E_NOT_FOUND);
    make("demo-1", "us-central1-b");
    assert_int_equal(deliver("d1", "hello", 5, true), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "keys.mode = \"replica\""));
    assert_null(strstr(world.call->text, "SECRET"));
    assert_int_equal(deliver("d1", "hello", 5, false), HACTL_OK);
    text = of_instance("us-central1-b", "instances/demo-1",
                       ".metadata.items[]|select(.key==\"hactl-payload-etcd\").value|split(\"\\n\")|tostring");
    assert_non_null(strstr(text,
                           "[\"payload etcd\",\"digest d1\",\"file 0640 /var/lib/hactl/payloads/etcd/sub/greeting "
                           "aGVsbG8=\",\"key 0600 /var/lib/hactl/payloads/etcd/own.key etcd-peer\",\"unit etcd "));
    text = of_instance("us-central1-b", "instances/demo-1",
                       ".metadata.items[]|select(.key==\"hactl-payload-etcd\").value|split(\"\\n\")[4]|split(\" \")[2]|"
                       "@base64d|split(\"\\n\")[]|select(startswith(\"ExecStart\"))");
    assert_string_equal(text, "ExecStart=\"/var/lib/hactl/bin/etcd\" \"--data-dir=/var/lib/hactl/data/etcd/etcd\" "
                              "\"--x=/var/lib/hactl/payloads/etcd/a \\\"b\\\" \\\\ $$HOME 5%%\"");
    control("POST", "counts/reset", NULL);
    assert_int_equal(deliver("d1", "hello", 5, false), HACTL_OK);
    assert_int_equal(calls_of("instances.setMetadata"), 0);
    /* What the replica tells decides. */
    assert_int_equal(delivery()->running, HACTL_UNKNOWN);
    snprintf(report, sizeof(report), "digest=d1\\nrunning=no\\ndetail=etcd is failed: no space\\nat=%lld",
             4000000000LL);
    tell("us-central1-b", "demo-1", "payload-etcd", report);
    tell("us-central1-b", "demo-1", "data", "ok");
    assert_int_equal(delivery()->running, HACTL_NO);
    assert_string_equal(delivery()->digest, "d1");
    assert_string_equal(delivery()->detail, "etcd is failed: no space");
    assert_int_equal(listed("demo-1")->data, HACTL_YES);
    tell("us-central1-b", "demo-1", "payload-etcd", "digest=" SHA SHA "\\nrunning=yes\\nat=4000000000");
    assert_int_equal(delivery()->running, HACTL_YES);
    assert_string_equal(delivery()->digest, SHA SHA);
    tell("us-central1-b", "demo-1", "payload-etcd", "digest=d1\\nrunning=starting\\nat=4000000000");
    assert_int_equal(delivery()->running, HACTL_UNKNOWN);
    /* Said before the machine was started last: it counts no more. */
    tell("us-central1-b", "demo-1", "payload-etcd", "digest=d1\\nrunning=yes\\nat=1000000000");
    assert_int_equal(delivery()->running, HACTL_UNKNOWN);
    tell("us-central1-b", "demo-1", "data", "lost: another disk");
    assert_int_equal(listed("demo-1")->data, HACTL_NO);
    tell("us-central1-b", "demo-1", "state", "failed=program etcd: not to be had");
    tell("us-central1-b", "demo-1", "data", "ok");
    assert_string_equal(listed("demo-1")->detail, "program etcd: not to be had");
    /* Too large for metadata. */
    memset(huge, 'x', 400000);
    assert_int_equal(deliver("d2", huge, 400000, false), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "262144"));
    free(huge);
    /* A fingerprint that became stale in between is read again. */
    fault("{\"method\":\"instances.setMetadata\",\"when\":\"before\",\"status\":412,\"reason\":"
          "\"conditionNotMet\","
          "\"message\":\"stale\"}");
    assert_int_equal(deliver("d3", "hello", 5, false), HACTL_E_BUSY);
    assert_int_equal(DRIVE(HACTL_OK, false), HACTL_OK);
    assert_int_equal(deliver("d3", "hello", 5, false), HACTL_OK);
    /* Keys travel only by the explicit setting. */
    assert_int_equal(open_with((struct fake_setting[]){{"private_keys", "metadata"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(deliver("d4", "hello", 5, true), HACTL_OK);
    assert_int_equal(open_with((struct fake_setting[]){{"programs", ""}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(deliver("d5", "hello", 5, false), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "`programs` does not say"));
}

static void test_requests(void **state)
{
    (void)state;
    make("demo-1", "us-central1-b");
    assert_int_equal(cloud()->requests(world.self, next_call(), "demo-1"), HACTL_E_BUSY);
    tell("us-central1-b", "demo-1", "request-etcd-server", "-----BEGIN CERTIFICATE REQUEST-----\\nserver\\n");
    assert_int_equal(cloud()->requests(world.self, next_call(), "demo-1"), HACTL_E_BUSY);
    assert_non_null(strstr(world.call->text, "etcd-peer"));
    tell("us-central1-b", "demo-1", "request-etcd-peer", "-----BEGIN CERTIFICATE REQUEST-----\\npeer\\n");
    assert_int_equal(cloud()->requests(world.self, next_call(), "demo-1"), HACTL_OK);
    assert_int_equal(world.call->request_count, 2);
    assert_string_equal(world.call->requests[1].purpose, "etcd-peer");
    assert_non_null(strstr(world.call->requests[1].content, "REQUEST-----\npeer"));
    assert_int_equal(cloud()->requests(world.self, next_call(), "demo-9"), HACTL_E_NOT_FOUND);
}

/* By the explicit setting only: certificate requests, and all else that replicas tell, out of the serial port. */
static void test_serial_reports(void **state)
{
    static const char serial[] =
        ".metadata.items[] | select(.key == \"hactl-boot\").value | contains(\"tell serial-port\")";

    (void)state;
    make("demo-1", "us-central1-b");
    assert_string_equal(of_instance("us-central1-b", "instances/demo-1", serial), "false");
    fault("{\"method\":\"instances.getGuestAttributes\",\"times\":9,\"when\":\"before\",\"status\":403,"
          "\"reason\":\"forbidden\",\"message\":\"not allowed\"}");
    assert_int_equal(cloud()->requests(world.self, next_call(), "demo-1"), HACTL_E_UNAVAILABLE);
    assert_non_null(strstr(world.call->text, "not allowed (forbidden); where they are not allowed, set reports ="));
    assert_int_equal(open_with((struct fake_setting[]){{"reports", "serial-port"}, {NULL, NULL}}), HACTL_OK);
    make("demo-2", "us-central1-c");
    assert_string_equal(of_instance("us-central1-c", "instances/demo-2", serial), "true");
    assert_int_equal(cloud()->requests(world.self, next_call(), "demo-2"), HACTL_E_BUSY);
    /* "one", "two", "three"; the last of a key holds, and what is no base64 is no word of it. */
    control(
        "POST", "serial",
        "{\"zone\":\"us-central1-c\",\"instance\":\"demo-2\",\"text\":\"[ 1.0] sh[7]: hactl-told request-etcd-server "
        "b25l\\r\\n[ 1.1] hactl-told request-etcd-peer dHdv\\r\\nhactl-told request-etcd-server dGhyZWU=\\r\\n"
        "hactl-told request-etcd-peer dHd[ 2.0] kernel: interrupted\\r\\nhactl-told \\r\\nhactl-told x\"}");
    assert_int_equal(cloud()->requests(world.self, next_call(), "demo-2"), HACTL_OK);
    assert_string_equal(world.call->requests[0].content, "three");
    assert_string_equal(world.call->requests[1].content, "two");
}

static void test_unit_log(void **state)
{
    (void)state;
    make("demo-1", "us-central1-b");
    control(
        "POST", "serial",
        "{\"zone\":\"us-central1-b\",\"instance\":\"demo-1\",\"text\":\"[ 1.0] boot\\nhactl-unit etcd: first line\\n"
        "x hactl-unit other: no\\nAug 1 agent: hactl-unit etcd: second line\\n\"}");
    assert_int_equal(cloud()->unit_log(world.self, next_call(), "demo-1", "etcd"), HACTL_OK);
    assert_string_equal(world.call->emitted_text, "first line\nsecond line\n");
}

/* ---- trouble ------------------------------------------------------------------------------------------------ */

static void test_dead_zone(void **state)
{
    bool seen = false;

    (void)state;
    make("demo-1", "us-central1-b");
    make("demo-2", "us-central1-c");
    control("POST", "zone", "{\"zone\":\"us-central1-c\",\"down\":true}");
    assert_non_null(listed("demo-1"));
    for (size_t i = 0; i < world.call->zone_count; i++)
        if (strcmp(world.call->zones[i].name, "us-central1-c") == 0) {
            seen = true;
            assert_int_equal(world.call->zones[i].up, HACTL_UNKNOWN);
        } else {
            assert_int_equal(world.call->zones[i].up, HACTL_YES);
        }
    assert_true(seen);
    assert_int_equal(open_with(NULL), HACTL_OK);
    int rc = DO(cloud()->instance_destroy(world.self, world.call, "demo-2"));
    assert_int_equal(rc, HACTL_E_UNAVAILABLE); /* not "already gone" */
    control("POST", "zone", "{\"zone\":\"us-central1-c\",\"down\":false}");
}

static void test_stock_and_quota(void **state)
{
    struct hactl_replica want = replica("demo-1", "us-central1-b", NULL);

    (void)state;
    control("POST", "stock", "{\"zone\":\"us-central1-b\",\"out\":true}");
    assert_int_equal(DO(ensure(&want)), HACTL_E_QUOTA);
    assert_non_null(strstr(world.call->text, "us-central1-b"));
    control("POST", "stock", "{\"zone\":\"us-central1-b\",\"out\":false}");
    control("POST", "quota", "{\"metric\":\"CPUS\",\"limit\":1}");
    assert_int_equal(DO(ensure(&want)), HACTL_E_QUOTA);
    assert_non_null(strstr(world.call->text, "CPUS"));
    control("POST", "quota", "{\"metric\":\"CPUS\",\"limit\":100}");
    assert_int_equal(DO(ensure(&want)), HACTL_OK);
    control("POST", "rate", "{\"group\":\"read\",\"calls\":1,\"window_ms\":60000}");
    (next_call(), ensure(&want));
    assert_int_equal((next_call(), ensure(&want)), HACTL_E_BUSY);
    assert_true(world.call->retry_after_ms >= 800);
    control("POST", "rate", "{\"group\":\"read\",\"calls\":0}");
}

/* A lost reply is repeated under the same id, by another process too: one
 * instance, one operation. */
static void test_lost_replies(void **state)
{
    struct hactl_replica want = replica("demo-1", "us-central1-b", NULL);

    (void)state;
    /* So often, since libcurl itself asks again where a kept connection ends without a word. */
    fault("{\"method\":\"instances.insert\",\"when\":\"after\",\"times\":10,\"drop\":true}");
    new_intent();
    assert_int_equal((next_call(), ensure(&want)), HACTL_E_TIMEOUT);
    control("DELETE", "faults", NULL);
    char intent[40];
    snprintf(intent, sizeof(intent), "%s", world.intent);
    assert_int_equal(open_with(NULL), HACTL_OK);
    snprintf(world.intent, sizeof(world.intent), "%s", intent);
    assert_int_equal(DRIVE(ensure(&want), false), HACTL_OK);
    assert_int_equal(listed("demo-1")->state, HACTL_INSTANCE_RUNNING);
    /* Operations that fail in ways that pass are begun anew. */
    fault("{\"method\":\"instances.delete\",\"when\":\"operation\",\"code\":\"RESOURCE_NOT_READY\",\"http\":400,"
          "\"message\":\"not ready\"}");
    int rc = DO(cloud()->instance_destroy(world.self, world.call, "demo-1"));
    assert_int_equal(rc, HACTL_E_ENDED);
    assert_int_equal(DRIVE(cloud()->instance_destroy(world.self, world.call, "demo-1"), false), HACTL_OK);
    assert_int_equal(left(), 0);
    fault("{\"method\":\"instances.insert\",\"when\":\"before\",\"status\":503,\"reason\":\"backendError\","
          "\"message\":\"oops\"}");
    new_intent();
    assert_int_equal(DRIVE(ensure(&want), false), HACTL_E_UNAVAILABLE);
    assert_int_equal(DRIVE(ensure(&want), false), HACTL_OK);
}

/* Every request of a whole life, each cut off before it is sent and after it
 * has worked: what comes of it is the same, and nothing is left. */
static void life(bool *done)
{
    char address[64];
    static const char *const zones[] = {"us-central1-b", "us-central1-c"};

    *done = false;
    assert_int_equal(reserve("demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
    snprintf(address, sizeof(address), "%s", address_text);
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    make("demo-1", zones[0]);
    make("demo-2", zones[1]);
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-1", 443, 443)), HACTL_OK);
    assert_int_equal(deliver("d1", "hello", 5, false), HACTL_OK);
    assert_int_equal(DO(cloud()->release(world.self, world.call, address, "demo-1")), HACTL_OK);
    assert_int_equal(DO(cloud()->claim(world.self, world.call, address, "demo-2", 443, 443)), HACTL_OK);
    assert_int_equal(DO(cloud()->instance_destroy(world.self, world.call, "demo-1")), HACTL_OK);
    assert_int_equal(DO(cloud()->instance_destroy(world.self, world.call, "demo-2")), HACTL_OK);
    assert_int_equal(DO(cloud()->firewall_destroy(world.self, world.call)), HACTL_OK);
    assert_int_equal(DO(cloud()->address_destroy(world.self, world.call, "demo-1", HACTL_ADDRESS_INTERNAL)), HACTL_OK);
    assert_int_equal(DO(cloud()->address_destroy(world.self, world.call, "demo-2", HACTL_ADDRESS_INTERNAL)), HACTL_OK);
    assert_int_equal(DO(cloud()->address_destroy(world.self, world.call, "demo", HACTL_ADDRESS_EXTERNAL)), HACTL_OK);
    assert_int_equal(left(), 0);
    *done = true;
}

static void test_whole_life(void **state)
{
    static const char *const methods[] = {
        "addresses.insert",          "firewalls.insert",      "instances.insert",
        "instances.addAccessConfig", "instances.setMetadata", "instances.deleteAccessConfig",
        "instances.delete",          "disks.delete",          "firewalls.delete",
        "addresses.delete",
    };
    bool done;

    (void)state;
    life(&done);
    assert_true(done);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char rule_text[200];

        snprintf(rule_text, sizeof(rule_text),
                 "{\"method\":\"%s\",\"nth\":1,\"times\":2,\"when\":\"after\",\"drop\":true}", methods[i]);
        fault(rule_text);
        control("POST", "counts/reset", NULL);
        life(&done);
        if (!done || calls_of(methods[i]) < 2)
            fail_msg("%s: %ld calls", methods[i], calls_of(methods[i]));
        control("DELETE", "faults", NULL);
    }
}

int main(int argc, char **argv)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_zones_and_check),
        EACH(test_place),
        EACH(test_shared_network),
        EACH(test_addresses),
        EACH(test_addresses_told_apart),
        EACH(test_instances),
        EACH(test_lone_disk),
        EACH(test_inheritance),
        EACH(test_side_by_side),
        EACH(test_claim),
        EACH(test_tier),
        EACH(test_reach),
        EACH(test_temporary_address),
        EACH(test_tunnel),
        EACH(test_tunnel_ends),
        EACH(test_firewall),
        EACH(test_deliver),
        EACH(test_deliver_sealed),
        EACH(test_keep_running),
        EACH(test_requests),
        EACH(test_serial_reports),
        EACH(test_unit_log),
        EACH(test_dead_zone),
        EACH(test_stock_and_quota),
        EACH(test_lost_replies),
        EACH(test_whole_life),
    };

    if (argc > 3 && strcmp(argv[1], "tunnel") == 0)
        return be_tunnel(argv);
    if (readlink("/proc/self/exe", world.program, sizeof(world.program) - 1) < 0)
        return 70;
    if (!getenv("GCE_EMULATOR"))
        return run_inside(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
