/* SPDX-License-Identifier: Apache-2.0 */
/* The pki plugin when the file system is in its way, and when all of it is taken down. */
#define _GNU_SOURCE
#include "tests/unit/pki_rig.h"

#include "lib/file.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_links(void **state)
{
    static const char *const links[] = {"ca.key",   "etcd/peer-ca.crt", "replicas/demo-1/pki/etcd/peer.key",
                                        "etcd",     "replicas",         "replicas/demo-1",
                                        "operator", "archive"};
    char target[128];

    (void)state;
    snprintf(target, sizeof target, "%s/target", top);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        bool is_directory = strchr(links[i], '.') == NULL;
        char inside[160];
        int first, second, third;
        if (is_directory)
            assert_int_equal(mkdir(target, 0700), 0);
        else
            spill(target, "mine\n", 0600);
        assert_int_equal(ha_directory_make(directory, 0700), 0);
        if (strncmp(links[i], "etcd/", 5) == 0)
            assert_int_equal(ha_directory_make(path_of("etcd"), 0700), 0);
        if (strncmp(links[i], "replicas/", 9) == 0)
            assert_int_equal(ha_directory_make(path_of(is_directory ? "replicas" : "replicas/demo-1/pki/etcd"), 0700),
                             0);
        assert_int_equal(symlink(target, path_of(links[i])), 0);
        first = authorities();
        second = issue(NULL);
        third = issue("demo-1");
        if (first != HACTL_OK)
            assert_int_equal(first, HACTL_E_CONFLICT);
        if (strcmp(links[i], "archive") != 0) /* it is looked at only when an authority goes there */
            assert_true(first != HACTL_OK || second != HACTL_OK || third == HACTL_E_CONFLICT);
        list_all();
        hactl_plugin.issuer->retire(self, fresh_call(), "demo-1");
        assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
        if (is_directory) {
            assert_int_equal(rmdir(target), 0); /* empty: nothing was written there */
        } else {
            char *content = slurp(target);
            assert_string_equal(content, "mine\n");
            unlink(target);
        }
        snprintf(inside, sizeof inside, "%s/pki", top);
        assert_int_equal(ha_tree_remove(inside), 0);
    }
}

static int rotate(const char *authority, enum hactl_rotation phase)
{
    return hactl_plugin.issuer->rotate(self, fresh_call(), &inventory, authority, phase);
}

/* Whatever is in the place of the archive ends the search for a free name in it. */
static void test_archive_in_the_way(void **state)
{
    enum { LINK, PLAIN_FILE, LOOSE, WAYS };
    static const struct {
        int retired, destroyed;
        const char *said;
    } expected[WAYS] = {{HACTL_E_CONFLICT, HACTL_OK, "is a symbolic link"},
                        {HACTL_E_CONFLICT, HACTL_OK, "Not a directory"},
                        {HACTL_E_DENIED, HACTL_E_DENIED, "others may write to"}};

    (void)state;
    alarm(300); /* it used to search for ever */
    for (int way = 0; way < WAYS; way++) {
        make_all();
        for (int phase = HACTL_ROTATION_PREPARE; phase <= HACTL_ROTATION_SWITCH; phase++)
            assert_int_equal(rotate("front-proxy-ca", (enum hactl_rotation)phase), HACTL_OK);
        make_all();
        assert_int_equal(rotate("front-proxy-ca", HACTL_ROTATION_RETIRE), HACTL_OK);
        if (way == LINK)
            assert_int_equal(symlink(top, path_of("archive")), 0);
        else if (way == PLAIN_FILE)
            spill(path_of("archive"), "mine\n", 0600);
        else
            assert_int_equal(mkdir(path_of("archive"), 0700) + chmod(path_of("archive"), 0777), 0);
        assert_int_equal(rotate("front-proxy-ca", HACTL_ROTATION_NONE), expected[way].retired);
        assert_said(path_of("archive/front-proxy-ca-1.crt"));
        assert_said(expected[way].said);
        assert_true(there("front-proxy-ca.previous.key"));
        assert_int_equal(hactl_plugin.issuer->retire(self, fresh_call(), "demo-1"), HACTL_OK);
        assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), expected[way].destroyed);
        if (way == LOOSE)
            assert_said(path_of("archive"));
        assert_true(there("archive"));
        assert_int_equal(ha_tree_remove(directory), 0);
    }
    alarm(0);
}

/* A file size limit stands for a full disk: writes fail half-way. */
static void test_full_disk(void **state)
{
    static const rlim_t limits[] = {0, 100, 300, 600};

    (void)state;
    make_all();
    cluster.external_address = "127.81.0.200";
    print_tree(0);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        pid_t pid = fork();
        int status;
        if (pid == 0) {
            struct rlimit limit = {limits[i], limits[i]};
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &limit);
            status = issue("demo-1");
            _exit(status == HACTL_E_QUOTA && strstr(call->text, "replicas/demo-1/pki/") != NULL ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_string_equal(print_tree(1), prints[0]);
    }
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(listed("etcd-server", "demo-1")->ready, HACTL_YES);
}

/* As root in a namespace of its own, where the directory cannot be written; as
 * anybody else by its mode. 0: not even that can be made here. */
static bool make_read_only(void)
{
    if (geteuid() != 0)
        return chmod(directory, 0500) == 0;
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount(directory, directory, "none", MS_BIND, NULL) == 0 &&
           mount("none", directory, "none", MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0;
}

static void test_read_only_directory(void **state)
{
    enum { RIGHT, WRONG, CANNOT };
    pid_t pid;
    int status;

    (void)state;
    make_all();
    cluster.external_address = "127.81.0.200";
    print_tree(0);
    pid = fork();
    if (pid == 0) {
        if (!make_read_only())
            _exit(CANNOT);
        status = issue("demo-1");
        _exit(status < 0 && status != HACTL_E_INTERNAL && strstr(call->text, directory) != NULL ? RIGHT : WRONG);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(chmod(directory, 0700), 0);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), RIGHT);
    assert_string_equal(print_tree(1), prints[0]);
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(listed("etcd-server", "demo-1")->ready, HACTL_YES);
}

static void test_not_ours(void **state)
{
    (void)state;
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(chmod(directory, 0777), 0);
    assert_int_equal(authorities(), HACTL_E_DENIED);
    assert_said("others may write there");
    assert_int_equal(hactl_plugin.check(self, fresh_call()), HACTL_E_DENIED);
    assert_int_equal(rmdir(directory), 0);
    spill(directory, "a file\n", 0600);
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    assert_int_equal(unlink(directory), 0);
    if (geteuid() == 0)
        return; /* root writes where nobody may */
    assert_int_equal(mkdir(directory, 0500), 0);
    assert_int_equal(authorities(), HACTL_E_DENIED);
}

static void test_two_processes(void **state)
{
    int lock;

    (void)state;
    make_all();
    lock = open(path_of(".lock"), O_RDWR | O_CLOEXEC);
    assert_true(lock >= 0);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(issue("demo-1"), HACTL_E_BUSY);
    assert_true(call->retry_after_ms > 0);
    assert_int_equal(hactl_plugin.issuer->list(self, fresh_call(), &inventory), HACTL_E_BUSY);
    assert_int_equal(flock(lock, LOCK_SH), 0);
    assert_all_ready();
    assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_E_BUSY);
    close(lock);
    assert_int_equal(issue("demo-1"), HACTL_OK);
}

static void test_retire(void **state)
{
    (void)state;
    assert_int_equal(hactl_plugin.issuer->retire(self, fresh_call(), "demo-1"), HACTL_OK);
    assert_false(there(""));
    make_all();
    assert_int_equal(hactl_plugin.issuer->retire(self, fresh_call(), "demo-1"), HACTL_OK);
    assert_false(there("replicas/demo-1"));
    assert_true(there("replicas/demo-2/pki/etcd/peer.key"));
    assert_int_equal(hactl_plugin.issuer->retire(self, fresh_call(), "demo-1"), HACTL_OK);
    assert_not_ready("etcd-peer", "demo-1", "missing");
}

static void test_destroy(void **state)
{
    (void)state;
    assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
    make_all();
    spill(path_of("replicas/demo-2/notes"), "mine\n", 0600);
    assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
    assert_true(there("replicas/demo-2/notes"));
    assert_false(there("replicas/demo-2/pki/etcd/peer.key"));
    assert_false(there("replicas/demo-1"));
    assert_false(there("etcd"));
    assert_false(there("ca.key"));
    assert_int_equal(unlink(path_of("replicas/demo-2/notes")), 0);
    assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
    assert_false(there(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_links),    TEST(test_archive_in_the_way), TEST(test_full_disk), TEST(test_read_only_directory),
        TEST(test_not_ours), TEST(test_two_processes),      TEST(test_retire),    TEST(test_destroy),
    };

    return cmocka_run_group_tests_name("pki_files", tests, NULL, NULL);
}
