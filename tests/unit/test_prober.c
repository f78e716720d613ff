/* SPDX-License-Identifier: Apache-2.0 */
/* How long nobody answered, of an address that is a function here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#undef fail /* the name of a host service, too */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/prober.h"

enum { LONG_MS = 60000, A_MOMENT_MS = 60 };

/* The probes numbered first_dark ... last_dark fail; the first one is 1. */
struct address {
    atomic_int probes;
    int first_dark, last_dark;
};

static struct hactl_conf no_conf = {.instance = (char *)"it", .plugin = (char *)"none", .cluster = (char *)"demo"};
static struct ha_instance unstarted = {.conf = &no_conf};

static int probe(struct hactl_call *call)
{
    struct address *address = call->context;
    int number = atomic_fetch_add(&address->probes, 1) + 1;

    return number < address->first_dark || number > address->last_dark ? HACTL_OK : HACTL_E_UNAVAILABLE;
}

static struct ha_prober *start(struct address *address)
{
    struct hactl_call *call = ha_call_new(&unstarted, "probe", 1000);

    assert_non_null(call);
    call->run = probe;
    call->context = address;
    struct ha_prober *prober = ha_prober_start_with(call);
    assert_non_null(prober);
    return prober;
}

static void wait_for_probes(struct address *address, int count)
{
    for (int i = 0; i < LONG_MS && atomic_load(&address->probes) < count; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(atomic_load(&address->probes) >= count);
}

/* Whoever has waited for it has one good answer, from which a gap can be counted. */
static void test_answers(void **state)
{
    struct address address = {.first_dark = 1000000, .last_dark = 1000000};
    struct ha_report report = {0};
    struct ha_prober *prober = start(&address);

    (void)state;
    assert_true(ha_prober_await(prober, LONG_MS));
    assert_true(atomic_load(&address.probes) >= 1);
    ha_prober_stop(prober, true, &report);
    assert_true(report.gap_measured);
    assert_int_equal(report.endpoint_gap_ms, 0);
    assert_int_equal(report.probes, atomic_load(&address.probes));
    assert_int_equal(report.probes_failed, 0);
}

static void test_gap(void **state)
{
    struct address address = {.first_dark = 3, .last_dark = 6};
    struct ha_report report = {0};
    struct ha_prober *prober = start(&address);

    (void)state;
    assert_true(ha_prober_await(prober, LONG_MS));
    wait_for_probes(&address, 8);
    ha_prober_stop(prober, true, &report);
    assert_true(report.gap_measured);
    assert_true(report.endpoint_gap_ms >= 16); /* a rest after the good one, four after failed ones */
    assert_int_equal(report.probes_failed, 4);
}

/* It is waited for until it answers, and that it did not at first is no gap of 0. */
static void test_answers_later(void **state)
{
    struct address address = {.first_dark = 1, .last_dark = 5};
    struct ha_report report = {0};
    struct ha_prober *prober = start(&address);

    (void)state;
    assert_true(ha_prober_await(prober, LONG_MS));
    assert_true(atomic_load(&address.probes) >= 6);
    ha_prober_stop(prober, true, &report);
    assert_true(report.gap_measured);
    assert_true(report.endpoint_gap_ms >= 8);
    assert_int_equal(report.probes_failed, 5);
}

/* The one that has never answered has no gap that was measured, and is not waited for without an end. */
static void test_never_answers(void **state)
{
    struct address address = {.first_dark = 1, .last_dark = 1000000};
    struct ha_report report = {0};
    struct ha_prober *prober = start(&address);

    (void)state;
    assert_false(ha_prober_await(prober, A_MOMENT_MS));
    wait_for_probes(&address, 2);
    ha_prober_stop(prober, false, &report);
    assert_false(report.gap_measured);
    assert_true(report.endpoint_gap_ms > 0);
    assert_int_equal(report.probes_failed, report.probes);
    assert_true(report.probes >= 2);
}

static void test_nothing(void **state)
{
    struct ha_report report = {0};

    (void)state;
    assert_null(ha_prober_start_with(NULL));
    assert_false(ha_prober_await(NULL, LONG_MS));
    ha_prober_stop(NULL, true, &report);
    assert_int_equal(report.probes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),       cmocka_unit_test(test_gap),     cmocka_unit_test(test_answers_later),
        cmocka_unit_test(test_never_answers), cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests_name("prober", tests, NULL, NULL);
}
