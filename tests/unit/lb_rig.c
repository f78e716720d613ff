/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tests/unit/lb_rig.h"

#include "lib/file.h"
#include "lib/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fixture_open(struct fixture *f, const struct fake_setting *settings)
{
    struct hactl_call *call = fake_call_new(5000);

    f->conf = fake_conf_new(hactl_plugin.keys, settings, "lb", "demo", f->directory);
    assert_int_equal(hactl_plugin.open(&fake_host, f->conf, call, &f->self), HACTL_OK);
    fake_call_free(call);
}

void fixture_close(struct fixture *f)
{
    hactl_plugin.close(f->self);
    fake_conf_free(f->conf);
}

int setup(void **state)
{
    static const struct fake_setting settings[] = {{"check", "tcp"}, {"check_interval_ms", "100"}, {NULL, NULL}};
    struct fixture *f = calloc(1, sizeof(*f));
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";

    signal(SIGPIPE, SIG_IGN);
    lb_address(public_address, 1);
    /* Longer than the path of a unix socket can be. */
    assert_true(asprintf(&f->directory, "%s/test_lb.%d/%0150d", base, (int)getpid(), 0) > 0);
    f->cluster = (struct hactl_cluster){.struct_size = sizeof(f->cluster),
                                        .name = "demo",
                                        .external_address = public_address,
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

int doing(struct fixture *f, enum verb verb, const char *text, struct hactl_call **out)
{
    const struct hactl_balancer_ops *ops = hactl_plugin.balancer;
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

int backend(struct fixture *f, int i)
{
    char name[24];
    struct hactl_backend_want want = {
        .struct_size = sizeof(want), .name = name, .zone = "a", .address = f->echoes[i].address};
    struct hactl_call *call = fake_call_new(5000);
    int rc;

    snprintf(name, sizeof(name), "demo-%d", i + 1);
    rc = hactl_plugin.balancer->backend_ensure(f->self, call, &f->want, &want);
    if (rc < 0)
        print_error("backend_ensure: %d: %s\n", rc, call->text);
    fake_call_free(call);
    return rc;
}

const struct hactl_balancer *list(struct fixture *f)
{
    fake_call_free(f->listed);
    f->listed = NULL;
    assert_int_equal(doing(f, LIST, NULL, &f->listed), HACTL_OK);
    return f->listed->balancer_count ? &f->listed->balancers[0] : NULL;
}

bool trial_answers(struct fixture *f)
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

size_t healthy(struct fixture *f)
{
    size_t count = 0;

    list(f);
    for (size_t i = 0; i < f->listed->backend_count; i++)
        count += f->listed->backends[i].healthy == HACTL_YES;
    return count;
}

double wait_healthy(struct fixture *f, size_t count)
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

void wait_detail(struct fixture *f, size_t index, const char *word)
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

void wait_served(const struct echo *echo, int before)
{
    double start = now_ms();

    while (echo->served == before && now_ms() - start < 5000)
        sleep_ms(5);
    assert_true(echo->served > before);
}

void wait_quiet(const struct echo *echo)
{
    double start = now_ms();
    int before;

    do {
        before = echo->served;
        sleep_ms(100);
    } while (echo->served != before && now_ms() - start < 5000);
    assert_int_equal(echo->served, before);
}

void whole(struct fixture *f, size_t count)
{
    assert_int_equal(doing(f, ENSURE, NULL, NULL), HACTL_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(backend(f, (int)i), HACTL_OK);
    wait_healthy(f, count);
}

pid_t haproxy_pid(struct fixture *f)
{
    char *path = NULL;
    pid_t pid = 0;

    assert_true(asprintf(&path, "%s/run/haproxy.pid", f->directory) > 0);
    ha_daemon_state(path, &pid);
    free(path);
    return pid;
}

int teardown(void **state)
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

bool ended(pid_t pid)
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

int lb_run(const struct CMUnitTest *tests, size_t count)
{
    if (getenv("HACTL_TEST_ONLY"))
        cmocka_set_test_filter(getenv("HACTL_TEST_ONLY"));
    return _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
}
