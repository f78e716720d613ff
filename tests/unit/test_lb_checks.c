/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy's health checks of servers that speak TLS: `openssl s_server`, which can be stopped by a signal. */
#define _GNU_SOURCE
#include "tests/unit/lb_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

const unsigned lb_network = 3;

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
    char address[LB_ADDRESS_SIZE];
    struct hactl_backend_want want = {.struct_size = sizeof(want), .name = "tls", .zone = "a", .address = address};
    struct hactl_call *call;
    double down_ms;
    pid_t pid;

    lb_address(address, 9);
    fixture_close(f);
    fixture_open(f, settings);
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    pid = tls_start(f->directory, want.address, mutual);
    call = fake_call_new(5000);
    assert_int_equal(hactl_plugin.balancer->backend_ensure(f->self, call, &f->want, &want), HACTL_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_check_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_https, setup, teardown),
    };

    return lb_run(tests, sizeof(tests) / sizeof(tests[0]));
}
