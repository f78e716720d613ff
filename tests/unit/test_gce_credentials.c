/* SPDX-License-Identifier: Apache-2.0 */
/* lib/gce: credentials by each of their ways, and the project that they name. */
#include "tests/unit/gce_api_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "lib/gce/gce_internal.h"
#include "lib/json.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {EACH(test_service_account), EACH(test_refresh),    EACH(test_user),
                                       EACH(test_impersonation),   EACH(test_token_file), EACH(test_denied),
                                       EACH(test_project)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
