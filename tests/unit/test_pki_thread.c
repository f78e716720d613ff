/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that begins at once: on another processor, and free to go anywhere as soon as it runs. */
#include "plugins/pki/pki.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct seen {
    cpu_set_t processors;
    sigset_t blocked;
} seen;

static void *look(void *argument)
{
    struct seen *here = argument;

    assert_int_equal(sched_getaffinity(0, sizeof here->processors, &here->processors), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &here->blocked);
    return here;
}

static void make_one(void)
{
    pthread_t thread;
    void *result = NULL;

    assert_int_equal(pki_thread_create(&thread, look, &seen), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &seen);
}

static void test_processors(void **state)
{
    cpu_set_t ours;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof ours, &ours), 0);
    make_one();
    assert_true(CPU_EQUAL(&ours, &seen.processors));
    assert_int_equal(pki_processors(), CPU_COUNT(&ours));
}

static void test_one_processor(void **state)
{
    cpu_set_t ours, one;
    int first = 0;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof ours, &ours), 0);
    while (!CPU_ISSET(first, &ours))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    make_one();
    assert_true(CPU_EQUAL(&one, &seen.processors));
    assert_int_equal(sched_setaffinity(0, sizeof ours, &ours), 0);
}

static void test_signals(void **state)
{
    sigset_t before, after;

    (void)state;
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    make_one();
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&seen.blocked, SIGINT), 1);
    assert_int_equal(sigismember(&seen.blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&after, SIGINT), 0);
    assert_int_equal(sigismember(&after, SIGUSR2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processors),
        cmocka_unit_test(test_one_processor),
        cmocka_unit_test(test_signals),
    };

    return cmocka_run_group_tests_name("pki_thread", tests, NULL, NULL);
}
