/* SPDX-License-Identifier: Apache-2.0 */
/* The local cloud's settings, addresses and networks, and the registry that clusters share. */
#define _GNU_SOURCE
#include "tests/unit/local_rig.h"

#include "lib/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_addresses(void **state)
{
    static const struct {
        const char *name;
        enum hactl_address_kind kind;
        unsigned host;
    } cases[] = {
        {"demo", HACTL_ADDRESS_EXTERNAL, 1},    {"demo-2", HACTL_ADDRESS_INTERNAL, 12},
        {"demo-1", HACTL_ADDRESS_INTERNAL, 11}, {"other-2", HACTL_ADDRESS_INTERNAL, 13}, /* .12 is taken */
        {"demo", HACTL_ADDRESS_EXTERNAL, 1},                                             /* again */
        {"demo-2", HACTL_ADDRESS_INTERNAL, 12}, {"plain", HACTL_ADDRESS_INTERNAL, 14},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *instance = cases[i].kind == HACTL_ADDRESS_INTERNAL ? cases[i].name : NULL;
        assert_int_equal(cloud()->address_ensure(world.self, next_call(), cases[i].name, cases[i].kind, instance, "a"),
                         HACTL_OK);
        assert_int_equal(world.call->address_count, 1);
        assert_string_equal(world.call->addresses[0].address, at(cases[i].host));
        assert_null(world.call->addresses[0].instance);
    }
    assert_int_equal(cloud()->address_ensure(world.self, next_call(), "demo-1", HACTL_ADDRESS_INTERNAL, "demo-9", "a"),
                     HACTL_E_CONFLICT);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->address_count, 5);
    make_instance("demo-1");
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_string_equal(world.call->addresses[2].instance, "demo-1");
    /* The address is not given away while the replica lives there. */
    assert_int_equal(cloud()->address_destroy(world.self, next_call(), "demo-1", HACTL_ADDRESS_INTERNAL), HACTL_OK);
    assert_int_equal(cloud()->address_ensure(world.self, next_call(), "new-1", HACTL_ADDRESS_INTERNAL, "new-1", "a"),
                     HACTL_OK);
    assert_string_equal(world.call->addresses[0].address, at(15));
    assert_int_equal(cloud()->address_ensure(world.self, next_call(), "demo-1", HACTL_ADDRESS_INTERNAL, "demo-1", "a"),
                     0);
    assert_string_equal(world.call->addresses[0].address, at(11));
}

/* The first network that a cluster of that name gets, as text. */
static void first_network(struct world *where, char out[32])
{
    assert_int_equal(cloud()->address_ensure(where->self, next_call(), "x", HACTL_ADDRESS_EXTERNAL, NULL, NULL), 0);
    snprintf(out, 32, "%s", world.call->addresses[0].address);
}

static void test_networks(void **state)
{
    struct world first = {0}, second = {0}, third = {0};
    char one[32], two[32], three[32], text[64];
    int fd;
    (void)state;

    assert_int_equal(open_cloud(&first, "same", "first", NULL), HACTL_OK);
    assert_int_equal(open_cloud(&second, "same", "second", NULL), HACTL_OK);
    first_network(&first, one);
    first_network(&second, two);
    assert_string_not_equal(one, two);

    snprintf(text, sizeof(text), "%.*s.0/24", (int)(strrchr(one, '.') - one), one);
    assert_int_equal(open_cloud(&third, "third", "third", text), HACTL_OK);
    assert_int_equal(cloud()->address_ensure(third.self, next_call(), "x", HACTL_ADDRESS_EXTERNAL, NULL, NULL),
                     HACTL_E_CONFLICT);
    assert_non_null(strstr(world.call->text, first.directory));
    assert_int_equal(cloud()->forget(third.self, next_call()), HACTL_OK);

    /* Given back, then held by a stranger: a cluster of another user, say. */
    assert_int_equal(cloud()->forget(first.self, next_call()), HACTL_OK);
    fd = local_listen(one, 7777);
    assert_true(fd >= 0);
    assert_int_equal(cloud()->address_ensure(third.self, next_call(), "x", HACTL_ADDRESS_EXTERNAL, NULL, NULL),
                     HACTL_E_CONFLICT);
    snprintf(text, sizeof(text), "pid %d", (int)getpid());
    assert_non_null(strstr(world.call->text, text));
    assert_non_null(strstr(world.call->text, "7777"));
    first_network(&first, three);
    assert_string_not_equal(three, one);
    close(fd);
    assert_int_equal(cloud()->forget(first.self, next_call()), HACTL_OK);

    /* Deleted by hand: the link it left behind is taken over. */
    assert_int_equal(ha_tree_remove(second.directory), 0);
    first_network(&first, one);
    assert_string_not_equal(one, two);
    assert_int_equal(cloud()->forget(first.self, next_call()), HACTL_OK);
    assert_int_equal(cloud()->forget(second.self, next_call()), HACTL_OK);
    assert_int_equal(cloud()->forget(third.self, next_call()), HACTL_OK);
    close_cloud(&first);
    close_cloud(&second);
    close_cloud(&third);
}

static void test_settings(void **state)
{
    static const char *const bad[] = {"10.0.0.0/24", "127.1.0.0/16", "127.300.1.0/24", "127.1", "127.1.1.0/24 "};
    struct world refused = {0};
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(open_cloud(&refused, "x", "x", bad[i]), HACTL_E_INVALID);
        assert_non_null(strstr(world.call->text, bad[i]));
        fake_conf_free(refused.conf);
    }
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK);
    assert_int_equal(cloud()->zones(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->zone_count, 3);
    assert_string_equal(world.call->zones[2].name, "c");
    struct hactl_replica replica = {.struct_size = sizeof(replica), .name = "demo-1", .zone = "d"};
    struct hactl_instance_want want = {.struct_size = sizeof(want), .replica = &replica};
    assert_int_equal(cloud()->instance_ensure(world.self, next_call(), &want), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "a, b, c"));
    replica.zone = "a";
    replica.name = "../demo";
    assert_int_equal(cloud()->instance_ensure(world.self, next_call(), &want), HACTL_E_INVALID);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(access(world.directory, F_OK), -1); /* looking makes nothing */
}

/* The last of other clusters goes, once in every round, and takes the registry with it. */
static void test_registry_goes(void **state)
{
    char registry[96], byte = 0;
    bool good = true;
    int rounds[2];
    pid_t other;

    (void)state;
    snprintf(registry, sizeof(registry), "%s/registry", top);
    assert_int_equal(pipe2(rounds, O_CLOEXEC), 0);
    other = fork();
    if (other == 0) {
        close(rounds[1]);
        while (read(rounds[0], &byte, 1) == 1)
            while (rmdir(registry) < 0)
                ;
        _exit(0);
    }
    close(rounds[0]);
    for (int i = 0; i < 50 && good; i++)
        good =
            write(rounds[1], &byte, 1) == 1 &&
            cloud()->address_ensure(world.self, next_call(), "demo", HACTL_ADDRESS_EXTERNAL, NULL, NULL) == HACTL_OK &&
            cloud()->address_destroy(world.self, next_call(), "demo", HACTL_ADDRESS_EXTERNAL) == HACTL_OK &&
            cloud()->forget(world.self, next_call()) == HACTL_OK;
    close(rounds[1]);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    if (!good)
        fail_msg("%s", world.call->text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EACH(test_addresses),
        EACH(test_networks),
        EACH(test_registry_goes),
        EACH(test_settings),
    };

    local_rig(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
