/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills hactl (SIGKILL) before and after its calls of the Compute API, those that change something and those that do
 * not (reads, lists, tokens), and while it waits for what they began (tests/gce/between.h). Then the same operation is
 * asked for again, and has to lead to the resources of an undisturbed run, with the operations of an undisturbed run:
 * nothing is done twice. Asked once more it makes no changing call. In other runs a zone dies at such a call: hactl is
 * given a while, is then asked to stop, and has to lead to the same end once the zone is back.
 *
 *   kill_calls HACTL GROUP.so SAMPLE [VERBS | VERB POINT]
 *
 * SAMPLE points of each verb, by CRASH_SEED; 0: all. VERBS: "4-7", some of them. One point alone, as a complaint names
 * it. No machine runs: what machines would tell is told here, and the group is tests/gce/group.c.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/gce/between.h"
#include "tests/gce/outcome.h"

enum { MACHINES = 16, WORDS = 24, READS = 1024, PATIENCE_MS = 2000 };

static const struct verb {
    const char *name, *prepare, *command;
} verbs[] = {
    {"up of one", NULL, "up --replicas 1"},
    {"replica add, with the promotion", "up --replicas 1", "replica add --zone us-central1-c"},
    {"replica remove, with the demotion", "up --replicas 2", "replica remove demo-2 --accept-budget 0"},
    {"replica remove, of the first", "up --replicas 2", "replica remove demo-1 --accept-budget 0"},
    {"down", "up --replicas 2", "down"},
    {"replica add, of the third", "up --replicas 2", "replica add --zone us-central1-f"},
    {"replica remove, of the third", "up --replicas 3", "replica remove demo-3 --accept-budget 0"},
    {"replica replace, of the only one", "up --replicas 1", "replica replace demo-1 --accept-budget 0"},
    {"replica replace, of one of three", "up --replicas 3", "replica replace demo-2 --accept-budget 0"},
    {"one to three in one go", "up --replicas 1", "up --replicas 3"},
    {"endpoint promote", "up --replicas 1", "endpoint promote"},
    {"endpoint demote", "up --replicas 2", "endpoint demote"},
    {"up of one behind a balancer", NULL, "--set endpoint.mode=balancer up --replicas 1"},
    {"replica add behind a balancer", "--set endpoint.mode=balancer up --replicas 1",
     "--set endpoint.mode=balancer replica add --zone us-central1-c"},
};

/* The first replica is in the one zone, the second in the other. */
static const struct point kinds[] = {
    {.how = BEFORE},
    {.how = AFTER},
    {.how = WAIT, .reads = 1},
    {.how = ZONE, .zone = "us-central1-b", .patience_ms = PATIENCE_MS},
    {.how = ZONE, .zone = "us-central1-c", .patience_ms = PATIENCE_MS},
    {.how = BEFORE, .reading = true},
    {.how = AFTER, .reading = true},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

static char base[PATH_MAX];
static const char *hactl;
static int tests, failures;
static int turn; /* of the kinds */
static const struct point nowhere;

/* ---- what machines tell ------------------------------------------------------------------ */

static struct machine {
    char zone[64], name[64];
    bool told;
} machines[MACHINES];

static bool tell(CURL *curl, struct reply *reply, const char *zone, const char *name, const char *key,
                 const char *value)
{
    return control(curl, "POST", "guest-attribute",
                   json_pack("{s:s, s:s, s:s, s:s, s:s}", "zone", zone, "instance", name, "namespace", "hactl", "key",
                             key, "value", value),
                   reply);
}

/* As the agent of the startup script does, once the instance is there. */
static void tell_of_boots(CURL *curl, struct reply *reply)
{
    for (int i = 0; i < MACHINES; i++)
        if (machines[i].name[0] && !machines[i].told)
            machines[i].told = tell(curl, reply, machines[i].zone, machines[i].name, "data", "ok") &&
                               tell(curl, reply, machines[i].zone, machines[i].name, "state", "state=ready");
}

static void made(const char *zone, const char *name)
{
    for (int i = 0; i < MACHINES; i++)
        if (!machines[i].name[0] || strcmp(machines[i].name, name) == 0) {
            snprintf(machines[i].zone, sizeof(machines[i].zone), "%s", zone);
            snprintf(machines[i].name, sizeof(machines[i].name), "%s", name);
            machines[i].told = false;
            return;
        }
    abort();
}

static void tell_of_payloads(CURL *curl, struct reply *reply, const char *zone, const char *name, const json_t *body)
{
    size_t index;
    json_t *item;

    json_array_foreach(json_object_get(body, "items"), index, item)
    {
        const char *key = json_string_value(json_object_get(item, "key"));
        const char *value = json_string_value(json_object_get(item, "value"));
        const char *digest = value ? strstr(value, "digest ") : NULL;
        char told[80], report[400];

        if (!key || strncmp(key, "hactl-payload-", 14) != 0 || !digest)
            continue;
        snprintf(told, sizeof(told), "payload-%s", key + 14);
        snprintf(report, sizeof(report), "digest=%.*s\nrunning=yes\nat=4000000000", (int)strcspn(digest + 7, "\n"),
                 digest + 7);
        tell(curl, reply, zone, name, told, report);
    }
}

static void play_machines(CURL *curl, struct reply *reply, const struct gce_stub_request *request)
{
    const char *zones = strstr(request->path, "/zones/");
    char zone[64], name[64] = "", what[64] = "";
    json_t *body;

    if (!zones || sscanf(zones, "/zones/%63[^/]/instances/%63[^/?]/%63[^?]", zone, name, what) < 1 ||
        !strstr(zones, "/instances"))
        return;
    body = request->body[0] ? json_loads(request->body, 0, NULL) : NULL;
    if (strcmp(request->method, "POST") == 0 && !name[0] && json_string_value(json_object_get(body, "name")))
        made(zone, json_string_value(json_object_get(body, "name")));
    else if (strcmp(what, "setMetadata") == 0)
        tell_of_payloads(curl, reply, zone, name, body);
    json_decref(body);
}

/* ---- runs ------------------------------------------------------------------------------------- */

/* Those of a user: their tokens come from here too. */
static void write_credentials(uint16_t port)
{
    run_shell("umask 077; jq '.token_uri = \"http://127.0.0.1:%u/token\"' \"$GCE_EMULATOR_DIR/authorized-user.json\" "
              ">'%s/user.json'",
              port, base);
}

static void write_configuration(const char *plugin, uint16_t port)
{
    char path[PATH_MAX + 16];
    FILE *file;

    snprintf(path, sizeof(path), "%s/demo.conf", base);
    file = fopen(path, "w");
    fprintf(file,
            "cluster = { name = \"demo\"; replicas = 3; zones = [\"us-central1-b\", \"us-central1-c\", "
            "\"us-central1-f\"]; };\n"
            "keys = { mode = \"operator\"; };\nendpoint = { port = 443; drain = \"0s\"; };\n"
            "state = { directory = \"%s/now/state\"; };\n"
            "plugins = { cloud = { plugin = \"gce\"; zones = [\"us-central1-b\", \"us-central1-c\", "
            "\"us-central1-f\"];\n  api_url = \"http://127.0.0.1:%u/compute/v1/\"; admin_ranges = [\"192.0.2.0/24\"];\n"
            "  reach = \"external\"; poll_interval_ms = 1; private_keys = \"metadata\";\n"
            "  credentials_file = \"%s/user.json\"; };\n"
            "lb = { plugin = \"lb\"; backend = \"gce\"; cloud = \"cloud\"; check = \"tcp\"; };\n"
            "group = { plugin = \"%s\"; directory = \"%s/now/group\"; };\n"
            "pki = { plugin = \"pki\"; }; };\n@include \"pipelines.conf\"\n",
            base, port, base, plugin, base);
    fclose(file);
}

/* Its wait status. */
static int run_hactl(const char *command, const char *operation, struct point point)
{
    char line[512], config[PATH_MAX + 16], log[PATH_MAX + 16], *rest = NULL, *argv[WORDS + 8];
    int argc = 0;

    snprintf(line, sizeof(line), "%s", command);
    snprintf(config, sizeof(config), "%s/demo.conf", base);
    snprintf(log, sizeof(log), "%s/output", base);
    argv[argc++] = (char *)(uintptr_t)hactl;
    argv[argc++] = (char *)(uintptr_t) "-c";
    argv[argc++] = config;
    argv[argc++] = (char *)(uintptr_t) "--yes";
    argv[argc++] = (char *)(uintptr_t) "--op";
    argv[argc++] = (char *)(uintptr_t)operation;
    for (char *word = strtok_r(line, " ", &rest); word && argc < WORDS + 7; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    argv[argc] = NULL;
    return between_run(argv, log, point);
}

static bool is_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* A world of its own for each point. */
static void prepare(CURL *curl, struct reply *reply, const struct verb *verb)
{
    run_shell("rm -rf '%s/now' && mkdir -p '%s/now/group'", base, base);
    memset(machines, 0, sizeof(machines));
    if (!control(curl, "POST", "reset", NULL, reply) ||
        (verb->prepare && run_hactl(verb->prepare, "prepare", nowhere) != 0)) {
        run_shell("cat '%s/output' >&2", base);
        bail_out("cannot prepare: %s", verb->prepare ? verb->prepare : "reset");
    }
}

/* ---- what is compared ---------------------------------------------------------------------------- */

static json_t *group_log(void)
{
    char path[PATH_MAX + 32], line[200];
    json_t *lines = json_array(), *out;
    FILE *file;

    snprintf(path, sizeof(path), "%s/now/group/log", base);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        json_array_append_new(lines, json_string(line));
    if (file)
        fclose(file);
    out = outcome_sorted(lines);
    json_decref(lines);
    return out;
}

/* With what the group was told. */
static json_t *take_state(CURL *curl, struct reply *reply)
{
    json_t *state = outcome_take(curl, reply);

    if (state)
        json_object_set_new(state, "group", group_log());
    return state;
}

static bool same_group(const json_t *got, const json_t *want)
{
    const json_t *there = json_object_get(got, "group"), *wanted = json_object_get(want, "group");
    size_t index;
    json_t *line;

    if (json_equal(there, wanted))
        return true;
    json_array_foreach((json_t *)(uintptr_t)there, index, line)
    {
        printf("# the group was told: %s", json_string_value(line));
    }
    return false;
}

static void complain(const char *why)
{
    failures++;
    printf("# %s: %s\n", between_struck(), why);
    run_shell("sed 's/^/#   /' '%s/output'", base);
    fflush(stdout);
}

/* ---- points ----------------------------------------------------------------------------------------- */

/* What an undisturbed run was like. */
struct alone {
    int calls, reads;
    bool is_news[READS]; /* each of these: is it worth to be struck */
    json_t *state;
};

/* A run that made fewer calls than the one that was not struck ended before the last of them. How often it reads
 * depends on how soon things are done. */
static bool is_struck(int status, struct point point, const struct alone *alone)
{
    if (!between_has_struck())
        return status == 0 && (point.reading || point.call == alone->calls);
    return point.how == ZONE ? WIFEXITED(status) : is_killed(status);
}

/* A zone that dies while the address is on its way sends it back, and the next run hands it over once more. */
static void expect_again(json_t *state)
{
    json_t *operations = json_object_get(state, "operations"), *more = json_array(), *operation;
    size_t index;

    json_array_foreach(operations, index, operation)
    {
        if (strstr(json_string_value(operation), "/forwardingRules/"))
            json_array_append(more, operation);
    }
    json_array_extend(operations, more);
    json_decref(more);
}

static bool has_given_back(const char *log)
{
    char command[PATH_MAX + 80];

    snprintf(command, sizeof(command), "grep -q '^gave the public address back' '%s'", log);
    return system(command) == 0;
}

/* Whether it was struck. */
static bool try_point(CURL *curl, struct reply *reply, const struct verb *verb, struct point point,
                      const struct alone *alone)
{
    char struck[700], log[PATH_MAX + 16];
    json_t *got, *want = NULL;
    bool has_struck;
    int status;

    prepare(curl, reply, verb);
    status = run_hactl(verb->command, "the-operation", point);
    snprintf(struck, sizeof(struck), "%s", between_struck());
    has_struck = between_has_struck();
    if (!is_struck(status, point, alone)) {
        complain("it should have been struck, and was not; or it died of it");
        return has_struck;
    }
    snprintf(log, sizeof(log), "%s/output", base);
    if (point.how == ZONE && !between_is_said_well(status, log, point.zone))
        complain("of the zone it does not say what is the matter");
    want = json_deep_copy(alone->state);
    if (point.how == ZONE && has_given_back(log))
        expect_again(want);
    if (point.how == ZONE)
        between_set_zone(curl, reply, point.zone, false);
    if (run_hactl(verb->command, "the-operation", nowhere) != 0) {
        printf("# %s:\n", struck);
        complain("asked again, it fails");
        json_decref(want);
        return has_struck;
    }
    got = take_state(curl, reply);
    if (!outcome_same(struck, got, want) || !same_group(got, want)) {
        failures++;
        printf("# %s: the end is another one, or something was done twice\n", struck);
    }
    json_decref(got);
    json_decref(want);
    if (run_hactl(verb->command, "the-operation", nowhere) != 0 || between_calls() > 0) {
        printf("# %s:\n", struck);
        complain("asked once more, it fails or changes something");
    }
    return has_struck;
}

static int calls_of(const struct alone *alone, int kind)
{
    return kinds[kind].reading ? alone->reads : alone->calls;
}

/* The kinds take turns. After the last call but one: what it has done was then undone once and has to be done again. */
static int sampled(const struct alone *alone)
{
    int kind = turn++ % KINDS, call = rand() % calls_of(alone, kind);

    if (kind == AFTER && alone->calls > 1)
        call = alone->calls - 2;
    return call * KINDS + kind;
}

/* Points have numbers: KINDS for each call. Of these, those are points whose call is made, and a read only where it may
 * show something else than the one before. */
static bool is_point(const struct alone *alone, int number)
{
    int kind = number % KINDS, call = number / KINDS + 1;

    return call <= calls_of(alone, kind) && (!kinds[kind].reading || alone->is_news[call - 1]);
}

/* All that there may be. */
static int count_points(const struct alone *alone)
{
    return KINDS * (alone->calls > alone->reads ? alone->calls : alone->reads);
}

static struct alone leave_alone(CURL *curl, struct reply *reply, const struct verb *verb)
{
    struct alone alone = {0};

    prepare(curl, reply, verb);
    if (run_hactl(verb->command, "the-operation", nowhere) != 0) {
        complain("struck nowhere, it fails");
        return alone;
    }
    alone.calls = between_calls();
    alone.reads = between_reads() < READS ? between_reads() : READS;
    for (int i = 0; i < alone.reads; i++)
        alone.is_news[i] = between_is_news(i + 1);
    alone.state = take_state(curl, reply);
    return alone;
}

/* `only`: that point; -1: see above. */
static void try_verb(CURL *curl, struct reply *reply, const struct verb *verb, int sample, int only)
{
    int before_failures = failures, tried = 0, struck = 0, complaints;
    struct alone alone = leave_alone(curl, reply, verb);

    for (int i = 0; alone.calls && i < (only >= 0 ? 1 : sample ? sample : count_points(&alone)); i++) {
        int number = only >= 0 ? only : sample ? sampled(&alone) : i;
        struct point point = kinds[number % KINDS];

        point.call = number / KINDS + 1;
        if (only < 0 && !sample && !is_point(&alone, number))
            continue;
        complaints = failures;
        tried++;
        struck += try_point(curl, reply, verb, point, &alone);
        if (failures > complaints)
            printf("# that was point %d of verb %d\n", number, (int)(verb - verbs) + 1);
    }
    /* What is not there to be struck at the end of a run does not make much of all points. */
    if (struck * 4 < tried * 3) {
        printf("# struck at %d points only\n", struck);
        failures++;
    }
    json_decref(alone.state);
    printf("%sok %d - %s: %d changing calls, %d others, struck at %d of %d points\n",
           failures == before_failures && alone.calls ? "" : "not ", ++tests, verb->name, alone.calls, alone.reads,
           struck, tried);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *seed = getenv("CRASH_SEED"), *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    const char *emulator = getenv("GCE_EMULATOR");
    struct reply reply = reply_new();
    int first = 1, last = sizeof(verbs) / sizeof(*verbs), point = -1;
    char plugin[PATH_MAX + 16];
    CURL *curl;

    if (argc < 4 || argc > 6 || !emulator || (argc == 5 && sscanf(argv[4], "%d-%d", &first, &last) != 2))
        return 2;
    if (argc == 6) {
        first = last = atoi(argv[4]);
        point = atoi(argv[5]);
    }
    hactl = argv[1];
    between_start(emulator, tell_of_boots, play_machines);
    curl = curl_easy_init();
    snprintf(base, sizeof(base), "%s/hactl-calls-XXXXXX", memory);
    if (!curl || !mkdtemp(base))
        return 2;
    snprintf(plugin, sizeof(plugin), "%s/group.so", base);
    run_shell("cp '%s' '%s' && chmod 0755 '%s'", argv[2], plugin, plugin);
    write_credentials(between_port());
    write_configuration(plugin, between_port());
    srand(seed ? (unsigned)atoi(seed) : 1);
    turn = rand();
    for (int i = 1; i <= (int)(sizeof(verbs) / sizeof(*verbs)); i++)
        if (first <= i && i <= last)
            try_verb(curl, &reply, &verbs[i - 1], atoi(argv[3]), point);
    printf("# seed %s\n1..%d\n", seed ? seed : "1", tests);
    run_shell("rm -rf '%s'", base);
    fflush(stdout);
    _exit(failures > 0);
}
