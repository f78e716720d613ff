/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate and its key change in one instant, and a process that is killed between leaves a pair. */
#define _GNU_SOURCE
#include "tests/unit/local_rig.h"

#include "lib/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the place of the C library's: the process ends at the one of them that a test names. */
static int names_until_end;

static void pass(void)
{
    if (names_until_end > 0 && --names_until_end == 0)
        _exit(77);
}

int rename(const char *from, const char *to)
{
    pass();
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    pass();
    return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
}

int link(const char *from, const char *to)
{
    pass();
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
    pass();
    return (int)syscall(SYS_unlinkat, directory, name, flags);
}

/* A certificate, its key, and a file beside them that stays. */
static int deliver_pair(const char *content)
{
    const char *const paths[] = {"pair/tls.crt", "pair/tls.key", "greeting"};
    struct hactl_file list[3];
    const struct hactl_file *files[3];
    struct hactl_payload payload = {
        .struct_size = sizeof(payload), .name = "greeter", .digest = content, .files = files, .file_count = 3};

    for (size_t i = 0; i < 3; i++) {
        const char *text = i < 2 ? content : "stays";
        list[i] = (struct hactl_file){.struct_size = sizeof(list[i]),
                                      .path = paths[i],
                                      .mode = 0600,
                                      .content = text,
                                      .content_size = strlen(text)};
        files[i] = &list[i];
    }
    return cloud()->deliver(world.self, next_call(), "demo-1", &payload);
}

static void assert_pair(const char *content)
{
    static const char *const paths[] = {"pair/tls.crt", "pair/tls.key", "greeting"};
    char path[256], first[16] = "";

    for (size_t i = 0; i < 3; i++) {
        char *text = NULL;
        size_t size = 0;
        snprintf(path, sizeof(path), "instances/%%s/payloads/greeter/%s", paths[i]);
        assert_int_equal(ha_file_read(below(path, "demo-1"), 100, &text, &size), 0);
        if (i == 0)
            snprintf(first, sizeof(first), "%s", text);
        assert_string_equal(text, i == 2 ? "stays" : content ? content : first);
        free(text);
    }
}

/* Killed at any moment, both are the old ones or both the new ones, and the next delivery makes an end. */
static void test_pairs_are_replaced_in_one_instant(void **state)
{
    int status = 0, ends = 0;
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver_pair("one"), HACTL_OK);
    for (int n = 1; n == 1 || WEXITSTATUS(status) == 77; n++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            names_until_end = n;
            _exit(deliver_pair("two") == HACTL_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
        assert_pair(WEXITSTATUS(status) == 77 ? NULL : "two");
        ends += WEXITSTATUS(status) == 77;
        assert_int_equal(deliver_pair("two"), HACTL_OK);
        assert_pair("two");
        assert_int_equal(access(below("instances/%s/payloads/greeter.hactl-aside", "demo-1"), F_OK), -1);
        assert_int_equal(access(below("instances/%s/payloads/greeter/pair/tls.key.hactl-new", "demo-1"), F_OK), -1);
        assert_int_equal(deliver_pair("one"), HACTL_OK);
    }
    assert_in_range(ends, 6, 60);
}

/* What a unit made there itself stays where it is: then one by one. */
static void test_what_others_made_beside_a_pair_stays(void **state)
{
    char other[512];
    (void)state;

    make_instance("demo-1");
    assert_int_equal(deliver_pair("one"), HACTL_OK);
    snprintf(other, sizeof(other), "%s", below("instances/%s/payloads/greeter/pair/other", "demo-1"));
    assert_int_equal(ha_file_replace(other, "x", 1, 0600, false), 0);
    assert_int_equal(deliver_pair("two"), HACTL_OK);
    assert_pair("two");
    assert_int_equal(access(other, F_OK), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EACH(test_pairs_are_replaced_in_one_instant),
        EACH(test_what_others_made_beside_a_pair_stays),
    };

    local_rig(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
