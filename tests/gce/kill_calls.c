/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills hactl (SIGKILL) before and after its changing calls of the Compute
 * API: it stands between hactl and the emulator, so it knows each call. Then
 * the same operation is asked for again, and has to lead to the resources of
 * an undisturbed run, with the operations of an undisturbed run: nothing is
 * done twice. Asked once more it makes no changing call. In other runs a zone
 * dies at such a call: hactl is given a while, is then asked to stop, and has to
 * lead to the same end once the zone is back.
 *
 *   kill_calls HACTL GROUP.so SAMPLE [VERB POINT]
 *
 * SAMPLE points of each verb, by CRASH_SEED; 0: all. One point alone: 3 * (call - 1), one more for after the call, two
 * more for the death of the zone. No machine runs: what machines would tell is told here, and the group is
 * tests/gce/group.c.
 */
#include <curl/curl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/gce_stub.h"

extern char **environ;

enum { MACHINES = 16, WORDS = 24, BODY = 1 << 20, PATIENCE_MS = 4000 };

enum strike { BEFORE, AFTER, ZONE, STRIKES };

#define ZONE_THAT_DIES "us-central1-c"

static const struct verb {
    const char *name, *prepare, *command;
} verbs[] = {
    {"up of one", NULL, "up --replicas 1"},
    {"replica add, with the promotion", "up --replicas 1", "replica add --zone us-central1-c"},
    {"replica remove, with the demotion", "up --replicas 2", "replica remove demo-2 --accept-budget 0"},
    {"replica remove, of the first", "up --replicas 2", "replica remove demo-1 --accept-budget 0"},
    {"down", "up --replicas 2", "down"},
};

static char base[PATH_MAX];
static const char *hactl, *emulator;
static int tests, failures;

/* ---- the emulator ------------------------------------------------------------------------ */

struct reply {
    char *text;
    size_t size;
    long status;
};

static size_t take(char *bytes, size_t one, size_t count, void *data)
{
    struct reply *reply = data;

    if (reply->size + one * count >= BODY)
        return 0;
    memcpy(reply->text + reply->size, bytes, one * count);
    reply->size += one * count;
    reply->text[reply->size] = '\0';
    return one * count;
}

/* `authorization`: a whole header, or NULL. */
static bool ask(CURL *curl, const char *method, const char *path, const char *body, const char *authorization,
                struct reply *reply)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    char url[8192];
    CURLcode rc;

    if (authorization)
        headers = curl_slist_append(headers, authorization);
    snprintf(url, sizeof(url), "%s%s", emulator, path);
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (body && body[0])
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    else if (strcmp(method, "POST") == 0)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    reply->size = 0;
    reply->text[0] = '\0';
    rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
    curl_slist_free_all(headers);
    return rc == CURLE_OK;
}

/* One of the emulator's controls. */
static bool control(CURL *curl, const char *method, const char *path, json_t *body, struct reply *reply)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, full[256];
    bool good;

    snprintf(full, sizeof(full), "/_emulator/%s", path);
    good = ask(curl, method, full, text, NULL, reply) && reply->status == 200;
    free(text);
    json_decref(body);
    return good;
}

static struct reply new_reply(void)
{
    struct reply reply = {.text = malloc(BODY)};

    if (!reply.text)
        abort();
    return reply;
}

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

/* ---- between hactl and the emulator ------------------------------------------------------------ */

static struct {
    CURL *curl; /* of the server's threads, one at a time */
    struct reply reply, told;
    atomic_int pid, passed, strike; /* the call at which to strike; 0: none */
    atomic_int how;
    char struck[600];
} between;

static void header_of(const struct gce_stub_request *request, const char *name, char out[4096])
{
    const char *at = strcasestr(request->head, name);

    snprintf(out, 4096, "%.*s", at ? (int)strcspn(at, "\r\n") : 0, at ? at : "");
}

/* The process is gone when this returns. */
static void kill_it(struct gce_stub_answer *answer)
{
    while (between.pid == 0)
        usleep(1000);
    kill(between.pid, SIGKILL);
    answer->drop = true;
}

static void note_strike(const struct gce_stub_request *request)
{
    static const char *const words[] = {"killed before", "killed after", "a zone died at"};

    snprintf(between.struck, sizeof(between.struck), "%s the call %d, %s %.*s", words[between.how], between.passed,
             request->method, (int)strcspn(request->path, "?"), request->path);
}

static bool set_zone(CURL *curl, struct reply *reply, bool down)
{
    return control(curl, "POST", "zone", json_pack("{s:s, s:b}", "zone", ZONE_THAT_DIES, "down", down), reply);
}

static void answer_it(const struct gce_stub_request *request, struct gce_stub_answer *answer)
{
    bool changes = strstr(request->path, "requestId=") != NULL;
    bool strikes = changes && ++between.passed == between.strike;
    char authorization[4096];

    if (strikes)
        note_strike(request);
    if (strikes && between.how == BEFORE) {
        kill_it(answer);
        return;
    }
    if (strikes && between.how == ZONE)
        set_zone(between.curl, &between.told, true);
    tell_of_boots(between.curl, &between.told);
    header_of(request, "Authorization:", authorization);
    if (!ask(between.curl, request->method, request->path, request->body, authorization, &between.reply)) {
        answer->drop = true;
        return;
    }
    answer->status = (int)between.reply.status;
    memcpy(answer->body, between.reply.text, between.reply.size + 1);
    if (answer->status == 200)
        play_machines(between.curl, &between.told, request);
    if (strikes && between.how == AFTER)
        kill_it(answer);
}

/* ---- runs ------------------------------------------------------------------------------------- */

static void run_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run_shell(const char *format, ...)
{
    char line[4 * PATH_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (system(line) != 0) {
        fprintf(stderr, "Bail out! %s\n", line);
        exit(1);
    }
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
            "  reach = \"external\"; poll_interval_ms = 1; private_keys = \"metadata\"; };\n"
            "lb = { plugin = \"lb\"; backend = \"gce\"; cloud = \"cloud\"; check = \"tcp\"; };\n"
            "group = { plugin = \"%s\"; directory = \"%s/now/group\"; };\n"
            "pki = { plugin = \"pki\"; }; };\n@include \"pipelines.conf\"\n",
            base, port, plugin, base);
    fclose(file);
}

/* Until it has ended; where it waits for a zone it is asked to stop after a while, and to stop at once a little later.
 */
static int await(pid_t pid, bool patient)
{
    static const int patience_ms[] = {PATIENCE_MS, PATIENCE_MS / 4};
    int status = 0;

    for (size_t asked = 0; patient && asked < sizeof(patience_ms) / sizeof(patience_ms[0]); asked++) {
        for (int i = 0; i < patience_ms[asked] / 10; i++, usleep(10000))
            if (waitpid(pid, &status, WNOHANG) == pid)
                return status;
        kill(pid, SIGINT);
    }
    waitpid(pid, &status, 0);
    return status;
}

/* Its wait status. */
static int run_hactl(const char *command, const char *operation, int strike, enum strike how)
{
    char line[512], config[PATH_MAX + 16], log[PATH_MAX + 16], *rest = NULL, *argv[WORDS + 8];
    posix_spawn_file_actions_t actions;
    int argc = 0;
    pid_t pid;

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
    between.pid = 0;
    between.passed = 0;
    between.how = (int)how;
    between.strike = strike;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (posix_spawn(&pid, hactl, &actions, NULL, argv, environ) != 0) {
        fprintf(stderr, "Bail out! %s\n", hactl);
        exit(1);
    }
    between.pid = pid;
    posix_spawn_file_actions_destroy(&actions);
    return await(pid, strike > 0 && how == ZONE);
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
        (verb->prepare && run_hactl(verb->prepare, "prepare", 0, BEFORE) != 0)) {
        run_shell("cat '%s/output' >&2", base);
        fprintf(stderr, "Bail out! cannot prepare: %s\n", verb->prepare ? verb->prepare : "reset");
        exit(1);
    }
}

/* ---- what is compared ---------------------------------------------------------------------------- */

static const char *const volatile_names[] = {
    "id",        "creationTimestamp",   "fingerprint", "natIP",        "labelFingerprint",    "lastStartTimestamp",
    "networkIP", "IPAddress",           "address",     "cpuPlatform",  "lastAttachTimestamp", "lastStopTimestamp",
    "value",     "lastDetachTimestamp", "description", "sourceImageId"};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* An array without an order. */
static json_t *sorted(const json_t *array)
{
    size_t count = json_array_size(array);
    char **texts = calloc(count + 1, sizeof(*texts));
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++)
        texts[i] = json_dumps(json_array_get(array, i), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    qsort(texts, count, sizeof(*texts), by_text);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(out, json_loads(texts[i], JSON_DECODE_ANY, NULL));
        free(texts[i]);
    }
    free(texts);
    return out;
}

/* Without what another run has otherwise: numbers, times, addresses, texts of metadata. Who uses an address, and which
 * keys metadata have, stays. */
static json_t *settled(const json_t *json)
{
    json_t *out, *value, *list;
    const char *name;
    size_t index;

    if (json_is_array(json)) {
        list = json_array();
        json_array_foreach((json_t *)(uintptr_t)json, index, value)
        {
            json_array_append_new(list, settled(value));
        }
        out = sorted(list);
        json_decref(list);
        return out;
    }
    if (!json_is_object(json))
        return json_deep_copy(json);
    out = json_object();
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        bool leave = false;

        for (size_t i = 0; i < sizeof(volatile_names) / sizeof(*volatile_names); i++)
            leave |= strcmp(name, volatile_names[i]) == 0;
        if (!leave)
            json_object_set_new(out, name, settled(value));
    }
    return out;
}

/* Operations that have had their effect: what each did, to what. Access configs are left out: a replica that a kill has
 * left without an address is given one to be reached at, and loses it again; who has which at the end is compared. */
static void add_operation(json_t *operations, const json_t *resource)
{
    const char *link = json_string_value(json_object_get(resource, "targetLink"));
    char text[600];

    const char *type = json_string_value(json_object_get(resource, "operationType"));

    if (json_object_get(resource, "error") || !type || strstr(type, "AccessConfig"))
        return;
    snprintf(text, sizeof(text), "%s %s", type, link && strstr(link, "/projects/") ? strstr(link, "/projects/") : "");
    json_array_append_new(operations, json_string(text));
}

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
    out = sorted(lines);
    json_decref(lines);
    return out;
}

static json_t *take_state(CURL *curl, struct reply *reply)
{
    json_t *all, *both, *resources = json_object(), *operations = json_array();
    const char *path;

    if (!control(curl, "GET", "state", NULL, reply) || !(all = json_loads(reply->text, 0, NULL)))
        return NULL;
    json_object_foreach(all, path, both)
    {
        if (strstr(path, "/operations/"))
            add_operation(operations, json_object_get(both, "resource"));
        else
            json_object_set_new(resources, path, settled(json_object_get(both, "resource")));
    }
    json_decref(all);
    both = json_pack("{s:o, s:o, s:o}", "resources", resources, "operations", sorted(operations), "group", group_log());
    json_decref(operations);
    return both;
}

/* What of the one is not in the other. */
static void print_difference(const char *label, const json_t *one, const json_t *other)
{
    const char *name;
    json_t *value;
    size_t index;
    char *text;

    json_object_foreach((json_t *)(uintptr_t)one, name, value)
    {
        if (json_equal(value, json_object_get(other, name)))
            continue;
        text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
        printf("# %s %s: %s\n", label, name, text);
        free(text);
    }
    json_array_foreach((json_t *)(uintptr_t)one, index, value)
    {
        if (!json_equal(value, json_array_get(other, index)))
            printf("# %s %zu: %s\n", label, index, json_string_value(value));
    }
}

static void complain(const char *where, const char *why, const json_t *got, const json_t *want)
{
    static const char *const parts[] = {"resources", "operations", "group"};

    failures++;
    printf("# %s: %s\n", where, why);
    for (size_t i = 0; got && want && i < sizeof(parts) / sizeof(*parts); i++) {
        print_difference("got ", json_object_get(got, parts[i]), json_object_get(want, parts[i]));
        print_difference("want", json_object_get(want, parts[i]), json_object_get(got, parts[i]));
    }
    if (!got)
        run_shell("sed 's/^/#   /' '%s/output'", base);
    fflush(stdout);
}

/* ---- points ----------------------------------------------------------------------------------------- */

/* Done all the same, asked to stop while it waited, or a reason that names the zone or what is in it; never a defect.
 */
static bool is_said_well(int status)
{
    enum { DONE = 0, INTERRUPTED = 8, INTERNAL = 11 };
    char command[PATH_MAX + 80];

    snprintf(command, sizeof(command), "grep -qE '" ZONE_THAT_DIES "|demo-2|zone' '%s/output'", base);
    return WEXITSTATUS(status) == DONE || WEXITSTATUS(status) == INTERRUPTED ||
           (WEXITSTATUS(status) != INTERNAL && system(command) == 0);
}

static void try_point(CURL *curl, struct reply *reply, const struct verb *verb, int strike, enum strike how,
                      const json_t *want)
{
    json_t *got;
    int status;

    prepare(curl, reply, verb);
    snprintf(between.struck, sizeof(between.struck), "call %d", strike);
    status = run_hactl(verb->command, "the-operation", strike, how);
    if (how == ZONE ? !WIFEXITED(status) : !is_killed(status)) {
        complain(between.struck, "it should have been struck, and was not; or it died of it", NULL, NULL);
        return;
    }
    if (how == ZONE && !is_said_well(status))
        complain(between.struck, "of the zone it does not say what is the matter", NULL, NULL);
    set_zone(curl, reply, false);
    if (run_hactl(verb->command, "the-operation", 0, BEFORE) != 0) {
        complain(between.struck, "asked again, it fails", NULL, NULL);
        return;
    }
    got = take_state(curl, reply);
    if (!json_equal(got, want))
        complain(between.struck, "the end is another one, or something was done twice", got, want);
    json_decref(got);
    if (run_hactl(verb->command, "the-operation", 0, BEFORE) != 0 || between.passed > 0)
        complain(between.struck, "asked once more, it fails or changes something", NULL, NULL);
}

/* The first is after the last call but one: what it has done was then undone once and has to be done again. */
static int sampled(int calls, int i)
{
    int call = i == 0 && calls > 1 ? calls - 2 : rand() % calls;

    return call * STRIKES + (int)(i == 0 ? AFTER : (enum strike)(i % 2 ? ZONE : BEFORE));
}

/* `only`: that point; -1: see above. */
static void try_verb(CURL *curl, struct reply *reply, const struct verb *verb, int sample, int only)
{
    int before_failures = failures, calls, tried = 0;
    json_t *want;

    prepare(curl, reply, verb);
    if (run_hactl(verb->command, "the-operation", 0, BEFORE) != 0)
        complain("struck nowhere", "it fails", NULL, NULL);
    calls = between.passed;
    want = take_state(curl, reply);
    if (failures > before_failures)
        calls = 0;
    for (int i = 0; calls && i < (only >= 0 ? 1 : sample ? sample : STRIKES * calls); i++, tried++) {
        int point = only >= 0 ? only : sample ? sampled(calls, i) : i;

        try_point(curl, reply, verb, point / STRIKES + 1, (enum strike)(point % STRIKES), want);
    }
    json_decref(want);
    printf("%sok %d - %s: %d changing calls, struck at %d points\n", failures == before_failures && calls ? "" : "not ",
           ++tests, verb->name, calls, tried);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *seed = getenv("CRASH_SEED"), *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    struct reply reply = new_reply();
    struct gce_stub *stub;
    char plugin[PATH_MAX + 16];
    CURL *curl;

    emulator = getenv("GCE_EMULATOR");
    if ((argc != 4 && argc != 6) || !emulator)
        return 2;
    hactl = argv[1];
    curl_global_init(CURL_GLOBAL_ALL);
    curl = curl_easy_init();
    between.curl = curl_easy_init();
    between.reply = new_reply();
    between.told = new_reply();
    snprintf(base, sizeof(base), "%s/hactl-calls-XXXXXX", memory);
    if (!curl || !between.curl || !mkdtemp(base))
        return 2;
    snprintf(plugin, sizeof(plugin), "%s/group.so", base);
    run_shell("cp '%s' '%s' && chmod 0755 '%s'", argv[2], plugin, plugin);
    stub = gce_stub_start(answer_it);
    write_configuration(plugin, gce_stub_port(stub));
    srand(seed ? (unsigned)atoi(seed) : 1);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
        if (argc == 4 || atoi(argv[4]) == (int)i + 1)
            try_verb(curl, &reply, &verbs[i], atoi(argv[3]), argc == 6 ? atoi(argv[5]) : -1);
    printf("# seed %s\n1..%d\n", seed ? seed : "1", tests);
    run_shell("rm -rf '%s'", base);
    fflush(stdout);
    _exit(failures > 0);
}
