/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gce_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "lib/json.h"

struct gce_world world;

/* ---- the emulator's controls ------------------------------------------------------------ */

const char *run_curl(const char *command)
{
    static char text[1 << 20];
    FILE *pipe = popen(command, "r");
    size_t size;

    assert_non_null(pipe);
    size = fread(text, 1, sizeof(text) - 1, pipe);
    text[size] = '\0';
    assert_int_equal(pclose(pipe), 0);
    return text;
}

const char *control(const char *verb, const char *path, const char *body)
{
    char command[4096];

    snprintf(command, sizeof(command), "curl -sS --max-time 60 -X %s --data-binary '%s' \"$GCE_EMULATOR/_emulator/%s\"",
             verb, body ? body : "{}", path);
    return run_curl(command);
}

void fault(const char *rule)
{
    control("POST", "faults", rule);
}

static const char *api_through(const char *verb, const char *path, const char *body, const char *pipe)
{
    char command[4096];

    snprintf(command, sizeof(command),
             "curl -sS --max-time 60 -X %s -H \"Authorization: Bearer $(cat $GCE_EMULATOR_DIR/token)\" %s%s%s "
             "\"$GCE_EMULATOR/compute/v1/projects/emulated/%s\"%s",
             verb, body ? "-H Content-Type:application/json --data-binary '" : "", body ? body : "", body ? "'" : "",
             path, pipe);
    return run_curl(command);
}

const char *api(const char *verb, const char *path, const char *body)
{
    return api_through(verb, path, body, "");
}

const char *api_filter(const char *verb, const char *path, const char *body, const char *filter)
{
    char pipe[1024], *text;

    snprintf(pipe, sizeof(pipe), " | jq -r '%s'", filter);
    text = (char *)(uintptr_t)api_through(verb, path, body, pipe);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

void api_change(const char *verb, const char *path, const char *body)
{
    char link[300], wait[300];
    const char *rest;

    snprintf(link, sizeof(link), "%s", api_filter(verb, path, body, ".selfLink"));
    rest = strstr(link, "/projects/emulated/");
    assert_non_null(rest);
    snprintf(wait, sizeof(wait), "%.200s/wait", rest + strlen("/projects/emulated/"));
    assert_string_equal(api_filter("POST", wait, NULL, "\"\\(.status) \\(has(\"error\"))\""), "DONE false");
}

void forget_counts(void)
{
    control("POST", "counts/reset", NULL);
}

static json_t *counts(void)
{
    char why[100];
    const char *text = control("GET", "counts", NULL);
    json_t *json = ha_json_parse(text, strlen(text), why, sizeof(why));

    assert_non_null(json);
    return json;
}

long calls_of(const char *method)
{
    json_t *json = counts();
    long count = (long)ha_json_i64(json_object_get(json_object_get(json, "methods"), method), "calls");

    json_decref(json);
    return count;
}

long changing_calls(void)
{
    json_t *json = counts();
    long count = (long)ha_json_i64(json, "changing");

    json_decref(json);
    return count;
}

/* ---- the plugin as the core drives it ----------------------------------------------------- */

void new_intent(void)
{
    unsigned char b[16];

    RAND_bytes(b, sizeof(b));
    snprintf(world.intent, sizeof(world.intent), "%02x%02x%02x%02x-%02x%02x-4%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6] & 15, b[7], b[8] & 15, b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}

struct hactl_call *next_call(void)
{
    fake_call_free(world.call);
    world.call = fake_call_new(30000);
    snprintf(world.call->intent, sizeof(world.call->intent), "%s", world.intent);
    return world.call;
}

/* 10,000 looks are enough for any. */
int poll_to_end(void)
{
    char token[1100];
    int rc = HACTL_PENDING;

    snprintf(token, sizeof(token), "%s", world.call->token);
    assert_true(strlen(token) <= 1000);
    for (int i = 0; rc == HACTL_PENDING && i < 10000; i++) {
        usleep(2000);
        rc = hactl_plugin.poll(world.self, next_call(), token);
        world.polls++;
    }
    return rc;
}

bool asks_again(int rc, bool patient)
{
    return rc == HACTL_PENDING || rc == HACTL_E_TIMEOUT ||
           (patient && (rc == HACTL_E_BUSY || rc == HACTL_E_UNAVAILABLE || rc == HACTL_E_ENDED));
}

/* ---- inside the emulator ------------------------------------------------------------------ */

static int run_inside(char **argv)
{
    const char *source = getenv("top_srcdir"), *build = getenv("top_builddir"), *chosen = getenv("GCE_EMULATOR_RUN");
    char run[4096], program[4200];

    snprintf(run, sizeof(run), "%s/tests/gce-emulator/run", source ? source : ".");
    snprintf(program, sizeof(program), "%s/tests/gce-emulator/gce-emulator", build ? build : ".");
    if (!getenv("GCE_EMULATOR_PROGRAM") && access(program, X_OK) != 0) {
        printf("1..0 # SKIP the emulator is not built (libmicrohttpd-dev is missing)\n");
        return 0;
    }
    execl(chosen ? chosen : run, "run", "--api-only", "--", argv[0], (char *)NULL);
    perror(run);
    return 70;
}

int run_on_emulator(char **argv, const struct CMUnitTest *tests, size_t count)
{
    if (readlink("/proc/self/exe", world.program, sizeof(world.program) - 1) < 0)
        return 70;
    return getenv("GCE_EMULATOR") ? _cmocka_run_group_tests("on the emulator", tests, count, NULL, NULL)
                                  : run_inside(argv);
}
