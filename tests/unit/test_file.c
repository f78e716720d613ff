/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/file.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[64];

static int setup(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/hactl-file-XXXXXX");
    return mkdtemp(top) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return ha_tree_remove(top);
}

static const char *in_top(const char *name)
{
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", top, name);
    return path;
}

static void assert_holds(const char *name, const char *content, mode_t mode)
{
    struct stat status;
    char *got = NULL;
    size_t size;

    assert_int_equal(lstat(in_top(name), &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_equal(status.st_mode & 07777, mode);
    assert_int_equal(ha_file_read(in_top(name), 100, &got, &size), 0);
    assert_int_equal(size, strlen(content));
    assert_string_equal(got, content);
    free(got);
}

/* Nothing but what is named is left, no temporary file above all. */
static void assert_entries(int expected)
{
    struct dirent **entries;
    int count = scandir(top, &entries, NULL, NULL);

    assert_int_equal(count, expected + 2);
    while (count > 0)
        free(entries[--count]);
    free(entries);
}

static void test_create(void **state)
{
    mode_t mask = umask(0);

    (void)state;
    assert_int_equal(ha_file_create(in_top("key"), "one", 3, 0600, true), 0);
    assert_holds("key", "one", 0600);
    assert_int_equal(ha_file_create(in_top("key"), "two", 3, 0600, true), -EEXIST);
    assert_holds("key", "one", 0600);
    umask(0077);
    assert_int_equal(ha_file_create(in_top("open"), "", 0, 0644, false), 0);
    assert_holds("open", "", 0644);
    umask(mask);
    assert_int_equal(symlink(in_top("nowhere"), in_top("link")), 0);
    assert_int_equal(ha_file_create(in_top("link"), "x", 1, 0600, false), -EEXIST);
    assert_int_equal(access(in_top("nowhere"), F_OK), -1);
    assert_int_equal(ha_file_create(in_top("no/such"), "x", 1, 0600, false), -ENOENT);
    assert_int_equal(ha_file_create(in_top("."), "x", 1, 0600, false), -EINVAL);
}

static void test_replace(void **state)
{
    (void)state;
    assert_int_equal(ha_file_replace(in_top("file"), "one", 3, 0644, true), 0);
    assert_int_equal(ha_file_replace(in_top("file"), "two", 3, 0600, false), 0);
    assert_holds("file", "two", 0600);
    assert_entries(1);
    /* A link is replaced, what it points to is not written. */
    assert_int_equal(symlink("file", in_top("link")), 0);
    assert_int_equal(ha_file_replace(in_top("link"), "three", 5, 0600, true), 0);
    assert_holds("file", "two", 0600);
    assert_holds("link", "three", 0600);
    assert_int_equal(mkdir(in_top("directory"), 0700), 0);
    assert_int_equal(ha_file_replace(in_top("directory"), "x", 1, 0600, false), -EISDIR);
    assert_entries(3);
}

static void test_replace_relative(void **state)
{
    char before[512];

    (void)state;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(top), 0);
    assert_int_equal(ha_file_replace("here", "x", 1, 0600, true), 0);
    assert_int_equal(chdir(before), 0);
    assert_holds("here", "x", 0600);
}

static void test_update(void **state)
{
    bool changed;

    (void)state;
    assert_int_equal(ha_file_update(in_top("file"), "one", 3, 0644, &changed), 0);
    assert_true(changed);
    assert_int_equal(ha_file_update(in_top("file"), "one", 3, 0644, &changed), 0);
    assert_false(changed);
    assert_int_equal(ha_file_update(in_top("file"), "one", 3, 0600, &changed), 0);
    assert_true(changed);
    assert_int_equal(ha_file_update(in_top("file"), "two", 3, 0600, &changed), 0);
    assert_true(changed);
    assert_int_equal(ha_file_update(in_top("file"), "", 0, 0600, &changed), 0);
    assert_true(changed);
    assert_int_equal(ha_file_update(in_top("file"), "", 0, 0600, &changed), 0);
    assert_false(changed);
}

static void test_read(void **state)
{
    char *content = NULL;
    size_t size = 0;

    (void)state;
    assert_int_equal(ha_file_read(in_top("file"), 10, &content, &size), -ENOENT);
    assert_int_equal(ha_file_replace(in_top("file"), "ab\0cd", 5, 0600, false), 0);
    assert_int_equal(ha_file_read(in_top("file"), 4, &content, &size), -EFBIG);
    assert_int_equal(ha_file_read(in_top("file"), 5, &content, &size), 0);
    assert_int_equal(size, 5);
    assert_memory_equal(content, "ab\0cd\0", 6);
    free(content);
    assert_int_equal(ha_file_read(top, 10, &content, &size), -EISDIR);
    assert_int_equal(mkfifo(in_top("fifo"), 0600), 0);
    assert_int_equal(ha_file_read(in_top("fifo"), 10, &content, &size), 0); /* does not hang */
    assert_int_equal(size, 0);
    free(content);
    /* Files of /proc say that they are empty, and are not. */
    assert_int_equal(ha_file_read("/proc/self/status", 1 << 20, &content, &size), 0);
    assert_true(size > 100);
    free(content);
    assert_int_equal(ha_file_read("/proc/self/status", 100, &content, &size), -EFBIG);
}

static void test_full_disk(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(ha_file_replace(in_top("file"), "old", 3, 0600, true), 0);
    pid = fork();
    if (pid == 0) {
        struct rlimit limit = {4, 4};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(ha_file_replace(in_top("file"), "too much", 8, 0600, true) == -EFBIG &&
                      ha_file_create(in_top("new"), "too much", 8, 0600, true) == -EFBIG
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_holds("file", "old", 0600);
    assert_entries(1);
}

static void test_directory(void **state)
{
    struct stat status;
    mode_t mask = umask(0022);

    (void)state;
    assert_int_equal(ha_directory_make(in_top("a/b/c/"), 0755), 0);
    assert_int_equal(stat(in_top("a/b/c"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
    assert_int_equal(stat(in_top("a/b"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(ha_directory_make(in_top("a/b/c"), 0700), 0);
    assert_int_equal(stat(in_top("a/b/c"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(ha_file_create(in_top("file"), "", 0, 0600, false), 0);
    assert_int_equal(ha_directory_make(in_top("file"), 0700), -ENOTDIR);
    assert_int_equal(ha_directory_make(in_top("file/more"), 0700), -ENOTDIR);
    assert_int_equal(ha_directory_make("", 0700), -ENOENT);
    assert_int_equal(ha_directory_sync(in_top("a")), 0);
    assert_int_equal(ha_directory_sync(in_top("none")), -ENOENT);
    umask(mask);
}

static void test_tree_remove(void **state)
{
    (void)state;
    assert_int_equal(ha_tree_remove(in_top("none")), 0);
    assert_int_equal(ha_tree_remove(in_top("none/below")), 0);
    assert_int_equal(ha_directory_make(in_top("tree/deep/er"), 0700), 0);
    assert_int_equal(ha_directory_make(in_top("other"), 0700), 0);
    assert_int_equal(ha_file_create(in_top("other/kept"), "x", 1, 0600, false), 0);
    assert_int_equal(ha_file_create(in_top("tree/deep/file"), "x", 1, 0400, false), 0);
    assert_int_equal(symlink(in_top("other"), in_top("tree/deep/link")), 0);
    assert_int_equal(mkfifo(in_top("tree/fifo"), 0600), 0);
    assert_int_equal(ha_tree_remove(in_top("tree/")), 0);
    assert_int_equal(access(in_top("tree"), F_OK), -1);
    assert_int_equal(symlink(in_top("other"), in_top("link")), 0);
    assert_int_equal(ha_tree_remove(in_top("link")), 0);
    assert_int_equal(access(in_top("link"), F_OK), -1);
    assert_holds("other/kept", "x", 0600);
    assert_int_equal(ha_tree_remove(in_top("..")), -EINVAL);
    ha_secret_free(NULL, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create), TEST(test_replace),   TEST(test_replace_relative), TEST(test_update),
        TEST(test_read),   TEST(test_full_disk), TEST(test_directory),        TEST(test_tree_remove),
    };

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
