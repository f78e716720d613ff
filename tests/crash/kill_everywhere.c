/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kill harness. For every verb: run it undisturbed and count the points;
 * then, for every point, kill hactl there (SIGKILL), ask for the same
 * operation again, and compare: the end state is that of the undisturbed run,
 * every effect was had exactly once, under an intent that the journal has, and
 * asking once more has none. A sample, by CRASH_SEED, is killed twice; and after
 * another sample of kills the operation is aborted: then the cluster is what it was
 * before. Verbs are tried side by side, each in a world of its own.
 *
 *   kill_everywhere HACTL FAKE.so [--every N]
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <regex.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/crash/kill_evidence.h"
#include "tests/crash/tree.h"

extern char **environ;

static char base[PATH_MAX];
static const char *hactl;
static int failures, points, reached, twice, aborted, refused;

/* How many points a run passes depends a little on timing: how many records are written to disk at once, how often
 * somebody is asked until he is ready. So one that was not reached is tried again; and that none of ATTEMPTS runs
 * passes it is let pass for the last eighth of a run's points, and TAIL of them, if of all points it is no more than
 * one in RARE and one. On a machine with four times as much to do as it can, it was 3 of 16550. */
enum { TAIL = 3, RARE = 200 };
enum { WORDS = 12, ATTEMPTS = 6, DOUBLE_KILLS = 12, ABORTS = 12, SIDE_BY_SIDE = 3, REFUSED = 5, WRONG = 3, SAMPLE = 9 };

/* Every phase of what can be rotated, and every way back. */
#define PREPARE(what) "pki rotate " what " prepare"
#define TRUST(what)   "pki rotate " what " trust --accept-budget 0"
#define SWITCH(what)  "pki rotate " what " switch --accept-budget 0"
#define RETIRE(what)  "pki rotate " what " retire --accept-budget 0"
#define BACK(what)    "pki rotate " what " back --accept-budget 0"
#define ABORT         "op abort --accept-budget 0"
#define ROTATIONS(what)                                                                                       \
    {"rotate " what ", prepare", {"up"}, PREPARE(what)},                                                      \
        {"rotate " what ", trust", {"up", PREPARE(what)}, TRUST(what)},                                       \
        {"rotate " what ", switch", {"up", PREPARE(what), TRUST(what)}, SWITCH(what)},                        \
        {"rotate " what ", retire", {"up", PREPARE(what), TRUST(what), SWITCH(what)}, RETIRE(what)},          \
        {"rotate " what ", back to trust", {"up", PREPARE(what), TRUST(what), SWITCH(what)}, BACK(what)},     \
        {"rotate " what ", back to prepare", {"up", PREPARE(what), TRUST(what)}, BACK(what)},                 \
        {"rotate " what ", back to nothing", {"up", PREPARE(what)}, BACK(what)},                              \
        {"abort of trust in " what, {"up", PREPARE(what), "!" TRUST(what)}, ABORT},                           \
        {"abort of switch of " what, {"up", PREPARE(what), TRUST(what), "!" SWITCH(what)}, ABORT},            \
    {                                                                                                         \
        "abort of retire of " what, {"up", PREPARE(what), TRUST(what), SWITCH(what), "!" RETIRE(what)}, ABORT \
    }

/* Every verb in a world that others prepared. */
static const struct verb {
    const char *name;
    const char *prepare[6]; /* command lines */
    const char *command;
} verbs[] = {
    {"up of three", {NULL}, "up"},
    {"up of one", {NULL}, "up --replicas 1"},
    {"replica add, the second", {"up --replicas 1"}, "replica add --zone b"},
    {"replica add, the third", {"up --replicas 2"}, "replica add --zone c"},
    {"up from one to three", {"up --replicas 1"}, "up --replicas 3"},
    {"replica replace, the leader", {"up"}, "replica replace fake-1"},
    {"replica replace, a lone one", {"up --replicas 1"}, "replica replace fake-1"},
    {"replica remove, the first", {"up"}, "replica remove fake-1 --accept-budget 0"},
    {"replica remove, the last but one", {"up --replicas 2"}, "replica remove fake-1"},
    {"endpoint demote", {"up"}, "endpoint demote"},
    {"endpoint promote", {"up", "endpoint demote"}, "endpoint promote"},
    {"down", {"up"}, "down"},
    ROTATIONS("ca"),
    ROTATIONS("peer-ca"),
    ROTATIONS("fake-keys"),
    {"op abort", {"up --replicas 1", "!replica add --zone b"}, "op abort"},
};

/* ---- running */

static void run_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run_shell(const char *format, ...)
{
    char line[4 * PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (system(line) != 0) {
        fprintf(stderr, "Bail out! %s\n", line);
        exit(1);
    }
}

/* By a shell it takes a fifth of all the time that this does. */
static void replace_tree(const char *from, const char *to)
{
    char source[PATH_MAX + 16], target[PATH_MAX + 16];
    snprintf(source, sizeof source, "%s/%s", base, from);
    snprintf(target, sizeof target, "%s/%s", base, to);
    int error = ha_tree_remove(target);
    if (error == 0 || error == -ENOENT)
        error = tree_copy(source, target);
    if (error) {
        fprintf(stderr, "Bail out! %s to %s: %s\n", source, target, strerror(-error));
        exit(1);
    }
}

static void write_configuration(const char *plugin)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/fake.conf", base);
    FILE *file = fopen(path, "w");
    fprintf(file,
            "cluster = { name = \"fake\"; replicas = 3; zones = [\"a\", \"b\", \"c\"]; };\n"
            "endpoint = { drain = \"0s\"; };\n"
            "state = { directory = \"%s/now/state\"; };\n"
            "keys = { mode = \"%s\"; };\n"
            "plugins = { all = { plugin = \"%s\"; world = \"%s/now/world.json\"; }; };\n",
            base, strstr(plugin, "machines") ? "replica" : "operator", plugin, base);
    fclose(file);
}

/* One hactl; `more`: NAME=VALUE for its environment. Its wait status. */
static int run_hactl(const char *command, const char *operation, const char *more)
{
    char line[512], config[PATH_MAX + 16], *rest = NULL, *argv[WORDS + 8];
    const char *environment[512];
    int argc = 0, count = 0;
    snprintf(line, sizeof line, "%s", command);
    snprintf(config, sizeof config, "%s/fake.conf", base);
    argv[argc++] = (char *)hactl;
    argv[argc++] = "-c";
    argv[argc++] = config;
    argv[argc++] = "--yes";
    argv[argc++] = "--op";
    argv[argc++] = (char *)operation;
    for (char *word = strtok_r(line, " ", &rest); word && argc < WORDS + 7; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    argv[argc] = NULL;
    for (char **one = environ; *one && count < 500; one++)
        environment[count++] = *one;
    if (more)
        environment[count++] = more;
    environment[count] = NULL;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    char log[PATH_MAX + 16];
    snprintf(log, sizeof log, "%s/output", base);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid;
    int status = 0, rc = posix_spawn(&pid, hactl, &actions, NULL, argv, (char **)environment);
    posix_spawn_file_actions_destroy(&actions);
    if (rc) {
        fprintf(stderr, "Bail out! %s: %s\n", hactl, strerror(rc));
        exit(1);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static bool is_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
static bool is_done(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void prepare(const struct verb *verb)
{
    run_shell("rm -rf '%s/now' && mkdir '%s/now'", base, base);
    for (int i = 0; verb->prepare[i]; i++) {
        char operation[32];
        snprintf(operation, sizeof operation, "prepare-%d", i);
        /* With "!" before it: killed half-way, so that it is left unfinished. */
        bool half = verb->prepare[i][0] == '!';
        int status = run_hactl(verb->prepare[i] + half, operation, half ? "HACTL_FAULT_POINT=24" : NULL);
        if (half ? !is_killed(status) : !is_done(status)) {
            run_shell("cat '%s/output' >&2", base);
            fprintf(stderr, "Bail out! cannot prepare: %s\n", verb->prepare[i]);
            exit(1);
        }
    }
    replace_tree("now", "before");
}

static void restore(void)
{
    char intents[PATH_MAX + 16];
    snprintf(intents, sizeof intents, "%s/intents", base);
    unlink(intents);
    replace_tree("before", "now");
}

/* ---- what went wrong */

static void complain(const struct verb *verb, const char *where, const char *why, json_t *got, json_t *want)
{
    failures++;
    printf("# %s, killed at %s: %s\n", verb->name, where, why);
    char *texts[2] = {got ? json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS) : NULL,
                      want ? json_dumps(want, JSON_COMPACT | JSON_SORT_KEYS) : NULL};
    for (int i = 0; i < 2; i++)
        if (texts[i])
            printf("#   %s %s\n", i ? "want" : "got ", texts[i]);
    free(texts[0]);
    free(texts[1]);
    char command[PATH_MAX + 64];
    fflush(stdout);
    snprintf(command, sizeof command, "tail -n 3 '%s/output' | sed 's/^/#   /'", base);
    if (system(command) != 0)
        return;
}

/* ---- one point */

/* How a rotation that is aborted gets back may differ: what members run on is looked at when it is asked again, and so
 * fewer of them leave the balancer than where it is not known. */
static json_t *evidence_of(const struct verb *verb)
{
    return strcmp(verb->command, ABORT) == 0 ? evidence_cluster(base) : evidence_state(base);
}

/* What it has to be once it was asked for until it was done. */
static void check_end(const struct verb *verb, const char *kill_at, json_t *want)
{
    json_t *got = evidence_of(verb);
    const char *fault = evidence_fault(base);
    if (!json_equal(got, want))
        complain(verb, kill_at, "the end state differs, or an effect was had twice", got, want);
    if (fault)
        complain(verb, kill_at, fault, NULL, NULL);
    if (!is_done(run_hactl(verb->command, "the-operation", NULL)))
        complain(verb, kill_at, "asked once more, it fails", NULL, NULL);
    json_t *after = evidence_of(verb);
    if (!json_equal(got, after))
        complain(verb, kill_at, "asked once more, it changes something", after, got);
    json_decref(got);
    json_decref(after);
}

/* The point of that number, of `count`. */
static void try_point(const struct verb *verb, const char *kill_at, int number, int count, json_t *want)
{
    int status = 0;
    for (int i = 0; i < ATTEMPTS && !is_killed(status); i++) {
        restore();
        status = run_hactl(verb->command, "the-operation", kill_at);
        if (!is_killed(status) && !is_done(status)) {
            complain(verb, kill_at, "not killed, but failed", NULL, NULL);
            return;
        }
    }
    points++;
    if (is_killed(status))
        reached++;
    else if (number > count - count / 8 - TAIL)
        printf("# %s: %s was passed by the undisturbed run and by none of %d others\n", verb->name, kill_at, ATTEMPTS);
    else
        complain(verb, kill_at, "the undisturbed run passed that point, and none of the others has", NULL, NULL);
    if (!is_done(run_hactl(verb->command, "the-operation", NULL))) {
        complain(verb, kill_at, "asked again, it fails", NULL, NULL);
        return;
    }
    check_end(verb, kill_at, want);
}

static void random_point(char out[64], int core, int plugin)
{
    if (rand() % 2 || !plugin)
        snprintf(out, 64, "HACTL_FAULT_POINT=%d", rand() % core + 1);
    else
        snprintf(out, 64, "FAKE_STRIKE=%d %s", rand() % plugin + 1, rand() % 2 ? "after" : "before");
}

/* Killed, and what was asked again killed too. */
static void try_twice(const struct verb *verb, int core, int plugin, json_t *want)
{
    char first[64], second[64], both[160];
    random_point(first, core, plugin);
    random_point(second, core / 2 + 1, plugin / 2 + 1);
    snprintf(both, sizeof both, "%s and then %s", first, second);
    restore();
    run_hactl(verb->command, "the-operation", first);
    twice += is_killed(run_hactl(verb->command, "the-operation", second));
    if (!is_done(run_hactl(verb->command, "the-operation", NULL)))
        complain(verb, both, "asked again, it fails", NULL, NULL);
    else
        check_end(verb, both, want);
}

/* ---- aborted */

/* Refused is right where there was nothing before, or `down` has left too little to go back with;
 * then the operation itself still leads to its end. */
static bool may_be_refused(const struct verb *verb)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/now/world.json", base);
    json_t *world = json_load_file(path, 0, NULL);
    size_t there = json_object_size(json_object_get(world, "instances")),
           members = json_object_size(json_object_get(world, "members"));
    json_decref(world);
    return !verb->prepare[0] || (strcmp(verb->command, "down") == 0 && there < members / 2 + 1);
}

static void try_abort(const struct verb *verb, int core, int plugin, json_t *before, json_t *want, json_t *end)
{
    char kill_at[64], where[96];
    random_point(kill_at, core, plugin);
    snprintf(where, sizeof where, "%s and then aborted", kill_at);
    restore();
    run_hactl(verb->command, "the-operation", kill_at);
    if (!evidence_unfinished(base))
        return;
    int status = run_hactl("op abort --accept-budget 0", "the-abort", NULL);
    if (is_done(status)) {
        json_t *got = evidence_cluster(base);
        aborted++;
        /* A successor that alone is trusted has no way back: what was put away stays so. */
        bool over = strstr(verb->command, " retire ") && json_equal(got, end);
        if (!json_equal(got, before) && !over)
            complain(verb, where, "the cluster is not what it was before", got, before);
        json_decref(got);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == WRONG && !evidence_unfinished(base)) {
        check_end(verb, where, want); /* its end was in the journal already */
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != REFUSED || !may_be_refused(verb)) {
        complain(verb, where, "the abort fails", NULL, NULL);
    } else if (!is_done(run_hactl(verb->command, "the-operation", NULL))) {
        complain(verb, where, "refused to abort, and asked again, it fails", NULL, NULL);
    } else {
        refused++;
        check_end(verb, where, want);
    }
}

static int count_lines(const char *name)
{
    char path[PATH_MAX + 32];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", base, name);
    FILE *file = fopen(path, "r");
    for (int c; file && (c = fgetc(file)) != EOF;)
        count += c == '\n';
    if (file)
        fclose(file);
    return count;
}

/* The undisturbed run: what the end is to be, and how many points there are. */
static bool measure(const struct verb *verb, json_t **want, json_t **end, int *core, int *plugin)
{
    char counts[2][PATH_MAX + 32];
    snprintf(counts[0], sizeof counts[0], "%s/core.points", base);
    snprintf(counts[1], sizeof counts[1], "%s/plugin.points", base);
    setenv("HACTL_FAULT_COUNT", counts[0], 1);
    setenv("FAKE_COUNT", counts[1], 1);
    bool done = is_done(run_hactl(verb->command, "the-operation", NULL));
    unsetenv("HACTL_FAULT_COUNT");
    unsetenv("FAKE_COUNT");
    *want = evidence_of(verb);
    *end = evidence_cluster(base);
    *core = count_lines("core.points");
    *plugin = count_lines("plugin.points");
    return done;
}

/* Rotations are thirty verbs, which do much the same for each authority and phase: of their points a sample, by
 * CRASH_SEED; with HACTL_TEST_ALL all. */
static int step_of(const struct verb *verb, int every)
{
    bool rotates = strncmp(verb->name, "rotate ", 7) == 0 || strncmp(verb->name, "abort of ", 9) == 0;
    return rotates && !getenv("HACTL_TEST_ALL") ? SAMPLE * every : every;
}

static void try_verb(const struct verb *verb, int every)
{
    char kill_at[64], intents[PATH_MAX + 16];
    int core = 0, plugin = 0;
    json_t *want = NULL, *end = NULL;
    prepare(verb);
    snprintf(intents, sizeof intents, "%s/intents", base);
    setenv("FAKE_INTENTS", intents, 1);
    json_t *before = evidence_cluster(base);
    bool done = measure(verb, &want, &end, &core, &plugin);
    every = step_of(verb, every);
    if (!done)
        complain(verb, "no point", "undisturbed, it fails", NULL, NULL);
    for (int n = 1 + rand() % every; done && n <= core; n += every) {
        snprintf(kill_at, sizeof kill_at, "HACTL_FAULT_POINT=%d", n);
        try_point(verb, kill_at, n, core, want);
    }
    for (int n = 1 + rand() % every; done && n <= plugin; n += every)
        for (int after = 0; after < 2; after++) {
            snprintf(kill_at, sizeof kill_at, "FAKE_STRIKE=%d %s", n, after ? "after" : "before");
            try_point(verb, kill_at, n, plugin, want);
        }
    for (int i = 0; done && i < DOUBLE_KILLS; i++)
        try_twice(verb, core, plugin, want);
    /* Aborting an abort is going on with it. */
    for (int i = 0; done && i < ABORTS && !strstr(verb->command, "op abort"); i++)
        try_abort(verb, core, plugin, before, want, end);
    json_decref(before);
    json_decref(end);
    json_decref(want);
}

/* ---- all of them */

struct tally {
    int failures, points, reached, twice, aborted, refused;
};

/* In a process of its own, with a directory of its own; what it prints goes to a file. */
static void try_apart(size_t index, unsigned seed, const char *plugin, int every)
{
    char path[PATH_MAX + 32];
    size_t used = strlen(base);
    snprintf(base + used, sizeof base - used, "/%zu", index);
    run_shell("mkdir '%s'", base);
    snprintf(path, sizeof path, "%s/tap", base);
    if (!freopen(path, "w", stdout))
        _exit(2);
    srand(seed + (unsigned)index);
    write_configuration(plugin);
    try_verb(&verbs[index], every);
    struct tally tally = {failures, points, reached, twice, aborted, refused};
    snprintf(path, sizeof path, "%s/tally", base);
    FILE *file = fopen(path, "w");
    bool written = file && fwrite(&tally, sizeof tally, 1, file) == 1 && fclose(file) == 0;
    fflush(stdout);
    _exit(written ? 0 : 2);
}

/* CRASH_VERBS, an extended regular expression, leaves out the verbs that it does not match. */
static bool is_left_out(size_t index)
{
    const char *pattern = getenv("CRASH_VERBS");
    regex_t expression;
    bool out = false;
    if (!pattern)
        return false;
    if (regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        fprintf(stderr, "Bail out! CRASH_VERBS is no regular expression\n");
        exit(1);
    }
    out = regexec(&expression, verbs[index].name, 0, NULL, 0) != 0;
    regfree(&expression);
    return out;
}

static void tell(size_t index, struct tally *sum)
{
    char path[PATH_MAX + 32];
    struct tally one = {.failures = 1};
    snprintf(path, sizeof path, "%s/%zu/tally", base, index);
    FILE *file = fopen(path, "r");
    if (file && fread(&one, sizeof one, 1, file) != 1)
        one.failures = 1;
    if (file)
        fclose(file);
    fflush(stdout);
    run_shell("cat '%s/%zu/tap' 2>/dev/null || true", base, index);
    printf("%sok %zu - %s: killed at %d of %d points, %d times twice, %d times aborted\n", one.failures ? "not " : "",
           index + 1, verbs[index].name, one.reached, one.points, one.twice, one.aborted);
    fflush(stdout);
    sum->failures += one.failures;
    sum->points += one.points;
    sum->reached += one.reached;
    sum->twice += one.twice;
    sum->aborted += one.aborted;
    sum->refused += one.refused;
}

static void try_all(const char *plugin, unsigned seed, int every, struct tally *sum)
{
    enum { COUNT = sizeof verbs / sizeof *verbs };
    int running = 0;
    for (size_t i = 0; i < COUNT || running; i++) {
        if (i >= COUNT || running == SIDE_BY_SIDE)
            running -= wait(NULL) > 0;
        if (i >= COUNT)
            continue;
        if (is_left_out(i))
            continue;
        pid_t pid = fork();
        if (pid == 0)
            try_apart(i, seed, plugin, every);
        running += pid > 0;
    }
    for (size_t i = 0; i < COUNT; i++)
        if (is_left_out(i))
            printf("ok %zu - %s # SKIP CRASH_VERBS\n", i + 1, verbs[i].name);
        else
            tell(i, sum);
    printf("# %d points, hactl was killed at %d of them, and %d times once more when asked again; %d times it was "
           "aborted, %d times an abort was refused; seed %u\n",
           sum->points, sum->reached, sum->twice, sum->aborted, sum->refused, seed);
    bool reached_all = sum->points > 0 && sum->points - sum->reached <= 1 + sum->points / RARE;
    sum->failures += !reached_all;
    printf("%sok %d - hactl was killed at every point, save those that timing takes away: %d of %d\n1..%d\n",
           reached_all ? "" : "not ", COUNT + 1, sum->reached, sum->points, COUNT + 1);
}

int main(int argc, char **argv)
{
    int every = argc > 4 && strcmp(argv[3], "--every") == 0 ? atoi(argv[4]) : 1;
    const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", *seed = getenv("CRASH_SEED");
    struct tally sum = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: kill_everywhere HACTL FAKE.so [--every N]\n");
        return 2;
    }
    hactl = argv[1];
    snprintf(base, sizeof base, "%s/hactl-kill-XXXXXX", memory);
    if (!mkdtemp(base))
        return 2;
    char plugin[PATH_MAX + 16];
    const char *name = strrchr(argv[2], '/');
    snprintf(plugin, sizeof plugin, "%s%s", base, name ? name : "/fake.so");
    run_shell("cp '%s' '%s' && chmod 0755 '%s'", argv[2], plugin, plugin);
    try_all(plugin, seed ? (unsigned)atoi(seed) : 1, every > 0 ? every : 1, &sum);
    run_shell("rm -rf '%s'", base);
    return sum.failures > 0;
}
