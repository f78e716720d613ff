/* SPDX-License-Identifier: Apache-2.0 */
/* The address moves between a relay and the balancer, and back, under clients. */
#define _GNU_SOURCE
#include "lib/file.h"
#include "tests/unit/lb_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const unsigned lb_network = 2;

static pid_t relay_start(struct fixture *f)
{
    char *path = NULL, text[512];
    pid_t pid;

    assert_true(asprintf(&path, "%s/../relay.cfg", f->directory) > 0);
    snprintf(text, sizeof(text),
             "global\n  nbthread 1\n  noreuseport\ndefaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n"
             "  timeout server 1h\nlisten relay\n  bind %s:%d\n  server one %s:%d\n",
             public_address, PORT, f->echoes[0].address, BACKEND_PORT);
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
    for (int i = 0; i < 1000 && !answers(public_address, PORT); i++) {
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
    while ((fd = dial(public_address, PORT)) >= 0)
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
        assert_int_equal(doing(f, CLAIM, public_address, NULL), HACTL_OK);
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
        assert_int_equal(doing(f, RELEASE, public_address, NULL), HACTL_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handover, setup, teardown),
    };

    return lb_run(tests, sizeof(tests) / sizeof(tests[0]));
}
