/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plugins/gce makes and takes away: addresses, instances, disks, the public address, and what becomes of it when
 * calls fail; against the emulator, which also holds every request against Google's schema where that is at hand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "tests/unit/gce_cloud_rig.h"

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
        EACH(test_addresses),
        EACH(test_addresses_told_apart),
        EACH(test_instances),
        EACH(test_lone_disk),
        EACH(test_inheritance),
        EACH(test_side_by_side),
        EACH(test_claim),
        EACH(test_tier),
        EACH(test_temporary_address),
        EACH(test_dead_zone),
        EACH(test_stock_and_quota),
        EACH(test_lost_replies),
        EACH(test_whole_life),
    };

    (void)argc;
    return run_on_emulator(argv, tests, sizeof(tests) / sizeof(tests[0]));
}
