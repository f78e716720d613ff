/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kill harness. For every verb: run it undisturbed and count the points;
 * then, for every point, kill hactl there (SIGKILL), ask for the same
 * operation again, and compare: the end state is that of the undisturbed run,
 * every effect was had exactly once, and asking once more has none.
 *
 *   kill_everywhere HACTL FAKE.so [--every N]
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char base[PATH_MAX];
static const char *hactl;
static int failures, points, reached, tests;

enum { WORDS = 12 };

/* Every verb in a world that others prepared. */
static const struct verb {
    const char *name;
    const char *prepare[4]; /* command lines */
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

static void write_configuration(const char *plugin)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/fake.conf", base);
    FILE *file = fopen(path, "w");
    fprintf(file,
            "cluster = { name = \"fake\"; replicas = 3; zones = [\"a\", \"b\", \"c\"]; };\n"
            "state = { directory = \"%s/now/state\"; };\n"
            "plugins = { all = { plugin = \"%s\"; world = \"%s/now/world.json\"; }; };\n",
            base, plugin, base);
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
    for (int i = 0; i < 4 && verb->prepare[i]; i++) {
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
    run_shell("rm -rf '%s/before' && cp -a '%s/now' '%s/before'", base, base, base);
}

static void restore(void)
{
    run_shell("rm -rf '%s/now' && cp -a '%s/before' '%s/now'", base, base, base);
}

/* ---- what is compared */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *sorted(json_t *log)
{
    size_t count = json_array_size(log);
    const char **lines = calloc(count + 1, sizeof *lines);
    json_t *out = json_array();
    for (size_t i = 0; i < count; i++)
        lines[i] = json_string_value(json_array_get(log, i));
    qsort(lines, count, sizeof *lines, by_text);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, json_string(lines[i]));
    free(lines);
    return out;
}

/* World and store without what may differ: what was asked for how often, who
 * was shown first, generation and the operation's name. */
static json_t *take_state(void)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/now/world.json", base);
    json_t *world = json_load_file(path, 0, NULL);
    snprintf(path, sizeof path, "%s/now/state/fake/desired.json", base);
    json_t *desired = json_load_file(path, 0, NULL);
    json_object_del(world, "asked");
    json_object_set_new(world, "log", sorted(json_object_get(world, "log")));
    json_object_del(desired, "generation");
    return json_pack("{so? so?}", "world", world, "desired", desired);
}

/* Which of two equals leads is left to chance: several replicas may be caught
 * up alike. Digests hold founders' names, which a repeated start need not give. */
static bool same(json_t *a, json_t *b)
{
    return json_equal(a, b);
}

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

static void try_point(const struct verb *verb, const char *kill_at, json_t *want)
{
    restore();
    points++;
    int status = run_hactl(verb->command, "the-operation", kill_at);
    if (is_killed(status))
        reached++;
    else if (!is_done(status)) {
        complain(verb, kill_at, "not killed, but failed", NULL, NULL);
        return;
    }
    if (!is_done(run_hactl(verb->command, "the-operation", NULL))) {
        complain(verb, kill_at, "asked again, it fails", NULL, NULL);
        return;
    }
    json_t *got = take_state();
    if (!same(got, want))
        complain(verb, kill_at, "the end state differs, or an effect was had twice", got, want);
    if (!is_done(run_hactl(verb->command, "the-operation", NULL)))
        complain(verb, kill_at, "asked a third time, it fails", NULL, NULL);
    json_t *after = take_state();
    if (!same(got, after))
        complain(verb, kill_at, "asked a third time, it changes something", after, got);
    json_decref(got);
    json_decref(after);
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

static void try_verb(const struct verb *verb, int every)
{
    char counts[2][PATH_MAX + 32], kill_at[64];
    int before = failures, first = points;
    prepare(verb);
    run_shell("rm -f '%s/core.points' '%s/plugin.points'", base, base);
    snprintf(counts[0], sizeof counts[0], "%s/core.points", base);
    snprintf(counts[1], sizeof counts[1], "%s/plugin.points", base);
    setenv("HACTL_FAULT_COUNT", counts[0], 1);
    setenv("FAKE_COUNT", counts[1], 1);
    bool done = is_done(run_hactl(verb->command, "the-operation", NULL));
    unsetenv("HACTL_FAULT_COUNT");
    unsetenv("FAKE_COUNT");
    json_t *want = take_state();
    if (!done)
        complain(verb, "no point", "undisturbed, it fails", NULL, NULL);
    for (int n = 1; done && n <= count_lines("core.points"); n += every) {
        snprintf(kill_at, sizeof kill_at, "HACTL_FAULT_POINT=%d", n);
        try_point(verb, kill_at, want);
    }
    for (int n = 1; done && n <= count_lines("plugin.points"); n += every)
        for (int after = 0; after < 2; after++) {
            snprintf(kill_at, sizeof kill_at, "FAKE_STRIKE=%d %s", n, after ? "after" : "before");
            try_point(verb, kill_at, want);
        }
    json_decref(want);
    printf("%sok %d - %s: %d points\n", failures > before ? "not " : "", ++tests, verb->name, points - first);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int every = argc > 4 && strcmp(argv[3], "--every") == 0 ? atoi(argv[4]) : 1;
    const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (argc < 3) {
        fprintf(stderr, "usage: kill_everywhere HACTL FAKE.so [--every N]\n");
        return 2;
    }
    hactl = argv[1];
    snprintf(base, sizeof base, "%s/hactl-kill-XXXXXX", memory);
    if (!mkdtemp(base))
        return 2;
    char plugin[PATH_MAX + 16];
    snprintf(plugin, sizeof plugin, "%s/fake.so", base);
    run_shell("cp '%s' '%s' && chmod 0755 '%s'", argv[2], plugin, plugin);
    write_configuration(plugin);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        try_verb(&verbs[i], every);
    printf(
        "# %d points, hactl was killed at %d of them; the others lie beyond the end of a run that went another way\n",
        points, reached);
    printf("1..%d\n", tests);
    run_shell("rm -rf '%s'", base);
    return failures > 0;
}
