/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plugins/gce hands to its machines and what they tell: payloads, requests, reports, logs; against the emulator.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "tests/unit/gce_cloud_rig.h"

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

/* Instead of what a machine has, that many keys of so many bytes each. */
static void set_metadata(const char *name, int count, int size)
{
    char path[128], at[160], fingerprint[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/items", world.directory);
    file = fopen(path, "w");
    assert_non_null(file);
    snprintf(fingerprint, sizeof(fingerprint), "%s",
             of_instance("us-central1-b", "instances/demo-1", ".metadata.fingerprint"));
    fprintf(file, "{\"fingerprint\":\"%s\",\"items\":[", fingerprint);
    for (int i = 0; i < count; i++)
        fprintf(file, "%s{\"key\":\"mine-%d\",\"value\":\"%0*d\"}", i ? "," : "", i, size, 0);
    fputs("]}", file);
    assert_int_equal(fclose(file), 0);
    snprintf(at, sizeof(at), "@%s", path);
    snprintf(path, sizeof(path), "zones/us-central1-b/instances/%s/setMetadata", name);
    api_change("POST", path, at);
}

/* Google's limit for all metadata, which one value alone does not reach: told before anything is asked of Google. */
static void test_metadata_limit(void **state)
{
    char *large = malloc(90000);
    struct hactl_replica want = replica("demo-2", "us-central1-c", NULL);

    (void)state;
    memset(large, 'x', 90000);
    make("demo-1", "us-central1-b");
    set_metadata("demo-1", 2, 185000);
    assert_int_equal(deliver("d1", large, 90000, false), HACTL_OK);
    set_metadata("demo-1", 2, 200000);
    forget_counts();
    assert_int_equal(deliver("d2", large, 90000, false), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "metadata of replica demo-1 would be 5"));
    assert_non_null(strstr(world.call->text, "524288 in all"));
    assert_int_equal(changing_calls(), 0);
    /* What is copied to a new replica counts, and is not more than it was. */
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(DO(ensure(&want)), HACTL_OK);
    assert_int_equal(DO(cloud()->instance_destroy(world.self, world.call, "demo-2")), HACTL_OK);
    set_metadata("demo-1", 3, 172000);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    forget_counts();
    assert_int_equal(DO(ensure(&want)), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "metadata of replica demo-2 would be 5"));
    assert_non_null(strstr(world.call->text, ", mine-0 alone 172006: "));
    assert_int_equal(changing_calls(), 0);
    free(large);
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

int main(int argc, char **argv)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_deliver_sealed), EACH(test_keep_running),   EACH(test_deliver),  EACH(test_metadata_limit),
        EACH(test_requests),       EACH(test_serial_reports), EACH(test_unit_log),
    };

    (void)argc;
    return run_on_emulator(argv, tests, sizeof(tests) / sizeof(tests[0]));
}
