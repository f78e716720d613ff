/* SPDX-License-Identifier: Apache-2.0 */
/* What the machines' stand-in for systemd reads in unit files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guest.h"

static struct guest_unit_file *read_text(const char *text)
{
    FILE *in = fmemopen((void *)text, strlen(text), "r");
    struct guest_unit_file *file;

    assert_non_null(in);
    file = guest_unit_file_parse(in);
    fclose(in);
    return file;
}

static void service(void **state)
{
    struct guest_unit_file *file = read_text("# comment\n[Unit]\nDescription=x\nAfter=network.target\n[Service]\n"
                                             "Type=notify\nExecStartPre=-/bin/mkdir /x\nExecStart=/bin/a --b \\\n"
                                             "    --c=\"d e\"\nRestart=on-failure\nRestartSec=5\nUser=nobody\n"
                                             "Environment=A=1 \"B=two words\"\nEnvironmentFile=-/etc/x\n"
                                             "TimeoutStopSec=1min\nRemainAfterExit=yes\n"
                                             "StandardOutput=journal+console\n[Install]\n"
                                             "WantedBy=multi-user.target\n");

    (void)state;
    assert_string_equal(file->type, "notify");
    assert_string_equal(file->start_pre[0], "-/bin/mkdir /x");
    assert_string_equal(file->start[0], "/bin/a --b      --c=\"d e\"");
    assert_null(file->start[1]);
    assert_int_equal(file->restart, RESTART_ON_FAILURE);
    assert_int_equal(file->restart_ms, 5000);
    assert_string_equal(file->user, "nobody");
    assert_string_equal(file->environment[0], "A=1");
    assert_string_equal(file->environment[1], "B=two words");
    assert_string_equal(file->environment_files[0], "-/etc/x");
    assert_int_equal(file->stop_ms, 60000);
    assert_true(file->remain_after_exit);
    assert_true(file->console);
    assert_true(file->wanted);
    guest_unit_file_free(file);
}

/* Sections matter, and an empty assignment forgets what was before. */
static void details(void **state)
{
    struct guest_unit_file *file = read_text("[Unit]\nExecStart=/bin/no\n[Service]\nExecStart=/bin/old\nExecStart=\n"
                                             "ExecStart=/bin/new\nRestart=always");

    (void)state;
    assert_string_equal(file->start[0], "/bin/new");
    assert_null(file->start[1]);
    assert_int_equal(file->restart, RESTART_ALWAYS);
    assert_string_equal(file->type, "simple");
    assert_false(file->wanted);
    assert_false(file->console);
    guest_unit_file_free(file);
}

static void durations(void **state)
{
    (void)state;
    assert_int_equal(guest_duration_ms("5"), 5000);
    assert_int_equal(guest_duration_ms("5s"), 5000);
    assert_int_equal(guest_duration_ms("200ms"), 200);
    assert_int_equal(guest_duration_ms("2min"), 120000);
    assert_int_equal(guest_duration_ms("0.5"), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(service), cmocka_unit_test(details),
                                       cmocka_unit_test(durations)};

    return cmocka_run_group_tests_name("unit files", tests, NULL, NULL);
}
