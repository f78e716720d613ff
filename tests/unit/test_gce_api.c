/* SPDX-License-Identifier: Apache-2.0 */
/* lib/gce: credentials by each of their ways, request ids, errors, lists,
 * operations and links, against a server that says what each case wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "lib/file.h"
#include "lib/gce/gce.h"
#include "lib/gce/gce_internal.h"
#include "lib/json.h"
#include "tests/support/fake_host.h"
#include "tests/unit/gce_stub.h"

static const struct hactl_key keys[] = {GCE_KEYS, {.name = NULL}};

static struct {
    struct gce_stub *stub;
    struct hactl_conf *conf;
    struct hactl_call *call;
    struct gce *gce;
    char directory[64], file[128];
} world;

static const char *intent = "11111111-2222-4333-8444-555555555555";

static struct hactl_call *next_call(void)
{
    fake_call_free(world.call);
    world.call = fake_call_new(30000);
    snprintf(world.call->intent, sizeof(world.call->intent), "%s", intent);
    return world.call;
}

/* ---- what the server says -------------------------------------------------------- */

static struct {
    int token_status;
    const char *token_body, *token_header;
    char last_token_request[8192], last_head[4096];
    int status; /* of the API */
    const char *body;
    int refuse_tokens; /* so many requests with a 401 first */
    int drop;          /* so many changing requests whose answer is lost */
    char ids[8][64];
    int id_count;
} script;

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

static const char *url(const char *path)
{
    static char texts[8][128];
    static unsigned next;
    char *text = texts[next++ % 8];

    snprintf(text, sizeof(texts[0]), "http://127.0.0.1:%u%s", gce_stub_port(world.stub), path);
    return text;
}

static void reset_script(void)
{
    memset(&script, 0, sizeof(script));
    script.token_status = 200;
    script.token_body = "{\"access_token\":\"abc\",\"expires_in\":3600}";
    script.token_header = "Metadata-Flavor: Google";
    script.status = 200;
    script.body = "{}";
    gce_stub_reset(world.stub);
}

static void close_gce(void)
{
    gce_free(world.gce);
    world.gce = NULL;
    fake_conf_free(world.conf);
    world.conf = NULL;
}

static int open_gce(const struct fake_setting *more)
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

static int setup(void **state)
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

static int teardown(void **state)
{
    (void)state;
    close_gce();
    fake_call_free(world.call);
    world.call = NULL;
    gce_stub_stop(world.stub);
    ha_tree_remove(world.directory);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", world.directory, name);
    unlink(path);
    assert_int_equal(ha_file_create(path, text, strlen(text), 0600, false), 0);
}

/* ---- credentials -------------------------------------------------------------------- */

static char *new_key(EVP_PKEY **out)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text, *copy;
    long size;

    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    size = BIO_get_mem_data(bio, &text);
    copy = strndup(text, (size_t)size);
    BIO_free(bio);
    *out = key;
    return copy;
}

static void write_service_account(const char *private_key, const char *token_uri)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", "service_account", "project_id", "key-project",
                             "private_key_id", "kid-1", "client_email", "sa@p1.example", "private_key", private_key,
                             "token_uri", token_uri);
    char *text = json_dumps(json, 0);

    write_file("credentials.json", text);
    free(text);
    json_decref(json);
}

static size_t decode_url(const char *text, size_t size, unsigned char *out)
{
    char padded[4096];
    ssize_t length;

    assert_true(size < sizeof(padded) - 4);
    for (size_t i = 0; i < size; i++)
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    while (size % 4)
        padded[size++] = '=';
    length = ha_base64_decode(padded, size, out);
    assert_true(length >= 0);
    return (size_t)length;
}

static void check_jwt(const char *jwt, EVP_PKEY *key)
{
    const char *first = strchr(jwt, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    unsigned char bytes[4096];
    char why[100];
    size_t size;
    json_t *part;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();

    assert_non_null(second);
    size = decode_url(jwt, (size_t)(first - jwt), bytes);
    part = ha_json_parse((char *)bytes, size, why, sizeof(why));
    assert_string_equal(ha_json_string(part, "alg"), "RS256");
    assert_string_equal(ha_json_string(part, "kid"), "kid-1");
    json_decref(part);
    size = decode_url(first + 1, (size_t)(second - first - 1), bytes);
    part = ha_json_parse((char *)bytes, size, why, sizeof(why));
    assert_string_equal(ha_json_string(part, "iss"), "sa@p1.example");
    assert_string_equal(ha_json_string(part, "aud"), "https://oauth2.googleapis.com/token");
    assert_non_null(ha_json_string(part, "scope"));
    assert_int_equal(ha_json_i64(part, "exp") - ha_json_i64(part, "iat"), 3600);
    json_decref(part);
    size = decode_url(second + 1, strlen(second + 1), bytes);
    assert_int_equal(EVP_DigestVerifyInit(digest, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(digest, bytes, size, (const unsigned char *)jwt, (size_t)(second - jwt)), 1);
    EVP_MD_CTX_free(digest);
}

static void test_service_account(void **state)
{
    EVP_PKEY *key;
    char *pem = new_key(&key);
    json_t *out = NULL;

    (void)state;
    write_service_account(pem, url("/token"));
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials_file", world.file}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_OK);
    json_decref(out);
    assert_non_null(strstr(script.last_head, "Authorization: Bearer abc"));
    assert_int_equal(gce_stub_count(world.stub, "POST /token"), 1);
    assert_non_null(
        strstr(script.last_token_request, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"));
    check_jwt(strstr(script.last_token_request, "assertion=") + 10, key);
    /* Kept while it is good; fetched anew when refused, once. */
    assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_OK);
    json_decref(out);
    assert_int_equal(gce_stub_count(world.stub, "POST /token"), 1);
    script.refuse_tokens = 1;
    assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_OK);
    json_decref(out);
    assert_int_equal(gce_stub_count(world.stub, "POST /token"), 2);
    script.refuse_tokens = 9;
    assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_E_DENIED);
    assert_non_null(strstr(world.call->text, "Invalid Credentials"));
    assert_int_equal(gce_stub_count(world.stub, "POST /token"), 3);
    free(pem);
    EVP_PKEY_free(key);
}

/* A token that is about to end is not used. */
static void test_refresh(void **state)
{
    (void)state;
    script.token_body = "{\"access_token\":\"abc\",\"expires_in\":1}";
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "metadata"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_OK);
    assert_int_equal(gce_stub_count(world.stub, "GET /computeMetadata/v1/instance/service-accounts/default/token"), 1);
    world.gce->token.refresh_ms = gce_now_ms();
    assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_OK);
    assert_int_equal(gce_stub_count(world.stub, "GET /computeMetadata/v1/instance/service-accounts/default/token"), 2);
    assert_non_null(strstr(script.last_head, "Metadata-Flavor: Google"));
}

static const char user[] = "{\"type\":\"authorized_user\",\"client_id\":\"id&1\",\"client_secret\":\"s3cret\","
                           "\"refresh_token\":\"r/1\",\"quota_project_id\":\"payer\"}";

static void test_user(void **state)
{
    json_t *out = NULL;

    (void)state;
    write_file("credentials.json", user);
    setenv("GOOGLE_APPLICATION_CREDENTIALS", world.file, 1);
    assert_int_equal(open_gce((struct fake_setting[]){{"token_url", url("/token")}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_OK);
    json_decref(out);
    assert_non_null(strstr(script.last_head, "x-goog-user-project: payer"));
    assert_string_equal(script.last_token_request,
                        "/token\ngrant_type=refresh_token&client_id=id%261&client_secret=s3cret&refresh_token=r%2F1");
    assert_non_null(strstr(gce_identity(world.gce), "GOOGLE_APPLICATION_CREDENTIALS"));
}

static void test_impersonation(void **state)
{
    char file[2048];

    (void)state;
    snprintf(file, sizeof(file),
             "{\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":"
             "\"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/admin@p1.example:"
             "generateAccessToken\",\"source_credentials\":%s}",
             user);
    write_file("application_default_credentials.json", file);
    assert_int_equal(open_gce((struct fake_setting[]){{"token_url", url("/token")}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_OK);
    assert_string_equal(world.gce->token.text, "impersonated");
    assert_int_equal(gce_stub_count(world.stub, "POST /v1/projects/-/serviceAccounts/admin@p1.example:"), 1);
    assert_non_null(strstr(script.last_head, "Authorization: Bearer abc"));
    assert_non_null(strstr(script.last_token_request, "\"lifetime\":\"3600s\""));
    /* The same by a setting. */
    assert_int_equal(open_gce((struct fake_setting[]){
                         {"credentials", "metadata"}, {"impersonate", "other@p1.example"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_OK);
    assert_int_equal(gce_stub_count(world.stub, "POST /v1/projects/-/serviceAccounts/other@p1.example:"), 1);
}

static void test_token_file(void **state)
{
    json_t *out = NULL;

    (void)state;
    write_file("token", "first\n");
    snprintf(world.file, sizeof(world.file), "%s/token", world.directory);
    setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", world.file, 1);
    assert_int_equal(open_gce(NULL), HACTL_OK);
    assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_OK);
    json_decref(out);
    assert_non_null(strstr(script.last_head, "Authorization: Bearer first"));
    write_file("token", "second");
    script.refuse_tokens = 1;
    assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_OK);
    json_decref(out);
    assert_non_null(strstr(script.last_head, "Authorization: Bearer second"));
}

/* Each way to fail is HACTL_E_DENIED (exit status 4) and says what to do; no
 * text holds a secret. */
static void test_denied(void **state)
{
    static const struct {
        const char *file, *token_body;
        int token_status;
        const char *words;
        const char *setting, *value;
    } cases[] = {
        {NULL, NULL, 0, "No such file", "credentials_file", "/nonexistent/key.json"},
        {NULL, NULL, 0, "No such file", "access_token_file", "/nonexistent/token"},
        {"not json s3cret", NULL, 0, "no JSON object", NULL, NULL},
        {"{\"type\":\"external_account\"}", NULL, 0, "it has no \"audience\"", NULL, NULL},
        {"{\"type\":\"gdch_service_account\"}", NULL, 0, "\"gdch_service_account\" are not supported", NULL, NULL},
        {"{\"type\":\"service_account\",\"client_email\":\"a\"}", NULL, 0, "it has no \"private_key\"", NULL, NULL},
        {"{\"type\":\"service_account\",\"client_email\":\"a\",\"private_key\":\"s3cret\"}", NULL, 0, "no RSA key",
         NULL, NULL},
        {"{\"type\":\"service_account\",\"universe_domain\":\"example.net\"}", NULL, 0, "universe example.net", NULL,
         NULL},
        {"{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"s3cret\",\"refresh_token\":\"r\","
         "\"token_uri\":\"http://evil.example/\"}",
         NULL, 0, "plain http", NULL, NULL},
        {user, "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or revoked.\"}", 400,
         "invalid_grant: Token has been expired or revoked.; the account or key may be", NULL, NULL},
        {user, "{\"error\":\"invalid_client\"}", 401, "log in again", NULL, NULL},
        {user, "{}", 200, "no access_token", NULL, NULL},
        {NULL, "gone", 404, "this VM has no service account", "credentials", "metadata"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_setting settings[3] = {{"token_url", url("/token")}, {NULL, NULL}, {NULL, NULL}};

        reset_script();
        settings[1].key = cases[i].setting ? cases[i].setting : "credentials_file";
        settings[1].value = cases[i].setting ? cases[i].value : world.file;
        if (cases[i].file)
            write_file("credentials.json", cases[i].file);
        if (cases[i].token_body) {
            script.token_body = cases[i].token_body;
            script.token_status = cases[i].token_status;
        }
        assert_int_equal(open_gce(settings), HACTL_OK);
        assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_E_DENIED);
        if (!strstr(world.call->text, cases[i].words) || strstr(world.call->text, "s3cret"))
            fail_msg("case %zu: %s", i, world.call->text);
        assert_int_equal(gce_stub_count(world.stub, "GET /compute/"), 0);
    }
    /* Another server in the metadata server's place. */
    reset_script();
    script.token_header = NULL;
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "metadata"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_E_DENIED);
    assert_non_null(strstr(world.call->text, "no metadata server"));
    /* Nothing anywhere: the order is told. */
    assert_int_equal(open_gce((struct fake_setting[]){{"metadata_url", "http://127.0.0.1:1"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_E_DENIED);
    assert_non_null(strstr(world.call->text, "gcloud auth application-default login"));
    /* None at all is for test servers. */
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "none"},
                                                      {"api_url", "https://compute.googleapis.com/compute/v1"},
                                                      {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_E_DENIED);
    assert_int_equal(
        open_gce((struct fake_setting[]){{"api_url", "http://compute.googleapis.com/compute/v1"}, {NULL, NULL}}),
        HACTL_E_INVALID);
    /* A token endpoint that is down is no refusal. */
    write_file("credentials.json", user);
    script.token_status = 503;
    assert_int_equal(
        open_gce((struct fake_setting[]){{"token_url", url("/token")}, {"credentials_file", world.file}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_authenticate(world.gce, next_call()), HACTL_E_UNAVAILABLE);
}

static void test_project(void **state)
{
    const char *project = NULL;

    (void)state;
    assert_int_equal(open_gce((struct fake_setting[]){{"project", ""}, {"credentials", "metadata"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(gce_project(world.gce, next_call(), &project), HACTL_OK);
    assert_string_equal(project, "from-metadata");
    setenv("CLOUDSDK_CORE_PROJECT", "from-gcloud", 1);
    assert_int_equal(open_gce((struct fake_setting[]){{"project", ""}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_project(world.gce, next_call(), &project), HACTL_OK);
    assert_string_equal(project, "from-gcloud");
}

/* ---- errors ------------------------------------------------------------------------------ */

static void open_none(void)
{
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "none"}, {NULL, NULL}}), HACTL_OK);
}

#define SHAPE_A(reason, message)                                                                                       \
    "{\"error\":{\"code\":400,\"message\":\"" message "\",\"errors\":[{\"message\":\"x\",\"reason\":\"" reason "\"}]}" \
    "}"
#define SHAPE_B(code, message, details)                                                                            \
    "{\"name\":\"op\",\"status\":\"DONE\",\"clientOperationId\":\"none\",\"error\":{\"errors\":[{\"code\":\"" code \
    "\",\"message\":\"" message "\"" details "}]},\"httpErrorStatusCode\":400}"

static void test_errors(void **state)
{
    static const struct {
        int status;
        const char *body;
        int code;
        const char *words;
        bool waits;
    } cases[] = {
        {404, SHAPE_A("notFound", "it is gone"), HACTL_E_NOT_FOUND, "it is gone", false},
        {409, SHAPE_A("alreadyExists", "there"), HACTL_E_CONFLICT, "there", false},
        {400, SHAPE_A("resourceInUseByAnotherResource", "in use by x"), HACTL_E_BUSY, "in use by x", true},
        {400, SHAPE_A("resourceNotReady", "busy"), HACTL_E_BUSY, "busy", true},
        {403, SHAPE_A("rateLimitExceeded", "slow down"), HACTL_E_BUSY, "slow down", true},
        {429, "", HACTL_E_BUSY, "status 429", true},
        {403, SHAPE_A("quotaExceeded", "Quota 'CPUS' exceeded. Limit: 24.0 in region us-central1."), HACTL_E_QUOTA,
         "Limit: 24.0 in region us-central1. (quotaExceeded); free some", false},
        {403, SHAPE_A("forbidden", "Required 'compute.zones.list'"), HACTL_E_DENIED, "asked with the", false},
        {403, SHAPE_A("accessNotConfigured", "Compute API is not enabled"), HACTL_E_DENIED, "not enabled", false},
        {412, SHAPE_A("conditionNotMet", "fingerprint"), HACTL_E_BUSY, "fingerprint", false},
        {412, SHAPE_A("conditionNotMet", "Constraint constraints/compute.vmExternalIpAccess violated"), HACTL_E_DENIED,
         "violated", false},
        {400, SHAPE_A("invalid", "bad name"), HACTL_E_INVALID, "bad name", false},
        {400, SHAPE_A("invalid", "External IP address: 192.0.2.1 is already in-use."), HACTL_E_BUSY, "192.0.2.1", true},
        {400, SHAPE_A("instanceInMultipleLoadBalancedIgs", "x"), HACTL_E_CONFLICT, "x", false},
        {503, SHAPE_A("backendError", "oops"), HACTL_E_UNAVAILABLE, "oops", true},
        {502, "<html>", HACTL_E_UNAVAILABLE, "status 502", true},
        {200, "<html>", HACTL_E_TIMEOUT, "is that the Compute API", false},
        {200, SHAPE_B("RESOURCE_NOT_FOUND", "gone", ""), HACTL_E_NOT_FOUND, "gone", false},
        {200, SHAPE_B("IP_IN_USE_BY_ANOTHER_RESOURCE", "IP in use", ""), HACTL_E_BUSY, "IP in use", true},
        {200, SHAPE_B("RATE_LIMIT_EXCEEDED", "r", ""), HACTL_E_BUSY, "r", true},
        {200,
         SHAPE_B("QUOTA_EXCEEDED", "Quota exceeded",
                 ",\"errorDetails\":[{\"quotaInfo\":{\"metricName\":\"compute.googleapis.com/cpus\",\"limitName\":"
                 "\"CPUS-per-project-region\",\"limit\":24,\"dimensions\":{\"region\":\"us-central1\"}}}]"),
         HACTL_E_QUOTA, "quota CPUS-per-project-region is 24 in us-central1", false},
        {200,
         SHAPE_B("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "no room",
                 ",\"errorDetails\":[{\"errorInfo\":{\"metadatas\":{\"zonesAvailable\":\"us-central1-c,us-central1-f\"}"
                 "}}]"),
         HACTL_E_QUOTA, "zones that have room: us-central1-c,us-central1-f", false},
        {200, SHAPE_B("ZONE_RESOURCE_POOL_EXHAUSTED", "no room", ""), HACTL_E_QUOTA, "try another zone", false},
        {403,
         "{\"error\":{\"code\":403,\"message\":\"m\",\"errors\":[{\"reason\":\"quotaExceeded\"}],\"details\":[{\"@"
         "type\":"
         "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"CONCURRENT_OPERATIONS_QUOTA_EXCEEDED\"}]}}",
         HACTL_E_BUSY, "m", true},
    };

    (void)state;
    open_none();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gce_request request;

        script.status = cases[i].status;
        script.body = cases[i].body;
        gce_prepare(&request, "POST", json_object(), "zones/a/instances");
        int rc = gce_change(world.gce, next_call(), &request, 1, "instance x");
        if (rc != cases[i].code || !strstr(world.call->text, cases[i].words) ||
            strncmp(world.call->text, "instance x: ", 12) != 0 || (world.call->retry_after_ms > 0) != cases[i].waits)
            fail_msg("case %zu: %d, %u ms, %s", i, rc, world.call->retry_after_ms, world.call->text);
        gce_request_clear(&request);
    }
    /* Backing off doubles, and starts again after an answer. */
    script.status = 403;
    script.body = SHAPE_A("rateLimitExceeded", "slow down");
    world.gce->rate_limited = 0;
    for (uint32_t expected = 1000; expected <= 32000; expected *= 2) {
        json_t *out = NULL;
        assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_E_BUSY);
        assert_in_range(world.call->retry_after_ms, expected - expected / 8, expected + expected / 8);
    }
}

static int change_once(const char *name)
{
    struct gce_request request;
    int rc;

    gce_prepare(&request, "POST", json_pack("{s:s}", "name", name), "zones/a/instances");
    rc = gce_change(world.gce, next_call(), &request, 1, "instance x");
    gce_request_clear(&request);
    return rc;
}

#define RUNNING                                                                                                   \
    "{\"name\":\"op-1\",\"status\":\"RUNNING\",\"selfLink\":\"https://www.googleapis.com/compute/v1/projects/p1/" \
    "zones/a/"                                                                                                    \
    "operations/op-1\"}"

static void test_request_ids(void **state)
{
    (void)state;
    open_none();
    script.body = RUNNING;
    script.drop = 1;
    assert_int_equal(change_once("x"), HACTL_E_TIMEOUT);
    assert_int_equal(change_once("x"), HACTL_PENDING);
    assert_string_equal(world.call->token, "zones/a/operations/op-1");
    assert_string_equal(script.ids[0], script.ids[1]);
    /* Another process with the same intent. */
    open_none();
    assert_int_equal(change_once("x"), HACTL_PENDING);
    assert_string_equal(script.ids[0], script.ids[2]);
    assert_int_equal(change_once("y"), HACTL_PENDING);
    assert_string_not_equal(script.ids[0], script.ids[3]);
    intent = "99999999-2222-4333-8444-555555555555";
    assert_int_equal(change_once("x"), HACTL_PENDING);
    assert_string_not_equal(script.ids[0], script.ids[4]);
    intent = "11111111-2222-4333-8444-555555555555";
    assert_int_equal(script.ids[0][14], '4');
    /* An operation that failed, as this process knows from its poll, is asked
     * for anew under another id. */
    {
        char failed[600];
        snprintf(failed, sizeof(failed),
                 "{\"status\":\"DONE\",\"clientOperationId\":\"%s\",\"error\":{\"errors\":[{\"code\":"
                 "\"RESOURCE_NOT_READY\",\"message\":\"m\"}]}}",
                 script.ids[0]);
        script.body = failed;
        assert_int_equal(gce_poll(world.gce, next_call(), "zones/a/operations/op-1"), HACTL_E_ENDED);
        script.body = RUNNING;
        script.id_count = 5;
        assert_int_equal(change_once("x"), HACTL_PENDING);
        assert_string_not_equal(script.ids[0], script.ids[5]);
        /* A new process that is answered with the failure of an earlier one asks once more. */
        open_none();
        script.body = failed;
        script.id_count = 6;
        assert_int_equal(change_once("x"), HACTL_E_BUSY);
        assert_int_equal(script.id_count, 8);
        assert_string_equal(script.ids[6], script.ids[0]);
        assert_string_equal(script.ids[7], script.ids[5]);
    }
}

/* Google answers a POST that does not say how long its body is with 411, also where there is none (deleteAccessConfig).
 */
static void test_length(void **state)
{
    struct gce_request request;

    (void)state;
    open_none();
    script.body = RUNNING;
    gce_prepare(&request, "POST", NULL, "zones/a/instances/b/deleteAccessConfig?networkInterface=nic0");
    assert_int_equal(gce_change(world.gce, next_call(), &request, 1, "x"), HACTL_PENDING);
    assert_non_null(strstr(script.last_head, "\r\nContent-Length: 0"));
    gce_request_clear(&request);
}

/* ---- operations ----------------------------------------------------------------------------- */

static void test_operations(void **state)
{
    struct gce_request requests[3];

    (void)state;
    open_none();
    script.body = RUNNING;
    for (int i = 0; i < 3; i++)
        gce_prepare(&requests[i], "POST", json_pack("{s:i}", "i", i), "global/firewalls");
    assert_int_equal(gce_change(world.gce, next_call(), requests, 3, "x"), HACTL_PENDING);
    assert_string_equal(world.call->token, "zones/a/operations/op-1 zones/a/operations/op-1 zones/a/operations/op-1");
    assert_true(gce_stub_connections(world.stub) >= 3); /* side by side */
    for (int i = 0; i < 3; i++)
        gce_request_clear(&requests[i]);
    size_t connections = gce_stub_connections(world.stub);
    assert_int_equal(gce_poll(world.gce, next_call(), "zones/a/operations/op-1 regions/b/operations/op-2"),
                     HACTL_PENDING);
    assert_int_equal(gce_stub_connections(world.stub), connections); /* kept */
    /* Soon at first, then after a quarter of the time that it has taken. */
    assert_int_equal(world.call->retry_after_ms, 250);
    for (size_t i = 0; i < GCE_POLLED; i++)
        world.gce->polled[i].since_ms -= 2400;
    assert_int_equal(gce_poll(world.gce, next_call(), "zones/a/operations/op-1 regions/b/operations/op-2"),
                     HACTL_PENDING);
    assert_in_range(world.call->retry_after_ms, 600, 999);
    for (size_t i = 0; i < GCE_POLLED; i++)
        world.gce->polled[i].since_ms -= 60000;
    assert_int_equal(gce_poll(world.gce, next_call(), "zones/a/operations/op-1 regions/b/operations/op-2"),
                     HACTL_PENDING);
    assert_int_equal(world.call->retry_after_ms, 1000);
    assert_int_equal(gce_stub_count(world.stub, "GET /compute/v1/projects/p1/regions/b/operations/op-2"), 3);
    script.body = "{\"status\":\"DONE\"}";
    assert_int_equal(gce_poll(world.gce, next_call(), "global/operations/op-1"), HACTL_OK);
    script.status = 404;
    assert_int_equal(gce_poll(world.gce, next_call(), "global/operations/op-1"), HACTL_OK);
    script.status = 503;
    assert_int_equal(gce_poll(world.gce, next_call(), "global/operations/op-1"), HACTL_PENDING);
    assert_int_equal(gce_poll(world.gce, next_call(), "../../x"), HACTL_E_INVALID);
    /* What is gone is deleted. */
    script.status = 404;
    gce_prepare(&requests[0], "DELETE", NULL, "zones/a/disks/d");
    assert_int_equal(gce_change(world.gce, next_call(), requests, 1, "x"), HACTL_OK);
    gce_request_clear(&requests[0]);
}

/* ---- lists -------------------------------------------------------------------------------------- */

static void answer_pages(const struct gce_stub_request *request, struct gce_stub_answer *answer)
{
    const char *text;

    if (strstr(request->path, "pageToken=two%2F"))
        text = "{\"items\":{\"zones/c\":{\"instances\":[{\"name\":\"i3\"}]}}}";
    else if (strstr(request->path, "aggregated"))
        text = "{\"items\":{\"zones/a\":{\"instances\":[{\"name\":\"i1\"},{\"name\":\"i2\"}]},\"zones/b\":{\"warning\":"
               "{\"code\":\"NO_RESULTS_ON_PAGE\"}},\"zones/d\":{\"warning\":{\"code\":\"UNREACHABLE\"}}},"
               "\"nextPageToken\":\"two/\",\"unreachables\":[\"https://www.googleapis.com/compute/v1/projects/p1/zones/"
               "e\"]}";
    else if (strstr(request->path, "endless"))
        text = "{\"items\":[],\"nextPageToken\":\"x\"}";
    else
        text = "{\"items\":[{\"name\":\"a1\"}]}";
    snprintf(answer->body, sizeof(answer->body), "%s", text);
}

static void test_lists(void **state)
{
    struct gce_stub *before = world.stub;
    struct gce_list lists[2];

    (void)state;
    world.stub = gce_stub_start(answer_pages);
    open_none();
    gce_list_prepare(&lists[0], "aggregated/instances?returnPartialSuccess=true");
    gce_list_prepare(&lists[1], "regions/r/addresses");
    assert_int_equal(gce_list_run(world.gce, next_call(), lists, 2), HACTL_OK);
    assert_int_equal(json_array_size(lists[0].items), 3);
    assert_int_equal(json_array_size(lists[1].items), 1);
    assert_true(gce_list_knows(&lists[0], "zones/a"));
    assert_true(gce_list_knows(&lists[0], "zones/b"));
    assert_false(gce_list_knows(&lists[0], "zones/d"));
    assert_false(gce_list_knows(&lists[0], "zones/e"));
    gce_list_clear(&lists[0]);
    gce_list_clear(&lists[1]);
    gce_list_prepare(&lists[0], "endless");
    assert_int_equal(gce_list_run(world.gce, next_call(), lists, 1), HACTL_OK);
    assert_int_equal(lists[0].code, HACTL_E_FAILED);
    gce_list_clear(&lists[0]);
    close_gce();
    gce_stub_stop(world.stub);
    world.stub = before;
}

static const char zone_list[] =
    "{\"items\":[{\"name\":\"us-central1-b\",\"status\":\"UP\",\"region\":\"https://x/projects/p1/regions/"
    "us-central1\"},"
    "{\"name\":\"us-central1-c\",\"status\":\"DOWN\",\"region\":\"projects/p1/regions/us-central1\"},"
    "{\"name\":\"odd-name\",\"status\":\"UP\",\"region\":\"projects/p1/regions/us-east1\"}]}";

static void test_zones(void **state)
{
    const struct gce_zone *zones;
    const char *region;
    size_t count;

    (void)state;
    script.body = zone_list;
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "none"}, {"zones", "odd-name"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(gce_region(world.gce, next_call(), &region), HACTL_OK);
    assert_string_equal(region, "us-east1"); /* not cut from the name */
    assert_int_equal(gce_zone_check(world.gce, next_call(), "us-central1-b"), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "region us-east1 has odd-name"));
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"region", "us-central1"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_zones(world.gce, next_call(), &zones, &count), HACTL_OK);
    assert_int_equal(count, 2);
    assert_true(zones[0].up);
    assert_false(zones[1].up);
    /* That of a zone, all zones of it. */
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"region_of_zone", "odd-name"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_region(world.gce, next_call(), &region), HACTL_OK);
    assert_string_equal(region, "us-east1");
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"region_of_zone", "us-central1-c"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_zones(world.gce, next_call(), &zones, &count), HACTL_OK);
    assert_int_equal(count, 2);
    assert_string_equal(zones[0].name, "us-central1-b");
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"region_of_zone", "nowhere"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_region(world.gce, next_call(), &region), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "no zone \"nowhere\""));
    /* A region that is not there is found before anything is asked of it. */
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "none"}, {"region", "us-west9"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(gce_region(world.gce, next_call(), &region), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "no region \"us-west9\""));
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"zones", "us-central1-b odd-name"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_zones(world.gce, next_call(), &zones, &count), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "odd-name is in region us-east1 and the cluster in us-central1"));
}

/* ---- links and names -------------------------------------------------------------------------------- */

static void test_links(void **state)
{
    char out[GCE_NAME], link[GCE_PATH];
    json_t *object;

    (void)state;
    open_none();
    assert_string_equal(gce_link_name("https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i"), "i");
    assert_string_equal(gce_link_name("i"), "i");
    assert_true(gce_link_part("https://h/compute/v1/projects/p/zones/z/instances/i", "zones", out));
    assert_string_equal(out, "z");
    assert_true(gce_link_part("zones/z", "zones", out));
    assert_false(gce_link_part("projects/p/regions/r", "zones", out));
    assert_true(gce_link_same("https://a/compute/v1/projects/p/zones/z", "https://b/x/projects/p/zones/z"));
    assert_true(gce_link_same("projects/p/zones/z", "https://b/x/projects/p/zones/z"));
    assert_false(gce_link_same("projects/q/zones/z", "https://b/x/projects/p/zones/z"));
    gce_link(world.gce, link, "zones/%s", "z");
    assert_string_equal(link, "https://www.googleapis.com/compute/v1/projects/p1/zones/z");
    gce_name(out, "demo-1", "-data");
    assert_string_equal(out, "demo-1-data");
    gce_name(out, "a-very-long-name-of-a-replica-that-leaves-no-room-for-more-of-1", "-data");
    assert_int_equal(strlen(out), 63);
    assert_int_equal(gce_name_check(world.gce, next_call(), "disk", out), HACTL_OK);
    char other[GCE_NAME];
    gce_name(other, "a-very-long-name-of-a-replica-that-leaves-no-room-for-more-of-2", "-data");
    assert_string_not_equal(out, other);
    assert_int_equal(gce_name_check(world.gce, next_call(), "replica", "Demo"), HACTL_E_INVALID);
    assert_int_equal(gce_name_check(world.gce, next_call(), "replica", "a-"), HACTL_E_INVALID);
    object = json_pack("{s:s}", "description", "hactl cluster demo");
    assert_true(gce_is_ours(object, "demo"));
    assert_false(gce_is_ours(object, "dem"));
    assert_false(gce_is_ours(object, "demo2"));
    json_object_set_new(object, "labels", gce_labels("other", NULL));
    assert_false(gce_is_ours(object, "demo"));
    json_decref(object);
}

static void test_urls(void **state)
{
    static const char *const bad[] = {"",
                                      "ftp://a",
                                      "http://",
                                      "https://a:0",
                                      "https://a:99999",
                                      "https://a:b",
                                      "https://u@a/",
                                      "https://a?x",
                                      "https:///x"};
    struct gce_url parsed;

    (void)state;
    assert_true(gce_url_parse("https://a.example/compute/v1/", &parsed));
    assert_string_equal(parsed.host, "a.example");
    assert_string_equal(parsed.path, "/compute/v1");
    assert_int_equal(parsed.port, 443);
    assert_true(gce_url_parse("http://[::1]:80", &parsed));
    assert_string_equal(parsed.host, "::1");
    assert_true(gce_url_is_near(&parsed));
    assert_true(gce_url_parse("http://10.1.2.3:8080/x", &parsed));
    assert_true(gce_url_is_near(&parsed));
    assert_true(gce_url_parse("http://11.1.2.3:8080/x", &parsed));
    assert_false(gce_url_is_near(&parsed));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (gce_url_parse(bad[i], &parsed))
            fail_msg("\"%s\" was taken", bad[i]);
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_service_account), EACH(test_refresh), EACH(test_user),       EACH(test_impersonation),
        EACH(test_token_file),      EACH(test_denied),  EACH(test_project),    EACH(test_errors),
        EACH(test_request_ids),     EACH(test_length),  EACH(test_operations), EACH(test_lists),
        EACH(test_zones),           EACH(test_links),   EACH(test_urls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
