/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/lb on real HAProxy. Replicas are threads that echo; where a process
 * must be stopped by a signal, `openssl s_server` plays a TLS one. Addresses:
 * 127.44.0.0/16. LB_GAPS=1 prints the measured gaps. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "lib/file.h"
#include "lib/process.h"
#include "tests/support/fake_host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC       "127.44.1.1"
#define PORT         7443
#define BACKEND_PORT 7500
#define BACKENDS     3

static const struct hactl_plugin *const plugin = &hactl_plugin;

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void sleep_ms(long ms)
{
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&wait, NULL);
}

/* ---- backends: an echo server, one thread for all its connections -------------- */

struct echo {
    char address[20];
    int listener;
    pthread_t thread;
    atomic_bool stop;
    atomic_int served; /* connections that brought data: checks bring none */
};

static void *echo_run(void *data)
{
    struct echo *echo = data;
    struct pollfd fds[256] = {{.fd = echo->listener, .events = POLLIN}};
    bool counted[256] = {false};
    nfds_t count = 1;
    char bytes[4096];

    while (!echo->stop) {
        if (poll(fds, count, 20) <= 0)
            continue;
        for (nfds_t i = count; i-- > 1;) {
            ssize_t got;

            if (!fds[i].revents)
                continue;
            got = recv(fds[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT);
            if (got > 0 && !counted[i]) {
                counted[i] = true;
                echo->served++;
            }
            if (got > 0 && send(fds[i].fd, bytes, (size_t)got, MSG_NOSIGNAL) == got)
                continue;
            close(fds[i].fd);
            fds[i] = fds[--count];
            counted[i] = counted[count];
        }
        if ((fds[0].revents & POLLIN) && count < 256) {
            int fd = accept(echo->listener, NULL, NULL);

            if (fd >= 0) {
                counted[count] = false;
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
            }
        }
    }
    for (nfds_t i = 0; i < count; i++)
        close(fds[i].fd);
    return NULL;
}

static int listen_on(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 512), 0);
    return fd;
}

static void echo_start(struct echo *echo, int number)
{
    memset(echo, 0, sizeof(*echo));
    snprintf(echo->address, sizeof(echo->address), "127.44.2.%d", number);
    echo->listener = listen_on(echo->address, BACKEND_PORT);
    assert_int_equal(pthread_create(&echo->thread, NULL, echo_run, echo), 0);
}

static void echo_stop(struct echo *echo)
{
    if (echo->listener <= 0)
        return;
    echo->stop = true;
    pthread_join(echo->thread, NULL);
    echo->listener = -1;
}

/* ---- clients --------------------------------------------------------------------- */

static int dial(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {3, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, address, &name.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
        int error = errno;

        close(fd);
        return -error;
    }
    return fd;
}

static int ask(int fd)
{
    char bytes[4];
    ssize_t got;

    if (send(fd, "ping", 4, MSG_NOSIGNAL) != 4)
        return -1;
    do /* a socket with a time limit tells when its process was stopped and goes on */
        got = recv(fd, bytes, 4, MSG_WAITALL);
    while (got < 0 && errno == EINTR);
    return got == 4 && memcmp(bytes, "ping", 4) == 0 ? 0 : -1;
}

static bool answers(const char *address, uint16_t port)
{
    int fd = dial(address, port), rc, error;

    if (fd < 0) {
        errno = -fd;
        return false;
    }
    rc = ask(fd);
    error = errno;
    close(fd);
    errno = error;
    return rc == 0;
}

/* Asks over a new connection each time, and over one that it keeps. */
struct prober {
    pthread_t thread;
    atomic_bool stop;
    bool persistent;                   /* keep one, too */
    atomic_int answered, kept_answers; /* waited for by the test */
    int refused, failed, broken;
    int ended;       /* of the broken ones: by the other side, not for want of an answer in time */
    double worst_ms; /* the longest time between two answers */
    char why[128];   /* the first exchange that failed and should not have */
};

static void prober_blames(struct prober *prober, const char *what, int error, double start_ms)
{
    if (!prober->why[0])
        snprintf(prober->why, sizeof(prober->why), "%s after %d answers: %s, in %.0f ms", what, prober->answered,
                 error ? strerror(error) : "the other side closed", now_ms() - start_ms);
}

static void *prober_run(void *data)
{
    struct prober *prober = data;
    int kept = -1;
    double last_ms = now_ms(), t;

    while (!prober->stop) {
        bool good = answers(PUBLIC, PORT);

        if (good) {
            t = now_ms();
            if (prober->answered++ && t - last_ms > prober->worst_ms)
                prober->worst_ms = t - last_ms;
            last_ms = t;
        } else {
            prober->refused++;
        }
        if (prober->persistent && kept < 0)
            kept = dial(PUBLIC, PORT);
        t = now_ms();
        errno = 0;
        if (kept >= 0 && ask(kept) < 0) {
            prober->broken++;
            prober->ended += errno == 0 || errno == ECONNRESET || errno == EPIPE;
            prober_blames(prober, "the kept connection", errno, t);
        } else if (kept >= 0) {
            prober->kept_answers++;
        }
        sleep_ms(1);
    }
    if (kept >= 0)
        close(kept);
    return NULL;
}

enum { REPEAT_MS = 250 };

/* The client of the promise: repeats once, and no sooner than clients do. */
static void *client_run(void *data)
{
    struct prober *client = data;
    double start_ms;

    while (!client->stop) {
        if (answers(PUBLIC, PORT)) {
            client->answered++;
        } else {
            client->refused++;
            sleep_ms(REPEAT_MS);
            start_ms = now_ms();
            errno = 0;
            if (!answers(PUBLIC, PORT)) {
                client->failed++;
                prober_blames(client, "a client that repeats once", errno, start_ms);
            }
        }
        sleep_ms(1);
    }
    return NULL;
}

static void prober_start(struct prober *prober, void *(*run)(void *), bool persistent)
{
    memset(prober, 0, sizeof(*prober));
    prober->persistent = persistent;
    assert_int_equal(pthread_create(&prober->thread, NULL, run, prober), 0);
}

/* Its connections are made: one that still queues is lost with the listener, as
 * one that was refused. */
static void prober_settle(struct prober *prober)
{
    int answered = prober->answered, kept = prober->kept_answers;
    double start = now_ms();

    while (prober->answered < answered + 5 || (prober->persistent && prober->kept_answers < kept + 3)) {
        if (now_ms() - start > 10000)
            fail_msg("a client got %d answers, %d over the connection that it keeps; %s", prober->answered - answered,
                     prober->kept_answers - kept, prober->why);
        sleep_ms(2);
    }
}

static void prober_stop(struct prober *prober)
{
    prober->stop = true;
    pthread_join(prober->thread, NULL);
}

/* ---- the plugin ------------------------------------------------------------------- */

struct fixture {
    char *directory;
    struct hactl_conf *conf;
    void *self;
    struct hactl_cluster cluster;
    struct hactl_balancer_want want;
    struct echo echoes[BACKENDS];
    struct hactl_call *listed;
};

static void fixture_open(struct fixture *f, const struct fake_setting *settings)
{
    struct hactl_call *call = fake_call_new(5000);

    f->conf = fake_conf_new(plugin->keys, settings, "lb", "demo", f->directory);
    assert_int_equal(plugin->open(&fake_host, f->conf, call, &f->self), HACTL_OK);
    fake_call_free(call);
}

static void fixture_close(struct fixture *f)
{
    plugin->close(f->self);
    fake_conf_free(f->conf);
}

static int setup(void **state)
{
    static const struct fake_setting settings[] = {{"check", "tcp"}, {"check_interval_ms", "100"}, {NULL, NULL}};
    struct fixture *f = calloc(1, sizeof(*f));
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";

    /* Longer than the path of a unix socket can be. */
    assert_true(asprintf(&f->directory, "%s/test_lb.%d/%0150d", base, (int)getpid(), 0) > 0);
    f->cluster = (struct hactl_cluster){.struct_size = sizeof(f->cluster),
                                        .name = "demo",
                                        .external_address = PUBLIC,
                                        .endpoint_port = PORT,
                                        .dns_domain = "cluster.local"};
    f->want = (struct hactl_balancer_want){.struct_size = sizeof(f->want),
                                           .name = "demo-lb",
                                           .cluster = &f->cluster,
                                           .port = PORT,
                                           .backend_port = BACKEND_PORT};
    fixture_open(f, settings);
    for (int i = 0; i < BACKENDS; i++)
        echo_start(&f->echoes[i], i + 1);
    *state = f;
    return 0;
}

enum verb { LIST, ENSURE, DESTROY, CLAIM, RELEASE, BACKEND_DESTROY };

static int doing(struct fixture *f, enum verb verb, const char *text, struct hactl_call **out)
{
    const struct hactl_balancer_ops *ops = plugin->balancer;
    struct hactl_call *call = fake_call_new(5000);
    int rc = verb == LIST      ? ops->list(f->self, call, &f->want)
             : verb == ENSURE  ? ops->ensure(f->self, call, &f->want)
             : verb == DESTROY ? ops->destroy(f->self, call, &f->want)
             : verb == CLAIM   ? ops->claim(f->self, call, &f->want, text)
             : verb == RELEASE ? ops->release(f->self, call, &f->want, text)
                               : ops->backend_destroy(f->self, call, &f->want, text);

    if (rc < 0 && !out)
        print_error("verb %d: %d: %s\n", (int)verb, rc, call->text);
    if (out)
        *out = call;
    else
        fake_call_free(call);
    return rc;
}

static int backend(struct fixture *f, int i)
{
    char name[24];
    struct hactl_backend_want want = {
        .struct_size = sizeof(want), .name = name, .zone = "a", .address = f->echoes[i].address};
    struct hactl_call *call = fake_call_new(5000);
    int rc;

    snprintf(name, sizeof(name), "demo-%d", i + 1);
    rc = plugin->balancer->backend_ensure(f->self, call, &f->want, &want);
    if (rc < 0)
        print_error("backend_ensure: %d: %s\n", rc, call->text);
    fake_call_free(call);
    return rc;
}

static const struct hactl_balancer *list(struct fixture *f)
{
    fake_call_free(f->listed);
    f->listed = NULL;
    assert_int_equal(doing(f, LIST, NULL, &f->listed), HACTL_OK);
    return f->listed->balancer_count ? &f->listed->balancers[0] : NULL;
}

static bool trial_answers(struct fixture *f)
{
    const struct hactl_balancer *balancer = list(f);
    double start = now_ms();

    if (balancer && answers(balancer->trial_host, balancer->trial_port))
        return true;
    print_error("no answer after %.0f ms\n", now_ms() - start);
    list(f);
    for (size_t i = 0; i < f->listed->backend_count; i++)
        print_error("%s: healthy %d: %s\n", f->listed->backends[i].name, (int)f->listed->backends[i].healthy,
                    f->listed->backends[i].detail);
    return false;
}

static size_t healthy(struct fixture *f)
{
    size_t count = 0;

    list(f);
    for (size_t i = 0; i < f->listed->backend_count; i++)
        count += f->listed->backends[i].healthy == HACTL_YES;
    return count;
}

static double wait_healthy(struct fixture *f, size_t count)
{
    double start = now_ms();

    while (healthy(f) != count) {
        if (now_ms() - start > 5000) {
            for (size_t i = 0; i < f->listed->backend_count; i++)
                print_error("%s: %d: %s\n", f->listed->backends[i].name, (int)f->listed->backends[i].healthy,
                            f->listed->backends[i].detail);
            fail_msg("waited for %zu healthy backends", count);
        }
        sleep_ms(5);
    }
    return now_ms() - start;
}

/* The check of that backend has said so, however busy this machine is. */
static void wait_detail(struct fixture *f, size_t index, const char *word)
{
    const char *detail = NULL;
    double start = now_ms();

    while (now_ms() - start < 5000) {
        list(f);
        detail = f->listed->backends[index].detail;
        if (detail && strstr(detail, word))
            return;
        sleep_ms(5);
    }
    fail_msg("%s: waited for \"%s\", it says \"%s\"", f->listed->backends[index].name, word, detail ? detail : "");
}

static void wait_served(const struct echo *echo, int before)
{
    double start = now_ms();

    while (echo->served == before && now_ms() - start < 5000)
        sleep_ms(5);
    assert_true(echo->served > before);
}

/* Nothing has come for 100 ms, as it never does while clients are sent there. */
static void wait_quiet(const struct echo *echo)
{
    double start = now_ms();
    int before;

    do {
        before = echo->served;
        sleep_ms(100);
    } while (echo->served != before && now_ms() - start < 5000);
    assert_int_equal(echo->served, before);
}

static void whole(struct fixture *f, size_t count)
{
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(backend(f, (int)i), HACTL_OK);
    wait_healthy(f, count);
}

static pid_t haproxy_pid(struct fixture *f)
{
    char *path = NULL;
    pid_t pid = 0;

    assert_true(asprintf(&path, "%s/run/haproxy.pid", f->directory) > 0);
    ha_daemon_state(path, &pid);
    free(path);
    return pid;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char *slash;

    doing(f, DESTROY, NULL, NULL);
    assert_int_not_equal(access(f->directory, F_OK), 0);
    fake_call_free(f->listed);
    fixture_close(f);
    for (int i = 0; i < BACKENDS; i++)
        echo_stop(&f->echoes[i]);
    slash = strrchr(f->directory, '/');
    *slash = '\0';
    ha_tree_remove(f->directory);
    free(f->directory);
    free(f);
    return 0;
}

/* Ended; whether its parent has taken notice is not this test's matter. */
static bool ended(pid_t pid)
{
    char path[40], text[512] = "";
    const char *state;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (!file)
        return true;
    state = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
    fclose(file);
    return !state || state[2] == 'Z' || state[2] == 'X';
}

/* ---- tests ------------------------------------------------------------------------- */

static void test_life(void **state)
{
    struct fixture *f = *state;
    const struct hactl_balancer *balancer;
    struct hactl_call *call;
    pid_t pid;

    assert_null(list(f));
    assert_int_equal(doing(f, CLAIM, PUBLIC, &call), HACTL_E_NOT_FOUND);
    fake_call_free(call);
    assert_int_equal(doing(f, DESTROY, NULL, NULL), HACTL_OK);
    whole(f, 2);
    balancer = list(f);
    assert_non_null(balancer);
    assert_int_equal(balancer->running, HACTL_YES);
    assert_null(balancer->address);
    assert_true(answers(balancer->trial_host, balancer->trial_port));
    assert_int_equal(dial(PUBLIC, PORT), -ECONNREFUSED);

    pid = haproxy_pid(f);
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    assert_int_equal(backend(f, 0), HACTL_OK);
    assert_int_equal(haproxy_pid(f), pid);

    for (int i = 0; i < 3; i++) {
        assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
        assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
        assert_true(answers(PUBLIC, PORT));
        assert_string_equal(list(f)->address, PUBLIC);
        assert_int_equal(doing(f, RELEASE, PUBLIC, NULL), HACTL_OK);
        assert_int_equal(doing(f, RELEASE, PUBLIC, NULL), HACTL_OK);
        assert_int_equal(dial(PUBLIC, PORT), -ECONNREFUSED);
        assert_null(list(f)->address);
    }
    assert_int_equal(haproxy_pid(f), pid);
    assert_int_equal(doing(f, DESTROY, NULL, NULL), HACTL_OK);
    assert_null(list(f));
    assert_true(ended(pid));
}

static void test_taken(void **state)
{
    struct fixture *f = *state;
    struct hactl_call *call;
    int other;

    whole(f, 1);
    other = listen_on(PUBLIC, PORT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(doing(f, CLAIM, PUBLIC, &call), HACTL_E_CONFLICT);
        assert_non_null(strstr(call->text, PUBLIC ":7443 is held by"));
        fake_call_free(call);
        assert_null(list(f)->address);
        assert_true(trial_answers(f));
    }
    close(other);
    assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
    assert_true(answers(PUBLIC, PORT));
    assert_int_equal(doing(f, RELEASE, PUBLIC, NULL), HACTL_OK);
    other = listen_on(PUBLIC, PORT);
    assert_int_equal(doing(f, CLAIM, PUBLIC, &call), HACTL_E_CONFLICT);
    fake_call_free(call);
    close(other);
    assert_int_equal(doing(f, CLAIM, "127.44.1.2", NULL), HACTL_OK); /* bound once already: started anew */
    assert_true(answers("127.44.1.2", PORT));
    assert_int_equal(doing(f, CLAIM, PUBLIC, &call), HACTL_E_CONFLICT);
    fake_call_free(call);
}

static void test_backends(void **state)
{
    struct fixture *f = *state;
    struct prober prober, client;
    int before, kept;

    whole(f, 2);
    assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
    prober_start(&prober, prober_run, true);
    prober_start(&client, client_run, false);
    prober_settle(&prober);
    prober_settle(&client);
    kept = dial(PUBLIC, PORT);
    assert_int_equal(ask(kept), 0);
    for (int i = 0; i < 3; i++) {
        before = f->echoes[2].served;
        assert_int_equal(backend(f, 2), HACTL_OK);
        wait_healthy(f, 3);
        wait_served(&f->echoes[2], before);
        assert_int_equal(doing(f, BACKEND_DESTROY, "demo-1", NULL), HACTL_OK);
        wait_quiet(&f->echoes[0]);
        assert_int_equal(doing(f, BACKEND_DESTROY, "demo-3", NULL), HACTL_OK);
        assert_int_equal(doing(f, BACKEND_DESTROY, "demo-3", NULL), HACTL_OK);
        assert_int_equal(backend(f, 0), HACTL_OK);
        wait_healthy(f, 2);
    }
    assert_int_equal(ask(kept), 0);
    close(kept);
    prober_stop(&prober);
    prober_stop(&client);
    assert_int_equal(prober.broken, 0);
    assert_int_equal(prober.refused, 0);
    assert_int_equal(client.failed, 0);
}

/* Before its first check has passed, nothing goes to a new backend. */
static void test_unchecked(void **state)
{
    struct fixture *f = *state;
    int failures = 0;

    whole(f, 1);
    echo_stop(&f->echoes[1]);
    assert_int_equal(backend(f, 1), HACTL_OK);
    for (int i = 0; i < 200; i++)
        failures += !trial_answers(f);
    assert_int_equal(failures, 0);
    assert_int_equal(healthy(f), 1);
    wait_detail(f, 1, "refused");
}

/* One command to haproxy, as somebody with socat would give it. */
static void control(struct fixture *f, const char *format, ...)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), directory;
    char path[512], command[256], answer[256];
    va_list arguments;

    snprintf(path, sizeof(path), "%s/run", f->directory);
    directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0 && directory >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/stats.sock", directory);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    assert_int_equal(send(fd, command, strlen(command), MSG_NOSIGNAL), (ssize_t)strlen(command));
    while (recv(fd, answer, sizeof(answer), 0) > 0)
        continue;
    close(directory);
    close(fd);
}

/* A server that somebody has drained, or put into maintenance, and that then
 * failed its check: haproxy shows it as DOWN, and it must serve again. */
static void test_drained_and_down(void **state)
{
    static const char *const states[] = {"drain", "maint"};
    struct fixture *f = *state;

    for (int i = 0; i < 2; i++) {
        whole(f, 2);
        control(f, "set server members/demo-2 state %s\n", states[i]);
        echo_stop(&f->echoes[1]);
        echo_stop(&f->echoes[0]);
        wait_detail(f, 0, "refused"); /* and so, by now, is the other one's check */
        list(f);
        assert_int_equal(f->listed->backend_count, 1); /* it is not behind the balancer */
        echo_start(&f->echoes[0], 1);
        echo_start(&f->echoes[1], 2);
        assert_int_equal(backend(f, 1), HACTL_OK);
        wait_healthy(f, 2);
        control(f, "set server members/demo-2 state %s\n", states[i]);
        assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
        wait_healthy(f, 2);
    }
}

static void test_killed(void **state)
{
    struct fixture *f = *state;
    pid_t pid;

    whole(f, 3);
    assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
    for (int i = 0; i < 2; i++) {
        pid = haproxy_pid(f);
        assert_int_equal(kill(pid, i ? SIGSTOP : SIGKILL), 0);
        sleep_ms(50);
        assert_int_equal(list(f)->running, HACTL_NO);
        assert_int_equal(f->listed->backend_count, 3);
        assert_int_equal(f->listed->backends[0].healthy, HACTL_NO);
        assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
        assert_int_not_equal(haproxy_pid(f), pid);
        assert_string_equal(list(f)->address, PUBLIC);
        wait_healthy(f, 3);
        assert_true(answers(PUBLIC, PORT));
    }
    assert_int_equal(doing(f, RELEASE, PUBLIC, NULL), HACTL_OK);
    assert_int_equal(dial(PUBLIC, PORT), -ECONNREFUSED);
    assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
    assert_true(answers(PUBLIC, PORT));
}

/* hactl was killed between setting the old process aside and starting a new one. */
static void test_half_replaced(void **state)
{
    struct fixture *f = *state;
    char *path = NULL, *aside = NULL;
    pid_t pid;

    whole(f, 1);
    assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
    pid = haproxy_pid(f);
    assert_true(asprintf(&path, "%s/run/haproxy.pid", f->directory) > 0);
    assert_true(asprintf(&aside, "%s/run/old-%d.pid", f->directory, (int)pid) > 0);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(list(f)->running, HACTL_NO);
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    assert_string_equal(list(f)->address, PUBLIC);
    assert_true(answers(PUBLIC, PORT));
    for (int i = 0; i < 500 && !ended(pid); i++)
        sleep_ms(20);
    assert_true(ended(pid));
    free(path);
    free(aside);
}

/* Other settings: a new process takes over without a lost connection. */
static void test_settings(void **state)
{
    static const struct fake_setting other[] = {
        {"check", "tcp"}, {"check_interval_ms", "150"}, {"balance", "roundrobin"}, {NULL, NULL}};
    struct fixture *f = *state;
    struct prober prober, client;
    pid_t pid;
    int kept;

    whole(f, 2);
    assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
    pid = haproxy_pid(f);
    kept = dial(PUBLIC, PORT);
    assert_int_equal(ask(kept), 0);
    prober_start(&prober, prober_run, true);
    prober_start(&client, client_run, false);
    prober_settle(&prober);
    prober_settle(&client);
    fixture_close(f);
    fixture_open(f, other);
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    assert_int_not_equal(haproxy_pid(f), pid);
    prober_settle(&prober);
    prober_settle(&client);
    assert_int_equal(ask(kept), 0);
    prober_stop(&prober);
    prober_stop(&client);
    assert_int_equal(prober.broken, 0);
    assert_int_equal(prober.refused, 0);
    assert_int_equal(client.failed, 0);
    close(kept);
    for (int i = 0; i < 500 && !ended(pid); i++)
        sleep_ms(20);
    assert_true(ended(pid));
    assert_int_equal(doing(f, RELEASE, PUBLIC, NULL), HACTL_OK);
    assert_int_equal(dial(PUBLIC, PORT), -ECONNREFUSED);
}

/* ---- hand-over between a relay and the balancer --------------------------------------- */

static pid_t relay_start(struct fixture *f)
{
    char *path = NULL, text[512];
    pid_t pid;

    assert_true(asprintf(&path, "%s/../relay.cfg", f->directory) > 0);
    snprintf(text, sizeof(text),
             "global\n  nbthread 1\n  noreuseport\ndefaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n"
             "  timeout server 1h\nlisten relay\n  bind %s:%d\n  server one %s:%d\n",
             PUBLIC, PORT, f->echoes[0].address, BACKEND_PORT);
    assert_int_equal(ha_file_replace(path, text, strlen(text), 0600, false), 0);
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 2);
        execl("/usr/sbin/haproxy", "haproxy", "-db", "-f", path, (char *)NULL);
        _exit(127);
    }
    free(path);
    return pid;
}

static void relay_wait(pid_t pid)
{
    for (int i = 0; i < 1000 && !answers(PUBLIC, PORT); i++) {
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        sleep_ms(1);
    }
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* As the relay's owner does: it asks to stop and sees that nobody listens. */
static void relay_release(pid_t pid)
{
    int fd;

    kill(pid, SIGUSR1);
    while ((fd = dial(PUBLIC, PORT)) >= 0)
        close(fd);
}

static void test_handover(void **state)
{
    /* No server is down because this process, which answers for them, was not run for a while: that ends connections.
     */
    static const struct fake_setting patient[] = {
        {"check", "tcp"}, {"check_interval_ms", "100"}, {"fall", "100"}, {NULL, NULL}};
    struct fixture *f = *state;
    enum { ROUNDS = 20 };
    double there[ROUNDS], back[ROUNDS], claim[ROUNDS], dark_ms, start;
    int judged = 0, failed = 0, broken = 0, ended = 0, answered = 0, refused = 0;
    struct prober prober, client;
    pid_t relay;

    fixture_close(f);
    fixture_open(f, patient);
    whole(f, 2);
    relay = relay_start(f);
    relay_wait(relay);
    for (int i = 0; i < ROUNDS; i++) {
        prober_start(&prober, prober_run, true);
        prober_start(&client, client_run, false);
        prober_settle(&prober);
        prober_settle(&client);
        dark_ms = now_ms();
        relay_release(relay);
        start = now_ms();
        assert_int_equal(doing(f, CLAIM, PUBLIC, NULL), HACTL_OK);
        claim[i] = now_ms() - start;
        dark_ms = now_ms() - dark_ms;
        prober_settle(&prober);
        prober_settle(&client);
        prober_stop(&prober);
        prober_stop(&client);
        there[i] = prober.worst_ms;
        if (prober.broken || client.failed)
            print_message("# round %d, to the balancer: %s %s\n", i, prober.why, client.why);
        /* On a machine that is too busy to run this process for so long, nothing is said of the hand-over. */
        if (dark_ms < REPEAT_MS) {
            failed += client.failed;
            judged++;
        }
        refused += client.refused;
        broken += prober.broken;
        ended += prober.ended;
        answered += client.answered;
        waitpid(relay, NULL, 0);

        prober_start(&prober, prober_run, true);
        prober_settle(&prober);
        assert_int_equal(doing(f, RELEASE, PUBLIC, NULL), HACTL_OK);
        relay = relay_start(f);
        relay_wait(relay);
        prober_settle(&prober);
        prober_stop(&prober);
        if (prober.broken)
            print_message("# round %d, back: %s\n", i, prober.why);
        back[i] = prober.worst_ms;
        broken += prober.broken;
        ended += prober.ended;
    }
    kill(relay, SIGKILL);
    waitpid(relay, NULL, 0);
    qsort(there, ROUNDS, sizeof(double), compare);
    qsort(back, ROUNDS, sizeof(double), compare);
    qsort(claim, ROUNDS, sizeof(double), compare);
    if (getenv("LB_GAPS"))
        printf("# relay->balancer median %.1f max %.1f ms; back median %.1f max %.1f ms; claim median %.1f max %.1f "
               "ms; client: %d answered, %d refused, %d failed; %d broken\n",
               there[ROUNDS / 2], there[ROUNDS - 1], back[ROUNDS / 2], back[ROUNDS - 1], claim[ROUNDS / 2],
               claim[ROUNDS - 1], answered, refused, failed, broken);
    if (broken)
        print_message("# %d exchanges failed over a connection that was kept, %d because it had ended\n", broken,
                      ended);
    /* Connections live through a hand-over, and clients that repeat once get an answer. */
    assert_int_equal(ended, 0);
    assert_int_equal(failed, 0);
    assert_true(judged > ROUNDS / 2);
}

/* ---- checks ------------------------------------------------------------------------- */

static pid_t tls_start(const char *directory, const char *address, bool mutual)
{
    char *command = NULL, accept[64];
    pid_t pid;

    assert_true(asprintf(&command,
                         "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days 1 "
                         "-keyout '%s/../key.pem' -out '%s/../cert.pem' 2>/dev/null",
                         directory, directory) > 0);
    assert_int_equal(system(command), 0);
    free(command);
    assert_true(asprintf(&command, "%s/..", directory) > 0);
    snprintf(accept, sizeof(accept), "%s:%d", address, BACKEND_PORT);
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        if (chdir(command) == 0)
            execlp("openssl", "openssl", "s_server", "-accept", accept, "-cert", "cert.pem", "-key", "key.pem",
                   mutual ? "-Verify" : "-verify", "1", "-CAfile", "cert.pem", "-min_protocol", "TLSv1.2", "-www",
                   (char *)NULL);
        _exit(127);
    }
    free(command);
    return pid;
}

/* A server that wants a client's certificate is healthy without one being
 * shown, and is not when it is stopped. */
static void checks_tls(struct fixture *f, const char *check, bool mutual)
{
    const struct fake_setting settings[] = {{"check", check},
                                            {"check_path", "/"},
                                            {"check_interval_ms", "100"},
                                            {"check_timeout_ms", "1000"},
                                            {NULL, NULL}};
    struct hactl_backend_want want = {.struct_size = sizeof(want), .name = "tls", .zone = "a", .address = "127.44.2.9"};
    struct hactl_call *call;
    double down_ms;
    pid_t pid;

    fixture_close(f);
    fixture_open(f, settings);
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    pid = tls_start(f->directory, want.address, mutual);
    call = fake_call_new(5000);
    assert_int_equal(plugin->balancer->backend_ensure(f->self, call, &f->want, &want), HACTL_OK);
    fake_call_free(call);
    wait_healthy(f, 1);
    sleep_ms(500);
    assert_int_equal(healthy(f), 1);
    kill(pid, SIGSTOP);
    down_ms = wait_healthy(f, 0);
    if (getenv("LB_GAPS"))
        printf("# %s: a stopped server is down after %.0f ms: %s\n", check, down_ms, f->listed->backends[0].detail);
    kill(pid, SIGCONT);
    wait_healthy(f, 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    wait_healthy(f, 0);
}

static void test_check_tls(void **state)
{
    checks_tls(*state, "tls", true);
}

static void test_check_https(void **state)
{
    checks_tls(*state, "https", false);
}

static void test_check(void **state)
{
    struct fixture *f = *state;
    struct hactl_call *call = fake_call_new(5000);

    assert_int_equal(plugin->check(f->self, call), HACTL_OK);
    fake_call_free(call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_check, setup, teardown),
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unchecked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drained_and_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handover, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_https, setup, teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    if (getenv("HACTL_TEST_ONLY"))
        cmocka_set_test_filter(getenv("HACTL_TEST_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
