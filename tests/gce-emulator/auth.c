/* SPDX-License-Identifier: Apache-2.0 */
#include "auth.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "errors.h"
#include "lib/file.h"
#include "lib/json.h"
#include "store.h"
#include "timers.h"

#define KEY_ID            "0123456789abcdef0123456789abcdef01234567"
#define CLIENT_ID         "emulator.apps.googleusercontent.com"
#define CLIENT_SECRET     "not-much-of-a-secret"
#define REFRESH_TOKEN     "1//refresh-emulator"
#define GRANT_JWT         "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define GRANT_STS         "urn:ietf:params:oauth:grant-type:token-exchange"

#define ACCESS_TOKEN_TYPE "urn:ietf:params:oauth:token-type:access_token"
#define EXTERNAL_AUDIENCE \
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/emulated/providers/emulated"
#define SUBJECT_TOKEN "token-of-another-identity-provider"

static EVP_PKEY *key;
static json_t *tokens; /* token -> {user, until_ms} */
static unsigned lifetime_s = 3599;
static char *directory_of_files, *token_uri;

/* ---- tokens ----------------------------------------------------------------------- */

unsigned em_auth_lifetime_s(void)
{
    return lifetime_s;
}

void em_auth_set_lifetime_s(unsigned seconds)
{
    lifetime_s = seconds;
}

static const char *issue(const char *user, unsigned seconds)
{
    char *token = em_format("ya29.%016llx%016llx", (unsigned long long)em_random(), (unsigned long long)em_random());
    const char *stored;

    if (tokens == NULL) {
        tokens = json_object();
    }
    json_object_set_new(tokens, token,
                        json_pack("{s:s,s:s,s:I}", "token", token, "user", user, "until_ms",
                                  (json_int_t)(em_now_ms() + (uint64_t)seconds * 1000)));
    stored = em_text(json_object_get(tokens, token), "token");
    free(token);
    return stored;
}

const char *em_auth_issue(const char *user)
{
    return issue(user, lifetime_s);
}

const char *em_auth_user(const char *authorization)
{
    const json_t *token;

    if (!em_options.check_tokens) {
        return EM_SERVICE_ACCOUNT;
    }
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0) {
        return NULL;
    }
    token = json_object_get(tokens, authorization + 7);
    if (token == NULL || (uint64_t)em_number(token, "until_ms", 0) <= em_now_ms()) {
        return NULL;
    }
    return em_text(token, "user");
}

static bool write_file(const char *name, const char *text)
{
    char *path = em_format("%s/%s", directory_of_files, name);
    int status = ha_file_replace(path, text, strlen(text), 0600, false);

    if (status != 0) {
        em_log(0, "%s: %s", path, strerror(-status));
    }
    free(path);
    return status == 0;
}

static bool write_json(const char *name, json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2));
    bool good = write_file(name, text);

    ha_secret_free(text, strlen(text));
    json_decref(json);
    return good;
}

/* The file's token does not expire by itself. */
static bool write_token(void)
{
    return write_file("token", issue(EM_SERVICE_ACCOUNT, 7 * 24 * 3600));
}

void em_auth_revoke(bool renew)
{
    json_decref(tokens);
    tokens = NULL;
    if (renew) {
        (void)write_token();
    }
}

static char *private_key_text(void)
{
    BIO *memory = BIO_new(BIO_s_mem());
    char *data, *text = NULL;
    long size;

    if (memory != NULL && PEM_write_bio_PKCS8PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL) == 1) {
        size = BIO_get_mem_data(memory, &data);
        text = em_format("%.*s", (int)size, data);
    }
    BIO_free(memory);
    return text;
}

static bool write_service_account(void)
{
    const char *project = em_options.project == NULL ? "emulated" : em_options.project;
    char *text;
    bool good;

    if (em_options.no_key) {
        return true;
    }
    key = EVP_RSA_gen(2048);
    text = key == NULL ? NULL : private_key_text();
    if (text == NULL) {
        em_log(0, "cannot make an RSA key");
        return false;
    }
    good =
        write_json("service-account.json",
                   json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "type", "service_account", "project_id", project,
                             "private_key_id", KEY_ID, "private_key", text, "client_email", EM_SERVICE_ACCOUNT,
                             "client_id", "1234567890", "token_uri", token_uri, "universe_domain", "googleapis.com"));
    ha_secret_free(text, strlen(text));
    return good;
}

/* Workload identity federation, with a token that stands in a file. */
static json_t *external_account(void)
{
    char *path = em_format("%s/subject-token", directory_of_files);
    json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:{s:s}}", "type", "external_account", "audience", EXTERNAL_AUDIENCE,
                             "subject_token_type", "urn:ietf:params:oauth:token-type:jwt", "token_url", token_uri,
                             "credential_source", "file", path);

    free(path);
    return json;
}

static json_t *authorized_user(void)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "type", "authorized_user", "client_id", CLIENT_ID, "client_secret",
                     CLIENT_SECRET, "refresh_token", REFRESH_TOKEN, "token_uri", token_uri);
}

bool em_auth_start(const char *directory, int port)
{
    char *impersonation = em_format("http://127.0.0.1:%d/v1/projects/-/serviceAccounts/impersonated@emulated.iam."
                                    "gserviceaccount.com:generateAccessToken",
                                    port);
    bool good;

    directory_of_files = em_strdup(directory);
    token_uri = em_format("http://127.0.0.1:%d/token", port);
    good = write_token() && write_service_account() && write_json("authorized-user.json", authorized_user()) &&
           write_json("impersonated.json", json_pack("{s:s,s:s,s:o}", "type", "impersonated_service_account",
                                                     "service_account_impersonation_url", impersonation,
                                                     "source_credentials", authorized_user())) &&
           write_json("external-account.json", external_account()) && write_file("subject-token", SUBJECT_TOKEN "\n");
    free(impersonation);
    return good;
}

void em_auth_end(void)
{
    EVP_PKEY_free(key);
    json_decref(tokens);
    free(directory_of_files);
    free(token_uri);
    key = NULL;
    tokens = NULL;
}

/* ---- JSON web tokens -------------------------------------------------------------- */

/* base64url without padding. Caller frees; NUL-terminated. */
static unsigned char *decode(const char *text, size_t size, size_t *length)
{
    char *standard = em_alloc(size + 5);
    unsigned char *bytes = em_alloc(size + 5);
    ssize_t n;

    memcpy(standard, text, size);
    for (size_t i = 0; i < size; i++) {
        standard[i] = standard[i] == '-' ? '+' : standard[i] == '_' ? '/' : standard[i];
    }
    while (size % 4 != 0) {
        standard[size++] = '=';
    }
    n = ha_base64_decode(standard, size, bytes);
    free(standard);
    if (n < 0) {
        free(bytes);
        return NULL;
    }
    bytes[n] = '\0';
    *length = (size_t)n;
    return bytes;
}

static bool signed_by_key(const char *text, size_t size, const unsigned char *signature, size_t signature_size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = key != NULL && context != NULL && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, signature_size, (const unsigned char *)text, size) == 1;

    EVP_MD_CTX_free(context);
    return good;
}

static const char *claims_wrong(const json_t *header, const json_t *claims)
{
    const char *audience = em_text(claims, "aud"), *algorithm = em_text(header, "alg"),
               *issuer = em_text(claims, "iss");
    long long now = (long long)time(NULL), issued = em_number(claims, "iat", 0), expires = em_number(claims, "exp", 0);

    if (algorithm == NULL || strcmp(algorithm, "RS256") != 0) {
        return "Invalid JWT: the algorithm is not RS256.";
    }
    if (issuer == NULL || strcmp(issuer, EM_SERVICE_ACCOUNT) != 0) {
        return "Invalid issuer: Not a valid service account identifier.";
    }
    if (audience == NULL ||
        (strcmp(audience, token_uri) != 0 && strcmp(audience, "https://oauth2.googleapis.com/token") != 0 &&
         strcmp(audience, "https://accounts.google.com/o/oauth2/token") != 0)) {
        return "Invalid JWT: Failed audience check.";
    }
    if (issued > now + 300 || expires <= now - 300 || expires - issued > 3600 || expires <= issued) {
        return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
    }
    if (em_text(claims, "scope") == NULL && em_text(claims, "target_audience") == NULL) {
        return "Invalid OAuth scope or ID token audience provided.";
    }
    return NULL;
}

static const char *assertion_wrong(const char *assertion, json_t **claims)
{
    const char *first = strchr(assertion, '.'), *second = first == NULL ? NULL : strchr(first + 1, '.');
    unsigned char *head, *body, *signature;
    size_t head_size = 0, body_size = 0, signature_size = 0;
    const char *wrong = "Invalid JWT Signature.";
    json_t *header;
    char why[160];

    if (second == NULL) {
        return "Invalid JWT: it has no three parts.";
    }
    head = decode(assertion, (size_t)(first - assertion), &head_size);
    body = decode(first + 1, (size_t)(second - first - 1), &body_size);
    signature = decode(second + 1, strlen(second + 1), &signature_size);
    header = head == NULL ? NULL : ha_json_parse((char *)head, head_size, why, sizeof(why));
    *claims = body == NULL ? NULL : ha_json_parse((char *)body, body_size, why, sizeof(why));
    if (signature != NULL && signed_by_key(assertion, (size_t)(second - assertion), signature, signature_size)) {
        wrong = claims_wrong(header, *claims);
    }
    json_decref(header);
    free(head);
    free(body);
    free(signature);
    return wrong;
}

/* ---- the endpoints ---------------------------------------------------------------- */

static struct em_answer token_error(const char *code, const char *description)
{
    return (struct em_answer){.status = strcmp(code, "invalid_client") == 0 ? 401 : 400,
                              .body = json_pack("{s:s,s:s}", "error", code, "error_description", description)};
}

static json_t *token_body(const char *user)
{
    return json_pack("{s:s,s:i,s:s}", "access_token", em_auth_issue(user), "expires_in", (int)lifetime_s, "token_type",
                     "Bearer");
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);

    return at == NULL || c == '\0' ? -1 : (int)(at - digits);
}

static char *unescape(const char *text, size_t size)
{
    char *out = em_alloc(size + 1);
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] == '%' && i + 2 < size && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
            out[n++] = (char)(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
        } else {
            out[n++] = text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}

static json_t *read_form(const char *body)
{
    json_t *form = json_object();

    while (body != NULL && *body != '\0') {
        size_t length = strcspn(body, "&");
        const char *equals = memchr(body, '=', length);
        size_t name_length = equals == NULL ? length : (size_t)(equals - body);
        char *name = unescape(body, name_length);
        char *value = equals == NULL ? em_strdup("") : unescape(equals + 1, length - name_length - 1);

        em_set(form, name, value);
        free(name);
        free(value);
        body += length + (body[length] == '&');
    }
    return form;
}

/* base64url without padding. */
static void encode(FILE *out, const char *text)
{
    char *encoded = ha_base64_encode(text, strlen(text));

    for (char *p = encoded; *p != '\0' && *p != '='; p++) {
        fputc(*p == '+' ? '-' : *p == '/' ? '_' : *p, out);
    }
    free(encoded);
}

/* Looks like one; nobody here verifies its signature. */
char *em_auth_id_token(const char *audience)
{
    long long now = (long long)time(NULL);
    char *token = NULL, *claims;
    json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I}", "iss", "https://accounts.google.com", "aud",
                             audience == NULL ? "" : audience, "sub", "1234567890", "email", EM_SERVICE_ACCOUNT, "iat",
                             (json_int_t)now, "exp", (json_int_t)(now + 3600));
    size_t size;
    FILE *out = open_memstream(&token, &size);

    if (out == NULL) {
        abort();
    }
    claims = json_dumps(json, JSON_COMPACT);
    encode(out, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"emulator\"}");
    fputc('.', out);
    encode(out, claims);
    fputc('.', out);
    encode(out, "no signature");
    fclose(out);
    free(claims);
    json_decref(json);
    return token;
}

static struct em_answer grant_jwt(const json_t *form)
{
    const char *assertion = em_text(form, "assertion"), *wrong;
    json_t *claims = NULL;
    struct em_answer answer;

    if (assertion == NULL) {
        return token_error("invalid_request", "Missing required parameter: assertion");
    }
    wrong = assertion_wrong(assertion, &claims);
    if (wrong != NULL) {
        answer = token_error("invalid_grant", wrong);
    } else if (em_text(claims, "target_audience") != NULL) {
        char *token = em_auth_id_token(em_text(claims, "target_audience"));

        answer = em_ok(json_pack("{s:s}", "id_token", token));
        free(token);
    } else {
        answer = em_ok(token_body(EM_SERVICE_ACCOUNT));
    }
    json_decref(claims);
    return answer;
}

static bool is(const json_t *form, const char *name, const char *wanted)
{
    const char *text = em_text(form, name);

    return text != NULL && strcmp(text, wanted) == 0;
}

static struct em_answer grant_refresh(const json_t *form)
{
    if (!is(form, "client_id", CLIENT_ID) || !is(form, "client_secret", CLIENT_SECRET)) {
        return token_error("invalid_client", "The OAuth client was not found.");
    }
    if (!is(form, "refresh_token", REFRESH_TOKEN)) {
        return token_error("invalid_grant", "Token has been expired or revoked.");
    }
    return em_ok(token_body("user@emulated.example"));
}

/* As sts.googleapis.com; an identity provider's token is whatever the file subject-token says. */
static struct em_answer grant_exchange(const json_t *form)
{
    struct em_answer answer;

    if (!is(form, "requested_token_type", ACCESS_TOKEN_TYPE) || em_text(form, "subject_token") == NULL ||
        em_text(form, "subject_token_type") == NULL || em_text(form, "scope") == NULL) {
        return token_error("invalid_request", "A required parameter is missing or wrong.");
    }
    if (!is(form, "audience", EXTERNAL_AUDIENCE)) {
        return token_error("invalid_target", "The target service indicated by the \"audience\" parameters is invalid.");
    }
    if (!is(form, "subject_token", SUBJECT_TOKEN)) {
        return token_error("invalid_grant", "The given credential is rejected by the attribute condition.");
    }
    answer = em_ok(token_body("federated@emulated.example"));
    em_set(answer.body, "issued_token_type", ACCESS_TOKEN_TYPE);
    return answer;
}

void em_auth_token(struct em_connection *connection)
{
    json_t *form = read_form(connection->body);
    struct em_answer answer;

    if (strcmp(connection->verb, "POST") != 0) {
        answer = token_error("invalid_request", "POST is the method of this endpoint.");
    } else if (is(form, "grant_type", GRANT_JWT)) {
        answer = grant_jwt(form);
    } else if (is(form, "grant_type", "refresh_token")) {
        answer = grant_refresh(form);
    } else if (is(form, "grant_type", GRANT_STS)) {
        answer = grant_exchange(form);
    } else {
        answer = token_error("unsupported_grant_type", "Invalid grant_type");
    }
    json_decref(form);
    em_connection_answer(connection, answer);
}

static bool allowed_scope(const json_t *scopes)
{
    return em_array_find(scopes, "https://www.googleapis.com/auth/compute") >= 0 ||
           em_array_find(scopes, "https://www.googleapis.com/auth/cloud-platform") >= 0;
}

void em_auth_impersonate(struct em_connection *connection)
{
    const char *user = em_auth_user(em_connection_header(connection, "Authorization")),
               *account = strrchr(connection->path, '/') + 1, *colon = strchr(account, ':');
    char why[160], when[40], *name;
    json_t *body =
        ha_json_parse(connection->body == NULL ? "" : connection->body, connection->body_size, why, sizeof(why));
    time_t until = time(NULL) + lifetime_s;
    struct tm parts;
    struct em_answer answer;

    if (user == NULL) {
        answer = em_error(401, "authError", "Request had invalid authentication credentials.");
    } else if (colon == NULL || strcmp(colon, ":generateAccessToken") != 0 || strcmp(connection->verb, "POST") != 0) {
        answer = em_error(404, "notFound", "Requested entity was not found.");
    } else if (strncmp(account, "impersonated@", 13) != 0) {
        answer = em_error(403, "forbidden",
                          "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it "
                          "may not exist).");
    } else if (!allowed_scope(json_object_get(body, "scope"))) {
        answer = em_error(400, "invalidArgument", "Request contains an invalid argument: scope.");
    } else {
        gmtime_r(&until, &parts);
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &parts);
        name = em_format("%.*s", (int)(colon - account), account);
        answer = em_ok(json_pack("{s:s,s:s}", "accessToken", em_auth_issue(name), "expireTime", when));
        free(name);
    }
    json_decref(body);
    em_connection_answer(connection, answer);
}
