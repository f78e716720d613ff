/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a log when a unit has died. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/change_internal.h"
#include "lib/log_line.h"

#define INFO  "{\"level\":\"info\",\"msg\":\"serving client requests\"}"
#define WARN  "{\"level\":\"warn\",\"msg\":\"slow fdatasync\"}"
#define FATAL "{\"level\":\"fatal\",\"msg\":\"discovery failed\"}"

static void test_weights(void **state)
{
    static const struct {
        const char *line;
        enum ha_log_weight weight;
    } cases[] = {
        {"", HA_LOG_NOTHING},
        {" \t\r", HA_LOG_NOTHING},
        {INFO, HA_LOG_CHATTER},
        {"{\"level\":\"debug\"}", HA_LOG_CHATTER},
        {"2026-11-25 16:17:28.352327 I | etcdmain: etcd Version: 3.4.23", HA_LOG_CHATTER},
        {"2026-11-25 16:17:28.352327 N | etcdserver: set the initial cluster version", HA_LOG_CHATTER},
        {WARN, HA_LOG_WARNING},
        {"2026-11-25 16:17:28.352327 W | rafthttp: lost the connection", HA_LOG_WARNING},
        {FATAL, HA_LOG_REASON},
        {"{\"level\":\"error\"}", HA_LOG_REASON},
        {"{\"level\":\"panic\"}", HA_LOG_REASON},
        {"2026-11-25 16:17:28.352327 C | etcdmain: listen tcp: address already in use", HA_LOG_REASON},
        {"panic: runtime error", HA_LOG_REASON},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(ha_log_weight_of(cases[i].line), cases[i].weight);
}

static void assert_words(const char *log, const char *expected)
{
    char text[2048], words[400];

    snprintf(text, sizeof(text), "%s", log);
    ha_unit_log_words(text, words, sizeof(words));
    assert_string_equal(words, expected);
}

static void test_words(void **state)
{
    (void)state;
    assert_words("", "");
    assert_words("\n \n", "");
    assert_words("one\ntwo\nthree\nfour\n", "two | three | four");
    assert_words("out of memory\n" INFO "\n" INFO "\n" INFO "\n" INFO "\n", "out of memory");
    assert_words(INFO "\n" FATAL "\n" WARN "\n" INFO "\n", FATAL);
    assert_words(INFO "\n" WARN "\n" INFO "\n", WARN);
    assert_words(INFO "\n\n", INFO); /* it was killed, and nothing else is there to tell */
    assert_words(INFO "\nlisten 1000\n" WARN "\naddress in use", "listen 1000 | address in use");
}

static void test_words_that_do_not_fit(void **state)
{
    char text[600], words[40];

    (void)state;
    snprintf(text, sizeof(text), "%0300d\n%0200d\n", 1, 2);
    ha_unit_log_words(text, words, sizeof(words));
    assert_int_equal(strlen(words), sizeof(words) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_words_that_do_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
