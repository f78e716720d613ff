/* SPDX-License-Identifier: Apache-2.0 */
/* The balancer and its backends: what it holds, what its process survives. */
#define _GNU_SOURCE
#include "lib/process.h"
#include "tests/unit/lb_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const unsigned lb_network = 1;

static void test_check(void **state)
{
    struct fixture *f = *state;
    struct hactl_call *call = fake_call_new(5000);

    assert_int_equal(hactl_plugin.check(f->self, call), HACTL_OK);
    fake_call_free(call);
}

static void test_life(void **state)
{
    struct fixture *f = *state;
    const struct hactl_balancer *balancer;
    struct hactl_call *call;
    pid_t pid;

    assert_null(list(f));
    assert_int_equal(doing(f, CLAIM, public_address, &call), HACTL_E_NOT_FOUND);
    fake_call_free(call);
    assert_int_equal(doing(f, DESTROY, NULL, NULL), HACTL_OK);
    whole(f, 2);
    balancer = list(f);
    assert_non_null(balancer);
    assert_int_equal(balancer->running, HACTL_YES);
    assert_null(balancer->address);
    assert_true(answers(balancer->trial_host, balancer->trial_port));
    assert_int_equal(dial(public_address, PORT), -ECONNREFUSED);

    pid = haproxy_pid(f);
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    assert_int_equal(backend(f, 0), HACTL_OK);
    assert_int_equal(haproxy_pid(f), pid);

    for (int i = 0; i < 3; i++) {
        assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
        assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
        assert_true(answers(public_address, PORT));
        assert_string_equal(list(f)->address, public_address);
        assert_int_equal(doing(f, RELEASE, public_address, NULL), HACTL_OK);
        assert_int_equal(doing(f, RELEASE, public_address, NULL), HACTL_OK);
        assert_int_equal(dial(public_address, PORT), -ECONNREFUSED);
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
    char held[64], elsewhere[LB_ADDRESS_SIZE];
    struct hactl_call *call;
    int other;

    snprintf(held, sizeof(held), "%s:%d is held by", public_address, PORT);
    lb_address(elsewhere, 2);
    whole(f, 1);
    other = listen_on(public_address, PORT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(doing(f, CLAIM, public_address, &call), HACTL_E_CONFLICT);
        assert_non_null(strstr(call->text, held));
        fake_call_free(call);
        assert_null(list(f)->address);
        assert_true(trial_answers(f));
    }
    close(other);
    assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
    assert_true(answers(public_address, PORT));
    assert_int_equal(doing(f, RELEASE, public_address, NULL), HACTL_OK);
    other = listen_on(public_address, PORT);
    assert_int_equal(doing(f, CLAIM, public_address, &call), HACTL_E_CONFLICT);
    fake_call_free(call);
    close(other);
    assert_int_equal(doing(f, CLAIM, elsewhere, NULL), HACTL_OK); /* bound once already: started anew */
    assert_true(answers(elsewhere, PORT));
    assert_int_equal(doing(f, CLAIM, public_address, &call), HACTL_E_CONFLICT);
    fake_call_free(call);
}

static void test_backends(void **state)
{
    struct fixture *f = *state;
    struct prober prober, client;
    int before, kept;

    whole(f, 2);
    assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
    prober_start(&prober, prober_run, true);
    prober_start(&client, client_run, false);
    prober_settle(&prober);
    prober_settle(&client);
    kept = dial(public_address, PORT);
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
    assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
    for (int i = 0; i < 2; i++) {
        pid = haproxy_pid(f);
        assert_int_equal(kill(pid, i ? SIGSTOP : SIGKILL), 0);
        sleep_ms(50);
        assert_int_equal(list(f)->running, HACTL_NO);
        assert_true(i ? strcmp(list(f)->address, public_address) == 0 : !list(f)->address); /* the kernel's listener */
        assert_int_equal(f->listed->backend_count, 3);
        assert_int_equal(f->listed->backends[0].healthy, HACTL_NO);
        assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
        assert_int_not_equal(haproxy_pid(f), pid);
        assert_string_equal(list(f)->address, public_address);
        wait_healthy(f, 3);
        assert_true(answers(public_address, PORT));
    }
    assert_int_equal(doing(f, RELEASE, public_address, NULL), HACTL_OK);
    assert_int_equal(dial(public_address, PORT), -ECONNREFUSED);
    assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
    assert_true(answers(public_address, PORT));
}

static bool says(const char *text, const char *words)
{
    return text && strstr(text, words);
}

/* It cannot hand its socket out, and still nobody else can have the address before it has been released. */
static void test_stopped_release(void **state)
{
    struct fixture *f = *state;
    pid_t pid;

    whole(f, 1);
    assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
    pid = haproxy_pid(f);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    for (int i = 0; i < 500 && !says(list(f)->detail, "is stopped by a signal"); i++)
        sleep_ms(20);
    assert_true(says(f->listed->balancers[0].detail, "is stopped by a signal"));
    assert_int_equal(f->listed->balancers[0].running, HACTL_NO);
    assert_string_equal(f->listed->balancers[0].address, public_address);
    assert_int_equal(doing(f, RELEASE, public_address, NULL), HACTL_OK);
    assert_true(ended(pid));
    assert_null(list(f)->address);
    assert_int_equal(dial(public_address, PORT), -ECONNREFUSED);
    assert_int_equal(doing(f, RELEASE, public_address, NULL), HACTL_OK);
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    assert_null(list(f)->address);
    assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
    wait_healthy(f, 1);
    assert_true(answers(public_address, PORT));
}

/* hactl was killed between setting the old process aside and starting a new one. */
static void test_half_replaced(void **state)
{
    struct fixture *f = *state;
    char *path = NULL, *aside = NULL;
    pid_t pid;

    whole(f, 1);
    assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
    pid = haproxy_pid(f);
    assert_true(asprintf(&path, "%s/run/haproxy.pid", f->directory) > 0);
    assert_true(asprintf(&aside, "%s/run/old-%d.pid", f->directory, (int)pid) > 0);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(list(f)->running, HACTL_NO);
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    assert_string_equal(list(f)->address, public_address);
    assert_true(answers(public_address, PORT));
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
    assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
    pid = haproxy_pid(f);
    kept = dial(public_address, PORT);
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
    assert_int_equal(doing(f, RELEASE, public_address, NULL), HACTL_OK);
    assert_int_equal(dial(public_address, PORT), -ECONNREFUSED);
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
        cmocka_unit_test_setup_teardown(test_stopped_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
    };

    return lb_run(tests, sizeof(tests) / sizeof(tests[0]));
}
