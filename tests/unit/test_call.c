/* SPDX-License-Identifier: Apache-2.0 */
/* Calls, their results and their workers; also run under ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#undef fail /* the name of a host service, too */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/call.h"
#include "core/error.h"
#include "core/log.h"

static void nap(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

/* ---- results */

static struct hactl_conf no_conf = {.instance = (char *)"it", .plugin = (char *)"sound", .cluster = (char *)"demo"};
static struct ha_instance unstarted = {.conf = &no_conf};

static void test_copies_are_deep(void **state)
{
    struct hactl_call *call = ha_call_new(&unstarted, "render", 1000);
    char name[] = "etcd", argument[] = "--name", content[] = "sec\0ret";
    const char *argv[] = {name, argument, NULL};
    struct hactl_unit unit = {.struct_size = sizeof unit, .name = name, .argv = argv, .stop_timeout_ms = 5};
    struct hactl_credential credential = {.struct_size = sizeof credential, .content = content, .content_size = 7};

    (void)state;
    for (int i = 0; i < 9; i++)
        assert_int_equal(ha_host.emit_unit(call, &unit), HACTL_OK);
    assert_int_equal(ha_host.emit_credential(call, &credential), HACTL_OK);
    memset(name, 'x', sizeof name - 1);
    memset(argument, 'x', sizeof argument - 1);
    memset(content, 'x', sizeof content - 1);
    argv[0] = NULL;
    assert_int_equal(call->unit_count, 9);
    assert_string_equal(call->units[8].name, "etcd");
    assert_string_equal(call->units[8].argv[1], "--name");
    assert_null(call->units[8].argv[2]);
    assert_null(call->units[8].package);
    assert_int_equal(call->units[8].stop_timeout_ms, 5);
    assert_memory_equal(call->credentials[0].content, "sec\0ret", 8);
    ha_call_free(call);
    ha_call_free(NULL);
}

/* A plugin of a later minor hands longer records: the rest is not looked at. */
static void test_longer_records(void **state)
{
    struct {
        struct hactl_zone zone;
        char later[64];
    } longer = {.zone = {sizeof longer, "a", "local", HACTL_YES}};
    struct hactl_call *call = ha_call_new(&unstarted, "zones", 1000);

    (void)state;
    assert_int_equal(ha_host.emit_zone(call, &longer.zone), HACTL_OK);
    assert_int_equal(call->zones[0].struct_size, sizeof(struct hactl_zone));
    assert_string_equal(call->zones[0].region, "local");
    ha_call_free(call);
}

static void test_first_text_stands(void **state)
{
    struct hactl_call *call = ha_call_new(&unstarted, "list", 1000);

    (void)state;
    assert_int_equal(ha_host.fail(call, HACTL_E_DENIED, "%s\n\033[31mred", "first"), HACTL_E_DENIED);
    assert_int_equal(ha_host.fail(call, HACTL_E_QUOTA, "second"), HACTL_E_QUOTA);
    assert_string_equal(call->text, "first  [31mred");
    assert_int_equal(ha_host.fail(call, 3, "no error code"), HACTL_E_INTERNAL);
    ha_call_free(call);
}

static void test_files_say_what_they_hold(void **state)
{
    struct hactl_file file = {.struct_size = sizeof file, .path = "x", .mode = 0600};
    struct hactl_call *call = ha_call_new(&unstarted, "render", 1000);

    (void)state;
    assert_int_equal(ha_host.emit_file(call, &file), HACTL_E_INTERNAL);
    assert_non_null(strstr(call->text, "file x without content"));
    ha_call_free(call);
}

/* It goes into the journal: one, short, and printable. */
static void test_tokens(void **state)
{
    struct hactl_call *call = ha_call_new(&unstarted, "ensure", 1000), *bad = ha_call_new(&unstarted, "ensure", 1000);
    char longest[1002];

    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[1001] = '\0';
    assert_int_equal(ha_host.emit_token(bad, longest), HACTL_E_INTERNAL);
    assert_int_equal(ha_host.emit_token(bad, "line\n"), HACTL_E_INTERNAL);
    assert_int_equal(ha_host.emit_token(bad, "\xff"), HACTL_E_INTERNAL);
    assert_null(bad->token);
    longest[1000] = '\0';
    assert_int_equal(ha_host.emit_token(call, longest), HACTL_OK);
    assert_int_equal(ha_host.emit_token(call, "another"), HACTL_E_INTERNAL);
    assert_string_equal(call->token, longest);
    ha_call_free(call);
    ha_call_free(bad);
}

/* A text for people is repaired, and cut between characters. */
static void test_texts_are_repaired(void **state)
{
    struct hactl_call *call = ha_call_new(&unstarted, "list", 1000);
    char longest[900];
    struct hactl_backend backend = {sizeof backend, "m\303\274nchen", HACTL_NO, "a\377b\nc \303\244 \355\240\200"};

    (void)state;
    assert_int_equal(ha_host.emit_backend(call, &backend), HACTL_OK);
    assert_string_equal(call->backends[0].name, "m\303\274nchen");
    assert_string_equal(call->backends[0].detail, "a?b c \303\244 ???");
    ha_host.fail(call, HACTL_E_FAILED, "disk \377\300\257 full");
    assert_string_equal(call->text, "disk ??? full");
    ha_call_reset(call);
    assert_int_equal(call->backend_count, 0);
    memset(longest, 'x', sizeof longest);
    for (size_t i = 1; i + 2 < sizeof longest; i += 2)
        memcpy(longest + i, "\303\244", 2);
    longest[sizeof longest - 1] = '\0';
    ha_host.fail(call, HACTL_E_FAILED, "%s", longest);
    assert_int_equal(strlen(call->text), 599);
    assert_memory_equal(call->text + 597, "\303\244", 3);
    ha_call_free(call);
}

/* What could not be read is no record: it is kept beside them. */
static void test_unread_is_kept(void **state)
{
    struct hactl_call *call = ha_call_new(&unstarted, "list", 1000);
    char zone[] = "a";

    (void)state;
    assert_int_equal(ha_host.emit_unread(call, zone, "503 from\tthe zone"), HACTL_OK);
    assert_int_equal(ha_host.emit_unread(call, NULL, "503"), HACTL_OK);
    zone[0] = 'x';
    assert_int_equal(call->unread_count, 2);
    assert_string_equal(call->unread[0].zone, "a");
    assert_string_equal(call->unread[0].why, "503 from the zone");
    assert_null(call->unread[1].zone);
    assert_int_equal(ha_host.emit_unread(call, "b\n", "no"), HACTL_E_INTERNAL);
    ha_call_free(call);
}

/* ---- workers */

#define CALLS     40
#define INSTANCES 3

static atomic_int inside[INSTANCES];
static atomic_int together, most_together;

struct task {
    int instance, number;
    int *order;
    atomic_int *place;
};

static int run_task(struct hactl_call *call)
{
    const struct task *task = call->context;
    int now = atomic_fetch_add(&together, 1) + 1;
    int most = atomic_load(&most_together);

    while (now > most && !atomic_compare_exchange_weak(&most_together, &most, now))
        continue;
    if (atomic_fetch_add(&inside[task->instance], 1) != 0)
        ha_host.fail(call, HACTL_E_INTERNAL, "entered twice");
    nap(1);
    task->order[atomic_fetch_add(task->place, 1)] = task->number;
    atomic_fetch_sub(&inside[task->instance], 1);
    atomic_fetch_sub(&together, 1);
    return call->text[0] == '\0' ? HACTL_OK : HACTL_E_INTERNAL;
}

static void test_order_within_and_side_by_side(void **state)
{
    struct ha_completions *completions = ha_completions_new();
    struct ha_instance instances[INSTANCES] = {{.worker = NULL}};
    struct task tasks[INSTANCES][CALLS];
    int order[INSTANCES][CALLS];
    atomic_int places[INSTANCES];
    int done = 0;

    (void)state;
    for (int i = 0; i < INSTANCES; i++) {
        atomic_init(&places[i], 0);
        instances[i].worker = ha_worker_start("test");
        assert_non_null(instances[i].worker);
    }
    for (int j = 0; j < CALLS; j++)
        for (int i = 0; i < INSTANCES; i++) {
            struct hactl_call *call = ha_call_new(&instances[i], "task", 1000);

            tasks[i][j] = (struct task){i, j, order[i], &places[i]};
            call->run = run_task;
            call->context = &tasks[i][j];
            ha_call_submit(call, completions);
        }
    while (done < INSTANCES * CALLS) {
        struct hactl_call *call = ha_completions_take(completions, 5000);

        assert_non_null(call);
        assert_int_equal(call->code, HACTL_OK);
        ha_call_free(call);
        done++;
    }
    assert_null(ha_completions_take(completions, 0));
    for (int i = 0; i < INSTANCES; i++) {
        ha_worker_stop(instances[i].worker);
        for (int j = 0; j < CALLS; j++)
            assert_int_equal(order[i][j], j);
    }
    assert_true(atomic_load(&most_together) > 1);
    ha_completions_free(completions);
}

static int run_nap(struct hactl_call *call)
{
    nap(30);
    return ha_host.ms_left(call) <= 0 ? ha_host.fail(call, HACTL_E_TIMEOUT, "too late") : HACTL_OK;
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd waited = {.fd = fd, .events = POLLIN};

    return poll(&waited, 1, timeout_ms) == 1;
}

static void test_deadlines_and_polling(void **state)
{
    struct ha_completions *completions = ha_completions_new();
    struct ha_instance instance = {.conf = &no_conf, .worker = ha_worker_start("nap")};
    struct hactl_call *short_one = ha_call_new(&instance, "nap", 10);
    struct hactl_call *long_one = ha_call_new(&instance, "nap", 10000);
    struct hactl_call *taken;

    (void)state;
    short_one->run = long_one->run = run_nap;
    assert_false(is_readable(ha_completions_fd(completions), 0));
    ha_call_submit(short_one, completions);
    ha_call_submit(long_one, completions);
    assert_null(ha_completions_take(completions, 1));
    assert_true(is_readable(ha_completions_fd(completions), 5000));
    taken = ha_completions_take(completions, 0);
    assert_ptr_equal(taken, short_one);
    assert_int_equal(taken->code, HACTL_E_TIMEOUT);
    assert_true(taken->ended_ms - taken->started_ms >= 29);
    ha_call_free(taken);
    taken = ha_completions_take(completions, -1);
    assert_ptr_equal(taken, long_one);
    assert_int_equal(taken->code, HACTL_OK);
    ha_call_free(taken);
    assert_false(is_readable(ha_completions_fd(completions), 0));
    ha_worker_stop(instance.worker);
    ha_completions_free(completions);
}

static int run_cancellable(struct hactl_call *call)
{
    while (!ha_host.cancelled(call))
        nap(1);
    return ha_host.fail(call, HACTL_E_TIMEOUT, "stopped");
}

static void test_stop_finishes_what_is_queued(void **state)
{
    struct ha_completions *completions = ha_completions_new();
    struct ha_instance instance = {.conf = &no_conf, .worker = ha_worker_start("stop")};
    struct hactl_call *call = ha_call_new(&instance, "wait", 1000);

    (void)state;
    call->run = run_cancellable;
    call->interruptible = true;
    ha_call_submit(call, completions);
    ha_cancel_set(true);
    ha_worker_stop(instance.worker);
    assert_ptr_equal(ha_completions_take(completions, 0), call);
    assert_int_equal(call->code, HACTL_E_TIMEOUT);
    ha_cancel_set(false);
    ha_call_free(call);
    ha_completions_free(completions);
}

static int run_a_while(struct hactl_call *call)
{
    for (int i = 0; i < 50; i++) {
        if (ha_host.cancelled(call))
            return ha_host.fail(call, HACTL_E_CANCELLED, "cut off");
        nap(1);
    }
    return HACTL_OK;
}

/* What changes something is not cut off: the first interrupt only begins no more. */
static void test_interrupt_lets_a_step_end(void **state)
{
    struct ha_completions *completions = ha_completions_new();
    struct ha_instance instance = {.conf = &no_conf, .worker = ha_worker_start("end")};
    struct hactl_call *call = ha_call_new(&instance, "member-add", 1000);

    (void)state;
    call->run = run_a_while;
    ha_call_submit(call, completions);
    ha_cancel_set(true);
    assert_ptr_equal(ha_completions_take(completions, -1), call);
    assert_int_equal(call->code, HACTL_OK);
    ha_cancel_set(false);
    ha_worker_stop(instance.worker);
    ha_call_free(call);
    ha_completions_free(completions);
}

static int run_silent(struct hactl_call *call)
{
    (void)call;
    return HACTL_E_BUSY;
}

static void test_wait_and_silent_failures(void **state)
{
    struct ha_instance instance = {.conf = &no_conf, .worker = ha_worker_start("silent")};
    struct hactl_call *call = ha_call_new(&instance, "silent", 1000);

    (void)state;
    call->run = run_silent;
    assert_int_equal(ha_call_wait(call), HACTL_E_BUSY);
    assert_string_equal(call->text, "busy (the plugin gave no reason)");
    ha_call_free(call);
    ha_worker_stop(instance.worker);
}

static atomic_bool let_go;

static int run_hang(struct hactl_call *call)
{
    while (!atomic_load(&let_go))
        nap(1);
    ha_host.emit_text(call, "too late for anyone to read");
    return HACTL_OK;
}

static atomic_bool freed;

static void note_freed(void *context)
{
    (void)context;
    atomic_store(&freed, true);
}

static void test_one_that_does_not_return(void **state)
{
    static struct ha_instance instance = {.conf = &no_conf};
    struct hactl_call *hangs = ha_call_new(&instance, "hang", 1), *behind = ha_call_new(&instance, "list", 1);

    (void)state;
    instance.worker = ha_worker_start("hang");
    hangs->run = run_hang;
    hangs->context_free = note_freed;
    behind->run = run_silent;
    assert_int_equal(ha_call_wait(hangs), HACTL_E_INTERNAL);
    assert_non_null(strstr(hangs->text, "instance it has not returned from \"hang\""));
    assert_true(ha_calls_hang());
    assert_int_equal(ha_call_wait(behind), HACTL_E_INTERNAL);
    assert_non_null(strstr(behind->text, "not asked"));
    ha_call_free(hangs);
    ha_call_free(behind);
    assert_false(atomic_load(&freed)); /* it is still in use */
    atomic_store(&let_go, true);
    ha_worker_stop(instance.worker);
    assert_true(atomic_load(&freed));
    assert_false(ha_calls_hang());
}

/* ---- errors and the log */

static void test_errors(void **state)
{
    struct ha_error error = {.status = HA_EXIT_DONE};

    (void)state;
    ha_advise(&error, "too early");
    ha_error_prefix(&error, "too early");
    assert_string_equal(error.what, "");
    assert_int_equal(ha_fail_errno(&error, HA_EXIT_DENIED, -EACCES, "key %d", 7), -1);
    assert_int_equal(ha_fail(&error, HA_EXIT_FAILED, "later"), -1);
    ha_error_prefix(&error, "%s", "replica demo-1");
    ha_advise(&error, "chmod");
    assert_int_equal(error.status, HA_EXIT_DENIED);
    assert_string_equal(error.what, "replica demo-1: key 7: Permission denied");
    assert_string_equal(error.next, "chmod");
    assert_int_equal(ha_exit_of_code(HACTL_E_LOST), HA_EXIT_DECISION);
    assert_int_equal(ha_exit_of_code(-99), HA_EXIT_PLUGIN);
    assert_string_equal(ha_code_name(HACTL_E_NOT_FOUND), "not-found");
}

static void count_line(void *context)
{
    ++*(int *)context;
}

static void *log_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < 50; i++)
        ha_log(HACTL_LOG_WARNING, "line %d\nof\tmany", i);
    return NULL;
}

static void test_log_is_one_line_each(void **state)
{
    pthread_t other;
    int lines = 0, pipes[2], saved = dup(STDERR_FILENO);
    char text[8192];
    ssize_t size;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(dup2(pipes[1], STDERR_FILENO), STDERR_FILENO);
    ha_log_hooks_set(count_line, count_line, &lines);
    assert_int_equal(pthread_create(&other, NULL, log_many, NULL), 0);
    log_many(NULL);
    pthread_join(other, NULL);
    ha_log(HACTL_LOG_INFO, "not said");
    ha_log_hooks_set(NULL, NULL, NULL);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    close(pipes[1]);
    size = read(pipes[0], text, sizeof text - 1);
    close(pipes[0]);
    assert_true(size > 0);
    text[size] = '\0';
    assert_int_equal(lines, 200);
    assert_int_equal(strncmp(text, "hactl: warning: line 0 of many\n", 31), 0);
    assert_null(strstr(text, "not said"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_are_deep),
        cmocka_unit_test(test_longer_records),
        cmocka_unit_test(test_first_text_stands),
        cmocka_unit_test(test_files_say_what_they_hold),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_texts_are_repaired),
        cmocka_unit_test(test_unread_is_kept),
        cmocka_unit_test(test_order_within_and_side_by_side),
        cmocka_unit_test(test_deadlines_and_polling),
        cmocka_unit_test(test_stop_finishes_what_is_queued),
        cmocka_unit_test(test_interrupt_lets_a_step_end),
        cmocka_unit_test(test_wait_and_silent_failures),
        cmocka_unit_test(test_one_that_does_not_return),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_log_is_one_line_each),
    };

    return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
