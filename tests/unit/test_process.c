/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/file.h"
#include "lib/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char directory[64], pid_path[96], log_path[96];

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/hactl-process-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(pid_path, sizeof(pid_path), "%s/unit.pid", directory);
    snprintf(log_path, sizeof(log_path), "%s/unit.log", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ha_daemon_stop(pid_path, 0);
    return ha_tree_remove(directory);
}

static int start(const char *const *argv, pid_t *pid)
{
    struct ha_daemon daemon = {argv, directory, log_path, pid_path};

    return ha_daemon_start(&daemon, pid);
}

static pid_t start_sleep(void)
{
    const char *argv[] = {"sleep", "60", NULL};
    pid_t pid = 0;

    assert_int_equal(start(argv, &pid), 0);
    assert_true(pid > 1);
    return pid;
}

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t size;

    assert_int_equal(ha_file_read(path, 1 << 20, &text, &size), 0);
    return text;
}

/* The state must become `wanted` within two seconds. */
static void wait_for_state(enum ha_process_state wanted)
{
    struct timespec pause = {0, 2000000};

    for (int i = 0; i < 1000 && ha_daemon_state(pid_path, NULL) != wanted; i++)
        nanosleep(&pause, NULL);
    assert_int_equal(ha_daemon_state(pid_path, NULL), wanted);
}

static void wait_for_log(const char *wanted)
{
    struct timespec pause = {0, 2000000};
    bool found = false;

    for (int i = 0; i < 1000 && !found; i++) {
        char *text = read_text(log_path);
        found = strstr(text, wanted) != NULL;
        free(text);
        nanosleep(&pause, NULL);
    }
    assert_true(found);
}

static void test_start_and_stop(void **state)
{
    pid_t pid = start_sleep(), named = 0, again = 0;
    const char *argv[] = {"sleep", "60", NULL};
    (void)state;

    assert_int_equal(ha_daemon_state(pid_path, &named), HA_PROCESS_RUNNING);
    assert_int_equal(named, pid);
    assert_int_equal(start(argv, &again), -EALREADY);
    assert_int_equal(again, pid);
    assert_int_equal(ha_daemon_stop(pid_path, 1000), 0);
    assert_int_equal(ha_daemon_state(pid_path, &named), HA_PROCESS_GONE);
    assert_int_equal(named, 0);
    assert_int_equal(access(pid_path, F_OK), -1);
    assert_int_equal(ha_daemon_stop(pid_path, 1000), 0);
}

/* The daemon is its own session, has nothing of ours open, no blocked or
 * ignored signal, and no parent that would have to reap it. */
static void test_detached(void **state)
{
    /* Read without a child: while it starts one the shell itself blocks signals. */
    const char *argv[] = {"/bin/sh", "-c",
                          "ls /proc/self/fd | tr '\\n' ' '; while read -r line; do case $line in Sig[BI]*) "
                          "echo \"$line\" ;; esac; done </proc/$$/status; umask;"
                          "readlink /proc/$$/fd/0; pwd; echo end; exec sleep 60",
                          NULL};
    sigset_t blocked, before;
    pid_t pid;
    char *text;
    (void)state;

    int leaked = open("/dev/null", O_RDONLY); /* on purpose without O_CLOEXEC */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGHUP, SIG_IGN);
    assert_int_equal(start(argv, &pid), 0);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(leaked);
    wait_for_log("end\n");
    text = read_text(log_path);
    assert_non_null(strstr(text, "SigBlk:\t0000000000000000\n"));
    /* What make starts ignores glibc's own signals 32 and 33, by way of posix_spawn(3); glibc lets nobody reset them.
     */
    assert_true(strstr(text, "SigIgn:\t0000000000000000\n") || strstr(text, "SigIgn:\t0000000180000000\n"));
    assert_non_null(strstr(text, "0077\n/dev/null\n"));
    assert_non_null(strstr(text, directory));
    assert_non_null(strstr(text, "0 1 2 3 SigBlk")); /* 3 is the directory being listed */
    free(text);
    assert_int_equal(getsid(pid) == getsid(0), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_killed_outside(void **state)
{
    pid_t pid = start_sleep(), named;
    (void)state;

    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_for_state(HA_PROCESS_GONE);
    ha_daemon_state(pid_path, &named);
    assert_int_equal(named, pid);
    assert_int_equal(ha_daemon_signal(pid_path, SIGTERM), -ESRCH);
    start_sleep();
}

static void test_stopped_by_signal(void **state)
{
    (void)state;
    start_sleep();
    assert_int_equal(ha_daemon_signal(pid_path, SIGSTOP), 0);
    wait_for_state(HA_PROCESS_STOPPED_BY_SIGNAL);
    const char *argv[] = {"sleep", "60", NULL};
    assert_int_equal(start(argv, NULL), -EALREADY);
    assert_int_equal(ha_daemon_stop(pid_path, 1000), 0);
    assert_int_equal(ha_daemon_state(pid_path, NULL), HA_PROCESS_GONE);
}

static void test_stop_ends_in_kill(void **state)
{
    const char *argv[] = {"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done", NULL};
    pid_t pid;
    (void)state;

    assert_int_equal(start(argv, &pid), 0);
    wait_for_log("ready\n");
    assert_int_equal(ha_daemon_stop(pid_path, 50), 0);
    assert_int_equal(ha_daemon_state(pid_path, NULL), HA_PROCESS_GONE);
}

/* A zombie that its parent never reaps is as gone as any other. */
static void test_zombie(void **state)
{
    pid_t pid, named;
    (void)state;

    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid = start_sleep();
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_for_state(HA_PROCESS_GONE);
    assert_int_equal(kill(pid, 0), 0); /* still in the table */
    assert_int_equal(ha_daemon_signal(pid_path, SIGTERM), -ESRCH);
    assert_int_equal(ha_daemon_stop(pid_path, 1000), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    ha_daemon_state(pid_path, &named);
    assert_int_equal(named, 0);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

/* The pid file of a dead process whose pid a stranger was given later. The
 * stranger is this test: a signal that got through would end it. */
static void test_recycled_pid(void **state)
{
    static const struct {
        const char *format;
        bool named;
    } cases[] = {
        {"%d 1 %s\n", true}, /* another start time */
        {"%d 999999999999 %s\n", true},
        {"%d 1 01234567-89ab-cdef-0123-456789abcdef\n", true}, /* another boot */
        {"%d\n", false},
        {"", false},
        {"x\n", false},
        {"%d 1 %s", false}, /* damaged, torn */
        {"-1 1 %s\n", false},
        {"0 1 %s\n", false},
        {"1 1 %s\n", false},
    };
    char *boot_id = read_text("/proc/sys/kernel/random/boot_id");
    (void)state;

    boot_id[strcspn(boot_id, "\n")] = '\0';
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[160];
        pid_t named = -1;
        const char *format = cases[i].format;
        if (strstr(format, "%d"))
            snprintf(text, sizeof(text), format, (int)getpid(), boot_id);
        else
            snprintf(text, sizeof(text), format, boot_id);
        assert_int_equal(ha_file_replace(pid_path, text, strlen(text), 0600, false), 0);
        assert_int_equal(ha_daemon_state(pid_path, &named), HA_PROCESS_GONE);
        assert_int_equal(named, cases[i].named ? getpid() : 0);
        assert_int_equal(ha_daemon_signal(pid_path, SIGKILL), -ESRCH);
        assert_int_equal(ha_daemon_stop(pid_path, 1000), 0);
        assert_int_equal(access(pid_path, F_OK), -1);
    }
    free(boot_id);
    start_sleep();
}

/* A daemon whose pid file was lost is found by what it runs and where; one that
 * differs in anything is somebody else's. */
static void test_lost_pid_file(void **state)
{
    const char *argv[] = {"sleep", "60", NULL}, *other[] = {"sleep", "61", NULL};
    struct ha_daemon daemon = {argv, directory, log_path, pid_path}, stranger = daemon, elsewhere = daemon;
    pid_t pid = start_sleep(), found = 0;
    (void)state;

    stranger.argv = other;
    elsewhere.directory = "/";
    assert_int_equal(ha_daemon_find(&daemon, &found), -ESRCH); /* its pid file names it */
    assert_int_equal(unlink(pid_path), 0);
    assert_int_equal(ha_daemon_find(&stranger, &found), -ESRCH);
    assert_int_equal(ha_daemon_find(&elsewhere, &found), -ESRCH);
    assert_int_equal(ha_daemon_adopt(&stranger, &found), -ESRCH);
    assert_int_equal(access(pid_path, F_OK), -1);
    assert_int_equal(ha_daemon_find(&daemon, &found), 0);
    assert_int_equal(found, pid);
    assert_int_equal(access(pid_path, F_OK), -1);
    assert_int_equal(ha_daemon_adopt(&daemon, &found), 0);
    assert_int_equal(found, pid);
    assert_int_equal(ha_daemon_state(pid_path, &found), HA_PROCESS_RUNNING);
    assert_int_equal(found, pid);
    assert_int_equal(ha_daemon_record(pid_path, getpid()), -EALREADY);
    assert_int_equal(ha_daemon_stop(pid_path, 1000), 0);
    assert_int_equal(ha_daemon_adopt(&daemon, &found), -ESRCH);
}

static void test_cannot_start(void **state)
{
    const char *missing[] = {"hactl-no-such-program", NULL}, *relative[] = {"bin/true", NULL};
    const char *sleeper[] = {"sleep", "60", NULL}, *broken[] = {NULL, NULL};
    struct ha_daemon nowhere = {sleeper, "/nonexistent", log_path, pid_path};
    struct ha_daemon unlogged = {sleeper, directory, "/nonexistent/log", pid_path};
    struct ha_daemon unrecorded = {sleeper, directory, log_path, "/nonexistent/pid"};
    char path[128];
    (void)state;

    assert_int_equal(start(missing, NULL), -ENOENT);
    assert_int_equal(start(relative, NULL), -ENOENT);
    snprintf(path, sizeof(path), "%s/broken", directory);
    assert_int_equal(ha_file_create(path,
                                    "\x7f"
                                    "ELF",
                                    4, 0700, false),
                     0);
    broken[0] = path;
    assert_int_equal(start(broken, NULL), -ENOEXEC);
    assert_int_equal(ha_daemon_start(&nowhere, NULL), -ENOENT);
    assert_int_equal(ha_daemon_start(&unlogged, NULL), -ENOENT);
    assert_int_equal(ha_daemon_start(&unrecorded, NULL), -ENOENT);
    assert_int_equal(access(pid_path, F_OK), -1);
    start_sleep();
}

/* The caller dies at once: the daemon is recorded all the same. */
static void test_caller_killed(void **state)
{
    const char *argv[] = {"sleep", "60", NULL};
    (void)state;

    for (int i = 0; i < 40; i++) {
        struct timespec pause = {0, i * 50000};
        pid_t caller = fork();
        if (caller == 0) {
            start(argv, NULL);
            pause.tv_sec = 10;
            nanosleep(&pause, NULL);
            _exit(0);
        }
        nanosleep(&pause, NULL);
        kill(caller, SIGKILL);
        waitpid(caller, NULL, 0);
        /* Whatever had begun, asking again leaves exactly one. */
        int rc = start(argv, NULL);
        assert_true(rc == 0 || rc == -EALREADY);
        assert_int_equal(ha_daemon_state(pid_path, NULL), HA_PROCESS_RUNNING);
        assert_int_equal(ha_daemon_stop(pid_path, 1000), 0);
    }
    char *output = NULL;
    const char *find[] = {"sh", "-c", "find /proc -mindepth 2 -maxdepth 2 -name cwd -lname \"$0\" 2>/dev/null; true",
                          directory, NULL};
    assert_int_equal(ha_program_run(find, 60000, 4096, &output, NULL), 0);
    assert_string_equal(output, "");
    free(output);
}

static void test_program_find(void **state)
{
    char *path = NULL;
    (void)state;

    assert_int_equal(ha_program_find("sh", &path), 0);
    assert_int_equal(path[0], '/');
    free(path);
    assert_int_equal(ha_program_find("/bin/sh", &path), 0);
    assert_string_equal(path, "/bin/sh");
    free(path);
    assert_int_equal(ha_program_find("/etc/passwd", &path), -ENOENT);
    assert_int_equal(ha_program_find("/tmp", &path), -ENOENT);
    assert_int_equal(ha_program_find("", &path), -ENOENT);
    assert_null(path);
    /* Daemons are found though a user's PATH has no sbin. */
    char *before = strdup(getenv("PATH"));
    setenv("PATH", "/nonexistent::.", 1);
    assert_int_equal(ha_program_find("ldconfig", &path), 0);
    free(path);
    assert_int_equal(ha_program_find("sh", &path), -ENOENT);
    setenv("PATH", before, 1);
    free(before);
}

static void test_program_run(void **state)
{
    static const struct {
        const char *script;
        unsigned timeout_ms;
        size_t limit;
        int rc, status;
        const char *output;
    } cases[] = {
        {"echo out; echo err >&2; exit 3", 2000, 100, 0, 3 << 8, "out\nerr\n"},
        {"echo 123456789", 2000, 4, 0, 0, "1234"},
        {"head -c 300000 /dev/zero | tr '\\0' x", 5000, 3, 0, 0, "xxx"},
        {"echo early; sleep 10", 100, 100, -ETIMEDOUT, SIGKILL, "early\n"},
        {"sleep 4 & echo done", 2000, 100, 0, 0, "done\n"},
        {"cat", 2000, 100, 0, 0, ""},
        {"kill -9 $$", 2000, 100, 0, SIGKILL, ""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *argv[] = {"sh", "-c", cases[i].script, NULL};
        char *output = NULL;
        int status = -1;
        assert_int_equal(ha_program_run(argv, cases[i].timeout_ms, cases[i].limit, &output, &status), cases[i].rc);
        assert_int_equal(status, cases[i].status);
        assert_string_equal(output, cases[i].output);
        free(output);
    }
    const char *missing[] = {"hactl-no-such-program", NULL};
    assert_int_equal(ha_program_run(missing, 1000, 10, NULL, NULL), -ENOENT);
}

static uint16_t listen_on(int *fd, int family, const char *address)
{
    struct sockaddr_storage storage = {.ss_family = (sa_family_t)family};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    socklen_t size = family == AF_INET ? sizeof(*v4) : sizeof(*v6);

    *fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 && family == AF_INET6)
        return 0;
    assert_true(*fd >= 0);
    assert_int_equal(inet_pton(family, address, family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr), 1);
    if (bind(*fd, (struct sockaddr *)&storage, size) < 0 && family == AF_INET6)
        return 0;
    assert_int_equal(listen(*fd, 1), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&storage, &size), 0);
    return ntohs(family == AF_INET ? v4->sin_port : v6->sin6_port);
}

static void test_listener(void **state)
{
    static const struct {
        int family;
        const char *bound, *asked;
        bool found;
    } cases[] = {
        {AF_INET, "127.43.1.1", "127.43.1.1", true}, {AF_INET, "127.43.1.1", "127.43.1.2", false},
        {AF_INET, "0.0.0.0", "127.43.1.2", true},    {AF_INET6, "::ffff:127.43.1.3", "127.43.1.3", true},
        {AF_INET6, "::", "127.43.1.3", true},        {AF_INET6, "::1", "127.43.1.3", false},
    };
    char expected[64];
    (void)state;

    snprintf(expected, sizeof(expected), "(pid %d, user ", (int)getpid());
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd;
        uint16_t port = listen_on(&fd, cases[i].family, cases[i].bound);
        if (port) {
            char *text = ha_listener_describe(cases[i].asked, port);
            assert_int_equal(text != NULL, cases[i].found);
            if (text)
                assert_non_null(strstr(text, expected));
            free(text);
        }
        if (fd >= 0)
            close(fd);
        assert_null(ha_listener_describe(cases[i].asked, port));
    }
    assert_null(ha_listener_describe("not an address", 80));
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_start_and_stop),    EACH(test_detached),          EACH(test_killed_outside), EACH(test_zombie),
        EACH(test_recycled_pid),      EACH(test_stopped_by_signal), EACH(test_cannot_start),   EACH(test_caller_killed),
        EACH(test_stop_ends_in_kill), EACH(test_program_find),      EACH(test_program_run),    EACH(test_listener),
        EACH(test_lost_pid_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
