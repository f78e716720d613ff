/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gce_api_rig.h"

#include "lib/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct hactl_key keys[] = {GCE_KEYS, {.name = NULL}};

struct gce_api_world world;
struct gce_api_script script;

const char *intent = "11111111-2222-4333-8444-555555555555";

struct hactl_call *next_call(void)
{
    fake_call_free(world.call);
    world.call = fake_call_new(30000);
    snprintf(world.call->intent, sizeof(world.call->intent), "%s", intent);
    return world.call;
}

static void note_id(const char *path)
{
    const char *id = strstr(path, "requestId=");

    if (id && script.id_count < 8)
        snprintf(script.ids[script.id_count++], 64, "%.36s", id + 10);
}

static void answer_api(const struct gce_stub_request *request, struct gce_stub_answer *answer)
{
    note_id(request->path);
    snprintf(script.last_head, sizeof(script.last_head), "%s", request->head);
    if (script.refuse_tokens > 0) {
        script.refuse_tokens--;
        answer->status = 401;
        snprintf(
            answer->body, sizeof(answer->body),
            "{\"error\":{\"code\":401,\"message\":\"Invalid Credentials\",\"errors\":[{\"reason\":\"authError\"}]}}");
        return;
    }
    if (script.drop > 0 && strcmp(request->method, "GET") != 0) {
        script.drop--;
        answer->drop = true;
        return;
    }
    answer->status = script.status;
    snprintf(answer->body, sizeof(answer->body), "%s", script.body);
}

static void answer_all(const struct gce_stub_request *request, struct gce_stub_answer *answer)
{
    if (strncmp(request->path, "/compute/v1/", 12) == 0) {
        answer_api(request, answer);
        return;
    }
    snprintf(script.last_token_request, sizeof(script.last_token_request), "%s\n%s", request->path, request->body);
    snprintf(script.last_head, sizeof(script.last_head), "%s", request->head);
    answer->header = script.token_header;
    if (strstr(request->path, "project-id")) {
        snprintf(answer->body, sizeof(answer->body), "from-metadata");
        return;
    }
    if (strstr(request->path, "generateAccessToken")) {
        snprintf(answer->body, sizeof(answer->body),
                 "{\"accessToken\":\"impersonated\",\"expireTime\":\"2099-01-01T00:00:00Z\"}");
        return;
    }
    answer->status = script.token_status;
    snprintf(answer->body, sizeof(answer->body), "%s", script.token_body);
}

const char *url(const char *path)
{
    static char texts[8][128];
    static unsigned next;
    char *text = texts[next++ % 8];

    snprintf(text, sizeof(texts[0]), "http://127.0.0.1:%u%s", gce_stub_port(world.stub), path);
    return text;
}

void reset_script(void)
{
    memset(&script, 0, sizeof(script));
    script.token_status = 200;
    script.token_body = "{\"access_token\":\"abc\",\"expires_in\":3600}";
    script.token_header = "Metadata-Flavor: Google";
    script.status = 200;
    script.body = "{}";
    gce_stub_reset(world.stub);
}

void close_gce(void)
{
    gce_free(world.gce);
    world.gce = NULL;
    fake_conf_free(world.conf);
    world.conf = NULL;
}

int open_gce(const struct fake_setting *more)
{
    struct fake_setting settings[12] = {
        {"api_url", url("/compute/v1/")}, {"metadata_url", url("")}, {"iam_url", url("")}, {"project", "p1"}};
    size_t count = 4;

    close_gce();
    for (; more && more->key; more++)
        settings[count++] = *more;
    world.conf = fake_conf_new(keys, settings, "cloud", "demo", world.directory);
    return gce_new(&fake_host, world.conf, next_call(), &world.gce);
}

int setup(void **state)
{
    (void)state;
    unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
    unsetenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE");
    unsetenv("CLOUDSDK_AUTH_DISABLE_CREDENTIALS");
    unsetenv("CLOUDSDK_CORE_PROJECT");
    unsetenv("GOOGLE_CLOUD_PROJECT");
    strcpy(world.directory, "/tmp/hactl-gce-XXXXXX");
    assert_non_null(mkdtemp(world.directory));
    snprintf(world.file, sizeof(world.file), "%s/credentials.json", world.directory);
    setenv("CLOUDSDK_CONFIG", world.directory, 1);
    world.stub = gce_stub_start(answer_all);
    reset_script();
    return 0;
}

int teardown(void **state)
{
    (void)state;
    close_gce();
    fake_call_free(world.call);
    world.call = NULL;
    gce_stub_stop(world.stub);
    ha_tree_remove(world.directory);
    return 0;
}

void write_file(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", world.directory, name);
    unlink(path);
    assert_int_equal(ha_file_create(path, text, strlen(text), 0600, false), 0);
}
