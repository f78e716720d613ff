/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates are replaced as pairs: for who reads meanwhile, and
 * when the process is killed at any of its steps. */
#include "tests/unit/pki_rig.h"

#include "lib/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

static const char *const pairs[] = {
    "apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client", "etcd/server",
    "etcd/peer", "etcd/healthcheck-client"};

#define PAIR_COUNT (sizeof pairs / sizeof pairs[0])
#define TREE       "replicas/demo-1/pki"

/* ---- what a reader sees ---- */

static void *read_at(int at, const char *name, const char *ending, void *(*read_pem)(FILE *))
{
    char path[64];
    int fd;
    FILE *file;
    void *object;

    snprintf(path, sizeof path, "%s%s", name, ending);
    fd = openat(at, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    file = fdopen(fd, "r");
    object = read_pem(file);
    fclose(file);
    return object;
}

static void *read_key(FILE *file)
{
    return PEM_read_PrivateKey(file, NULL, NULL, NULL);
}

static void *read_certificate(FILE *file)
{
    return PEM_read_X509(file, NULL, NULL, NULL);
}

enum seen { MATCH, NO_MATCH, NOT_THERE };

static enum seen see_pair(int at, const char *name)
{
    X509 *certificate = read_at(at, name, ".crt", read_certificate);
    EVP_PKEY *key = read_at(at, name, ".key", read_key);
    enum seen seen = certificate == NULL || key == NULL ? NOT_THERE : NO_MATCH;

    if (seen == NO_MATCH && X509_check_private_key(certificate, key) == 1)
        seen = MATCH;
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return seen;
}

static int open_tree(void)
{
    return open(path_of(TREE), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void open_with_type(const char *type)
{
    const struct fake_setting settings[] = {{"key_type", type}, {"threads", "1"}, {NULL, NULL}};

    open_with(settings);
}

static const char *type_of(unsigned turn)
{
    return turn % 2 == 0 ? "ecdsa-p384" : "ecdsa-p256";
}

static void make_one(void)
{
    inventory.replica_count = 1;
    make_all();
}

struct reader {
    char path[160];
    atomic_bool stop;
    atomic_uint good, wrong;
};

/* A directory that has been exchanged is no longer the one of that name, and what is missing from it was not missing.
 */
static bool is_current(const char *path, int at)
{
    struct stat now, was;

    return stat(path, &now) == 0 && fstat(at, &was) == 0 && now.st_ino == was.st_ino;
}

static void *keep_reading(void *data)
{
    struct reader *reader = data;

    while (!atomic_load(&reader->stop)) {
        int at = open(reader->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (size_t i = 0; at >= 0 && i < PAIR_COUNT; i++) {
            enum seen seen = see_pair(at, pairs[i]);
            if (seen == MATCH)
                atomic_fetch_add(&reader->good, 1);
            else if (seen == NO_MATCH || is_current(reader->path, at))
                atomic_fetch_add(&reader->wrong, 1);
        }
        if (at < 0)
            atomic_fetch_add(&reader->wrong, 1);
        else
            close(at);
    }
    return NULL;
}

/* Rule 13: nobody ever sees half of a pair, nor two halves that do not belong together. */
static void test_readers_see_whole_pairs(void **state)
{
    struct reader reader = {.stop = false};
    pthread_t thread;

    (void)state;
    make_one();
    snprintf(reader.path, sizeof reader.path, "%s", path_of(TREE));
    assert_int_equal(pthread_create(&thread, NULL, keep_reading, &reader), 0);
    for (unsigned turn = 0; turn < 12; turn++) {
        unsigned before = atomic_load(&reader.good);
        open_with_type(type_of(turn));
        assert_int_equal(issue("demo-1"), HACTL_OK);
        while (atomic_load(&reader.good) == before && atomic_load(&reader.wrong) == 0)
            sched_yield();
    }
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&reader.wrong), 0);
    assert_true(atomic_load(&reader.good) > 0);
    assert_false(there(".exchange"));
}

/* What is not replaced stays the same file, whoever's it is; modes and links stay too. */
static void test_what_stays_is_the_same_file(void **state)
{
    struct stat before, after;
    char target[64] = "";

    (void)state;
    make_one();
    spill(path_of(TREE "/own.txt"), "mine\n", 0640);
    assert_int_equal(mkdir(path_of(TREE "/own"), 0750), 0);
    spill(path_of(TREE "/own/deep.new"), "mine too\n", 0600);
    assert_int_equal(symlink("own.txt", path_of(TREE "/link")), 0);
    assert_int_equal(stat(path_of(TREE "/own.txt"), &before), 0);
    open_with_type("ecdsa-p384");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(stat(path_of(TREE "/own.txt"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(after.st_nlink, 1);
    assert_int_equal(mode_of(TREE "/own.txt"), 0640);
    assert_int_equal(mode_of(TREE "/own"), 0750);
    assert_string_equal(slurp(path_of(TREE "/own/deep.new")), "mine too\n");
    assert_true(readlink(path_of(TREE "/link"), target, sizeof target - 1) > 0);
    assert_string_equal(target, "own.txt");
    assert_int_equal(mode_of(TREE "/apiserver.key"), 0600);
    assert_int_equal(mode_of(TREE), 0700);
    assert_false(there(TREE "/apiserver.key.new"));
    assert_int_equal(listed("kube-apiserver", "demo-1")->ready, HACTL_YES);
}

/* Only a new key needs it: a certificate alone is one rename, and the directory stays. */
static void test_a_certificate_alone_is_renamed(void **state)
{
    struct stat before, after;

    (void)state;
    make_one();
    assert_int_equal(stat(path_of(TREE), &before), 0);
    cluster.external_address = "127.81.0.77";
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(stat(path_of(TREE), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

/* Where it cannot be done, here because of what somebody else put there, files change one by one. */
static void test_one_by_one_where_it_cannot_be_done(void **state)
{
    char deep[512];
    struct stat before, after;

    (void)state;
    make_one();
    snprintf(deep, sizeof deep, "%s", path_of(TREE "/own"));
    for (int i = 0; i < 10; i++) {
        assert_int_equal(mkdir(deep, 0700), 0);
        strcat(deep, "/d");
    }
    assert_int_equal(stat(path_of(TREE), &before), 0);
    open_with_type("ecdsa-p384");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(stat(path_of(TREE), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(listed("kube-apiserver", "demo-1")->ready, HACTL_YES);
    assert_false(there(".exchange"));
}

/* ---- killed at every step ---- */

static bool changes_files(unsigned long number)
{
    static const long numbers[] = {SYS_mkdirat, SYS_linkat, SYS_renameat2, SYS_renameat, SYS_unlinkat,
                                   SYS_syncfs,  SYS_fsync,  SYS_fchmod,    SYS_write};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if ((long)number == numbers[i])
            return true;
    return false;
}

/* Issues with new keys in another process, which is killed before the `steps`th system call that changes files. False:
 * it has ended before. */
static bool kill_after(unsigned steps)
{
    int status;
    pid_t pid;

    pki_crypto(self); /* what the parent's other thread does would not be done in the child */
    pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        raise(SIGSTOP);
        _exit(issue("demo-1") == HACTL_OK ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* nobody may be traced here */
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
    for (;;) {
        struct __ptrace_syscall_info info = {.op = 0};
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return false;
        }
        assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80));
        assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0);
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY || !changes_files(info.entry.nr) || --steps > 0)
            continue;
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (waitpid(pid, &status, 0) == pid && !WIFSIGNALED(status))
            ;
        return true;
    }
}

static void assert_no_leftovers(const char *path)
{
    DIR *list = opendir(path);
    struct dirent *entry;
    char inner[512];

    assert_non_null(list);
    while ((entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (strstr(entry->d_name, ".new") != NULL || strcmp(entry->d_name, ".exchange") == 0)
            fail_msg("%s is left over", inner);
        if (entry->d_type == DT_DIR)
            assert_no_leftovers(inner);
    }
    closedir(list);
}

/* What a killed process leaves is the old pairs or the new ones, each whole; the next one goes on from there. */
static void test_killed_at_every_step(void **state)
{
    unsigned steps, old_ones = 0, new_ones = 0;

    (void)state;
    make_one();
    for (steps = 1;; steps++) {
        bool killed;
        int tree;
        open_with_type(type_of(steps));
        killed = kill_after(steps);
        tree = open_tree();
        assert_true(tree >= 0);
        for (size_t i = 0; i < PAIR_COUNT; i++) {
            EVP_PKEY *key = read_at(tree, pairs[i], ".key", read_key);
            assert_int_equal(see_pair(tree, pairs[i]), MATCH);
            (*(pki_key_has_type(key, type_of(steps)) ? &new_ones : &old_ones))++;
            EVP_PKEY_free(key);
        }
        close(tree);
        if (!killed)
            break;
        assert_int_equal(issue("demo-1"), HACTL_OK);
        assert_no_leftovers(directory);
        list_all();
        for (size_t i = 0; i < call->certificate_count; i++)
            if (call->certificates[i].replica != NULL && call->certificates[i].ready != HACTL_YES)
                fail_msg("after %u steps %s: %s", steps, call->certificates[i].path, call->certificates[i].reason);
    }
    print_message("killed at %u steps\n", steps - 1);
    assert_true(steps > 60);
    assert_true(old_ones > 0 && new_ones > PAIR_COUNT);
}

/* The tree of a replica that has none yet is there whole, or it is not there. */
static void test_killed_while_a_tree_is_made(void **state)
{
    unsigned steps, without = 0, with = 0;
    bool killed = true;

    (void)state;
    make_one();
    for (steps = 1; killed; steps++) {
        assert_int_equal(ha_tree_remove(path_of("replicas/demo-1")), 0);
        open_with_type("ecdsa-p256");
        killed = kill_after(steps);
        if (there("replicas/demo-1")) {
            int tree = open_tree();
            for (size_t i = 0; i < PAIR_COUNT; i++)
                assert_int_equal(see_pair(tree, pairs[i]), MATCH);
            close(tree);
            with++;
        } else {
            without++;
        }
        assert_int_equal(issue("demo-1"), HACTL_OK);
        assert_no_leftovers(directory);
        assert_int_equal(listed("kube-apiserver", "demo-1")->ready, HACTL_YES);
    }
    assert_true(without > 20 && with > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_readers_see_whole_pairs),        TEST(test_what_stays_is_the_same_file),
        TEST(test_a_certificate_alone_is_renamed), TEST(test_one_by_one_where_it_cannot_be_done),
        TEST(test_killed_at_every_step),           TEST(test_killed_while_a_tree_is_made),
    };

    return cmocka_run_group_tests_name("pki_exchange", tests, NULL, NULL);
}
