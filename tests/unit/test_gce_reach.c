/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How plugins/gce lets an operator, and others, come to replicas: reach, tunnels, firewall rules; against the emulator.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/gce_cloud_rig.h"

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

/* ---- tunnels ------------------------------------------------------------------------------- */

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

/* ---- firewall ------------------------------------------------------------------------------ */

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
    /* For another protocol, it lets nobody in. */
    api("PATCH", "global/firewalls/demo-api", "{\"allowed\":[{\"IPProtocol\":\"udp\",\"ports\":[\"443\"]}]}");
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
    /* Everybody, however it is written: etcd's port is not for them. */
    assert_int_equal(open_with((struct fake_setting[]){{"api_ranges", "0.0.0.0/1 128.0.0.0/1"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(DO(open_firewall("d1")), HACTL_OK);
    assert_string_equal(rule("demo-api"), "[[\"443\"],[\"0.0.0.0/1\",\"128.0.0.0/1\"],[\"demo-master\"]]");
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

int main(int argc, char **argv)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_reach),
        EACH(test_tunnel),
        EACH(test_tunnel_ends),
        EACH(test_firewall),
    };

    if (argc > 3 && strcmp(argv[1], "tunnel") == 0)
        return be_tunnel(argv);
    return run_on_emulator(argv, tests, sizeof(tests) / sizeof(tests[0]));
}
