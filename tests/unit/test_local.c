/* SPDX-License-Identifier: Apache-2.0 */
/* The local cloud with real processes and real haproxy. Its units are this
 * program itself, called as "test_local unit serve|deaf|fail ...". */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/file.h"
#include "lib/process.h"
#include "plugins/local/local.h"
#include "tests/support/fake_host.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT     2379
#define ENDPOINT 6443

static char top[64], program[PATH_MAX], network[16];

struct world {
    char directory[128];
    struct hactl_conf *conf;
    void *self;
    struct hactl_call *call;
};

static struct world world;

/* An address of the test's own network; each of the last eight stays. Two runs
 * of this test at the same time, as under several sanitizers, do not meet. */
static const char *at(unsigned host)
{
    static char texts[8][64];
    static unsigned next;
    char *text = texts[next++ % 8];

    snprintf(text, 64, "%s.%u", network, host);
    return text;
}

#define EXTERNAL at(1)

/* ---- a cloud to ask ----------------------------------------------------------- */

/* Every question gets a call of its own; its answers stay until the next. */
static struct hactl_call *next_call(void)
{
    fake_call_free(world.call);
    world.call = fake_call_new(10000);
    return world.call;
}

static int open_cloud(struct world *out, const char *cluster, const char *directory, const char *wanted)
{
    char registry[96];
    struct fake_setting settings[3] = {{"registry", registry}, {wanted ? "network" : NULL, wanted}};

    snprintf(registry, sizeof(registry), "%s/registry", top);
    snprintf(out->directory, sizeof(out->directory), "%s/%s", top, directory);
    out->conf = fake_conf_new(hactl_plugin.keys, settings, "here", cluster, out->directory);
    return hactl_plugin.open(&fake_host, out->conf, next_call(), &out->self);
}

static void close_cloud(struct world *old)
{
    hactl_plugin.close(old->self);
    fake_conf_free(old->conf);
    memset(&old->self, 0, sizeof(old->self));
    old->conf = NULL;
}

static const struct hactl_cloud_ops *cloud(void)
{
    return hactl_plugin.cloud;
}

static int destroy(const char *name)
{
    return cloud()->instance_destroy(world.self, next_call(), name);
}

/* Pids of processes that work below the directory of this test. */
static size_t count_processes(void)
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    while ((entry = readdir(processes))) {
        char path[300], target[PATH_MAX];
        snprintf(path, sizeof(path), "/proc/%s/cwd", entry->d_name);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        if (length > 0) {
            target[length] = '\0';
            count += strncmp(target, top, strlen(top)) == 0;
        }
    }
    closedir(processes);
    return count;
}

/* What was killed may need a moment. */
static void expect_processes(size_t wanted)
{
    for (int i = 0; i < 500 && count_processes() != wanted; i++)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    assert_int_equal(count_processes(), wanted);
}

static void down(void)
{
    static const char *const names[] = {"demo-1", "demo-2", "demo-3"};

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(destroy(names[i]), HACTL_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(cloud()->address_destroy(world.self, next_call(), names[i], HACTL_ADDRESS_INTERNAL), HACTL_OK);
    assert_int_equal(cloud()->address_destroy(world.self, next_call(), "demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
    assert_int_equal(cloud()->forget(world.self, next_call()), HACTL_OK);
}

static int setup(void **state)
{
    (void)state;
    snprintf(top, sizeof(top), "/tmp/hactl-local-XXXXXX");
    return mkdtemp(top) ? open_cloud(&world, "demo", "demo", network) : -1;
}

/* Whatever a test did, `down` leaves nothing of it. */
static int teardown(void **state)
{
    (void)state;
    down();
    close_cloud(&world);
    fake_call_free(world.call);
    world.call = NULL;
    if (count_processes() != 0 || rmdir(top) != 0)
        print_error("left behind in %s: %zu processes\n", top, count_processes());
    return count_processes() != 0 || access(top, F_OK) == 0;
}

static void pause_ms(long ms)
{
    struct timespec pause = {0, ms * 1000000L};

    nanosleep(&pause, NULL);
}

static void make_instance(const char *name)
{
    struct hactl_replica replica = {.struct_size = sizeof(replica), .name = name, .zone = "a"};
    struct hactl_instance_want want = {.struct_size = sizeof(want), .replica = &replica};

    assert_int_equal(cloud()->address_ensure(world.self, next_call(), "demo", HACTL_ADDRESS_EXTERNAL, NULL, NULL), 0);
    assert_int_equal(cloud()->address_ensure(world.self, next_call(), name, HACTL_ADDRESS_INTERNAL, name, "a"), 0);
    assert_int_equal(cloud()->instance_ensure(world.self, next_call(), &want), HACTL_OK);
}

static int ensure_again(const char *name)
{
    struct hactl_replica replica = {.struct_size = sizeof(replica), .name = name, .zone = "a"};
    struct hactl_instance_want want = {.struct_size = sizeof(want), .replica = &replica};

    int rc = HACTL_E_BUSY;

    /* As the core does: one that was killed gives its port back in an instant. */
    for (int i = 0; rc == HACTL_E_BUSY && i < 1000; i++, pause_ms(rc == HACTL_E_BUSY ? 5 : 0))
        rc = cloud()->instance_ensure(world.self, next_call(), &want);
    return rc;
}

/* What a test changes of the payload that all of them deliver. */
struct order {
    const char *mode, *content, *path, *program, *unit, *digest;
    uint16_t port;
    uint32_t stop_timeout_ms;
    bool keep_running;
};

static int deliver(const char *instance, const char *address, struct order order)
{
    char port[8];
    const char *content = order.content ? order.content : "hello";
    const char *argv[] = {order.program ? order.program : program,
                          "unit",
                          order.mode ? order.mode : "serve",
                          address,
                          port,
                          "${directory}/greeting",
                          "${data}",
                          NULL};
    struct hactl_file file = {.struct_size = sizeof(file),
                              .path = order.path ? order.path : "greeting",
                              .mode = 0600,
                              .content = content,
                              .content_size = strlen(content)};
    struct hactl_unit unit = {.struct_size = sizeof(unit),
                              .name = order.unit ? order.unit : "server",
                              .argv = argv,
                              .package = "etcd-server",
                              .stop_timeout_ms = order.stop_timeout_ms};
    struct hactl_port listening = {
        .struct_size = sizeof(listening), .name = "greeting", .port = order.port ? order.port : PORT};
    const struct hactl_file *files[] = {&file};
    const struct hactl_unit *units[] = {&unit};
    const struct hactl_port *ports[] = {&listening};
    struct hactl_payload payload = {.struct_size = sizeof(payload),
                                    .name = "greeter",
                                    .digest = order.digest,
                                    .keep_running = order.keep_running,
                                    .files = files,
                                    .file_count = 1,
                                    .units = units,
                                    .unit_count = 1,
                                    .ports = ports,
                                    .port_count = 1};

    snprintf(port, sizeof(port), "%u", order.port ? order.port : PORT);
    int rc = HACTL_E_BUSY;

    for (int i = 0; rc == HACTL_E_BUSY && i < 1000; i++, pause_ms(rc == HACTL_E_BUSY ? 5 : 0))
        rc = cloud()->deliver(world.self, next_call(), instance, &payload);
    return rc;
}

static int deliver_usual(const char *instance)
{
    return deliver(instance, at(10 + (unsigned)(instance[5] - '0')), (struct order){0});
}

static const char *below(const char *format, const char *instance)
{
    static char path[512];
    char rest[256];

    snprintf(rest, sizeof(rest), format, instance);
    snprintf(path, sizeof(path), "%s/%s", world.directory, rest);
    return path;
}

static pid_t unit_pid(const char *instance)
{
    pid_t pid = 0;

    ha_daemon_state(below("instances/%s/run/server.pid", instance), &pid);
    return pid;
}

static void wait_until_gone(pid_t pid)
{
    for (int i = 0; i < 1000 && kill(pid, 0) == 0 && unit_pid("demo-1") == pid &&
                    ha_daemon_state(below("instances/%s/run/server.pid", "demo-1"), NULL) != HA_PROCESS_GONE;
         i++)
        pause_ms(2);
}

/* ---- a client ------------------------------------------------------------------ */

static int dial(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Sends a byte, gets the greeting. */
static bool ask(int fd, const char *wanted)
{
    char answer[64] = "";
    ssize_t got;

    if (fd < 0 || send(fd, "?", 1, MSG_NOSIGNAL) != 1)
        return false;
    got = recv(fd, answer, sizeof(answer) - 1, 0);
    return got > 0 && strcmp(answer, wanted) == 0;
}

/* Starting takes the server a moment. */
static bool ask_soon(const char *address, uint16_t port, const char *wanted)
{
    bool good = false;

    for (int i = 0; i < 500 && !good; i++) {
        int fd = dial(address, port);
        good = ask(fd, wanted);
        if (fd >= 0)
            close(fd);
        if (!good)
            pause_ms(4);
    }
    return good;
}

/* ---- tests ---------------------------------------------------------------------- */

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

/* In the place of the C library's: the process ends at the one of them that a test names. */
static int names_until_end;

static void pass(void)
{
    if (names_until_end > 0 && --names_until_end == 0)
        _exit(77);
}

int rename(const char *from, const char *to)
{
    pass();
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    pass();
    return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
}

int link(const char *from, const char *to)
{
    pass();
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
    pass();
    return (int)syscall(SYS_unlinkat, directory, name, flags);
}

/* A certificate, its key, and a file beside them that stays. */
static int deliver_pair(const char *content)
{
    const char *const paths[] = {"pair/tls.crt", "pair/tls.key", "greeting"};
    struct hactl_file list[3];
    const struct hactl_file *files[3];
    struct hactl_payload payload = {
        .struct_size = sizeof(payload), .name = "greeter", .digest = content, .files = files, .file_count = 3};

    for (size_t i = 0; i < 3; i++) {
        const char *text = i < 2 ? content : "stays";
        list[i] = (struct hactl_file){.struct_size = sizeof(list[i]),
                                      .path = paths[i],
                                      .mode = 0600,
                                      .content = text,
                                      .content_size = strlen(text)};
        files[i] = &list[i];
    }
    return cloud()->deliver(world.self, next_call(), "demo-1", &payload);
}

static void assert_pair(const char *content)
{
    static const char *const paths[] = {"pair/tls.crt", "pair/tls.key", "greeting"};
    char path[256], first[16] = "";

    for (size_t i = 0; i < 3; i++) {
        char *text = NULL;
        size_t size = 0;
        snprintf(path, sizeof(path), "instances/%%s/payloads/greeter/%s", paths[i]);
        assert_int_equal(ha_file_read(below(path, "demo-1"), 100, &text, &size), 0);
        if (i == 0)
            snprintf(first, sizeof(first), "%s", text);
        assert_string_equal(text, i == 2 ? "stays" : content ? content : first);
        free(text);
    }
}

/* Killed at any moment, both are the old ones or both the new ones, and the next delivery makes an end. */
static void test_pairs_are_replaced_in_one_instant(void **state)
{
    int status = 0, ends = 0;
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver_pair("one"), HACTL_OK);
    for (int n = 1; n == 1 || WEXITSTATUS(status) == 77; n++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            names_until_end = n;
            _exit(deliver_pair("two") == HACTL_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
        assert_pair(WEXITSTATUS(status) == 77 ? NULL : "two");
        ends += WEXITSTATUS(status) == 77;
        assert_int_equal(deliver_pair("two"), HACTL_OK);
        assert_pair("two");
        assert_int_equal(access(below("instances/%s/payloads/greeter.hactl-aside", "demo-1"), F_OK), -1);
        assert_int_equal(access(below("instances/%s/payloads/greeter/pair/tls.key.hactl-new", "demo-1"), F_OK), -1);
        assert_int_equal(deliver_pair("one"), HACTL_OK);
    }
    assert_in_range(ends, 6, 60);
}

/* What a unit made there itself stays where it is: then one by one. */
static void test_what_others_made_beside_a_pair_stays(void **state)
{
    char other[512];
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver_pair("one"), HACTL_OK);
    snprintf(other, sizeof(other), "%s", below("instances/%s/payloads/greeter/pair/other", "demo-1"));
    assert_int_equal(ha_file_replace(other, "x", 1, 0600, false), 0);
    assert_int_equal(deliver_pair("two"), HACTL_OK);
    assert_pair("two");
    assert_int_equal(access(other, F_OK), 0);
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

static const char *owner(void)
{
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    for (size_t i = 0; i < world.call->address_count; i++)
        if (world.call->addresses[i].kind == HACTL_ADDRESS_EXTERNAL)
            return world.call->addresses[i].instance ? world.call->addresses[i].instance : "";
    return "?";
}

static int claim(const char *instance)
{
    return cloud()->claim(world.self, next_call(), "demo", instance, ENDPOINT, PORT);
}

static int release(const char *instance)
{
    return cloud()->release(world.self, next_call(), "demo", instance);
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

/* ---- this program as a unit -------------------------------------------------------- */

/* Threads, as nothing of them outlives the process. */
static char *greeting;

static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char byte;

    while (recv(fd, &byte, 1, 0) == 1)
        if (send(fd, greeting, strlen(greeting), MSG_NOSIGNAL) < 0)
            break;
    close(fd);
    return NULL;
}

static int unit(char **argv)
{
    pthread_t thread;
    size_t size;
    int fd;

    if (strcmp(argv[2], "fail") == 0) {
        fprintf(stderr, "starting\nthis cannot work here\n");
        return 3;
    }
    if (strcmp(argv[2], "deaf") == 0) {
        signal(SIGTERM, SIG_IGN);
        fprintf(stderr, "deaf\n");
        for (;;)
            pause();
    }
    fd = local_listen(argv[3], (uint16_t)atoi(argv[4]));
    if (fd < 0 || ha_file_read(argv[5], 4096, &greeting, &size) < 0 || access(argv[6], W_OK) < 0)
        return 1;
    fprintf(stderr, "serving %s\n", argv[3]);
    for (;;) {
        int one = accept(fd, NULL, NULL);
        if (one >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)one) == 0)
            pthread_detach(thread);
    }
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
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_addresses),
        EACH(test_networks),
        EACH(test_registry_goes),
        EACH(test_settings),
        EACH(test_deliver),
        EACH(test_pairs_are_replaced_in_one_instant),
        EACH(test_what_others_made_beside_a_pair_stays),
        EACH(test_keep_running),
        EACH(test_refusals),
        EACH(test_dead_and_stopped),
        EACH(test_lost_data),
        EACH(test_relay),
        EACH(test_destroy),
        EACH(test_lost_pid_file),
        EACH(test_killed_anywhere),
    };
    ssize_t length;

    if (argc > 6 && strcmp(argv[1], "unit") == 0)
        return unit(argv);
    length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    program[length > 0 ? length : 0] = '\0';
    /* Below what the plugin itself chooses from. */
    snprintf(network, sizeof(network), "127.%u.%u", (20u + (unsigned)getpid() / 256 % 40) & 255,
             (unsigned)getpid() & 255);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
