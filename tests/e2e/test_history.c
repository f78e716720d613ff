/* SPDX-License-Identifier: Apache-2.0 */
/* The checker bites: good histories pass, each bad one is caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/e2e/history.h"

#define WRITE(v, from, to)       \
    {                            \
        true, false, v, from, to \
    }
#define LOST(v, from)          \
    {                          \
        true, true, v, from, 0 \
    }
#define READ(v, from, to)         \
    {                             \
        false, false, v, from, to \
    }

static const struct {
    const char *name;
    bool good;
    struct event events[8];
    size_t count;
} cases[] = {
    {"one after the other", true, {WRITE(1, 0, 10), READ(1, 20, 30), WRITE(2, 40, 50), READ(2, 60, 70)}, 4},
    {"a read before any write", true, {READ(0, 0, 5), WRITE(1, 10, 20), READ(1, 30, 40)}, 3},
    {"a read that overlaps sees the old",
     true,
     {WRITE(1, 0, 10), WRITE(2, 20, 40), READ(1, 25, 30), READ(2, 35, 50)},
     4},
    {"a lost write that was never seen", true, {WRITE(1, 0, 10), LOST(2, 20), READ(1, 100, 110)}, 3},
    {"a lost write that happened late", true, {WRITE(1, 0, 10), LOST(2, 20), READ(1, 100, 110), READ(2, 200, 210)}, 4},
    {"two writes at once, either order", true, {WRITE(1, 0, 50), WRITE(2, 0, 50), READ(1, 60, 70)}, 3},
    {"stale read after a newer one", false, {WRITE(1, 0, 10), WRITE(2, 20, 30), READ(2, 40, 50), READ(1, 60, 70)}, 4},
    {"stale read after a newer write", false, {WRITE(1, 0, 10), WRITE(2, 20, 30), READ(1, 40, 50)}, 3},
    {"an acknowledged write is lost", false, {WRITE(1, 0, 10), READ(0, 20, 30)}, 2},
    {"a value from nowhere", false, {WRITE(1, 0, 10), READ(9, 20, 30)}, 2},
    {"read before it was written", false, {READ(1, 0, 5), WRITE(1, 10, 20)}, 2},
    {"there and back again",
     false,
     {WRITE(1, 0, 100), WRITE(2, 0, 100), READ(1, 110, 120), READ(2, 130, 140), READ(1, 150, 160)},
     5},
    {"a lost write seen, then unseen", false, {WRITE(1, 0, 10), LOST(2, 20), READ(2, 30, 40), READ(1, 50, 60)}, 4},
};

static void test_cases(void **state)
{
    char why[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (history_is_linearizable(cases[i].events, cases[i].count, why, sizeof why) != cases[i].good)
            fail_msg("%s: taken for %s", cases[i].name, cases[i].good ? "bad" : "good");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
