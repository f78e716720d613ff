/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gce/between.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { BODY = 1 << 20, READS = 2048 };

static struct {
    const char *emulator;
    between_first *first;
    between_passed *passed_on;
    struct gce_stub *stub;
    CURL *curl; /* of the server's threads, one at a time */
    struct reply reply, told;
    struct point point;
    atomic_int pid, calls, reads, waited;
    atomic_bool has_struck;
    char struck[600];
    struct {
        int after; /* that changing call */
        char what[200];
    } looks[READS];
} between;

void bail_out(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("Bail out! ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void run_shell(const char *format, ...)
{
    char line[16384];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (system(line) != 0)
        bail_out("%s", line);
}

/* ---- the emulator ------------------------------------------------------------------------ */

struct reply reply_new(void)
{
    struct reply reply = {.text = malloc(BODY)};

    if (!reply.text)
        abort();
    return reply;
}

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

/* `passed`: whole headers, or NULL. */
static bool ask(CURL *curl, const char *method, const char *path, const char *body, const char *const passed[],
                struct reply *reply)
{
    struct curl_slist *headers = NULL;
    char url[8192];
    CURLcode rc;

    for (size_t i = 0; passed && passed[i]; i++)
        if (passed[i][0])
            headers = curl_slist_append(headers, passed[i]);
    snprintf(url, sizeof(url), "%s%s", between.emulator, path);
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

bool control(CURL *curl, const char *method, const char *path, json_t *body, struct reply *reply)
{
    static const char *const json[] = {"Content-Type: application/json", NULL};
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, full[256];
    bool good;

    snprintf(full, sizeof(full), "/_emulator/%s", path);
    good = ask(curl, method, full, text, json, reply) && reply->status == 200;
    free(text);
    json_decref(body);
    return good;
}

bool between_set_zone(CURL *curl, struct reply *reply, const char *zone, bool down)
{
    return control(curl, "POST", "zone", json_pack("{s:s, s:b}", "zone", zone, "down", down), reply);
}

/* ---- a call ------------------------------------------------------------------------------- */

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
    static const char *const words[] = {"killed before", "killed after", "killed while it waited after", "died at"};
    const struct point *point = &between.point;

    between.has_struck = true;
    snprintf(between.struck, sizeof(between.struck), "%s%s%s the %s call %d, %s %.*s",
             point->how == ZONE ? point->zone : "", point->how == ZONE ? " " : "", words[point->how],
             point->reading ? "reading" : "changing", point->reading ? between.reads : between.calls, request->method,
             (int)strcspn(request->path, "?"), request->path);
}

static void note_read(const struct gce_stub_request *request)
{
    const char *path = request->path, *operation = strstr(path, "/operations/");
    int at = between.reads++, length = (int)(operation ? operation - path + 12 : (int)strcspn(path, "?"));

    if (at >= READS)
        return;
    between.looks[at].after = between.calls;
    snprintf(between.looks[at].what, sizeof(between.looks[at].what), "%s %.*s", request->method, length, path);
}

bool between_is_news(int read)
{
    int before = 0;

    if (read < 1 || read > between.reads || read > READS)
        return false;
    for (int i = read - 1; i-- > 0 && between.looks[i].after == between.looks[read - 1].after;)
        before += strcmp(between.looks[i].what, between.looks[read - 1].what) == 0;
    return before < (strstr(between.looks[read - 1].what, "/operations/") ? 2 : 1);
}

/* Whether this call is the point. */
static bool count_call(const struct gce_stub_request *request)
{
    const struct point *point = &between.point;
    bool changes = strstr(request->path, "requestId=") != NULL;

    if (changes)
        between.calls++;
    else
        note_read(request);
    if (between.has_struck || point->call == 0)
        return false;
    if (point->how == WAIT)
        return !changes && between.calls >= point->call && ++between.waited == point->reads;
    return changes != point->reading && (changes ? between.calls : between.reads) == point->call;
}

static void answer_it(const struct gce_stub_request *request, struct gce_stub_answer *answer)
{
    bool strikes = count_call(request);
    char authorization[4096], type[4096];
    const char *const passed[] = {authorization, type, NULL};

    if (strikes)
        note_strike(request);
    if (strikes && (between.point.how == BEFORE || between.point.how == WAIT)) {
        kill_it(answer);
        return;
    }
    if (strikes && between.point.how == ZONE)
        between_set_zone(between.curl, &between.told, between.point.zone, true);
    if (between.first)
        between.first(between.curl, &between.told);
    header_of(request, "Authorization:", authorization);
    header_of(request, "Content-Type:", type);
    if (!ask(between.curl, request->method, request->path, request->body, passed, &between.reply)) {
        answer->drop = true;
        return;
    }
    answer->status = (int)between.reply.status;
    memcpy(answer->body, between.reply.text, between.reply.size + 1);
    if (answer->status == 200 && between.passed_on)
        between.passed_on(between.curl, &between.told, request);
    if (strikes && between.point.how == AFTER)
        kill_it(answer);
}

void between_start(const char *emulator, between_first *first, between_passed *passed)
{
    curl_global_init(CURL_GLOBAL_ALL);
    between.emulator = emulator;
    between.first = first;
    between.passed_on = passed;
    between.curl = curl_easy_init();
    if (!between.curl)
        abort();
    between.reply = reply_new();
    between.told = reply_new();
    between.stub = gce_stub_start(answer_it);
}

uint16_t between_port(void)
{
    return gce_stub_port(between.stub);
}

/* ---- a run -------------------------------------------------------------------------------------- */

static bool has_ended(pid_t pid, int *status)
{
    usleep(10000);
    return waitpid(pid, status, WNOHANG) == pid;
}

/* Until it has ended; from the death of a zone on it is asked to stop after a while, and to stop at once a little
 * later.
 */
static int await(pid_t pid, int patience_ms)
{
    const int turns_ms[] = {patience_ms, patience_ms / 4};
    int status = 0;

    while (patience_ms > 0 && !between.has_struck)
        if (has_ended(pid, &status))
            return status;
    for (size_t asked = 0; patience_ms > 0 && asked < sizeof(turns_ms) / sizeof(turns_ms[0]); asked++) {
        for (int i = 0; i < turns_ms[asked] / 10; i++)
            if (has_ended(pid, &status))
                return status;
        kill(pid, SIGINT);
    }
    waitpid(pid, &status, 0);
    return status;
}

int between_run(char *const argv[], const char *log, struct point point)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t asked;
    int status;
    pid_t pid;

    between.pid = 0;
    between.calls = between.reads = between.waited = 0;
    between.has_struck = false;
    between.point = point;
    snprintf(between.struck, sizeof(between.struck), "call %d", point.call);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    /* Whoever runs this in the background of a script has it ignored, and hactl takes that over. */
    sigemptyset(&asked);
    sigaddset(&asked, SIGINT);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &asked);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    if (posix_spawn(&pid, argv[0], &actions, &attributes, argv, environ) != 0)
        bail_out("%s", argv[0]);
    between.pid = pid;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    status = await(pid, point.call > 0 && point.how == ZONE ? point.patience_ms : 0);
    between.point = (struct point){0};
    return status;
}

int between_calls(void)
{
    return between.calls;
}

int between_reads(void)
{
    return between.reads;
}

bool between_is_said_well(int status, const char *log, const char *zone)
{
    enum { DONE = 0, INTERRUPTED = 8, PLUGIN = 11, INTERNAL = 70 };
    char command[4300];
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : INTERNAL;

    /* What it did before names them too: only how it ends counts. */
    snprintf(command, sizeof(command),
             "grep '^hactl: ' '%.4000s' | grep -v '^hactl: warning: ' | grep -qE '%s|demo-[0-9]|zone'", log, zone);
    return code == DONE || code == INTERRUPTED || (code != PLUGIN && code != INTERNAL && system(command) == 0);
}

bool between_has_struck(void)
{
    return between.has_struck;
}

const char *between_struck(void)
{
    return between.struck;
}
