/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tests/unit/local_rig.h"

#include "lib/file.h"
#include "lib/process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct world world;
char top[64];
static char program[PATH_MAX], network[16];

/* Two runs of a test at the same time, as under several sanitizers, do not meet. */
const char *at(unsigned host)
{
    static char texts[8][64];
    static unsigned next;
    char *text = texts[next++ % 8];

    snprintf(text, 64, "%s.%u", network, host);
    return text;
}

/* ---- a cloud to ask ----------------------------------------------------------- */

/* Every question gets a call of its own; its answers stay until the next. */
struct hactl_call *next_call(void)
{
    fake_call_free(world.call);
    world.call = fake_call_new(10000);
    return world.call;
}

int open_cloud(struct world *out, const char *cluster, const char *directory, const char *wanted)
{
    char registry[96];
    struct fake_setting settings[3] = {{"registry", registry}, {wanted ? "network" : NULL, wanted}};

    snprintf(registry, sizeof(registry), "%s/registry", top);
    snprintf(out->directory, sizeof(out->directory), "%s/%s", top, directory);
    out->conf = fake_conf_new(hactl_plugin.keys, settings, "here", cluster, out->directory);
    return hactl_plugin.open(&fake_host, out->conf, next_call(), &out->self);
}

void close_cloud(struct world *old)
{
    hactl_plugin.close(old->self);
    fake_conf_free(old->conf);
    memset(&old->self, 0, sizeof(old->self));
    old->conf = NULL;
}

const struct hactl_cloud_ops *cloud(void)
{
    return hactl_plugin.cloud;
}

int destroy(const char *name)
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
void expect_processes(size_t wanted)
{
    for (int i = 0; i < 500 && count_processes() != wanted; i++)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    assert_int_equal(count_processes(), wanted);
}

void down(void)
{
    static const char *const names[] = {"demo-1", "demo-2", "demo-3"};

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(destroy(names[i]), HACTL_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(cloud()->address_destroy(world.self, next_call(), names[i], HACTL_ADDRESS_INTERNAL), HACTL_OK);
    assert_int_equal(cloud()->address_destroy(world.self, next_call(), "demo", HACTL_ADDRESS_EXTERNAL), HACTL_OK);
    assert_int_equal(cloud()->forget(world.self, next_call()), HACTL_OK);
}

int local_begin(void **state)
{
    (void)state;
    snprintf(top, sizeof(top), "/tmp/hactl-local-XXXXXX");
    return mkdtemp(top) ? open_cloud(&world, "demo", "demo", network) : -1;
}

/* Whatever a test did, `down` leaves nothing of it. */
int local_end(void **state)
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

void pause_ms(long ms)
{
    struct timespec pause = {0, ms * 1000000L};

    nanosleep(&pause, NULL);
}

void make_instance(const char *name)
{
    struct hactl_replica replica = {.struct_size = sizeof(replica), .name = name, .zone = "a"};
    struct hactl_instance_want want = {.struct_size = sizeof(want), .replica = &replica};

    int rc = cloud()->address_ensure(world.self, next_call(), "demo", HACTL_ADDRESS_EXTERNAL, NULL, NULL);
    if (rc != HACTL_OK)
        print_error("%s\n", world.call->text);
    assert_int_equal(rc, HACTL_OK);
    assert_int_equal(cloud()->address_ensure(world.self, next_call(), name, HACTL_ADDRESS_INTERNAL, name, "a"), 0);
    assert_int_equal(cloud()->instance_ensure(world.self, next_call(), &want), HACTL_OK);
}

int ensure_again(const char *name)
{
    struct hactl_replica replica = {.struct_size = sizeof(replica), .name = name, .zone = "a"};
    struct hactl_instance_want want = {.struct_size = sizeof(want), .replica = &replica};

    int rc = HACTL_E_BUSY;

    /* As the core does: one that was killed gives its port back in an instant. */
    for (int i = 0; rc == HACTL_E_BUSY && i < 1000; i++, pause_ms(rc == HACTL_E_BUSY ? 5 : 0))
        rc = cloud()->instance_ensure(world.self, next_call(), &want);
    return rc;
}

int deliver(const char *instance, const char *address, struct order order)
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

int deliver_usual(const char *instance)
{
    return deliver(instance, at(10 + (unsigned)(instance[5] - '0')), (struct order){0});
}

const char *below(const char *format, const char *instance)
{
    static char path[512];
    char rest[256];

    snprintf(rest, sizeof(rest), format, instance);
    snprintf(path, sizeof(path), "%s/%s", world.directory, rest);
    return path;
}

pid_t unit_pid(const char *instance)
{
    pid_t pid = 0;

    ha_daemon_state(below("instances/%s/run/server.pid", instance), &pid);
    return pid;
}

void wait_until_gone(pid_t pid)
{
    for (int i = 0; i < 1000 && kill(pid, 0) == 0 && unit_pid("demo-1") == pid &&
                    ha_daemon_state(below("instances/%s/run/server.pid", "demo-1"), NULL) != HA_PROCESS_GONE;
         i++)
        pause_ms(2);
}

const char *owner(void)
{
    assert_int_equal(cloud()->list(world.self, next_call()), HACTL_OK);
    for (size_t i = 0; i < world.call->address_count; i++)
        if (world.call->addresses[i].kind == HACTL_ADDRESS_EXTERNAL)
            return world.call->addresses[i].instance ? world.call->addresses[i].instance : "";
    return "?";
}

int claim(const char *instance)
{
    return cloud()->claim(world.self, next_call(), "demo", instance, ENDPOINT, PORT);
}

int release(const char *instance)
{
    return cloud()->release(world.self, next_call(), "demo", instance);
}

/* ---- a client ------------------------------------------------------------------ */

int dial(const char *address, uint16_t port)
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
bool ask(int fd, const char *wanted)
{
    char answer[64] = "";
    ssize_t got;

    if (fd < 0 || send(fd, "?", 1, MSG_NOSIGNAL) != 1)
        return false;
    got = recv(fd, answer, sizeof(answer) - 1, 0);
    return got > 0 && strcmp(answer, wanted) == 0;
}

/* Starting takes the server a moment. */
bool ask_soon(const char *address, uint16_t port, const char *wanted)
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

void local_rig(int argc, char **argv)
{
    ssize_t length;

    if (argc > 6 && strcmp(argv[1], "unit") == 0)
        exit(unit(argv));
    length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    program[length > 0 ? length : 0] = '\0';
    /* Below what the plugin itself chooses from. */
    snprintf(network, sizeof(network), "127.%u.%u", (20u + (unsigned)getpid() / 256 % 40) & 255,
             (unsigned)getpid() & 255);
}
