/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills hactl (SIGKILL) before, after and while it waits for calls of the Compute API (tests/gce/between.h) that make,
 * change and delete machines that boot, with real etcd on them. Or a zone dies there, with its machines: hactl is given
 * a while, is then asked to stop, and the zone comes back. The same operation is asked for again, after the death of a
 * zone until its machines are back. Then etcd's members have to be the replicas, all voters and healthy, the public
 * address has to be the one that it was and to answer, asked once more nothing may be changed, and what there is in the
 * cloud, and how often each thing was done, has to be as in a run that was left alone.
 *
 *   kill_boots HACTL CONFIGURATION STATE-DIRECTORY CHAINS
 *
 * A chain is all verbs, one after the other, on one cluster, each struck once. CHAINS of them by CRASH_SEED; 0: one
 * after the other, at every point; -1: the first two verbs alone.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/gce/between.h"
#include "tests/gce/outcome.h"

enum { WORDS = 24, VERBS = 6, SHORT = 2, SETTLED_S = 60, BACK_S = 180, READS_MOST = 8, PATHS = 4096 };

/* Deaths of single machines belong to tests/e2e/gce.test. */
enum { HOWS = ZONE + 1, PATIENCE_MS = 6000 };

/* Where the first replica is, and the second; so are those that replace them. */
static const char *const zones[] = {"us-central1-b", "us-central1-c"};

static const struct verb {
    const char *name, *command;
    const char *replicas, *owner; /* of the address, after it */
} verbs[VERBS] = {
    {"up of one", "up --replicas 1", "demo-1", "demo-1"},
    {"replica add, with the promotion", "replica add --zone us-central1-c", "demo-1 demo-2", "balancer"},
    {"replica replace, behind the balancer", "replica replace demo-1 --accept-budget 0", "demo-2 demo-3", "balancer"},
    {"replica remove, with the demotion", "replica remove demo-3 --accept-budget 0", "demo-2", "demo-2"},
    {"replica replace, of the only one", "replica replace demo-2 --accept-budget 0", "demo-4", "demo-4"},
    {"down", "down", NULL, NULL},
};

static const struct point nowhere;
static const char *hactl, *configuration, *state;
static char log_path[PATHS];
static CURL *curl;
static struct reply reply;
static int tests, failures, struck_count;

/* What a run that was left alone did. */
static struct alone {
    int calls;
    json_t *outcome; /* its operations are those of this verb */
} alone[VERBS];

struct chain {
    char address[64];
    json_t *before; /* what there was, with all operations, before this verb */
    bool good;
};

/* ---- runs ----------------------------------------------------------------------------------------- */

static int run_hactl(int verb, struct point point)
{
    char line[512], operation[32], directory[PATHS], *rest = NULL, *argv[WORDS + 12];
    int argc = 0;

    snprintf(line, sizeof(line), "%s", verbs[verb].command);
    snprintf(operation, sizeof(operation), "operation-%d", verb);
    snprintf(directory, sizeof(directory), "state.directory=%.4000s", state);
    argv[argc++] = (char *)(uintptr_t)hactl;
    argv[argc++] = (char *)(uintptr_t) "-c";
    argv[argc++] = (char *)(uintptr_t)configuration;
    argv[argc++] = (char *)(uintptr_t) "--set";
    argv[argc++] = directory;
    argv[argc++] = (char *)(uintptr_t) "--yes";
    argv[argc++] = (char *)(uintptr_t) "--op";
    argv[argc++] = operation;
    for (char *word = strtok_r(line, " ", &rest); word && argc < WORDS + 11; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    argv[argc] = NULL;
    return between_run(argv, log_path, point);
}

static json_t *read_status(void)
{
    char line[3 * PATHS];
    json_t *status;
    FILE *pipe;

    snprintf(line, sizeof(line), "'%s' -c '%s' --set 'state.directory=%s' status -o json 2>/dev/null", hactl,
             configuration, state);
    pipe = popen(line, "r");
    status = pipe ? json_loadf(pipe, 0, NULL) : NULL;
    if (pipe)
        pclose(pipe);
    return status;
}

/* ---- what has to hold after each verb ------------------------------------------------------------- */

static void complain(struct chain *chain, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct chain *chain, const char *format, ...)
{
    va_list arguments;

    chain->good = false;
    va_start(arguments, format);
    fputs("# ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    fflush(stdout);
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value ? value : "";
}

/* Members that do not vote or are not healthy get a mark that no replica's name has. */
static void list_names(const json_t *list, bool members, char out[256])
{
    json_t *names = json_array(), *entry, *sorted;
    size_t index;

    json_array_foreach((json_t *)(uintptr_t)list, index, entry)
    {
        bool whole = !members ||
                     (json_is_true(json_object_get(entry, "voter")) && json_is_true(json_object_get(entry, "healthy")));

        json_array_append_new(names, json_sprintf("%s%s", text(entry, "name"), whole ? "" : "?"));
    }
    sorted = outcome_sorted(names);
    out[0] = '\0';
    json_array_foreach(sorted, index, entry)
    {
        size_t used = strlen(out);

        snprintf(out + used, 256 - used, "%s%s", index ? " " : "", json_string_value(entry));
    }
    json_decref(names);
    json_decref(sorted);
}

/* "REPLICAS, MEMBERS, ADDRESS OWNER ANSWERS" */
static void describe(char out[800], char address[64])
{
    json_t *status = read_status(), *endpoint = json_object_get(status, "endpoint");
    char replicas[256], members[256];

    list_names(json_object_get(status, "replicas"), false, replicas);
    list_names(json_object_get(json_object_get(status, "etcd"), "members"), true, members);
    snprintf(address, 64, "%.60s", text(endpoint, "address"));
    snprintf(out, 800, "replicas %s, members %s, address at %s, %s", replicas, members, text(endpoint, "owner"),
             json_is_true(json_object_get(endpoint, "answers")) ? "answers" : "silent");
    json_decref(status);
}

static void check_cluster(struct chain *chain, const struct verb *verb)
{
    char want[800], got[800], address[64];

    snprintf(want, sizeof(want), "replicas %s, members %s, address at %s, answers", verb->replicas, verb->replicas,
             verb->owner);
    for (int i = 0; i < SETTLED_S; i++, sleep(1)) {
        describe(got, address);
        if (strcmp(got, want) == 0)
            break;
    }
    if (strcmp(got, want) != 0)
        complain(chain, "got:  %s", got);
    if (strcmp(got, want) != 0)
        complain(chain, "want: %s", want);
    if (!chain->address[0])
        snprintf(chain->address, sizeof(chain->address), "%s", address);
    if (strcmp(chain->address, address) != 0)
        complain(chain, "the public address was %s and is %s", chain->address, address);
}

/* Whoever gives the address up, somebody takes it. */
static void check_light(struct chain *chain)
{
    json_t *counts, *one;
    size_t index;

    if (!control(curl, "GET", "counts", NULL, &reply) || !(counts = json_loads(reply.text, 0, NULL))) {
        complain(chain, "the emulator does not say what it has counted");
        return;
    }
    json_array_foreach(json_object_get(counts, "dark"), index, one)
    {
        if (!json_is_true(json_object_get(one, "lit")))
            complain(chain, "address %s is nobody's any more", text(one, "address"));
    }
    json_decref(counts);
}

static void check_outcome(struct chain *chain, int verb)
{
    json_t *now = outcome_take(curl, &reply), *of_this_verb = json_deep_copy(now);

    outcome_subtract(of_this_verb, chain->before);
    json_decref(chain->before);
    chain->before = now;
    if (!outcome_same(between_struck(), of_this_verb, alone[verb].outcome))
        complain(chain, "the end is another one, or something was done twice");
    json_decref(of_this_verb);
}

/* ---- chains ------------------------------------------------------------------------------------------ */

static void begin(struct chain *chain)
{
    run_shell("rm -rf '%s'", state);
    if (!control(curl, "POST", "reset", NULL, &reply))
        bail_out("the emulator cannot be reset");
    *chain = (struct chain){.before = outcome_take(curl, &reply), .good = true};
}

static void leave_alone(struct chain *chain, int verb)
{
    json_t *now;

    if (run_hactl(verb, nowhere) != 0) {
        run_shell("sed 's/^/#   /' '%s'", log_path);
        bail_out("%s fails without being struck", verbs[verb].name);
    }
    alone[verb].calls = between_calls();
    now = outcome_take(curl, &reply);
    alone[verb].outcome = json_deep_copy(now);
    outcome_subtract(alone[verb].outcome, chain->before);
    json_decref(chain->before);
    chain->before = now;
}

/* A run that made fewer calls than the one that was left alone, or waited less, ended before. */
static bool is_struck(int status, struct point point, int calls)
{
    if (between_has_struck() && point.how == ZONE)
        return between_is_said_well(status, log_path, point.zone);
    if (between_has_struck())
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return status == 0 && (point.how == WAIT || point.call >= calls);
}

/* A zone that is back boots its machines; until then a refusal that says so is right. */
static bool run_again(int verb, struct point point)
{
    int status = run_hactl(verb, nowhere);

    for (int i = 0; point.how == ZONE && status != 0 && i < BACK_S; i++, sleep(1)) {
        if (!between_is_said_well(status, log_path, point.zone))
            return false;
        status = run_hactl(verb, nowhere);
    }
    return status == 0;
}

static void strike(struct chain *chain, int verb, struct point point)
{
    const struct verb *of = &verbs[verb];
    char struck[700];
    int status;

    chain->good = true;
    status = run_hactl(verb, point);
    snprintf(struck, sizeof(struck), "%s", between_has_struck() ? between_struck() : "not struck, it had ended");
    struck_count += between_has_struck();
    if (!is_struck(status, point, alone[verb].calls)) {
        run_shell("sed 's/^/#   /' '%s'", log_path);
        complain(chain, "it should have been struck, and was not; or it died of it: %d", status);
    }
    if (point.how == ZONE && !between_set_zone(curl, &reply, point.zone, false))
        bail_out("the zone cannot come back");
    if (!run_again(verb, point)) {
        run_shell("sed 's/^/#   /' '%s'", log_path);
        complain(chain, "asked again, it fails");
    }
    if (of->replicas) {
        check_light(chain);
        check_cluster(chain, of);
    }
    check_outcome(chain, verb);
    if (run_hactl(verb, nowhere) != 0 || between_calls() > 0) {
        run_shell("sed 's/^/#   /' '%s'", log_path);
        complain(chain, "asked once more, it fails or changes something: %d calls", between_calls());
    }
    failures += !chain->good;
    printf("%sok %d - %s: %s\n", chain->good ? "" : "not ", ++tests, of->name, struck);
    fflush(stdout);
}

/* Each verb meets each way to be struck; in a chain neighbours meet different ones. */
static struct point choose(int chain, int verb, bool all)
{
    struct point point = {.how = (enum strike)((chain + verb) % HOWS),
                          .reads = 1 + rand() % READS_MOST,
                          .zone = zones[rand() % 2],
                          .patience_ms = PATIENCE_MS};

    point.call = 1 + (all ? chain / HOWS : rand()) % alone[verb].calls;
    return point;
}

static int most_calls(void)
{
    int most = 0;

    for (int verb = 0; verb < VERBS; verb++)
        most = alone[verb].calls > most ? alone[verb].calls : most;
    return most;
}

static void run_chain(int number, int count, bool all)
{
    struct chain chain;

    begin(&chain);
    for (int verb = 0; verb < count; verb++)
        strike(&chain, verb, choose(number, verb, all));
    json_decref(chain.before);
}

static void run_alone(int count)
{
    struct chain chain;

    begin(&chain);
    for (int verb = 0; verb < count; verb++)
        leave_alone(&chain, verb);
    /* A world is only begun where no machine runs. */
    if (count < VERBS && run_hactl(VERBS - 1, nowhere) != 0)
        bail_out("what was left alone cannot be taken down");
    json_decref(chain.before);
}

int main(int argc, char **argv)
{
    const char *seed = getenv("CRASH_SEED"), *emulator = getenv("GCE_EMULATOR");
    char endpoint[64];
    int chains, first;

    if (argc != 5 || !emulator)
        return 2;
    hactl = argv[1];
    configuration = argv[2];
    state = argv[3];
    chains = atoi(argv[4]);
    snprintf(log_path, sizeof(log_path), "%.4000s.output", state);
    reply = reply_new();
    between_start(emulator, NULL, NULL);
    curl = curl_easy_init();
    snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%u/compute/v1/", between_port());
    setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", endpoint, 1);
    srand(seed ? (unsigned)atoi(seed) : 1);
    printf("# seed %s\n", seed ? seed : "1");
    first = rand() % HOWS;
    run_alone(chains < 0 ? SHORT : VERBS);
    if (chains < 0)
        run_chain(first, SHORT, false);
    for (int i = 0; i < (chains == 0 ? HOWS * most_calls() : chains); i++)
        run_chain(chains == 0 ? i : first + i, VERBS, chains == 0);
    printf("# struck %d times\n1..%d\n", struck_count, tests);
    fflush(stdout);
    _exit(failures > 0 || struck_count == 0);
}
