/* SPDX-License-Identifier: Apache-2.0 */
/* The local cloud with real processes and real haproxy. */
#define _GNU_SOURCE
#include "tests/unit/local_rig.h"

#include "lib/file.h"
#include "lib/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void test_deliver(void **state)
{
    pid_t pid, same;
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
    pid = unit_pid("demo-1");
    assert_true(ask_soon(at(11), PORT, "hello"));
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-1", PORT), HACTL_OK);
    assert_string_equal(world.call->reaches[0].host, at(11));
    assert_int_equal(world.call->reaches[0].port, PORT);
    assert_int_equal(cloud()->reach(world.self, next_call(), "demo-9", PORT), HACTL_E_NOT_FOUND);

    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
    assert_int_equal(ensure_again("demo-1"), HACTL_OK);
    same = unit_pid("demo-1");
    assert_int_equal(same, pid);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->instance_count, 1);
    assert_int_equal(world.call->instances[0].state, HACTL_INSTANCE_RUNNING);
    assert_int_equal(world.call->instances[0].data, HACTL_YES);
    assert_int_equal(world.call->delivery_count, 1);
    assert_int_equal(world.call->deliveries[0].running, HACTL_YES);

    assert_int_equal(deliver("demo-1", at(11), (struct order){.content = "changed"}), HACTL_OK);
    assert_int_not_equal(unit_pid("demo-1"), pid);
    assert_true(ask_soon(at(11), PORT, "changed"));
    pid = unit_pid("demo-1");
    assert_int_equal(deliver("demo-1", at(11), (struct order){.content = "changed", .port = 2380}), HACTL_OK);
    assert_int_not_equal(unit_pid("demo-1"), pid);
    assert_true(ask_soon(at(11), 2380, "changed"));

    /* What is no longer part of the payload goes: the old file, the old unit. */
    assert_int_equal(deliver("demo-1", at(11), (struct order){.path = "sub/new", .unit = "second"}), HACTL_OK);
    assert_int_equal(access(below("instances/%s/payloads/greeter/greeting", "demo-1"), F_OK), -1);
    assert_int_equal(access(below("instances/%s/payloads/greeter/sub/new", "demo-1"), F_OK), 0);
    assert_int_equal(unit_pid("demo-1"), 0);
}

static const char *told_digest(void)
{
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->delivery_count, 1);
    return world.call->deliveries[0].digest ? world.call->deliveries[0].digest : "";
}

static void read_greeting(char out[16])
{
    FILE *file = fopen(below("instances/%s/payloads/greeter/greeting", "demo-1"), "r");
    assert_non_null(file);
    out[fread(out, 1, 15, file)] = '\0';
    fclose(file);
}

/* Only files change: what runs is left alone though its arguments are others by
 * now, and is known by the new digest. */
static void test_keep_running(void **state)
{
    const struct order renewed = {.content = "renewed", .digest = "two", .port = 2380, .keep_running = true};
    char content[16];
    pid_t pid;
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver("demo-1", at(11), (struct order){.digest = "one"}), HACTL_OK);
    pid = unit_pid("demo-1");
    assert_int_equal(deliver("demo-1", at(11), renewed), HACTL_OK);
    assert_int_equal(unit_pid("demo-1"), pid);
    read_greeting(content);
    assert_string_equal(content, "renewed");
    assert_string_equal(told_digest(), "two");
    assert_int_equal(access(below("instances/%s/payloads/greeter/greeting.hactl-new", "demo-1"), F_OK), -1);

    /* What does not run is started, as it was before. */
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_until_gone(pid);
    assert_int_equal(deliver("demo-1", at(11), renewed), HACTL_OK);
    assert_int_not_equal(unit_pid("demo-1"), pid);
    assert_true(ask_soon(at(11), PORT, "renewed"));

    /* Without the word the new arguments count. */
    pid = unit_pid("demo-1");
    assert_int_equal(deliver("demo-1", at(11), (struct order){.content = "renewed", .digest = "two", .port = 2380}),
                     HACTL_OK);
    assert_int_not_equal(unit_pid("demo-1"), pid);
    assert_true(ask_soon(at(11), 2380, "renewed"));
}

static void test_refusals(void **state)
{
    static const struct {
        struct order order;
        int rc;
        const char *text;
    } cases[] = {
        {{.path = "../escape"}, HACTL_E_INVALID, "../escape"},
        {{.path = "a/../../escape"}, HACTL_E_INVALID, "outside"},
        {{.path = "/etc/hactl-escape"}, HACTL_E_INVALID, "outside"},
        {{.path = "a//b"}, HACTL_E_INVALID, "outside"},
        {{.path = ""}, HACTL_E_INVALID, "outside"},
        {{.unit = "relay"}, HACTL_E_INVALID, "relay"},
        {{.unit = "../x"}, HACTL_E_INVALID, "../x"},
        {{.program = "no-such-etcd"},
         HACTL_E_UNSUPPORTED,
         "no-such-etcd is not installed: apt-get install etcd-server"},
    };
    char expected[64];
    int fd;
    (void)state;

    make_instance("demo-1");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(deliver("demo-1", at(11), cases[i].order), cases[i].rc);
        assert_non_null(strstr(world.call->text, cases[i].text));
    }
    assert_int_equal(deliver_usual("demo-9"), HACTL_E_NOT_FOUND);
    fd = local_listen(at(11), PORT);
    assert_int_equal(deliver_usual("demo-1"), HACTL_E_CONFLICT);
    snprintf(expected, sizeof(expected), "(pid %d, user ", (int)getpid());
    assert_non_null(strstr(world.call->text, expected));
    close(fd);
    expect_processes(0);
    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
}

static void test_dead_and_stopped(void **state)
{
    pid_t pid;
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
    pid = unit_pid("demo-1");
    assert_true(ask_soon(at(11), PORT, "hello"));
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->deliveries[0].running, HACTL_YES);
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_until_gone(pid);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->instances[0].state, HACTL_INSTANCE_STOPPED);
    assert_int_equal(world.call->deliveries[0].running, HACTL_NO);
    assert_non_null(strstr(world.call->deliveries[0].detail, "serving 127."));
    assert_int_equal(ensure_again("demo-1"), HACTL_OK);
    assert_true(ask_soon(at(11), PORT, "hello"));
    assert_int_equal(cloud()->unit_log(world.self, next_call(), "demo-1", "server"), HACTL_OK);
    assert_non_null(strstr(world.call->emitted_text, "serving"));

    /* A program that ends by itself. */
    assert_int_equal(deliver("demo-1", at(11), (struct order){.mode = "fail"}), HACTL_OK);
    wait_until_gone(unit_pid("demo-1"));
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->deliveries[0].running, HACTL_NO);
    assert_non_null(strstr(world.call->deliveries[0].detail, "cannot work here"));
}

/* Of a long log the end is read, which mostly begins within a line: what is left of one is nobody's last words. */
static void test_last_words(void **state)
{
    char path[512];
    FILE *log;
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
    assert_true(ask_soon(at(11), PORT, "hello"));
    assert_int_equal(kill(unit_pid("demo-1"), SIGKILL), 0);
    wait_until_gone(unit_pid("demo-1"));
    snprintf(path, sizeof path, "%s", below("instances/%s/log/server.log", "demo-1"));
    log = fopen(path, "a");
    assert_non_null(log);
    for (int i = 0; i < 100; i++)
        fprintf(log, "{\"level\":\"warn\",\"msg\":\"rejected connection\",\"words\":\"%0300d\"}\n", i);
    fclose(log);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->deliveries[0].running, HACTL_NO);
    assert_string_equal(world.call->deliveries[0].detail, "server does not run");
}

/* Somebody has removed the file by which a process is known: it is seen all
 * the same, is not started twice, and goes with its replica. */
static void test_lost_pid_file(void **state)
{
    pid_t pid;
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
    assert_true(ask_soon(at(11), PORT, "hello"));
    pid = unit_pid("demo-1");
    assert_int_equal(unlink(below("instances/%s/run/server.pid", "demo-1")), 0);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->instances[0].state, HACTL_INSTANCE_RUNNING);
    assert_int_equal(world.call->deliveries[0].running, HACTL_YES);
    assert_int_equal(access(below("instances/%s/run/server.pid", "demo-1"), F_OK), -1); /* to look changes nothing */
    assert_int_equal(ensure_again("demo-1"), HACTL_OK);
    assert_int_equal(unit_pid("demo-1"), pid);
    expect_processes(1);

    assert_int_equal(unlink(below("instances/%s/run/server.pid", "demo-1")), 0);
    assert_int_equal(destroy("demo-1"), HACTL_OK);
    expect_processes(0);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->instance_count, 0);
}

static void test_lost_data(void **state)
{
    char data[512];
    (void)state;

    for (int how = 0; how < 3; how++) {
        make_instance("demo-1");
        assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
        snprintf(data, sizeof(data), "%s", below("instances/%s/data/greeter", "demo-1"));
        kill(unit_pid("demo-1"), SIGKILL);
        wait_until_gone(unit_pid("demo-1"));
        assert_int_equal(ha_tree_remove(how == 2 ? below("instances/%s/data", "demo-1") : data), 0);
        if (how == 1)
            assert_int_equal(mkdir(data, 0700), 0);
        assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
        assert_int_equal(world.call->instances[0].data, HACTL_NO);
        assert_int_equal(ensure_again("demo-1"), HACTL_E_LOST);
        assert_non_null(strstr(world.call->text, "hactl replica replace demo-1"));
        assert_int_equal(deliver_usual("demo-1"), HACTL_E_LOST);
        expect_processes(0);
        assert_int_equal(destroy("demo-1"), HACTL_OK);
    }
}

static void test_relay(void **state)
{
    char myself[64];
    int old, fd;
    (void)state;

    make_instance("demo-1");
    make_instance("demo-2");
    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
    assert_int_equal(deliver("demo-2", at(12), (struct order){.content = "second"}), HACTL_OK);
    assert_true(ask_soon(at(11), PORT, "hello"));
    assert_true(ask_soon(at(12), PORT, "second"));
    assert_int_equal(release("demo-1"), HACTL_OK);
    assert_string_equal(owner(), "");

    assert_int_equal(claim("demo-1"), HACTL_OK);
    old = dial(EXTERNAL, ENDPOINT); /* at once: it waits in the queue */
    assert_true(ask(old, "hello"));
    assert_string_equal(owner(), "demo-1");
    assert_int_equal(claim("demo-1"), HACTL_OK);
    assert_true(ask(old, "hello"));
    assert_int_equal(claim("demo-2"), HACTL_E_CONFLICT);
    assert_non_null(strstr(world.call->text, "replica demo-1"));
    assert_int_equal(cloud()->address_destroy(world.self, next_call(), "demo", HACTL_ADDRESS_EXTERNAL),
                     HACTL_E_CONFLICT);

    /* Given over: the new one answers, the old connection lives on. */
    assert_int_equal(release("demo-2"), HACTL_OK);
    assert_string_equal(owner(), "demo-1");
    assert_int_equal(release("demo-1"), HACTL_OK);
    assert_int_equal(dial(EXTERNAL, ENDPOINT), -1);
    assert_int_equal(errno, ECONNREFUSED);
    assert_int_equal(claim("demo-2"), HACTL_OK);
    fd = dial(EXTERNAL, ENDPOINT);
    assert_true(ask(fd, "second"));
    assert_true(ask(old, "hello"));
    assert_string_equal(owner(), "demo-2");
    close(fd);

    /* A relay that does not react is ended. */
    assert_int_equal(ha_daemon_signal(below("instances/%s/run/relay.pid", "demo-2"), SIGKILL), 0);
    for (int i = 0; i < 100 && owner()[0]; i++)
        pause_ms(5);
    assert_string_equal(owner(), "");
    assert_int_equal(claim("demo-2"), HACTL_OK);
    assert_true(ask_soon(EXTERNAL, ENDPOINT, "second"));
    assert_int_equal(ha_daemon_signal(below("instances/%s/run/relay.pid", "demo-2"), SIGSTOP), 0);
    assert_string_equal(owner(), "demo-2");
    assert_int_equal(release("demo-2"), HACTL_OK);
    assert_string_equal(owner(), "");

    /* One whose pid file is lost holds the address all the same, and can be asked to let go. */
    for (int last = 0; last < 2; last++) {
        assert_int_equal(claim("demo-2"), HACTL_OK);
        assert_true(ask_soon(EXTERNAL, ENDPOINT, "second"));
        assert_int_equal(unlink(below("instances/%s/run/relay.pid", "demo-2")), 0);
        assert_string_equal(owner(), "demo-2");
        assert_int_equal(claim("demo-1"), HACTL_E_CONFLICT);
        assert_non_null(strstr(world.call->text, "replica demo-2"));
        assert_int_equal(access(below("instances/%s/run/relay.pid", "demo-2"), F_OK), -1);
        assert_int_equal(last ? destroy("demo-2") : release("demo-2"), HACTL_OK);
        assert_string_equal(owner(), "");
    }

    fd = local_listen(EXTERNAL, ENDPOINT);
    assert_int_equal(claim("demo-1"), HACTL_E_CONFLICT);
    snprintf(myself, sizeof(myself), "(pid %d, user ", (int)getpid());
    assert_non_null(strstr(world.call->text, myself));
    close(fd);
    /* The relay that still drains ends with its replica. */
    assert_true(ask(old, "hello"));
    assert_int_equal(destroy("demo-1"), HACTL_OK);
    assert_false(ask(old, "hello"));
    close(old);
}

static void test_destroy(void **state)
{
    (void)state;
    make_instance("demo-1");
    assert_int_equal(deliver("demo-1", at(11), (struct order){.mode = "deaf", .stop_timeout_ms = 2000}), 0);
    for (int i = 0; i < 500 && (cloud()->unit_log(world.self, next_call(), "demo-1", "server"),
                                !strstr(world.call->emitted_text, "deaf"));
         i++)
        pause_ms(2);
    assert_int_equal(cloud()->forget(world.self, next_call()), HACTL_E_CONFLICT);
    /* Deaf to SIGTERM, and gone all the same: this is a machine being deleted. */
    assert_int_equal(destroy("demo-1"), HACTL_OK);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->instance_count, 0);
    expect_processes(0);
    assert_int_equal(destroy("demo-1"), HACTL_OK);

    /* A directory without a record: made half, or removed but for itself. */
    assert_int_equal(ha_directory_make(below("instances/%s/run", "demo-3"), 0700), 0);
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_string_equal(world.call->instances[0].name, "demo-3");
    assert_int_equal(world.call->instances[0].data, HACTL_YES); /* nothing was lost */
    assert_int_equal(destroy("demo-3"), HACTL_OK);
    assert_int_equal(ha_directory_make(below("instances/%s/run", "demo-3"), 0700), 0);
    make_instance("demo-3");
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    assert_int_equal(world.call->instances[0].state, HACTL_INSTANCE_RUNNING);
}

/* ---- killed anywhere ------------------------------------------------------------- */

static void up_once(void)
{
    make_instance("demo-1");
    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
    assert_int_equal(claim("demo-1"), HACTL_OK);
}

static void release_and_down(void)
{
    assert_int_equal(release("demo-1"), HACTL_OK);
    down();
}

static void run_and_kill(void (*work)(void), long after_us)
{
    struct timespec pause = {0, after_us * 1000};
    pid_t child = fork();

    if (child == 0) {
        work();
        _exit(0);
    }
    nanosleep(&pause, NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_killed_anywhere(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        run_and_kill(up_once, 50 + 150 * i);
        up_once();
        assert_true(ask_soon(EXTERNAL, ENDPOINT, "hello"));
        assert_string_equal(owner(), "demo-1");
        expect_processes(2);
        run_and_kill(release_and_down, 50 + 150 * i);
        release_and_down();
        expect_processes(0);
        assert_int_equal(access(world.directory, F_OK), -1);
    }
}

/* A replica that is to come needs room for twice what the largest has. */
static void test_room(void **state)
{
    FILE *file;
    (void)state;

    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK); /* before anything is there */
    make_instance("demo-1");
    make_instance("demo-2");
    assert_int_equal(deliver_usual("demo-1"), HACTL_OK);
    assert_int_equal(deliver("demo-2", at(12), (struct order){0}), HACTL_OK);
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_OK);
    file = fopen(below("instances/%s/data/greeter/db", "demo-2"), "w");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), 4LL << 40), 0); /* takes no room, and would when it is copied */
    fclose(file);
    assert_int_equal(hactl_plugin.check(world.self, next_call()), HACTL_E_QUOTA);
    assert_non_null(strstr(world.call->text, "a new replica needs at least 8388"));
    assert_non_null(strstr(world.call->text, "twice what demo-2 holds"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EACH(test_deliver),       EACH(test_keep_running),    EACH(test_refusals), EACH(test_dead_and_stopped),
        EACH(test_last_words),    EACH(test_lost_data),       EACH(test_relay),    EACH(test_destroy),
        EACH(test_lost_pid_file), EACH(test_killed_anywhere), EACH(test_room),
    };

    local_rig(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
